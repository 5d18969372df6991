"""The content of the pages: the values of the live page, and the sales of any period.

Every metric is computed as dbt/models/marts/metrics.yml defines it, from sums of its measures.
Amounts are in the reporting currency, and None (unknown) if no line has an exchange rate to it.
Days and hours are those of the reporting time zone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import duckdb

from medallion.errors import NothingYet
from medallion.operations.freshness import Clock, utc
from medallion.outputs.dashboard.choice import Choice
from medallion.outputs.dashboard.model import Arrivals, Bar, Choices, Figure, Snapshot
from medallion.outputs.dashboard.periods import Period
from medallion.outputs.dashboard.query import (
    Query,
    Sums,
    figure_of,
    metric_of,
    net_sales,
    reason,
    without_unknown,
)
from medallion.outputs.dashboard.sales import PeriodSales, periods
from medallion.outputs.dashboard.sources import Relations
from medallion.outputs.dashboard.text import UNKNOWN, named

T = TypeVar("T")
MOST_KEPT = 100
"""The number of views of a board that are kept."""
WEEK = timedelta(days=7)
CARDS = (
    ("reporting_net_sales", "Revenue", "money"),
    ("transactions", "Orders", "count"),
    ("reporting_average_order_value", "Average order", "money"),
    ("units_per_transaction", "Units per order", "ratio"),
)
RATES = (
    ("reporting_returns", "reporting_return_rate", "Returns"),
    ("reporting_discounts", "reporting_discount_rate", "Discounts"),
)
PRODUCTS, MOVERS, BASKETS = 10, 10, 14
_TO_DATE = "sales_day = (SELECT sales_day FROM live_clock) OR is_to_date"
"""Days count in full, except the one a week before the newest: it ends at the same time."""
NO_CATEGORY = "neither till nor product names one"


class Board:
    """The relations of one moment, which several visitors can query at the same time."""

    def __init__(self, relations: Relations, before: Board | None = None) -> None:
        """Read the relations; `before` is an earlier board, whose sales may be the same."""
        self.relations = relations
        self._lock = threading.RLock()
        self._kept: dict[Hashable, Any] = {}
        self._registered: set[str] = set()
        self._db = duckdb.connect()
        self._db.execute("SET TimeZone = 'UTC'")
        for name, table in relations.tables.items():
            self._db.register(name, table)
        (self._row,) = self.rows("SELECT * FROM live_clock")
        self.clock = Clock(utc(self._row["as_of"]), utc(self._row["staged_at"]))
        self._categories_sold: list[str] = []
        more = relations.more
        if before and before.relations.more.sales_version == more.sales_version:
            self._categories_sold = before._categories_sold
        elif self.clock.newest_event:
            query = "SELECT DISTINCT category FROM {sales} ORDER BY category"
            self._categories_sold = [name for (name,) in more.of_all_sales(self._db, query)]
        self.choices = self._choices()
        self.arrivals = self._arrivals()

    def _choices(self) -> Choices:
        """Return the stores and categories that the relations hold."""
        stores = self.rows("SELECT store_id, store_name FROM dim_stores ORDER BY store_id")
        return Choices(
            self._row["time_zone"],
            self._row["sales_day"],
            {row["store_id"]: row["store_name"] for row in stores},
            list(self._categories_sold),
        )

    def kept(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value kept under a key, or compute and keep it."""
        with self._lock:
            if key not in self._kept:
                if len(self._kept) >= MOST_KEPT:
                    self._kept.clear()
                self._kept[key] = make()
            made: T = self._kept[key]
            return made

    @property
    def today(self) -> date:
        """The newest day with sales, in the reporting time zone."""
        day: date = self._row["sales_day"]
        return day

    @property
    def currency(self) -> str:
        """The reporting currency."""
        return str(self._row["currency"])

    @property
    def time_zone(self) -> str:
        """The reporting time zone."""
        return self.choices.time_zone

    @property
    def lags(self) -> dict[str, float | None]:
        """The seconds from the arrival of the last batch in raw/ until it was in each layer."""
        return self._lags()

    def periods(self, choice: Choice) -> tuple[Period, Period | None]:
        """Return the period of a choice, and the one that it is compared with."""
        return periods(choice, self.today)

    @contextmanager
    def sales(self, choice: Choice) -> Iterator[PeriodSales]:
        """Yield the sales of the period of a choice, while no other visitor uses the connection."""
        days = [day for p in self.periods(choice) if p for day in (p.first, p.last)]
        with self._lock:
            self._register("dim_products")
            history = self.relations.more.sales(self._db, min(days), max(days))
            yield PeriodSales(self._db, history, choice, self.today)

    def same_stores(self, of: Period, before: Period | None) -> set[str]:
        """Return the stores that were open from the first day of both periods to the last.

        A store that states no opening counts as open from its first sale.
        """
        first = min(of.first, before.first) if before else of.first
        last = max(of.last, before.last) if before else of.last
        with self._lock:
            first_sales = self.relations.more.of_all_sales(
                self._db, "SELECT store_id, min(sales_date) FROM {sales} GROUP BY store_id"
            )
        opened = {row["store_id"]: row for row in self.rows("SELECT * FROM dim_stores")}
        same = set()
        for store, first_sold_on in first_sales:
            known = opened.get(store, {})
            closed_on = known.get("closed_on")
            is_open = (known.get("opened_on") or first_sold_on) <= first
            if is_open and (closed_on is None or closed_on > last):
                same.add(store)
        return same

    def snapshot(self, choice: Choice) -> Snapshot:
        """Return the live page for a choice.

        Raises:
            NothingYet: no sale has come.
            DashboardError: the definition of a metric cannot be used.
        """
        as_of = self.newest_sale()
        with self._lock:
            return self._snapshot(choice, as_of)

    def newest_sale(self) -> datetime:
        """Return the time of the newest sale; raise NothingYet when no sale has come."""
        if self.clock.newest_event is None:
            raise NothingYet(
                "the snapshot holds no sale yet; the page fills as soon as one arrives in raw/"
            )
        return self.clock.newest_event

    def _snapshot(self, choice: Choice, as_of: datetime) -> Snapshot:
        clock = self._row
        day = clock["sales_day"]
        query = Query(choice, day)
        now, before = self._sums(query, day), self._sums(query, day - WEEK)
        hours, hours_before = (self._by_hour(query, d) for d in (day, day - WEEK))
        figures = [
            Figure(
                metric,
                label,
                kind,
                metric_of(metric, now),
                metric_of(metric, before),
                [metric_of(metric, h) for h in hours[: clock["local_as_of"].hour + 1]],
                [metric_of(metric, h) for h in hours_before],
                reason(kind, now, clock["currency"]),
            )
            for metric, label, kind in CARDS
        ]
        is_compared = before["lines"] > 0
        arrivals = self.arrivals
        return Snapshot(
            version=self.relations.version,
            published_at=self.relations.published_at,
            choice=choice,
            as_of=as_of,
            currency=clock["currency"],
            time_zone=clock["time_zone"],
            day=day,
            is_compared=is_compared,
            figures=[*figures, self._per_minute(query)],
            rates=[
                (figure_of(m, now, before, clock["currency"]), figure_of(r, now, before))
                for m, r, _ in RATES
            ],
            hours=[
                (h, a["reporting_net_sales"], b["reporting_net_sales"])
                for h, (a, b) in enumerate(zip(hours, hours_before, strict=True))
            ],
            categories=self._categories(query),
            products=self._products(query, "value DESC NULLS LAST", PRODUCTS),
            movers=self._movers(query) if is_compared else [],
            stores=self._stores(query),
            baskets=self._baskets(query),
            reasons=self._reasons(arrivals.day) if arrivals else [],
            arrivals=arrivals,
            lags=self._lags(),
            lines=int(now["lines"]),
            unconverted_lines=int(now["unconverted_lines"]),
        )

    def rows(
        self, sql: str, *needs: str, values: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Return the rows of a query; `needs` names relations that are not of the live page."""
        with self._lock:
            for name in needs:
                self._register(name)
            result = self._db.execute(sql, dict(values or {}))
            names = [column[0] for column in result.description or []]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def _register(self, name: str) -> None:
        if name not in self._registered:
            self._db.register(name, self.relations.more.table(name))
            self._registered.add(name)

    def _sums(self, query: Query, day: date) -> Sums:
        (row,) = self.rows(
            f"SELECT {query.measures} FROM live_today "
            f"WHERE {query.where} AND sales_day = $day AND ({_TO_DATE})",
            values=query.parameters | {"day": day},
        )
        return without_unknown(row)

    def _by_hour(self, query: Query, day: date) -> list[Sums]:
        """Return the sums of each of the 24 hours of a day."""
        rows = self.rows(
            f"SELECT {query.measures} FROM range(24) AS hours(hour) LEFT JOIN (SELECT * FROM "
            f"live_today WHERE {query.where} AND sales_day = $day) ON sales_hour = hour "
            "GROUP BY hour ORDER BY hour",
            values=query.parameters | {"day": day},
        )
        return [without_unknown(row) for row in rows]

    def _per_minute(self, query: Query) -> Figure:
        """Return orders per minute: the last full minute, and the hour that ends with it."""
        orders = f"coalesce(sum({query.transactions}), 0) AS orders"
        rows = self.rows(
            f"SELECT hours.is_current, minute, {orders} FROM ("
            "SELECT is_current, unnest(generate_series(until - INTERVAL 60 MINUTE, "
            "until - INTERVAL 1 MINUTE, INTERVAL 1 MINUTE)) AS minute FROM ("
            "SELECT unnest([true, false]) AS is_current, date_trunc('minute', as_of) "
            "- unnest([0, 7]) * INTERVAL 1 DAY AS until FROM live_clock)) AS hours "
            f"LEFT JOIN (SELECT * FROM live_minutes WHERE {query.where}) AS sales "
            "ON sales.minute_at = minute GROUP BY ALL ORDER BY minute",
            values=query.parameters,
        )
        now, before = (
            [Decimal(r["orders"]) for r in rows if r["is_current"] is current]
            for current in (True, False)
        )
        last, last_before = (series[-1] if series else None for series in (now, before))
        return Figure("orders", "Orders per minute", "count", last, last_before, now, before)

    def _categories(self, query: Query) -> list[Bar]:
        columns = ("category", "category", "''", "category_transactions")
        bars = self._bars(query, "live_today", *columns)
        return [replace(bar, name=named(bar.name, NO_CATEGORY)) for bar in bars]

    def _stores(self, query: Query) -> list[Bar]:
        relation = "live_today LEFT JOIN dim_stores USING (store_id)"
        name, city = "coalesce(store_name, store_id)", f"coalesce(nullif(city, '{UNKNOWN}'), '')"
        return self._bars(query, relation, "store_id", name, city, query.transactions)

    def _products(self, query: Query, order: str, most: int) -> list[Bar]:
        name, note = "product_name", f"nullif(category, '{UNKNOWN}')"
        bars = ("live_products", "product_id", name, note, "units_sold")
        return self._bars(query, *bars, order=f"{order}, key LIMIT {most}")

    def _movers(self, query: Query) -> list[Bar]:
        return self._products(query, "abs(value - before) DESC NULLS LAST", MOVERS)

    def _bars(
        self,
        query: Query,
        relation: str,
        key: str,
        name: str,
        note: str,
        count: str,
        order: str = "value DESC NULLS LAST, key",
    ) -> list[Bar]:
        """Return the net sales of a day by a column, with those of the week before."""
        of_day, of_before = (
            f"FILTER (sales_day = ${when} AND {until})"
            for when, until in (("day", "true"), ("before", "is_to_date"))
        )
        rows = self.rows(
            f"SELECT {key} AS key, any_value({name}) AS name, "
            f"coalesce(any_value({note}), '') AS note, "
            f"{net_sales(of_day)} AS value, {net_sales(of_before)} AS before, "
            f"coalesce(sum({count}) {of_day}, 0) AS count, "
            f"coalesce(sum(lines) {of_day}, 0) AS lines "
            f"FROM {relation} WHERE {query.where} GROUP BY 1 "
            f"HAVING value IS DISTINCT FROM 0 OR before IS DISTINCT FROM 0 OR count <> 0 "
            f"ORDER BY {order}",
            values=query.parameters | {"day": query.day, "before": query.day - WEEK},
        )
        return [Bar(**row) for row in rows]

    def _baskets(self, query: Query) -> list[dict[str, Any]]:
        return self.rows(
            "SELECT baskets.*, coalesce(store_name, store_id) AS store_name "
            "FROM live_baskets AS baskets LEFT JOIN dim_stores USING (store_id) "
            "WHERE CAST(timezone($zone, timezone('UTC', sold_at)) AS DATE) = $day "
            "AND (len($stores) = 0 OR list_contains($stores, store_id)) AND ($category IS NULL "
            "OR contains(', ' || categories || ', ', ', ' || $category || ', ')) "
            f"ORDER BY sold_at DESC, basket_id LIMIT {BASKETS}",
            values=query.parameters | {"day": query.day, "zone": self._row["time_zone"]},
        )

    def _reasons(self, day: date) -> list[tuple[str, str, int]]:
        rows = self.rows(
            "SELECT feed, reason, lines FROM live_quarantine WHERE arrival_day = $day "
            "ORDER BY lines DESC, feed, reason",
            values={"day": day},
        )
        return [(r["feed"], r["reason"], r["lines"]) for r in rows]

    def _arrivals(self) -> Arrivals | None:
        """Return the arrivals of the last day with any.

        Days after the newest load are left out, because nothing can have arrived on them yet.
        """
        rows = self.rows(
            "SELECT * FROM live_arrivals WHERE arrival_day <= "
            "(SELECT CAST(timezone(time_zone, timezone('UTC', staged_at)) AS DATE) "
            "FROM live_clock) ORDER BY arrival_day DESC LIMIT 1"
        )
        if not rows:
            return None
        names = ("lines", "quarantined", "late_events", "history_events")
        return Arrivals(rows[0]["arrival_day"], *(int(rows[0][name]) for name in names))

    def _lags(self) -> dict[str, float | None]:
        arrived = self._row["arrived_at"]
        times = {
            "bronze": self._row["cleaned_at"],
            "staging": self._row["staged_at"],
            "gold": self.relations.published_at.astimezone(UTC).replace(tzinfo=None),
        }
        return {
            layer: max(0.0, (at - arrived).total_seconds()) if at and arrived else None
            for layer, at in times.items()
        }
