"""What the dashboard shows of one moment, worked out from the relations and what the user chose.

Every metric is worked out as dbt/models/marts/metrics.yml defines it, from sums of its measures.
Amounts are in the reporting currency; days and hours are those of the reporting time zone.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import duckdb

from medallion.dashboard.model import Bar, Choice, Choices, Figure, Layer, Snapshot
from medallion.dashboard.sources import Relations
from medallion.metrics import value

WEEK = timedelta(days=7)
MEASURES = (
    "lines",
    "units_sold",
    "units_returned",
    "reporting_gross_sales",
    "reporting_discounts",
    "reporting_returns",
    "reporting_net_sales",
    "unconverted_lines",
)
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
PRODUCTS, MOVERS, BASKETS, LAST_MINUTES = 8, 6, 14, 60
Sums = dict[str, Any]


class Board:
    """The relations of one moment, ready to be asked, by several visitors at once."""

    def __init__(self, relations: Relations) -> None:
        self.relations = relations
        self._asking = threading.RLock()
        self._answers: dict[Choice, Snapshot] = {}
        self._db = duckdb.connect()
        self._db.execute("SET TimeZone = 'UTC'")
        for name, table in relations.tables.items():
            self._db.register(name, table)
        (self._clock,) = self._rows("SELECT * FROM live_clock")

    def choices(self) -> Choices:
        """What the relations hold."""
        days = self._rows(
            "SELECT DISTINCT sales_day FROM live_hours "
            "WHERE sales_day <= (SELECT sales_day FROM live_clock) ORDER BY 1 DESC"
        )
        stores = self._rows("SELECT store_id, store_name FROM dim_stores ORDER BY store_id")
        categories = self._rows("SELECT DISTINCT category FROM live_hours ORDER BY 1")
        return Choices(
            [row["sales_day"] for row in days],
            {row["store_id"]: row["store_name"] for row in stores},
            [row["category"] for row in categories],
        )

    def snapshot(self, choice: Choice) -> Snapshot:
        """The page for a choice; it is worked out once."""
        with self._asking:
            if choice not in self._answers:
                self._answers[choice] = self._snapshot(choice)
            return self._answers[choice]

    def _snapshot(self, choice: Choice) -> Snapshot:
        clock = self._clock
        day = choice.day or clock["sales_day"]
        asked = _Asked(choice, day, day == clock["sales_day"])
        now, before = self._sums(asked, day), self._sums(asked, day and day - WEEK)
        hours, hours_before = (self._by_hour(asked, d) for d in (day, day and day - WEEK))
        figures = [
            Figure(
                metric,
                label,
                kind,
                value(metric, now),
                value(metric, before),
                [value(metric, h) for h in _until_now(hours, asked, clock)],
                [value(metric, h) for h in hours_before],
            )
            for metric, label, kind in CARDS
        ]
        return Snapshot(
            version=self.relations.version,
            published_at=self.relations.published_at,
            as_of=clock["as_of"],
            currency=clock["currency"],
            time_zone=clock["time_zone"],
            day=day,
            is_today=asked.is_today,
            figures=[*figures, *([self._per_minute(asked)] if asked.is_today else [])],
            rates=[(_figure(m, now, before), _figure(r, now, before)) for m, r, _ in RATES],
            hours=[
                (h, a["reporting_net_sales"], b["reporting_net_sales"])
                for h, (a, b) in enumerate(zip(hours, hours_before, strict=True))
            ],
            categories=self._categories(asked),
            products=self._products(asked, "value DESC", PRODUCTS),
            movers=self._products(asked, "abs(value - before) DESC", MOVERS),
            stores=self._stores(asked),
            baskets=self._baskets(asked),
            reasons=self._reasons(day),
            arrivals=self._arrivals(day),
            layers=self._layers(),
            unconverted_lines=int(now["unconverted_lines"]),
        )

    def _rows(self, sql: str, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        with self._asking:
            found = self._db.execute(sql, dict(values or {}))
            names = [column[0] for column in found.description or []]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def _sums(self, asked: _Asked, day: date | None) -> Sums:
        (row,) = self._rows(
            f"SELECT {asked.measures} FROM {asked.relation} "
            f"WHERE {asked.where} AND sales_day = $day AND {asked.to_date(day)}",
            asked.names | {"day": day},
        )
        return row

    def _by_hour(self, asked: _Asked, day: date | None) -> list[Sums]:
        """The 24 hours of a day, whole."""
        return self._rows(
            f"SELECT {asked.measures} FROM range(24) AS hours(hour) LEFT JOIN (SELECT * FROM "
            f"{asked.relation} WHERE {asked.where} AND sales_day = $day) ON sales_hour = hour "
            "GROUP BY hour ORDER BY hour",
            asked.names | {"day": day},
        )

    def _per_minute(self, asked: _Asked) -> Figure:
        """Orders in the last minute that is over, and in the hour before it."""
        orders = f"coalesce(sum({asked.transactions}), 0) AS orders"
        rows = self._rows(
            f"SELECT hours.is_current, minute, {orders} FROM ("
            "SELECT is_current, unnest(generate_series(until - INTERVAL 60 MINUTE, "
            "until - INTERVAL 1 MINUTE, INTERVAL 1 MINUTE)) AS minute FROM ("
            "SELECT unnest([true, false]) AS is_current, date_trunc('minute', as_of) "
            "- unnest([0, 7]) * INTERVAL 1 DAY AS until FROM live_clock)) AS hours "
            f"LEFT JOIN (SELECT * FROM live_minutes WHERE {asked.where}) AS sales "
            "ON sales.minute_at = minute GROUP BY ALL ORDER BY minute",
            asked.names,
        )
        now, before = (
            [Decimal(r["orders"]) for r in rows if r["is_current"] is current]
            for current in (True, False)
        )
        last, last_before = (course[-1] if course else None for course in (now, before))
        return Figure("orders", "Orders per minute", "count", last, last_before, now, before)

    def _categories(self, asked: _Asked) -> list[Bar]:
        columns = ("category", "category", "''", "category_transactions")
        return self._bars(asked, asked.relation, *columns)

    def _stores(self, asked: _Asked) -> list[Bar]:
        relation = f"{asked.relation} LEFT JOIN dim_stores USING (store_id)"
        name, city = "coalesce(store_name, store_id)", "coalesce(city, '')"
        return self._bars(asked, relation, "store_id", name, city, asked.transactions)

    def _products(self, asked: _Asked, order: str, most: int) -> list[Bar]:
        name, note = "product_name", "category"
        bars = ("live_products", "product_id", name, note, "units_sold")
        return self._bars(asked, *bars, order=f"{order}, key LIMIT {most}")

    def _bars(
        self,
        asked: _Asked,
        relation: str,
        key: str,
        name: str,
        note: str,
        count: str,
        order: str = "value DESC, key",
    ) -> list[Bar]:
        """Net sales by a column: of the day, and of the week before until now."""
        total = "coalesce(sum(reporting_net_sales)"
        rows = self._rows(
            f"SELECT {key} AS key, any_value({name}) AS name, any_value({note}) AS note, "
            f"{total} FILTER (sales_day = $day), 0) AS value, "
            f"{total} FILTER (sales_day = $before AND {asked.to_date(None)}), 0) AS before, "
            f"coalesce(sum({count}) FILTER (sales_day = $day), 0) AS count "
            f"FROM {relation} WHERE {asked.where} GROUP BY 1 "
            f"HAVING value <> 0 OR before <> 0 OR count <> 0 ORDER BY {order}",
            asked.names | {"day": asked.day, "before": asked.day and asked.day - WEEK},
        )
        return [Bar(**row) for row in rows]

    def _baskets(self, asked: _Asked) -> list[dict[str, Any]]:
        return self._rows(
            "SELECT baskets.*, coalesce(store_name, store_id) AS store_name "
            "FROM live_baskets AS baskets LEFT JOIN dim_stores USING (store_id) "
            "WHERE (len($stores) = 0 OR list_contains($stores, store_id)) AND ($category IS NULL "
            "OR contains(', ' || categories || ', ', ', ' || $category || ', ')) "
            f"ORDER BY sold_at DESC, basket_id LIMIT {BASKETS}",
            asked.names,
        )

    def _reasons(self, day: date | None) -> list[tuple[str, str, int]]:
        rows = self._rows(
            "SELECT feed, reason, lines FROM live_quarantine WHERE arrival_day = $day "
            "ORDER BY lines DESC, feed, reason",
            {"day": day},
        )
        return [(r["feed"], r["reason"], r["lines"]) for r in rows]

    def _arrivals(self, day: date | None) -> dict[str, int]:
        rows = self._rows("SELECT * FROM live_arrivals WHERE arrival_day = $day", {"day": day})
        names = ("lines", "quarantined", "late_events")
        return {name: rows[0][name] if rows else 0 for name in names}

    def _layers(self) -> list[Layer]:
        clock, arrived = self._clock, self._clock["arrived_at"]
        reached = {
            "bronze": clock["cleaned_at"],
            "staging": clock["staged_at"],
            "gold": self.relations.published_at.replace(tzinfo=None),
        }
        return [
            Layer(name, max(0.0, (at - arrived).total_seconds()) if at and arrived else None)
            for name, at in reached.items()
        ]


class _Asked:
    """A choice as SQL."""

    def __init__(self, choice: Choice, day: date | None, is_today: bool) -> None:
        self.day, self.is_today = day, is_today
        self.relation = "live_today" if is_today else "live_hours"
        # A basket counts once for each of its categories: only one can be asked for.
        self.transactions = "category_transactions" if choice.category else "transactions"
        self.where = (
            "(len($stores) = 0 OR list_contains($stores, store_id)) "
            "AND ($category IS NULL OR category = $category)"
        )
        self.names: dict[str, Any] = {
            "stores": list(choice.stores),
            "category": choice.category,
        }
        sums = ", ".join(f"coalesce(sum({name}), 0) AS {name}" for name in MEASURES)
        self.measures = f"coalesce(sum({self.transactions}), 0) AS transactions, {sums}"

    def to_date(self, day: date | None) -> str:
        """Of today everything counts; of the week before, what was sold until the same time."""
        return "is_to_date" if self.is_today and day != self.day else "true"


def _until_now(hours: list[Sums], asked: _Asked, clock: dict[str, Any]) -> list[Sums]:
    last = clock["local_as_of"].hour if asked.is_today and clock["local_as_of"] else 23
    return hours[: last + 1]


def _figure(metric: str, now: Sums, before: Sums) -> Figure:
    return Figure(metric, metric, "money", value(metric, now), value(metric, before))
