"""What people look at besides numbers: documentation, freshness, the quality of the data."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dbt.cli.main import dbtRunner

from tests.dbt.dbt_warehouse import (  # noqa: F401
    common,
    manifest_fixture,
    new_warehouse_fixture,
    warehouse_fixture,
)


def sale(event_id: str, ts: str, **changes: Any) -> dict[str, Any]:
    return {"event_id": event_id, "ts": ts, "price": "1"} | changes


def test_the_documentation_builds_and_describes_everything(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dbt docs generate`: every relation with all its columns, each described, grain first."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(built / "warehouse.duckdb", home)
    monkeypatch.setenv("MEDALLION_HOME", str(home))
    outcome = dbtRunner().invoke(["docs", "generate", *common(home)])
    assert outcome.success, outcome.exception
    assert (home / "target" / "index.html").stat().st_size > 100_000
    catalog = json.loads((home / "target" / "catalog.json").read_text())
    manifest = json.loads((home / "target" / "manifest.json").read_text())
    assert not catalog["errors"]
    models = {k: n for k, n in manifest["nodes"].items() if n["resource_type"] == "model"}
    relations = catalog["nodes"] | catalog["sources"]
    documented = models | manifest["sources"]
    assert set(relations) == set(documented) and len(models) >= 25
    for key, relation in relations.items():
        node = documented[key]
        described = {name.lower() for name, c in node["columns"].items() if c["description"]}
        assert {name.lower() for name in relation["columns"]} == described, key
        assert node["description"].startswith("One row per "), key


def test_dbt_makes_no_warehouse(manifest: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """In a home that has none it says what to set."""
    monkeypatch.setenv("MEDALLION_HOME", str(tmp_path))
    outcome = dbtRunner(manifest=manifest).invoke(["run", *common(tmp_path)])
    assert not outcome.success
    assert "set MEDALLION_HOME" in str(outcome.exception)
    assert not (tmp_path / "warehouse.duckdb").exists()


def test_dbt_shows_what_an_incremental_model_holds(warehouse: Any) -> None:
    """Not what the next run would add, which is nothing."""
    warehouse.sell({"event_id": "a", "ts": "2026-01-01 10:00", "price": "2"})
    warehouse.run("--select", "bronze", "silver", "gold")
    results = warehouse.dbt("show", "--select", "gold").result
    (shown,) = [r for r in results if r.node.name == "gold" and r.agate_table]
    assert len(shown.agate_table.rows) == 1


@pytest.mark.parametrize("days, status", [(0, "pass"), (2, "warn"), (8, "error")])
def test_stale_sources_are_told(
    warehouse: Any, monkeypatch: pytest.MonkeyPatch, days: int, status: str
) -> None:
    """`dbt source freshness`: a warning after a day without a load, an error after seven."""
    warehouse.sell(sale("a", "2026-01-01"))
    at = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=days)
    warehouse.db.execute("UPDATE staging.purchases SET loaded_at = ?", [at])
    monkeypatch.setenv("MEDALLION_HOME", str(warehouse.home))
    outcome = dbtRunner().invoke(
        ["source", "freshness", "--select", "source:staging.purchases", *common(warehouse.home)]
    )
    assert [str(result.status) for result in outcome.result] == [status]
    assert outcome.success == (status != "error")


def test_data_quality_counts_what_is_odd(warehouse: Any) -> None:
    """Each oddity once: late, from the future, unknown members, no rate, no cost, a closed store, a
    copy, a return without its purchase, a rejected line. None of them is dropped."""
    warehouse.load("stores", {
        "store_id": "S1", "ts": "2026-01-01", "time_zone": "UTC", "currency": "USD",
        "opened_on": "2026-01-01", "closed_on": "2026-02-01",
    })  # fmt: skip
    product = {"product_id": "P1", "ts": "2026-01-01", "currency": "USD", "cost": "0.5"}
    warehouse.load("products", product)
    warehouse.sell(
        sale("good", "2026-01-10 10:00", customer_id="C"),
        sale("future", "2026-01-10 12:01", customer_id="C"),
        sale("unknown", "2026-01-10 10:00", product_id="P?", customer_id="C"),
        sale("nowhere", "2026-01-10 10:00", store_id="S?", customer_id="C"),
        sale("euro", "2026-01-10 10:00", currency="EUR", customer_id="C"),
        sale("back", "2026-01-10 10:00", event_type="return", customer_id="C"),
        sale("good", "2026-01-10 10:00", customer_id="C"),
        arrived="2026-01-10 11:00",
    )
    warehouse.sell(
        sale("late", "2026-01-10 10:00"), sale("closed", "2026-02-01 00:00", customer_id="C"),
        arrived="2026-02-01 00:00",
    )  # fmt: skip
    warehouse.load("quarantine", {
        "feed": "purchases", "reason": "bad_ts", "raw": b"x", "raw_size": 1, "source_line": 1,
    })  # fmt: skip
    warehouse.run()
    odd = warehouse.rows(
        "SELECT measure, detail, value FROM marts.data_quality "
        "WHERE measure NOT IN ('seconds') AND value <> 0 ORDER BY ALL"
    )
    assert odd == [
        ("copies", "of events that silver holds already", 1),
        ("lines", "all", 8),
        ("lines", "arrived more than a day after the sale", 1),
        ("lines", "dated more than an hour after their arrival", 1),
        ("lines", "in a currency without a rate", 1),
        ("lines", "of a store that was closed", 1),
        ("lines", "of an unknown product", 1),
        ("lines", "of an unknown store", 1),
        ("lines", "of guests", 1),
        ("lines", "without a known cost", 2),
        ("members", "products known from sales only", 1),
        ("members", "stores known from sales only", 1),
        ("quarantined lines", "purchases: bad_ts", 1),
        ("returns", "not stated", 1),
    ]
    assert warehouse.rows("SELECT sum(net_sales) FROM marts.fct_sales_line") == [(6,)]
