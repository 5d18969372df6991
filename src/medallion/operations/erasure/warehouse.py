"""The warehouse without the id: built anew from bronze, beside the old one, and swapped in."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import duckdb

from medallion.errors import WarehouseError
from medallion.layers.snapshots import publish
from medallion.layers.staging import Loader, take_over
from medallion.layers.transform import Transformer
from medallion.operations.rebuild import build
from medallion.platforms.local import sync
from medallion.platforms.platform import Platform
from medallion.platforms.warehouse import open_warehouse, warehouse_path

TOTALS = (
    "SELECT * EXCLUDE (load_seq) FROM gold.purchases_gold ORDER BY ALL",
    "SELECT count(*), count(DISTINCT customer_id), count(DISTINCT basket_id) "
    "FROM silver.purchases_silver",
    # Not row by row: of two customers alike, the id decides who falls into which quintile.
    "SELECT count(*), sum(baskets), sum(units_sold), sum(basket_value) FROM marts.customer_rfm",
    "SELECT feed, reason, count(*) FROM staging.quarantine GROUP BY ALL ORDER BY ALL",
    "SELECT count(*), sum(lines), sum(accepted), sum(blank) FROM staging.receipts",
)
"""What must be the same before and after."""

_BEHIND = """
SELECT (SELECT max(load_seq) FROM staging.purchases)
     > (SELECT coalesce(max(load_seq), 0) FROM silver.purchases_silver)"""


def catch_up(here: Platform) -> None:
    """Brings to gold what waits in bronze: the totals of before and of after must be of the same
    lines. A warehouse that is not built has none."""
    if not warehouse_path(here.home).exists():
        return
    with open_warehouse(here.home) as warehouse:
        loaded = Loader(here.lake, warehouse).load()
        if _totals(warehouse) is None:
            return
        ((is_behind,),) = warehouse.execute(_BEHIND).fetchall()
        if take_over(warehouse, here.reporting) or loaded.objects or is_behind:
            transformer = Transformer(here.home)
            transformer.run()
            transformer.close()


def rebuild(here: Platform) -> None:
    """Builds the warehouse from bronze in another file, because a file that a database rewrites
    keeps what it held in its free blocks; swaps it in when every total is the same."""
    if not warehouse_path(here.home).exists():
        return
    beside = here.home / ".forget"
    shutil.rmtree(beside, ignore_errors=True)
    with open_warehouse(here.home) as old:
        before = _totals(old)
        old.execute("CHECKPOINT")
    with open_warehouse(beside) as new:
        built = build(here.lake, beside, new, here.reporting)
        if built.broken or (before is not None and _totals(new) != before):
            raise WarehouseError(
                "the warehouse without this customer has other totals, so the old one stays: "
                + (", ".join(built.broken) or "gold, customers, quarantine or receipts differ")
            )
        publish(here.home, new, built.relations)
        new.execute("CHECKPOINT")
    warehouse_path(beside).replace(warehouse_path(here.home))
    sync(here.home)
    shutil.rmtree(beside)
    _drop_old_snapshots(here.home / "gold")


def _totals(warehouse: duckdb.DuckDBPyConnection) -> list[Any] | None:
    """None for a warehouse that is not built."""
    try:
        return [warehouse.execute(query).fetchall() for query in TOTALS]
    except duckdb.CatalogException:
        return None


def _drop_old_snapshots(gold: Path) -> None:
    current = (gold / "CURRENT").read_text()
    for folder in gold.glob("v*"):
        if folder.name != current:
            shutil.rmtree(folder)
