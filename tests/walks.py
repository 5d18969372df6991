"""Random walks through the views of the dashboard, held to the receipt lines of the warehouse."""

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
from medallion.outputs.dashboard.views import view_of

NAMES = ("transactions", *COUNTS, *AMOUNTS)
ADDITIVE = ("lines", "units_sold", "units_returned", "reporting_net_sales", "reporting_returns")
LINES = (
    "CREATE TEMP TABLE lines AS SELECT sales_date, sales_hour, store_id, product_id, category, "
    "basket_key, is_return, 1 AS lines, units_sold, units_returned, "
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
