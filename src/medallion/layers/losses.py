"""Checks before a replacement: they refuse one that would lose rows."""

from __future__ import annotations

from pathlib import Path

import duckdb

from medallion.contract import FEEDS
from medallion.errors import LossError, shortened
from medallion.lake.orphans import retired
from medallion.layers.snapshots import POINTER
from medallion.platforms.local import LocalLake
from medallion.platforms.warehouse import Warehouse, literal, relations, total

_STAGED = " UNION ALL ".join(
    f"SELECT bronze_file FROM staging.{table}" for table in (*FEEDS, "quarantine", "receipts")
)

_LACKING = f"""
WITH staged AS (
    SELECT bronze_file, count(*) AS row_count FROM ({_STAGED}) AS s GROUP BY bronze_file),
loaded AS (
    SELECT bronze_file, {total("row_count")} AS row_count FROM staging.loads GROUP BY bronze_file)
SELECT loaded.bronze_file, loaded.row_count - coalesce(staged.row_count, 0)
FROM loaded LEFT JOIN staged ON loaded.bronze_file = staged.bronze_file
WHERE loaded.row_count > coalesce(staged.row_count, 0) ORDER BY loaded.bronze_file"""

_UNSTAGED = """
SELECT source_file, count(*) FROM silver.purchases_silver
WHERE event_id NOT IN (SELECT event_id FROM staging.purchases)
GROUP BY source_file ORDER BY source_file"""

_SUPERSEDED = """
SELECT count(*) FROM staging.purchases
WHERE (source_file, ingested_at) IN (SELECT (source_file, ingested_at) FROM staging.superseded)"""


def require_whole_staging(warehouse: Warehouse) -> None:
    """Raise LossError when a full refresh would lose rows.

    This is the case if staging lacks rows that its ledger counts, or events that silver has.
    """
    lacking = dict(warehouse.execute(_LACKING).fetchall())
    if "silver.purchases_silver" in relations(warehouse):
        lacking |= dict(warehouse.execute(_UNSTAGED).fetchall())
    if lacking:
        raise LossError(
            f"a full refresh would lose {sum(lacking.values()):,} rows that staging lacks, so "
            "nothing was built; 'medallion rebuild' brings back what raw/ or bronze has of them:",
            shortened([f"{key}: {rows:,} rows" for key, rows in lacking.items()]),
        )


def require_no_smaller_snapshot(home: Path, warehouse: duckdb.DuckDBPyConnection) -> None:
    """Raise LossError when gold holds fewer lines of sales than the published snapshot.

    Lines that a newer version of their raw object no longer holds are not a loss.
    """
    if "gold.purchases_gold" not in relations(warehouse):
        return
    published = _published_lines(home / "gold")
    ((lines,),) = warehouse.execute(f"SELECT {total('lines')} FROM gold.purchases_gold").fetchall()
    ((superseded,),) = warehouse.execute(_SUPERSEDED).fetchall()
    if lines + superseded < published:
        raise LossError(
            f"the published snapshot holds {published:,} lines of sales and the warehouse only "
            f"{lines:,}, so the snapshot stays; {_holder(home)}; to publish less all the same, "
            f"remove {home / 'gold' / POINTER}"
        )


def _holder(home: Path) -> str:
    """Return what holds the rows that a warehouse lacks."""
    if day := retired(LocalLake(home)).bronze_before:
        return (
            f"bronze of what arrived before {day:%Y-%m-%d} was retired, and a backup of the "
            "warehouse holds the rows"
        )
    return "'medallion run --events 0' loads what bronze and raw/ hold"


def _published_lines(gold: Path) -> int:
    """Return the lines of sales in the current snapshot; 0 when none can be read."""
    try:
        path = gold / (gold / POINTER).read_text().strip() / "purchases_gold.parquet"
        with duckdb.connect() as db:
            sql = f"SELECT {total('lines')} FROM read_parquet({literal(path)})"
            ((lines,),) = db.execute(sql).fetchall()
    except (OSError, duckdb.Error):
        return 0
    return int(lines)
