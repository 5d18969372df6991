"""Commands that replace data compare first: if something would be lost, they name it and stop."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from medallion.platforms.warehouse import warehouse_path
from tests.conftest import Cli

Query = Callable[[Path, str], list[dict[str, Any]]]
EVENTS = "SELECT count(*) AS n FROM purchases_silver"


def change(home: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(warehouse_path(home))) as db:
        return db.execute(sql).fetchall()


def published(home: Path) -> Path:
    """The snapshot that readers see."""
    return home / "gold" / (home / "gold" / "CURRENT").read_text()


def test_a_full_refresh_without_all_of_staging(copy: Path, cli: Cli, query: Query) -> None:
    """An object of sales and one of products are lost from staging: both are named, silver stays,
    and a rebuild brings them back."""
    lost = [
        change(copy, f"SELECT min(bronze_file) FROM staging.{table}")[0][0]
        for table in ("purchases", "products")
    ]
    for key in lost:
        change(copy, f"DELETE FROM staging.{key.split('/')[1]} WHERE bronze_file = '{key}'")
    before = query(copy, EVENTS)
    refused = cli(copy, "transform", "--full-refresh")
    assert refused.exit_code == 1 and "a full refresh would lose" in refused.stderr
    assert all(key in refused.stderr for key in lost) and query(copy, EVENTS) == before
    assert cli(copy, "rebuild").exit_code == 0
    assert cli(copy, "transform", "--full-refresh").exit_code == 0 and query(copy, EVENTS) == before


def test_a_full_refresh_of_events_that_silver_alone_has(copy: Path, cli: Cli, query: Query) -> None:
    """The ledger has lost them too."""
    key = change(copy, "SELECT min(bronze_file) FROM staging.purchases")[0][0]
    for table in ("purchases", "loads"):
        change(copy, f"DELETE FROM staging.{table} WHERE bronze_file = '{key}'")
    before = query(copy, EVENTS)
    refused = cli(copy, "transform", "--full-refresh")
    assert refused.exit_code == 1 and query(copy, EVENTS) == before


def test_an_empty_warehouse_does_not_replace_a_full_snapshot(copy: Path, cli: Cli) -> None:
    """The warehouse was deleted: nothing is published before all is loaded again."""
    snapshot = published(copy)
    warehouse_path(copy).unlink()
    refused = cli(copy, "transform")
    assert refused.exit_code == 1 and "the snapshot stays" in refused.stderr
    assert published(copy) == snapshot
    assert cli(copy, "run", "--events", "0").exit_code == 0
    assert published(copy) != snapshot


def test_a_run_over_a_home_that_lost_its_sales(copy: Path, cli: Cli) -> None:
    """Warehouse, bronze and some of raw/ are gone: the page keeps what it has, until it is asked
    to show less."""
    snapshot = published(copy)
    warehouse_path(copy).unlink()
    shutil.rmtree(copy / "bronze")
    # The largest: others may hold copies only, without which no sale is gone.
    objects = (copy / "raw" / "purchases").rglob("*.zst")
    max(objects, key=lambda path: path.stat().st_size).unlink()
    refused = cli(copy, "run", "--events", "0")
    assert refused.exit_code == 1 and "the snapshot stays" in refused.stderr
    assert published(copy) == snapshot
    (copy / "gold" / "CURRENT").unlink()
    assert cli(copy, "run", "--events", "0").exit_code == 0
    assert published(copy) != snapshot


def test_an_export_does_not_lose_what_the_last_one_had(
    copy: Path, tmp_path: Path, cli: Cli
) -> None:
    """Relations that are not asked for, and rows that the warehouse has lost."""
    folder = tmp_path / "out"
    options = ("--only", "dim_stores", "--only", "fct_sales_line")
    assert cli(copy, "export", str(folder), *options).exit_code == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    narrower = cli(copy, "export", str(folder), "--only", "dim_stores")
    assert narrower.exit_code == 1 and "fct_sales_line.parquet" in narrower.stderr
    change(copy, "DELETE FROM silver.purchases_silver WHERE rowid < 10")
    fewer = cli(copy, "export", str(folder), *options)
    assert fewer.exit_code == 1 and "fct_sales_line" in fewer.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
