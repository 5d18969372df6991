"""The sales of a period and of the one that it is compared with, from `sales_hourly_product`.

Days and hours are those of each store. Every metric is evaluated as metrics.yml defines it, over
sums of its measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import duckdb

from medallion.outputs.dashboard.choice import Choice
from medallion.outputs.dashboard.periods import Period, compared, grain, parts, period
from medallion.outputs.dashboard.query import Sums, metric_of, without_unknown
from medallion.outputs.dashboard.tables import MOST_ROWS
from medallion.outputs.dashboard.text import UNKNOWN

COUNTS = ("lines", "units_sold", "units_returned", "unconverted_lines")
AMOUNTS = (
    "reporting_gross_sales",
    "reporting_discounts",
    "reporting_returns",
    "reporting_net_sales",
    "reporting_cost_of_sales",
    "reporting_costed_net_sales",
)
COSTS = AMOUNTS[-2:]
GREATEST = "coalesce(now.reporting_net_sales, 0)"
MOVED = "abs(coalesce(now.reporting_net_sales, 0) - coalesce(before.reporting_net_sales, 0))"
RETURNED = "coalesce(now.reporting_returns, 0)"
"""Orders of a list, as SQL: by net sales, their change, or returns."""
OTHERS = ""
"""The key of the entry with the sum of everything that a list leaves out."""
_NOTHING: Sums = dict.fromkeys(("transactions", *COUNTS), 0) | dict.fromkeys(AMOUNTS, Decimal(0))
_NOTHING |= dict.fromkeys(COSTS)


@dataclass(frozen=True)
class Entry:
    """A row of a list: a part of the sales, now and in the period of comparison."""

    key: str
    name: str
    note: str
    now: Sums
    before: Sums

    def value(self, metric: str) -> Decimal | None:
        """Return a metric of the period."""
        return metric_of(metric, self.now)

    def previous(self, metric: str) -> Decimal | None:
        """Return a metric of the period of comparison."""
        return metric_of(metric, self.before)

    def difference(self, metric: str) -> Decimal | None:
        """Return the change of a metric; None where either value is unknown."""
        now, before = self.value(metric), self.previous(metric)
        return None if now is None or before is None else now - before

    def change(self, metric: str) -> Decimal | None:
        """Return the change of a metric as a share; None where there is nothing to compare."""
        return change(self.value(metric), self.previous(metric))


def change(now: Decimal | None, before: Decimal | None) -> Decimal | None:
    """Return a change as a share; None where there is nothing to compare."""
    return None if now is None or before is None or before <= 0 else now / before - 1


class PeriodSales:
    """The sales that a choice covers, in a table of a DuckDB connection.

    Args:
        db: the connection, with `dim_stores`, `dim_products` and `live_clock`.
        history: sales_hourly_product of at least the two periods, as SQL.
        choice: the period and the filters.
        today: the newest day with sales.

    Attributes:
        period: the days of the choice.
        compared: the days that they are compared with.
        days_now, days_before: how many days of each have sales.
    """

    def __init__(
        self, db: duckdb.DuckDBPyConnection, history: str, choice: Choice, today: date
    ) -> None:
        self._db, self.choice = db, choice
        self.period, self.compared = periods(choice, today)
        self.grain = grain(self.period)
        self.is_open = self.period.last >= today
        transactions = "category_transactions" if choice.category else "transactions"
        columns = ", ".join(
            (f"{transactions} AS transactions", "category_transactions", *COUNTS, *AMOUNTS)
        )
        select = (
            "SELECT {is_before} AS is_before, CAST(sales_date - ${first} AS INTEGER) AS day, "
            f"sales_date, sales_hour, store_id, product_id, category, {columns} "
            f"FROM {history} AS history {{join}} "
            "WHERE sales_date BETWEEN ${first} AND ${last} "
            "AND (len($stores) = 0 OR list_contains($stores, store_id)) "
            "AND ($category IS NULL OR category = $category) "
            "AND ($hour IS NULL OR sales_hour = $hour) {until}"
        )
        values: dict[str, Any] = {
            "first": self.period.first,
            "last": self.period.last,
            "stores": list(choice.stores),
            "category": choice.category,
            "hour": choice.hour,
        }
        query = select.format(is_before=False, first="first", last="last", join="", until="")
        if self.compared:
            values |= {"first_before": self.compared.first, "last_before": self.compared.last}
            clock, until = "", ""
            if self.is_open:  # Of the last day, the same hours count.
                values["shift"] = self.period.first - self.compared.first
                clock = (
                    "LEFT JOIN (SELECT store_id, timezone(dim_stores.time_zone, "
                    "timezone('UTC', as_of)) - $shift AS local_now FROM dim_stores, live_clock) "
                    "AS clock USING (store_id)"
                )
                until = "AND coalesce(sales_date + to_hours(sales_hour) <= local_now, true)"
            before = {"first": "first_before", "last": "last_before"}
            query += " UNION ALL " + select.format(
                is_before=True, join=clock, until=until, **before
            )
        db.execute(f"CREATE OR REPLACE TEMP TABLE sales AS {query}", values)
        ((self.days_now, self.days_before),) = db.execute(
            "SELECT count(DISTINCT sales_date) FILTER (NOT is_before), "
            "count(DISTINCT sales_date) FILTER (is_before) FROM sales"
        ).fetchall()
        self._sums = ", ".join(
            (
                *(f"coalesce(sum({name}), 0) AS {name}" for name in ("transactions", *COUNTS)),
                *(
                    f"sum({name}) AS {name}"
                    if name in COSTS
                    else f"coalesce(sum({name}), 0) AS {name}"
                    for name in AMOUNTS
                ),
            )
        )

    @property
    def is_compared(self) -> bool:
        """Whether there is something to compare with: nothing sold is unknown sales, not 0."""
        return self.days_before > 0

    def total(self) -> Entry:
        """Return all sales of the two periods."""
        (entry,) = self._entries("'all'") or [Entry("all", "", "", _NOTHING, _NOTHING)]
        return entry

    def by(self, dimension: str, order: str = GREATEST) -> list[Entry]:
        """Return the sales by category, store or product: MOST_ROWS of them, then all others.

        Args:
            dimension: category, store or product.
            order: what comes first: GREATEST, MOVED or RETURNED.
        """
        column = "category" if dimension == "category" else f"{dimension}_id"
        named = {
            "store": "dim_stores",
            "product": "(SELECT * FROM dim_products WHERE is_current)",
        }.get(dimension)
        note = {"store": "city", "product": "category"}.get(dimension)
        if named is None:
            return self._entries(column, order=order)
        return self._entries(column, f"{named} AS named", f"{dimension}_name", note or "", order)

    def series(self) -> list[tuple[Period, int | None, Entry]]:
        """Return the sales of each bar of the period: its days, its hour, and both sums.

        If the comparison has more days than the period, its last days get bars of their own,
        without current sales.
        """
        if self.grain == "hour":
            hours = {int(entry.key): entry for entry in self._entries("sales_hour")}
            return [(self.period, h, hours.get(h, _empty(str(h)))) for h in range(24)]
        days = {int(entry.key): entry for entry in self._entries("day")}
        longest = self.period.days
        if self.compared and self.is_compared:
            longest = max(longest, self.compared.days)
        shown = Period(self.period.first, self.period.first + timedelta(days=longest - 1))
        return [
            (part, None, _added(str(part.first), self._days_of(part, days)))
            for part in parts(shown, self.grain)
        ]

    def by_weekday_and_hour(self) -> dict[tuple[int, int], Entry]:
        """Return the sales by day of the week (0 is Sunday) and hour."""
        key = "dayofweek(sales_date) * 24 + sales_hour"
        return {divmod(int(entry.key), 24): entry for entry in self._entries(key)}

    def days_of_weekdays(self) -> dict[int, int]:
        """Return for each day of the week how many days of the period are on it."""
        days = [self.period.first + timedelta(days=n) for n in range(min(self.period.days, 7))]
        whole, rest = divmod(self.period.days, 7)
        return {(d.weekday() + 1) % 7: whole + (n < rest) for n, d in enumerate(days)}

    def _days_of(self, part: Period, days: Mapping[int, Entry]) -> list[Entry]:
        first = (part.first - self.period.first).days
        return [days[n] for n in range(first, first + part.days) if n in days]

    def _entries(
        self, key: str, relation: str = "", name: str = "", note: str = "", order: str = GREATEST
    ) -> list[Entry]:
        """Return the sums of each value of a key, with names from a relation."""
        names, join = "NULL, NULL", ""
        if relation:
            names = f"{name}, nullif({note}, '{UNKNOWN}')"
            join = f"LEFT JOIN {relation} ON ranked.key = named.{key}"
        # A basket counts once for each of its categories.
        sums = self._sums
        if key == "category":
            sums = sums.replace("sum(transactions)", "sum(category_transactions)")
        rows = self._db.execute(
            f"WITH grouped AS (SELECT CAST({key} AS VARCHAR) AS key, is_before, {sums} "
            "FROM sales GROUP BY 1, 2), paired AS (SELECT key, "
            "any_value(grouped) FILTER (NOT is_before) AS now, "
            "any_value(grouped) FILTER (is_before) AS before FROM grouped GROUP BY key), "
            f"ranked AS (SELECT * FROM paired ORDER BY {order} DESC NULLS LAST, key "
            f"LIMIT {MOST_ROWS}) "
            f"SELECT key, {names}, now, before FROM ranked {join} "
            f"ORDER BY {order} DESC NULLS LAST, key"
        ).fetchall()
        entries = [
            Entry(key, name or key, note or "", _known(now), _known(before))
            for key, name, note, now, before in rows
        ]
        return [*entries, self._others(key, entries)] if len(entries) == MOST_ROWS else entries

    def _others(self, key: str, entries: list[Entry]) -> Entry:
        """Return the sum of all values of a key that have no entry."""
        (row,) = self._db.execute(
            f"SELECT any_value(sums) FILTER (NOT is_before), any_value(sums) FILTER (is_before) "
            f"FROM (SELECT is_before, {self._sums} FROM sales WHERE CAST({key} AS VARCHAR) "
            "NOT IN (SELECT unnest($keys)) GROUP BY is_before) AS sums",
            {"keys": [entry.key for entry in entries]},
        ).fetchall()
        return Entry(OTHERS, "All others", "", *map(_known, row))


def _known(sums: Sums | None) -> Sums:
    return without_unknown(sums, AMOUNTS) if sums else _NOTHING


def periods(choice: Choice, today: date) -> tuple[Period, Period | None]:
    """Return the period of a choice, and the one that it is compared with."""
    of = period(choice.period, today, choice.days)
    return of, compared(choice.period, of, choice.compare)


def _empty(key: str) -> Entry:
    return Entry(key, key, "", _NOTHING, _NOTHING)


def _added(key: str, entries: list[Entry]) -> Entry:
    """Return the sum of several entries."""
    now, before = (
        _sum([sums for entry in entries if (sums := getattr(entry, side))["lines"]])
        for side in ("now", "before")
    )
    return Entry(key, key, "", now, before)


def _sum(parts: list[Sums]) -> Sums:
    total = dict(_NOTHING)
    for name in total:
        known = [part[name] for part in parts if part[name] is not None]
        if known:
            total[name] = sum(known)
        elif parts:
            total[name] = None
    return total
