"""The status of the layers: their size, what waits, and how fresh they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from typing import Any

import duckdb

from medallion.lake.raw import raw_objects
from medallion.layers.bronze import Sweep
from medallion.layers.staging import current_rows, waiting_objects
from medallion.operations.freshness import Clock, utc
from medallion.platforms.lake import Lake
from medallion.platforms.warehouse import Warehouse, relations, total

UNBUILT = "not built yet"


@dataclass(frozen=True)
class Layer:
    """One figure of a layer, with its unit and the time of the newest content (UTC)."""

    layer: str
    unit: str
    count: int
    newest: datetime | None = None
    note: str = ""

    @property
    def is_built(self) -> bool:
        """Whether the count is known."""
        return self.note != UNBUILT


def layers(lake: Lake, warehouse: Warehouse) -> list[Layer]:
    """Return the layers in the order of the pipeline; a layer that is not built counts 0."""
    raw = list(raw_objects(lake))
    newest = max((o.modified for o in raw), default=None)
    built = relations(warehouse)
    return [
        Layer("raw", "objects", len(raw), newest, _waiting(len(Sweep(lake).waiting()))),
        *_of_receipts(warehouse),
        _staging(lake, warehouse),
        _silver(warehouse) if "silver.purchases_silver" in built else _unbuilt("silver", "events"),
        _gold(warehouse) if "gold.purchases_gold" in built else _unbuilt("gold", "days (UTC)"),
    ]


def newest(warehouse: Warehouse) -> Clock:
    """Return the newest times in the models, from which the freshness is computed."""
    if "marts.live_clock" not in relations(warehouse):
        return Clock()
    return Clock(*map(utc, _row(warehouse, "SELECT as_of, staged_at FROM marts.live_clock")))


def _of_receipts(warehouse: Warehouse) -> list[Layer]:
    totals = total("lines", "blank", "accepted", "quarantined")
    lines, blank, accepted, quarantined, arrived, finished = _row(
        warehouse,
        f"SELECT {totals}, max(modified_at), max(finished_at) FROM {current_rows('receipts')} AS r",
    )
    share = f"{quarantined / (lines - blank):.1%} of the lines" if quarantined else ""
    return [
        Layer("raw", "lines", lines, utc(arrived), f"{blank} blank"),
        Layer("bronze", "rows accepted", accepted, utc(finished)),
        Layer("bronze", "lines quarantined", quarantined, utc(finished), share),
    ]


def _staging(lake: Lake, warehouse: Warehouse) -> Layer:
    rows, loaded = _row(
        warehouse, f"SELECT count(*), max(loaded_at) FROM {current_rows('purchases')} AS p"
    )
    waiting = _waiting(waiting_objects(lake, warehouse), "objects ")
    return Layer("staging", "purchase rows", rows, utc(loaded), waiting)


def _silver(warehouse: Warehouse) -> Layer:
    events, newest = _row(
        warehouse,
        "SELECT count(*), max(CASE WHEN ts <= ingested_at THEN ts END) "
        "FROM silver.purchases_silver",
    )
    (staged,) = _row(warehouse, f"SELECT count(*) FROM {current_rows('purchases')} AS p")
    return Layer("silver", "events", events, utc(newest), f"{staged - events} duplicates")


def _gold(warehouse: Warehouse) -> Layer:
    days, newest = _row(
        warehouse,
        "SELECT count(DISTINCT sales_date), max(sales_date) FROM gold.purchases_gold "
        "WHERE currency IS NOT NULL",
    )
    midnight = newest and datetime.combine(newest, time.min)
    return Layer("gold", "days (UTC)", days, utc(midnight))


def _unbuilt(layer: str, unit: str) -> Layer:
    return Layer(layer, unit, 0, None, UNBUILT)


def _waiting(count: int, what: str = "") -> str:
    return f"{count:,} {what}waiting" if count else ""


def _row(warehouse: Warehouse, query: str) -> tuple[Any, ...]:
    (row,) = warehouse.execute(query).fetchall()
    values: tuple[Any, ...] = row
    return values


def reporting_currency(warehouse: duckdb.DuckDBPyConnection) -> str:
    """Return the ISO 4217 code of the currency that amounts are converted to."""
    row: tuple[str] = _row(warehouse, "SELECT max(reporting_currency) FROM marts.dim_fx_rates")
    return row[0]


def revenue_by_day(warehouse: duckdb.DuckDBPyConnection, days: int) -> list[tuple[Any, ...]]:
    """Return the sales of the last store-local days.

    Returns:
        Rows of date, transactions, lines, net sales and returns in the reporting currency, and the
        lines that are not in these sums because no exchange rate is known.
    """
    return warehouse.execute(
        "SELECT sales_date::VARCHAR, sum(transactions)::BIGINT, sum(lines)::BIGINT, "
        "sum(reporting_net_sales)::DECIMAL(38,2), sum(reporting_returns)::DECIMAL(38,2), "
        "sum(unconverted_lines)::BIGINT FROM sales_daily_store GROUP BY ALL "
        "ORDER BY 1 DESC LIMIT ?",
        [days],
    ).fetchall()[::-1]
