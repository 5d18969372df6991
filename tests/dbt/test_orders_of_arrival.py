"""Orders of arrival: the four feeds in any order, in pieces or missing, give the same rows in
increments as in one full refresh."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from medallion.contract import CURRENCIES, FEEDS
from medallion.layers.staging import SUPERSEDE, TABLES, create_tables
from medallion.layers.transform import Transformer
from medallion.pipeline import LIVE, MARTS
from medallion.platforms.warehouse import open_warehouse
from tests.dbt.arrivals import TODAY, Arrival, arrivals, sold
from tests.dbt.dbt_warehouse import load_rows
from tests.dbt.extremes import extremes

INCREMENTAL = "config.materialized:incremental"
ORDERS = 12


class Home:
    """A home that dbt built while it was empty, and the statements of that first build: they build
    the same tables anew from whatever is staged by then."""

    def __init__(self, folder: Path, db: Any) -> None:
        create_tables(db)
        self.db, self._transformer = db, Transformer(folder, db)
        self._first = self._statements(None)
        built = self._transformer.run(select=INCREMENTAL).models
        self.incremental = [t for t in self._first if re.sub(r".*[.](purchases_)?", "", t) in built]
        views = db.execute(
            "SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal"
        )
        self.all = [*self._first, *(name for (name,) in views.fetchall())]

    def _statements(self, select: str | None) -> dict[str, str]:
        """Builds; the statements of each table by its name."""
        _, built = self._transformer._run(select, full_refresh=False)
        texts = [
            request.replace("__dbt_tmp", "")
            for model in (built.models.values() if built else ())
            for request in model.requests
        ]
        statements = [(re.search(r"create\s+table\s+warehouse\.(\S+)", sql), sql) for sql in texts]
        return {table[1]: sql for table, sql in statements if table}

    def load(self, number: int, arrival: Arrival) -> None:
        """One transaction of the loader."""
        for table, rows in arrival.tables.items():
            load_rows(self.db, table, number, rows, arrival.at)
        self.db.execute(SUPERSEDE, {"seq": number})

    def build(self, select: str) -> None:
        """An increment, as a stream makes it."""
        self._transformer.repeat(select)

    def build_anew(self, tables: Iterable[str]) -> None:
        """Builds tables as a full refresh does."""
        for table in tables:
            self.db.execute(f"DROP TABLE {table}; {self._first[table]}")

    def differences(self, relations: list[str]) -> dict[str, list[Any]]:
        """Rows, by relation, that only the increments or a full refresh have. Changes nothing."""
        for relation in relations:
            self.db.execute(f"CREATE OR REPLACE TEMP TABLE {_before(relation)} AS FROM {relation}")
        self.db.execute("BEGIN")
        try:
            self.build_anew(t for t in self._first if t in relations)
            return {r: rows for r in relations if (rows := self._unlike(r))}
        finally:
            self.db.execute("ROLLBACK")

    def _unlike(self, relation: str) -> list[Any]:
        one, other = f"FROM {_before(relation)}", f"FROM {relation}"
        sql = (
            f"SELECT 'increments', * FROM (({one}) EXCEPT ALL ({other})) UNION ALL "
            f"SELECT 'full refresh', * FROM (({other}) EXCEPT ALL ({one}))"
        )
        return self.db.execute(sql).fetchmany(4)

    def empty(self) -> None:
        """Takes every row out of the home."""
        for table in TABLES:
            self.db.execute(f"DELETE FROM staging.{table}")
        self.build_anew(self._first)

    def close(self) -> None:
        self._transformer.close()


def _before(relation: str) -> str:
    return f"before_{relation.replace('.', '_')}"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home without a row."""
    folder = tmp_path_factory.mktemp("orders")
    with open_warehouse(folder) as db:
        home = Home(folder, db)
        yield home
        home.close()


@pytest.mark.parametrize("seed", range(ORDERS))
def test_increments_equal_a_full_refresh(home: Home, seed: int) -> None:
    """Whatever arrived, and whether or not the dimensions were built with it: every incremental
    table after each arrival, every relation at the end, row by row and both ways."""
    rng = Random(seed)
    home.empty()
    for number, arrival in enumerate(arrivals(rng), 1):
        home.load(number, arrival)
        if rng.random() < 0.5:
            home.build(LIVE)
        if rng.random() < 0.7:
            home.build(MARTS)
            assert not home.differences(home.incremental), (seed, number, arrival)
    home.build(MARTS)
    home.build_anew(t for t in home.all if t in home._first and t not in home.incremental)
    assert not home.differences(home.all), seed


