"""Random walks through the views of the dashboard, compared with the receipt lines of the
warehouse."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import duckdb

from medallion.outputs.dashboard.choice import Choice, read_choice
from medallion.outputs.dashboard.periods import COMPARISONS, PERIODS, Period
from medallion.outputs.dashboard.sales import AMOUNTS, COUNTS, Entry
from medallion.outputs.dashboard.snapshot import Board
from medallion.outputs.dashboard.sources import PublishedSnapshots
from medallion.outputs.dashboard.targets import OF_PERIOD, against_targets, total_of
from medallion.outputs.dashboard.views import reasons_of_returns, view_of

NAMES = ("transactions", *COUNTS, *AMOUNTS)
ADDITIVE = ("lines", "units_sold", "units_returned", "reporting_net_sales", "reporting_returns")
LINES = (
    "CREATE TEMP TABLE lines AS SELECT sales_date, sales_hour, store_id, product_id, category, "
    "basket_key, is_return, coalesce(return_reason, 'not stated') AS return_reason, 1 AS lines, "
    "units_sold, units_returned, "
    f"CAST(fx_rate IS NULL AS INTEGER) AS unconverted_lines, {', '.join(AMOUNTS)}, "
    "sales_date + to_hours(sales_hour) <= timezone(time_zone, timezone('UTC', (SELECT as_of FROM "
    "marts.live_clock))) AS is_past, time_zone FROM marts.fct_sales_line"
)


class Walker:
    """The board of a home beside its warehouse."""

    def __init__(self, home: Path, seed: int) -> None:
        self.board = Board(PublishedSnapshots(home).read())
        self._random = Random(seed)
        self._db = duckdb.connect()
        self._db.execute("SET TimeZone = 'UTC'")
        self._db.execute(f"ATTACH '{home / 'warehouse.duckdb'}' AS home (READ_ONLY)")
        self._db.execute("USE home")
        self._db.execute(LINES)
        self.first_day = self._db.execute("SELECT min(sales_date) FROM lines").fetchall()[0][0]

    def choice(self) -> Choice:
        """A period, a comparison and filters, sent through an address and back."""
        random, board = self._random, self.board
        period = random.choice(list(PERIODS))
        days = None
        if period == "range":
            span = (board.today - self.first_day).days
            first = self.first_day + timedelta(days=random.randint(0, span))
            days = Period(first, first + timedelta(days=random.choice((0, 0, 3, 40, 200))))
        stores = random.sample(list(board.choices.stores), random.choice((0, 0, 1, 2)))
        chosen = Choice(
            period=period,
            days=days,
            compare=random.choice(list(COMPARISONS)),
            stores=tuple(stores),
            category=random.choice((None, random.choice(board.choices.categories))),
            hour=random.choice((None, 12, 17)) if days and days.days == 1 else None,
        )
        address = {
            name: value if isinstance(value, list) else [value]
            for name, value in chosen.parameters().items()
        }
        assert read_choice(address, "today") == (chosen, []), address
        return chosen

    def step(self) -> int:
        """Hold one choice to the lines; return how many of them it covers."""
        choice = self.choice()
        with self.board.sales(choice) as sales:
            total = sales.total()
            parts = {name: sales.by(name) for name in ("category", "store", "product")}
            bars = [entry for *_, entry in sales.series()]
        for side, of in (("now", sales.period), ("before", sales.compared)):
            if of is None:
                continue
            shift = (sales.period.first - of.first).days if side == "before" else 0
            is_cut = side == "before" and sales.is_open
            expected = self._expected(choice, of, shift if is_cut else None)
            assert {n: getattr(total, side)[n] for n in NAMES} == expected, (choice, side)
            for name, entries in (*parts.items(), ("bar", bars)):
                for measure in ADDITIVE:
                    assert _sum(entries, side, measure) == (expected[measure] or 0), (choice, name)
            for name in ("store", "bar"):
                entries = bars if name == "bar" else parts[name]
                assert _sum(entries, side, "transactions") == expected["transactions"], choice
        return int(total.now["lines"])

    def against_targets(self) -> int:
        """Hold the targets of a choice of stores and days to the warehouse; return how many stores
        have one. Their sums are those of the total, and a part of a day has no target."""
        choice = self.choice().but(category=None, hour=None)
        with self.board.sales(choice) as sales:
            days = sales.period
            stores = against_targets(self.board, choice, days.first, days.last, OF_PERIOD)
            of_part = choice.but(category=self.board.choices.categories[0])
            assert against_targets(self.board, of_part, days.first, days.last, OF_PERIOD) == []
        rows = self._db.execute(
            "WITH sold AS (SELECT store_id, sales_date, sum(reporting_net_sales) AS net, "
            "bool_and(unconverted_lines = 1) AS is_unknown FROM lines GROUP BY ALL) "
            "SELECT store_id, coalesce(sum(coalesce(net, 0)) FILTER (NOT left_out), 0), "
            "coalesce(sum(reporting_net_sales_target) FILTER (NOT left_out), 0), "
            "count(*) FILTER (left_out) FROM (SELECT *, reporting_net_sales_target IS NULL "
            "OR coalesce(is_unknown, false) AS left_out FROM marts.sales_targets "
            "LEFT JOIN sold USING (store_id, sales_date)) WHERE sales_date BETWEEN $first "
            "AND $last AND (len($stores) = 0 OR store_id IN (SELECT unnest($stores))) GROUP BY 1",
            {
                "first": days.first,
                "last": min(days.last, self.board.today),
                "stores": list(choice.stores),
            },
        ).fetchall()
        found = {(s.key, s.actual, s.target, s.left_out) for s in stores}
        assert found == set(rows), choice
        assert [s.difference for s in stores] == sorted(s.difference for s in stores)
        total = total_of(stores)
        assert total.difference == sum(s.difference for s in stores)
        return len(stores)

    def returns(self) -> int:
        """Hold the reasons of returns to the lines; return how many lines came back."""
        choice = self.choice().but(hour=None)
        with self.board.sales(choice) as sales:
            days = sales.period
        by_reason, by_product = reasons_of_returns(self.board, choice, days)
        rows = self._db.execute(
            "SELECT product_id || ' ' || return_reason, count(*), sum(units_returned), "
            "sum(reporting_returns) FROM lines WHERE is_return AND sales_date BETWEEN $first AND "
            "$last AND (len($stores) = 0 OR store_id IN (SELECT unnest($stores))) "
            "AND ($category IS NULL OR category = $category) GROUP BY 1",
            {
                "first": days.first,
                "last": days.last,
                "stores": list(choice.stores),
                "category": choice.category,
            },
        ).fetchall()
        assert {(r.key, *r.values[2:]) for r in by_product.rows} == set(rows), choice
        for place in (1, 2, 3):
            parts = [
                [r.values[place + n] or 0 for r in t.rows]
                for n, t in enumerate((by_reason, by_product))
            ]
            assert sum(parts[0]) == sum(parts[1])
        return sum(int(row[1]) for row in rows)

    def drilled(self) -> None:
        """Hold a category's products, and a store's bars, to their rows in the lists."""
        choice = Choice(period="last_28_days", compare="nothing")
        with self.board.sales(choice) as sales:
            category, store = sales.by("category")[0], sales.by("store")[0]
        for below, row, dimension in (
            (choice.but(category=category.key), category, "product"),
            (choice.but(stores=(store.key,)), store, "category"),
        ):
            with self.board.sales(below) as sales:
                assert _known(sales.total()) == _known(row)
                assert _sum(sales.by(dimension), "now", "reporting_net_sales") == (
                    row.now["reporting_net_sales"] or 0
                )
                days = [(part, entry) for part, _, entry in sales.series() if entry.now["lines"]]
            part, entry = days[-1]
            with self.board.sales(below.of_days(part)) as sales:
                assert _known(sales.total()) == _known(entry)
                hours = [(hour, e) for _, hour, e in sales.series() if e.now["lines"]]
            assert sum(e.now["lines"] for _, e in hours) == entry.now["lines"]
            hour, of_hour = hours[0]
            with self.board.sales(below.of_days(part, hour)) as sales:
                assert _known(sales.total()) == _known(of_hour)

    def view(self, name: str) -> None:
        """Draw a view of a random choice, with all of its tables."""
        view = view_of(self.board, self.choice().but(view=name))
        assert view.html and all(table.csv("") for table in view.tables)

    def _expected(self, choice: Choice, of: Period, shift: int | None) -> dict[str, Any]:
        cut = ""
        if shift is not None:
            cut = (
                "AND sales_date + to_hours(sales_hour) + to_days($shift) <= timezone(time_zone, "
                "timezone('UTC', (SELECT as_of FROM marts.live_clock)))"
            )
        sums = ", ".join(f"coalesce(sum({name}), 0)" for name in (*COUNTS, *AMOUNTS[:-2]))
        values = {
            "first": of.first,
            "last": of.last,
            "stores": list(choice.stores),
            "category": choice.category,
            "hour": choice.hour,
        }
        row = self._db.execute(
            "SELECT count(DISTINCT CASE WHEN NOT is_return THEN basket_key END), "
            f"{sums}, sum({AMOUNTS[-2]}), sum({AMOUNTS[-1]}) FROM lines "
            "WHERE sales_date BETWEEN $first AND $last AND (len($stores) = 0 OR store_id IN "
            "(SELECT unnest($stores))) AND ($category IS NULL OR category = $category) "
            f"AND ($hour IS NULL OR sales_hour = $hour) {cut}",
            values | ({"shift": shift} if shift is not None else {}),
        ).fetchone()
        assert row
        expected = dict(zip(NAMES, row, strict=True))
        if expected["lines"] and expected["unconverted_lines"] == expected["lines"]:
            expected |= dict.fromkeys(AMOUNTS)
        return expected


def _known(entry: Entry) -> dict[str, Any]:
    return {name: entry.now[name] for name in NAMES}


def _sum(entries: list[Entry], side: str, measure: str) -> Decimal | int:
    values = [getattr(entry, side)[measure] for entry in entries]
    return sum(value for value in values if value is not None)
