"""A raw object that is appended to or rewritten: only its newest version counts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medallion import pipeline as stream
from medallion.audit import audit
from medallion.platforms.platform import Platform
from medallion.platforms.warehouse import open_warehouse
from medallion.settings import Settings
from tests.conftest import Cli, drop, event

Query = Callable[[Path, str], list[dict[str, Any]]]
DAY, OTHER = "purchases/day.jsonl", "purchases/other.jsonl"

E1, E2 = event(), event(event_id="e2", ts="2026-03-02T10:00:00Z", price=7, total_amount=14)
E2_ELSEWHERE = event(event_id="e2", ts="2026-03-09T10:00:00Z", price=9, total_amount=18)
CORRECTED = event(price=3, total_amount=6)
REJECTED = event(event_id="e4", price="dear")
P1 = {"product_id": "P1", "ts": "2026-01-01T00:00:00Z", "category": "dairy"}

STEPS: dict[str, tuple[dict[str, tuple[int, list[str]]], dict[str, int], int]] = {
    "two objects": (
        {DAY: (100, [E1, E2, REJECTED]), OTHER: (200, [E2_ELSEWHERE])},
        {"e1": 5, "e2": 14},
        1,
    ),
    "appended to": (
        {DAY: (300, [E1, E2, REJECTED, event(event_id="e3")])},
        {"e1": 5, "e2": 18, "e3": 5},
        1,
    ),
    "corrected in place": ({DAY: (400, [CORRECTED, E2])}, {"e1": 6, "e2": 18}, 0),
    "shrunk": ({DAY: (500, [CORRECTED])}, {"e1": 6, "e2": 18}, 0),
    "emptied": ({DAY: (600, [])}, {"e2": 18}, 0),
    "both emptied": ({OTHER: (650, [])}, {}, 0),
    "put back as it was first": ({DAY: (100, [E1, E2, REJECTED])}, {"e1": 5, "e2": 14}, 1),
    "only touched": ({DAY: (900, [E1, E2, REJECTED])}, {"e1": 5, "e2": 14}, 1),
}
"""What is written and when (seconds), then the amounts in silver and the rejected lines."""


def write(home: Path, name: str, seconds: int, lines: list[str]) -> None:
    os.utime(drop(home, name, *lines), (1_790_000_000 + seconds,) * 2)


def test_the_newest_version_counts(tmp_path: Path, cli: Cli, query: Query) -> None:
    """After each change staging, silver, gold, marts and audit say the same; a full refresh and a
    rebuild change nothing."""
    platform = Platform.of(Settings(tmp_path))
    write(tmp_path, "products/p.jsonl", 50, [json.dumps(P1), json.dumps(P1 | {"product_id": "P9"})])
    with stream.open_pipeline(platform) as pipeline:
        for name, (objects, amounts, rejected) in STEPS.items():
            for file, (seconds, lines) in objects.items():
                write(tmp_path, file, seconds, lines)
            pipeline.advance(build=stream.MARTS if name != "two objects" else stream.ALL)
            rows = pipeline.warehouse.execute(
                "SELECT event_id, CAST(total_amount AS INTEGER) FROM silver.purchases_silver"
            ).fetchall()
            assert dict(rows) == amounts, name
            for relation in (
                "gold.purchases_gold",
                "marts.sales_hourly",
                "marts.sales_daily_product",
            ):
                ((net,),) = pipeline.warehouse.execute(
                    f"SELECT coalesce(sum(net_sales), 0) FROM {relation}"
                ).fetchall()
                assert net == sum(amounts.values()), (name, relation)
            for sql, expected in (
                ("SELECT count(*) FROM ops.quarantine", rejected),
                ("SELECT count(*) FROM ops.conservation WHERE NOT holds", 0),
                ("SELECT count(*) - count(DISTINCT bronze_id) FROM bronze.purchases_bronze", 0),
            ):
                assert pipeline.warehouse.execute(sql).fetchall() == [(expected,)], (name, sql)
            report = audit(platform.lake, pipeline.warehouse, progress=lambda _: None)
            assert report.holds, (name, [c for c in report.checks if not c.holds])
            assert not any(report.waiting.values()), (name, report.waiting)
        # A product that its feed does not name any more, and one that another object names since.
        write(tmp_path, "products/p.jsonl", 700, [json.dumps(P1 | {"category": "milk"})])
        pipeline.advance(build=stream.MARTS)
    products = "SELECT product_id, category FROM dim_products WHERE is_described ORDER BY ALL"
    assert query(tmp_path, products) == [{"product_id": "P1", "category": "milk"}]
    categories = "SELECT DISTINCT category FROM sales_daily_product"
    assert query(tmp_path, categories) == [{"category": "milk"}]

    def state() -> list[Any]:
        names = ("purchases_gold", "ops.quarantine", "dim_stores", "purchases_duplicates")
        loaded = "COLUMNS(lambda c: c NOT IN ('bronze_file', 'load_seq', 'loaded_at'))"
        return [query(tmp_path, f"SELECT {loaded} FROM {name} ORDER BY ALL") for name in names]

    before = state()
    for verb in ("transform --full-refresh --test", "rebuild"):
        result = cli(tmp_path, *verb.split())
        assert result.exit_code == 0, result.output
        assert state() == before, verb
    assert cli(tmp_path, "audit").exit_code == 0


@pytest.mark.parametrize(
    "flaw",
    ["DELETE FROM staging.superseded", "UPDATE silver.purchases_silver SET total_amount = 5"],
)
def test_the_audit_sees_a_superseded_line_that_counts(tmp_path: Path, cli: Cli, flaw: str) -> None:
    """An earlier line in silver, and a lost note of what is newest. The object was rewritten twice
    between two loads."""
    write(tmp_path, DAY, 100, [E1])
    assert cli(tmp_path, "run", "--events", "0").exit_code == 0
    write(tmp_path, DAY, 200, [E1, REJECTED])
    assert cli(tmp_path, "clean").exit_code == 0
    write(tmp_path, DAY, 300, [CORRECTED])
    result = cli(tmp_path, "run", "--events", "0")
    assert "rewritten  the newest version counts of 1 raw object" in result.output
    assert cli(tmp_path, "audit").exit_code == 0
    with open_warehouse(tmp_path) as db:
        db.execute(flaw)
    assert cli(tmp_path, "audit").exit_code == 1
