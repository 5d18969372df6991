"""The erasure of an id from the warehouse, which is built again from bronze and swapped in."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import duckdb

from medallion.errors import WarehouseDamaged, WarehouseError
from medallion.layers.snapshots import publish
from medallion.layers.staging import Loader, take_over
from medallion.layers.transform import Transformer
from medallion.operations.rebuild import build
from medallion.platforms.local import sync
from medallion.platforms.platform import Platform
from medallion.platforms.warehouse import log_path, open_warehouse, warehouse_path

TOTALS = (
    "SELECT * EXCLUDE (load_seq) FROM gold.purchases_gold ORDER BY ALL",
    "SELECT count(*), count(DISTINCT customer_id), count(DISTINCT basket_id) "
    "FROM silver.purchases_silver",
    # Only sums: between two equal customers the id decides the quintile of each.
    "SELECT count(*), sum(baskets), sum(units_sold), sum(basket_value) FROM marts.customer_rfm",
    "SELECT feed, reason, count(*) FROM staging.quarantine GROUP BY ALL ORDER BY ALL",
    "SELECT count(*), sum(lines), sum(accepted), sum(blank) FROM staging.receipts",
)
"""The queries whose results must be the same before and after."""

_BEHIND = """
SELECT (SELECT max(load_seq) FROM staging.purchases)
     > (SELECT coalesce(max(load_seq), 0) FROM silver.purchases_silver)"""


def catch_up(platform: Platform) -> None:
    """Build what waits in bronze, so that the totals before the erasure include all lines.

    A warehouse that was never built is left unbuilt.
    """
    if not warehouse_path(platform.home).exists():
        return
    with open_warehouse(platform.home) as warehouse:
        loaded = Loader(platform.lake, warehouse).load()
        if _totals(warehouse) is None:
            return
        ((is_behind,),) = warehouse.execute(_BEHIND).fetchall()
        if take_over(warehouse, platform.reporting) or loaded.objects or is_behind:
            transformer = Transformer(platform.home, warehouse)
            transformer.run()
            transformer.close()


def rewrite_warehouse(platform: Platform) -> None:
    """Build the warehouse from bronze in a new file, and swap it in if every total is the same.

    The old file must go, because its free blocks would keep the id.
    """
    if not warehouse_path(platform.home).exists():
        return
    beside = platform.home / ".forget"
    shutil.rmtree(beside, ignore_errors=True)
    before = _totals_before(platform)
    with open_warehouse(beside) as new:
        built = build(platform.lake, beside, new, platform.reporting)
        if built.broken or (before is not None and _totals(new) != before):
            raise WarehouseError(
                "the warehouse without this customer has other totals, so the old one stays: "
                + (", ".join(built.broken) or "gold, customers, quarantine or receipts differ")
            )
        publish(platform.home, new, built.relations)
        new.execute("CHECKPOINT")
    log_path(platform.home).unlink(missing_ok=True)  # Of a damaged one, which nobody could close.
    warehouse_path(beside).replace(warehouse_path(platform.home))
    sync(platform.home)
    shutil.rmtree(beside)
    _drop_old_snapshots(platform.home / "gold")


def _totals_before(platform: Platform) -> list[Any] | None:
    """Return the results of TOTALS; None for a warehouse that was never built or is damaged.

    One that is damaged in the middle of an erasure must not stop it: bronze makes the new one,
    whose audit must hold.
    """
    try:
        with open_warehouse(platform.home) as old:
            before = _totals(old)
            old.execute("CHECKPOINT")
            return before
    except WarehouseDamaged:
        return None


def _totals(warehouse: duckdb.DuckDBPyConnection) -> list[Any] | None:
    """Return the results of TOTALS; None for a warehouse that was never built."""
    try:
        return [warehouse.execute(query).fetchall() for query in TOTALS]
    except duckdb.CatalogException:
        return None


def _drop_old_snapshots(gold: Path) -> None:
    current = (gold / "CURRENT").read_text()
    for folder in gold.glob("v*"):
        if folder.name != current:
            shutil.rmtree(folder)
