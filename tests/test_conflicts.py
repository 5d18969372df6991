"""Copies of an event that contradict each other, corrections, and baskets of two stores."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli, drop, event

Query = Callable[[Path, str], list[dict[str, Any]]]
ONE = {"basket_id": "17", "total_amount": ...}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Path:
    """Two stores that number their baskets alike, on two days; an id that came with two payloads,
    one that came twice alike, and one that was corrected twice, the later correction first."""
    home = tmp_path_factory.mktemp("shop")
    drop(
        home,
        "a.jsonl",
        event(event_id="again", price=10, **ONE),
        event(event_id="twin", price=20, store_id="S2", **ONE),
        event(event_id="again", price=11, product_id="P2", **ONE),
        event(event_id="twin", price=20, store_id="S2", **ONE),
        event(event_id="late", price=30, store_id="S2", ts="2026-03-02T10:00:00Z", **ONE),
    )
    assert cli(home, "run", "--events", "0").exit_code == 0
    late = {"event_id": "late", "store_id": "S2", "ts": "2026-03-02T10:00:00Z"} | ONE
    drop(home, "b.jsonl", event(price=33, corrected_at="2026-03-05T00:00:00Z", **late))
    drop(home, "c.jsonl", event(price=32, corrected_at="2026-03-04T23:00:00Z", **late))
    result = cli(home, "run", "--events", "0")
    assert result.exit_code == 0, result.output
    assert "4 duplicates, 1 with another payload" in " ".join(result.output.split())
    return home


def test_a_conflict_is_shown_with_both_payloads(shop: Path, cli: Cli, query: Query) -> None:
    (conflict,) = json.loads(cli(shop, "conflicts", "--json").stdout)
    assert conflict["event_id"] == "again"
    assert conflict["differs_in"] == ["product_id", "price", "total_amount"]
    copies = [(conflict[c]["source_line"], conflict[c]["price"]) for c in ("kept", "copy")]
    assert copies == [(1, "10.000000"), (3, "11.000000")]
    assert "1 copy contradicts" in cli(shop, "conflicts").output
    counted = query(shop, "SELECT value FROM data_quality WHERE detail LIKE '%another payload'")
    assert counted == [{"value": 1}]


def test_the_last_correction_counts(shop: Path, query: Query) -> None:
    """The copies that it replaced stay in bronze."""
    late = "WHERE event_id = 'late' ORDER BY price"
    kept = query(shop, f"SELECT price FROM purchases_silver {late}")
    bronze = query(shop, f"SELECT price FROM purchases_bronze {late}")
    assert [Decimal(row["price"]) for row in kept] == [33]
    assert [Decimal(row["price"]) for row in bronze] == [30, 32, 33]


def test_a_basket_is_one_of_its_store_and_day(shop: Path, query: Query) -> None:
    """In gold, the marts, the live model and the metric."""
    baskets = query(shop, "SELECT store_id, CAST(sales_date AS VARCHAR) AS d FROM fct_basket")
    assert sorted((b["store_id"], b["d"]) for b in baskets) == [
        ("S1", "2026-03-01"),
        ("S2", "2026-03-01"),
        ("S2", "2026-03-02"),
    ]
    for relation in ("purchases_gold", "sales_hourly", "live_sales"):
        rows = query(shop, f"SELECT CAST(sum(transactions) AS INTEGER) AS n FROM {relation}")
        assert rows == [{"n": 3}], relation
    rows = query(shop, "SELECT count(DISTINCT basket_key) AS n FROM fct_sales_line")
    assert rows == [{"n": 3}]
