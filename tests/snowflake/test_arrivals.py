"""The orders of arrival of tests/dbt on the account: increment by increment, the rows that one full
refresh gives."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from tests.dbt.arrivals import Arrival, arrivals
from tests.snowflake.account_here import PIPES, World, world
from tests.snowflake.test_two_homes import LAYERS

PLACE = {"warehouse": "RETAIL_TRANSFORM_WH", "database": "RETAIL"}
INCREMENTAL = ("--select", "config.materialized:incremental")
FIRST_LOAD, APART = datetime(2026, 6, 1, tzinfo=UTC), timedelta(hours=25)
"""When the first load was, and how long after it the next: longer than an increment looks back."""


@dataclass(frozen=True)
class Built:
    """An account in which everything is built and nothing has come, the rows in it then, and copies
    of the tables that increments change."""

    account: World
    rows: dict[str, Counter[Any]]
    copies: dict[str, str]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    with world(tmp_path_factory.mktemp("account")) as account:
        account.run_script()
        account.dbt("run")
        manifest = json.loads((account.folder / "target" / "manifest.json").read_text())
        copies = {
            f"RETAIL.{node['schema']}.{node['alias']}": f"RETAIL.CONTROL.{node['alias']}_AT_FIRST"
            for node in manifest["nodes"].values()
            if node["config"]["materialized"] == "incremental"
        }
        with account.server.connect(**PLACE) as connection:
            for table, copy in copies.items():
                connection.cursor().execute(f"CREATE TABLE {copy} AS SELECT * FROM {table}")
        yield Built(account, rows(account), copies)


@pytest.fixture
def account(built: Built) -> World:
    """That account, without what an earlier test has loaded."""
    with built.account.server.connect(**PLACE) as connection:
        cursor = connection.cursor()
        for table in (*(f"LANDING.{name}" for name in PIPES), "CONTROL.SETTINGS"):
            cursor.execute(f"DELETE FROM RETAIL.{table}")
        for table, copy in built.copies.items():
            cursor.execute(f"DELETE FROM {table}")
            cursor.execute(f"INSERT INTO {table} SELECT * FROM {copy}")
    assert rows(built.account) == built.rows
    return built.account


def load(account: World, number: int, arrival: Arrival) -> None:
    """Stages what arrived, as one load of its pipes; the account's clock says when."""
    staged = FIRST_LOAD + number * APART
    with account.server.connect(**PLACE) as connection:
        for table, rows in arrival.tables.items():
            for line, row in enumerate(rows, 1):
                if table == "settings":
                    _insert(connection, "CONTROL.SETTINGS", row | {"set_at": staged})
                    continue
                values = {
                    "source_file": f"raw/{table}/f{number:03}.ndjson",
                    "source_line": line,
                    "ingested_at": arrival.at,
                    "bronze_file": f"bronze/{table}/f{number:03}.parquet",
                    "scanned_at": staged,
                } | row
                if table == "receipts":
                    del values["source_line"], values["ingested_at"], values["loaded_at"]
                _insert(connection, f"LANDING.{table}", values)


def _insert(connection: Any, table: str, values: dict[str, Any]) -> None:
    literals = ", ".join(_literal(value) for value in values.values())
    connection.cursor().execute(
        f"INSERT INTO RETAIL.{table} ({', '.join(values)}) SELECT {literals}"
    )


def _literal(value: Any) -> str:
    if value is None or isinstance(value, int):
        return "NULL" if value is None else str(value)
    return f"X'{value.hex()}'" if isinstance(value, bytes) else f"'{value}'"


def rows(account: World) -> dict[str, Counter[Any]]:
    """Every row of every relation of the layers."""
    objects = account.server.state()["objects"]
    parts = (name.partition(" RETAIL.") for name in objects)
    names = [name for kind, _, name in parts if kind in ("TABLE", "VIEW")]
    with account.session() as cursor:
        return {
            name: Counter(map(str, cursor.execute(f"SELECT * FROM {name}").fetchall()))
            for name in names
            if name.startswith(LAYERS)
        }


@pytest.mark.parametrize("seed", (0, 3))
def test_increments_equal_a_full_refresh(account: World, seed: int) -> None:
    """Every incremental table and every view over them, row by row."""
    history = arrivals(Random(seed))
    for number, arrival in enumerate(history, 1):
        load(account, number, arrival)
        if number in (1, len(history) // 2, len(history)):
            account.dbt("run", *INCREMENTAL)
    increments = rows(account)
    account.dbt("run", "--full-refresh", *INCREMENTAL)
    anew = rows(account)
    assert anew["SILVER.PURCHASES_SILVER"] and len(anew) > 30
    assert {name for name in anew if anew[name] != increments[name]} == set()
