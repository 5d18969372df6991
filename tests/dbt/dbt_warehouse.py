"""A warehouse for the dbt project alone: staging tables made by hand, models run in process.

A test module takes the fixtures by importing them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dbt.cli.main import dbtRunner

from medallion.layers.dbt import EMBEDDED, Dbt
from medallion.layers.staging import TABLES, create_tables

PROJECT = Path(__file__).parents[2] / "dbt"
PURCHASE: dict[str, Any] = {
    "event_type": "purchase",
    "store_id": "S1",
    "product_id": "P1",
    "currency": "USD",
    "discount_amount": "0",
    "tax_amount": "0",
    "schema_version": 1,
    "quantity": 1,
}


class Warehouse:
    """The warehouse of one home, with the loads and the dbt runs of a test."""

    def __init__(self, home: Path, manifest: Any) -> None:
        self.home = home
        self.db = duckdb.connect(str(home / "warehouse.duckdb"))
        self.db.execute("SET TimeZone = 'UTC'")
        create_tables(self.db)
        self._runner = dbtRunner(manifest=manifest)
        self._loads = 0

    def load(self, table: str, *rows: dict[str, Any], arrived: str = "2026-06-01") -> None:
        """One load: rows of a staging table, in one file of their own unless they say otherwise."""
        self._loads += 1
        load_rows(self.db, table, self._loads, rows, arrived)

    def sell(self, *events: dict[str, Any], arrived: str = "2026-06-01") -> None:
        """One load of purchases; what an event leaves out is as in PURCHASE."""
        self.load("purchases", *(_purchase(e) for e in events), arrived=arrived)

    def run(self, *arguments: str) -> None:
        """`dbt run`; fails the test when a model fails."""
        outcome = self.dbt("run", *arguments)
        results = outcome.result or []
        assert outcome.success, outcome.exception or [(r.node.name, r.message) for r in results]

    def failures(self, *arguments: str) -> dict[str, int]:
        """`dbt test`: the failed tests with the number of rows that failed."""
        outcome = self.dbt("test", *arguments)
        assert outcome.exception is None, outcome.exception
        passed = ("pass", "success")
        return {r.node.name: r.failures for r in outcome.result if r.status not in passed}

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.db.execute(sql).fetchall()

    def table(self, name: str) -> list[tuple[Any, ...]]:
        """Every row of a relation, in an order of its own."""
        return self.rows(f"SELECT * FROM {name} ORDER BY ALL")

    def gold(self) -> dict[str, Decimal]:
        """Net sales by day."""
        return dict(
            self.rows(
                "SELECT CAST(sales_date AS VARCHAR), sum(net_sales) FROM gold.purchases_gold "
                "GROUP BY ALL"
            )
        )

    def dbt(self, verb: str, *arguments: str) -> Any:
        """What a dbt command ends with, as dbtRunner gives it."""
        options = [*common(self.home), "--no-write-json"]
        if verb == "deps":
            options = options[options.index("--project-dir") :][:4]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MEDALLION_HOME", str(self.home))
            return self._runner.invoke([verb, *arguments, *options])


def load_rows(db: Any, table: str, load: int, rows: Sequence[dict[str, Any]], arrived: Any) -> None:
    """One load: rows of a staging table, in one file of their own unless they say otherwise."""
    for line, row in enumerate(rows, 1):
        technical = {
            "source_file": f"raw/{table}/f{load:03}.ndjson",
            "source_line": line,
            "ingested_at": arrived,
            "bronze_file": f"bronze/{table}/f{load:03}.parquet",
            "load_seq": load,
            "loaded_at": "2026-06-21",
        }
        values = technical | row
        names = [name for name in TABLES[table] if name in values]
        places = ", ".join(f"CAST(? AS {TABLES[table][n].duckdb})" for n in names)
        db.execute(
            f"INSERT INTO staging.{table} ({', '.join(names)}) VALUES ({places})",
            [values[n] for n in names],
        )


def common(home: Path) -> list[str]:
    return [
        "--quiet",
        "--log-level-file",
        "none",
        "--project-dir",
        str(PROJECT),
        "--profiles-dir",
        str(PROJECT),
        "--target-path",
        str(home / "target"),
        "--log-path",
        str(home / "logs"),
    ]


def _purchase(event: dict[str, Any]) -> dict[str, Any]:
    values = PURCHASE | event
    values.setdefault("basket_id", values["event_id"])
    values["dt"] = str(values["ts"])[:10]
    amount = Decimal(str(values["price"])) * values["quantity"] - Decimal(values["discount_amount"])
    values.setdefault("total_amount", str(amount))
    return values


@pytest.fixture(name="manifest", scope="session")
def manifest_fixture(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The parsed project."""
    home = tmp_path_factory.mktemp("parsed")
    duckdb.connect(str(home / "warehouse.duckdb")).close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDALLION_HOME", str(home))
        return Dbt(home, EMBEDDED, print).manifest


@pytest.fixture(name="new_warehouse")
def new_warehouse_fixture(
    manifest: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Warehouse]]:
    """Makes empty warehouses, each in a home of its own."""
    monkeypatch.setenv("MEDALLION_HOME", str(tmp_path))
    warehouses: list[Warehouse] = []

    def make() -> Warehouse:
        (home := tmp_path / f"home{len(warehouses)}").mkdir()
        warehouses.append(Warehouse(home, manifest))
        return warehouses[-1]

    yield make
    for warehouse in warehouses:
        warehouse.db.close()


@pytest.fixture(name="warehouse")
def warehouse_fixture(new_warehouse: Callable[[], Warehouse]) -> Warehouse:
    """One empty warehouse."""
    return new_warehouse()
