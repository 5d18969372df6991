"""Where a home stands: how much each layer holds, what waits, how fresh it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb

from medallion.layers.bronze import Sweep
from medallion.layers.raw import raw_objects
from medallion.platforms.lake import Lake


@dataclass(frozen=True)
class Layer:
    """One layer: what it counts, how much of it, and the time of its newest content (UTC)."""

    layer: str
    unit: str
    count: int
    newest: datetime | None = None
    note: str = ""


def layers(lake: Lake, warehouse: duckdb.DuckDBPyConnection) -> list[Layer]:
    """The layers in the order of the stream. Layers that are not built yet count 0."""
    raw = list(raw_objects(lake))
    waiting = len(Sweep(lake).waiting())
    newest = max((o.modified for o in raw), default=None)
    found = [Layer("raw", "objects", len(raw), newest, f"{waiting:,} waiting" if waiting else "")]
    for layer, unit, query in _QUERIES:
        count, latest, note = _ask(warehouse, query)
        found.append(Layer(layer, unit, int(count or 0), _utc(latest), note or ""))
    return found


_QUERIES = (
    (
        "raw",
        "lines",
        "SELECT sum(lines), max(modified_at), sum(blank)::BIGINT || ' blank' FROM staging.receipts",
    ),
    (
        "bronze",
        "rows accepted",
        "SELECT sum(accepted), max(finished_at), NULL FROM staging.receipts",
    ),
    (
        "bronze",
        "lines quarantined",
        "SELECT sum(quarantined), max(finished_at), NULL FROM staging.receipts",
    ),
    ("staging", "purchases", "SELECT count(*), max(loaded_at), NULL FROM staging.purchases"),
    (
        "silver",
        "events",
        "SELECT (SELECT count(*) FROM purchases_silver), "
        "(SELECT max(ts) FROM purchases_silver), ((SELECT count(*) FROM staging.purchases) - "
        "(SELECT count(*) FROM purchases_silver)) || ' duplicates'",
    ),
    (
        "gold",
        "days",
        "SELECT count(DISTINCT sales_date), max(sales_date)::TIMESTAMP, NULL "
        "FROM purchases_gold WHERE currency IS NOT NULL",
    ),
)


def revenue_by_day(warehouse: duckdb.DuckDBPyConnection, days: int) -> list[tuple[Any, ...]]:
    """The last store-local days: date, transactions, lines, net sales and returns in the reporting
    currency, and how many lines have no rate to it and so are not in the two sums."""
    return warehouse.execute(
        "SELECT sales_date::VARCHAR, sum(transactions)::BIGINT, sum(lines)::BIGINT, "
        "sum(reporting_net_sales)::DECIMAL(38,2), sum(reporting_returns)::DECIMAL(38,2), "
        "sum(unconverted_lines)::BIGINT FROM sales_daily_store GROUP BY ALL "
        "ORDER BY 1 DESC LIMIT ?",
        [days],
    ).fetchall()[::-1]


def _ask(warehouse: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, Any, Any]:
    try:
        row = warehouse.execute(query).fetchall()[0]
    except duckdb.CatalogException:
        return 0, None, "not built yet"
    return row[0], row[1], row[2]


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment else None