WINDOWS = {
    "the newest sale was of another month": [
        sold("kept", "2026-05-20", "2026-06-21"),
        sold("newest", "2026-06-20", "2026-06-21"),
        sold("newest", "2026-05-21", "2026-06-20"),
    ],
    "no sale but those of the future": [
        sold("old", "2026-01-01", "2026-06-20"),
        sold("old", "2026-07-01", "2026-06-19"),
    ],
    "a clock that ran ahead was set back": [
        sold("old", "2026-05-10", "2026-06-21"),
        sold("newest", "2026-06-20", "2026-06-21"),
        sold("ahead", "2027-04-15", "2027-05-01", loaded="2027-05-01"),
        sold("late", "2026-05-20", "2026-06-21"),
    ],
    "a sale of today after those of last year": [
        sold("old", "2025-01-01", "2026-06-20"),
        sold("new", "2026-06-20", "2026-06-20"),
    ],
}


@pytest.mark.parametrize("order", WINDOWS.values(), ids=WINDOWS)
def test_the_window_of_the_live_model_follows_the_newest_sale(
    home: Home, order: list[Arrival]
) -> None:
    """On, and back where that sale turns out to be another."""
    home.empty()
    for number, arrival in enumerate(order, 1):
        home.load(number, arrival)
        home.build(MARTS)
        assert not home.differences(home.incremental), number
        clock = "SELECT as_of IS NULL, (SELECT count(*) > 0 FROM marts.live_sales)"
        assert home.db.execute(f"{clock} FROM marts.live_clock").fetchall() == [(False, True)]


def test_a_clock_that_ran_ahead_counts_until_the_next_load(home: Home) -> None:
    """While it is wrong, it is the clock of all; set back, the newest sale, the window of the live
    model, arrivals and cleanings are those of the right one."""
    home.empty()
    order = [
        sold("before", "2026-06-18", "2026-06-18", "2026-06-18"),
        sold("ahead", "2030-01-01", "2030-01-01", "2030-01-02"),
        sold("after", "2026-06-19", "2026-06-19", "2026-06-19"),
    ]
    clock = "SELECT CAST(as_of AS DATE)::VARCHAR, CAST(cleaned_at AS DATE)::VARCHAR"
    for number, arrival in enumerate(order, 1):
        home.load(number, arrival)
        home.build(LIVE if number % 2 else MARTS)
        expected = arrival.at.date().isoformat()
        rows = home.db.execute(f"{clock} FROM marts.live_clock").fetchall()
        assert rows == [(expected, expected)]
        assert not home.differences(["marts.live_sales"]), number
    days = "SELECT CAST(minute_at AS DATE)::VARCHAR FROM marts.live_sales ORDER BY ALL"
    assert home.db.execute(days).fetchall() == [("2026-06-18",), ("2026-06-19",), ("2030-01-01",)]
    arrived = "SELECT arrival_day::VARCHAR FROM marts.live_arrivals ORDER BY ALL"
    assert home.db.execute(arrived).fetchall()[0] == ("2026-06-18",)


def test_a_live_model_that_was_left_empty_heals(home: Home) -> None:
    """A home whose sales came after its first build, by a version that never took them in."""
    home.empty()
    for number, arrival in enumerate(arrivals(Random(1)), 1):
        home.load(number, arrival)
    home.build(MARTS)
    home.db.execute("DELETE FROM marts.live_sales")
    home.build(LIVE)
    assert not home.differences(home.incremental)
    assert home.db.execute("SELECT count(*) FROM marts.live_sales").fetchall() > [(0,)]


@pytest.mark.parametrize("seed", range(3))
def test_every_model_takes_whatever_the_contract_accepts(home: Home, seed: int) -> None:
    """The greatest and smallest amounts, costs, rates, quantities and times, multiplied with each
    other in every measure of every model; increments and a full refresh agree."""
    rng = Random(seed)
    home.empty()
    for number in range(1, 4):
        feeds = {name: [row for _, row in extremes(rng, feed, 60)] for name, feed in FEEDS.items()}
        for row in feeds["purchases"]:
            row["event_id"] += f"-{number}"
        feeds["settings"] = [{"reporting_currency": CURRENCIES[0]}] if number == 2 else []
        home.load(number, Arrival(TODAY, feeds))
        home.build(MARTS)
    assert not home.differences(home.incremental)
    home.build_anew(t for t in home.all if t in home._first)
    for relation in home.all:
        home.db.execute(f"SELECT * FROM {relation}").fetchall()
    unknown = "SELECT count(*) FROM marts.fct_sales_line WHERE {}"
    for condition in ("cost_of_sales IS NOT NULL", "fx_rate <> 1", "fx_rate IS NULL"):
        assert home.db.execute(unknown.format(condition)).fetchall() > [(0,)], condition
