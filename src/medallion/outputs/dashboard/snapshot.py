"""What the dashboard shows of one moment, worked out from the relations and what the user chose.

Every metric is worked out as dbt/models/marts/metrics.yml defines it, from sums of its measures.
Amounts are in the reporting currency, and not known (None) where no line has a rate to it; days and
hours are those of the reporting time zone.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb

from medallion.errors import NothingYet
from medallion.operations.freshness import Clock, utc
from medallion.outputs.dashboard.asked import (
    Asked,
    Sums,
    figure_of,
    known,
    metric_of,
    net_sales,
    reason,
)
from medallion.outputs.dashboard.model import Arrivals, Bar, Choice, Choices, Figure, Snapshot
from medallion.outputs.dashboard.sources import Relations
from medallion.outputs.dashboard.text import UNKNOWN, named

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
PRODUCTS, MOVERS, BASKETS = 8, 6, 14
NO_CATEGORY = "neither till nor product names one"


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
        (self._row,) = self._rows("SELECT * FROM live_clock")
        self.clock = Clock(utc(self._row["as_of"]), utc(self._row["staged_at"]))
        self.choices = self._choices()

    def _choices(self) -> Choices:
        """What the relations hold."""
        days = self._rows(
            "SELECT DISTINCT sales_day FROM live_hours "
            "WHERE sales_day <= (SELECT sales_day FROM live_clock) ORDER BY 1 DESC"
        )
        stores = self._rows("SELECT store_id, store_name FROM dim_stores ORDER BY store_id")
        categories = self._rows("SELECT DISTINCT category FROM live_hours ORDER BY 1")
        return Choices(
            self._row["time_zone"],
            [row["sales_day"] for row in days],
            {row["store_id"]: row["store_name"] for row in stores},
            [row["category"] for row in categories],
        )

    def snapshot(self, choice: Choice) -> Snapshot:
        """The page for a choice; it is worked out once. Raises NothingYet when no sale has come,
        DashboardError when the definition of a metric cannot be used."""
        as_of = self.newest_sale()
        with self._asking:
            if choice not in self._answers:
                self._answers[choice] = self._snapshot(choice, as_of)
            return self._answers[choice]

    def newest_sale(self) -> datetime:
        """The time of the newest sale. Raises NothingYet when none has come."""
        if self.clock.newest_event is None:
            raise NothingYet(
                "the snapshot holds no sale yet; the page fills as soon as one arrives in raw/"
            )
        return self.clock.newest_event

    def _snapshot(self, choice: Choice, as_of: datetime) -> Snapshot:
        clock = self._row
        day = choice.day or clock["sales_day"]
        asked = Asked(choice, day, day == clock["sales_day"])
        now, before = self._sums(asked, day), self._sums(asked, day - WEEK)
        hours, hours_before = (self._by_hour(asked, d) for d in (day, day - WEEK))
        figures = [
            Figure(
                metric,
                label,
                kind,
                metric_of(metric, now),
                metric_of(metric, before),
                [metric_of(metric, h) for h in _until_now(hours, asked, clock)],
                [metric_of(metric, h) for h in hours_before],
                reason(kind, now, clock["currency"]),
            )
            for metric, label, kind in CARDS
        ]
        is_compared = before["lines"] > 0
        arrivals = self._arrivals(None if asked.is_newest else day)
        return Snapshot(
            version=self.relations.version,
            published_at=self.relations.published_at,
            choice=choice,
            as_of=as_of,
            currency=clock["currency"],
            time_zone=clock["time_zone"],
            day=day,
            is_newest=asked.is_newest,
            is_compared=is_compared,
            figures=[*figures, *([self._per_minute(asked)] if asked.is_newest else [])],
            rates=[
                (figure_of(m, now, before, clock["currency"]), figure_of(r, now, before))
                for m, r, _ in RATES
            ],
            hours=[
                (h, a["reporting_net_sales"], b["reporting_net_sales"])
                for h, (a, b) in enumerate(zip(hours, hours_before, strict=True))
            ],
            categories=self._categories(asked),
            products=self._products(asked, "value DESC NULLS LAST", PRODUCTS),
            movers=self._movers(asked) if is_compared else [],
            stores=self._stores(asked),
            baskets=self._baskets(asked),
            reasons=self._reasons(arrivals.day) if arrivals else [],
            arrivals=arrivals,
            reached=self._reached(),
            lines=int(now["lines"]),
            unconverted_lines=int(now["unconverted_lines"]),
            days=len(self.choices.days),
            first_day=min(self.choices.days, default=day),
        )

    def _rows(self, sql: str, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        with self._asking:
            found = self._db.execute(sql, dict(values or {}))
            names = [column[0] for column in found.description or []]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def _sums(self, asked: Asked, day: date) -> Sums:
        (row,) = self._rows(
            f"SELECT {asked.measures} FROM {asked.relation} "
            f"WHERE {asked.where} AND sales_day = $day AND {asked.to_date(day == asked.day)}",
            asked.names | {"day": day},
        )
        return known(row)

    def _by_hour(self, asked: Asked, day: date) -> list[Sums]:
        """The 24 hours of a day, whole."""
        rows = self._rows(
            f"SELECT {asked.measures} FROM range(24) AS hours(hour) LEFT JOIN (SELECT * FROM "
            f"{asked.relation} WHERE {asked.where} AND sales_day = $day) ON sales_hour = hour "
            "GROUP BY hour ORDER BY hour",
            asked.names | {"day": day},
        )
        return [known(row) for row in rows]

    def _per_minute(self, asked: Asked) -> Figure:
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

    def _categories(self, asked: Asked) -> list[Bar]:
        columns = ("category", "category", "''", "category_transactions")
        bars = self._bars(asked, asked.relation, *columns)
        return [replace(bar, name=named(bar.name, NO_CATEGORY)) for bar in bars]

    def _stores(self, asked: Asked) -> list[Bar]:
        relation = f"{asked.relation} LEFT JOIN dim_stores USING (store_id)"
        name, city = "coalesce(store_name, store_id)", f"coalesce(nullif(city, '{UNKNOWN}'), '')"
        return self._bars(asked, relation, "store_id", name, city, asked.transactions)

    def _products(self, asked: Asked, order: str, most: int) -> list[Bar]:
        name, note = "product_name", f"nullif(category, '{UNKNOWN}')"
        bars = ("live_products", "product_id", name, note, "units_sold")
        return self._bars(asked, *bars, order=f"{order}, key LIMIT {most}")

    def _movers(self, asked: Asked) -> list[Bar]:
        return self._products(asked, "abs(value - before) DESC NULLS LAST", MOVERS)

    def _bars(
        self,
        asked: Asked,
        relation: str,
        key: str,
        name: str,
        note: str,
        count: str,
        order: str = "value DESC NULLS LAST, key",
    ) -> list[Bar]:
        """Net sales by a column: of the day, and of the week before until now."""
        of_day, of_before = (
            f"FILTER (sales_day = ${when} AND {asked.to_date(is_day)})"
            for when, is_day in (("day", True), ("before", False))
        )
        rows = self._rows(
            f"SELECT {key} AS key, any_value({name}) AS name, any_value({note}) AS note, "
            f"{net_sales(of_day)} AS value, {net_sales(of_before)} AS before, "
            f"coalesce(sum({count}) {of_day}, 0) AS count "
            f"FROM {relation} WHERE {asked.where} GROUP BY 1 "
            f"HAVING value IS DISTINCT FROM 0 OR before IS DISTINCT FROM 0 OR count <> 0 "
            f"ORDER BY {order}",
            asked.names | {"day": asked.day, "before": asked.day - WEEK},
        )
        return [Bar(**row) for row in rows]

    def _baskets(self, asked: Asked) -> list[dict[str, Any]]:
        relation = "live_baskets" if asked.is_newest else "live_past_baskets"
        return self._rows(
            "SELECT baskets.*, coalesce(store_name, store_id) AS store_name "
            f"FROM {relation} AS baskets LEFT JOIN dim_stores USING (store_id) "
            "WHERE CAST(timezone($zone, timezone('UTC', sold_at)) AS DATE) = $day "
            "AND (len($stores) = 0 OR list_contains($stores, store_id)) AND ($category IS NULL "
            "OR contains(', ' || categories || ', ', ', ' || $category || ', ')) "
            f"ORDER BY sold_at DESC, basket_id LIMIT {BASKETS}",
            asked.names | {"day": asked.day, "zone": self._row["time_zone"]},
        )

    def _reasons(self, day: date) -> list[tuple[str, str, int]]:
        rows = self._rows(
            "SELECT feed, reason, lines FROM live_quarantine WHERE arrival_day = $day "
            "ORDER BY lines DESC, feed, reason",
            {"day": day},
        )
        return [(r["feed"], r["reason"], r["lines"]) for r in rows]

    def _arrivals(self, day: date | None) -> Arrivals | None:
        """What arrived on a day, or on the last one on which anything did; a day after the newest
        load is none on which anything can have arrived."""
        rows = self._rows(
            "SELECT * FROM live_arrivals WHERE CASE WHEN $day IS NULL THEN arrival_day <= "
            "(SELECT CAST(timezone(time_zone, timezone('UTC', staged_at)) AS DATE) "
            "FROM live_clock) ELSE arrival_day = $day END ORDER BY arrival_day DESC LIMIT 1",
            {"day": day},
        )
        if not rows:
            return None
        names = ("lines", "quarantined", "late_events", "history_events")
        return Arrivals(rows[0]["arrival_day"], *(int(rows[0][name]) for name in names))

    def _reached(self) -> dict[str, float | None]:
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


def _until_now(hours: list[Sums], asked: Asked, clock: dict[str, Any]) -> list[Sums]:
    last = clock["local_as_of"].hour if asked.is_newest else 23
    return hours[: last + 1]
