"""What an increment reads: new rows and the days that they change, not all of history."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from medallion.layers.transform import Transformer
from medallion.platforms.warehouse import open_warehouse
from tests.conftest import Cli, drop, event

Query = Callable[[Path, str], list[dict[str, Any]]]
HISTORY = 60_000
COMPUTED_ANEW = {"dim_fx_rates"}
"""Models whose increment reads all of history on purpose: its currency, and when it came."""

DESCRIPTIONS = ("stores", "products", "fx_rates")
NARROW = {"event_bucket", "event_key", "dt", "ts", "load_seq"}
NARROW |= {"basket_id", "store_id", "product_id"}
"""Columns of silver that an increment may look through, to find the rows that it needs."""


@pytest.fixture(name="home", scope="module")
def home_fixture(tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Path:
    """A home with history, of which every incremental model was built by an increment, and a new
    load that no model has seen yet; each describes all stores, products and rates again."""
    home = tmp_path_factory.mktemp("increments")
    assert cli(home, "run", "--events", str(HISTORY)).exit_code == 0
    for number, verbs in enumerate((["run"], ["clean", "load"])):
        drop(
            home,
            f"late{number}.ndjson",
            event(event_id=f"late-{number}", ts=f"{datetime.now(UTC)}"),
        )
        for described in DESCRIPTIONS:
            for path in sorted((home / "raw" / described).glob("year=*/**/*.zst")):
                shutil.copy(path, home / "raw" / described / f"again{number}-{path.name}")
        for verb in verbs:
            options = ["--events", "0"] if verb == "run" else []
            assert cli(home, verb, *options).exit_code == 0
    return home


@pytest.mark.parametrize(
    ("feed", "dimension"),
    [("stores", "dim_stores"), ("products", "dim_products"), ("fx_rates", "dim_fx_rates")],
)
def test_what_is_described_again_is_not_new(
    home: Path, query: Query, feed: str, dimension: str
) -> None:
    """Else a producer that repeats its lists at each start has all of history built again."""
    described = "" if feed == "fx_rates" else "WHERE is_described"
    (row,) = query(
        home,
        f"SELECT count(*) AS told, count(DISTINCT load_seq) AS loads, min(load_seq) AS first, "
        f"(SELECT max(load_seq) FROM marts.{dimension} {described}) AS newest "
        f"FROM staging.{feed}",
    )
    assert row["told"] > 20 and row["loads"] == 3
    assert row["newest"] == row["first"]


def test_an_increment_reads_no_history(home: Path) -> None:
    """No statement reads more than a third of the staged lines, or of silver's beside numbers."""
    read: dict[str, list[str]] = {}
    profile = home / "profile.json"
    copy = shutil.copytree(home, home.with_name("copy"))
    with open_warehouse(copy) as warehouse:
        _, statements = Transformer(copy, warehouse)._run(None, full_refresh=False)
    assert statements
    with duckdb.connect(str(home / "warehouse.duckdb")) as warehouse:
        warehouse.execute("SET TimeZone = 'UTC'")
        for name, model in statements.models.items():
            for request in model.requests:
                statement = duckdb.extract_statements(request)[0].query
                if "__changes as" not in statement:
                    continue
                warehouse.execute("PRAGMA enable_profiling = 'json'")
                warehouse.execute(f"PRAGMA profiling_output = '{profile}'")
                warehouse.execute(statement)
                warehouse.execute("PRAGMA disable_profiling")
                told = json.loads(profile.read_text())
                read[name] = list(_scans_of_history(told["operator"]))
    assert {"silver", "gold", "live_sales", "sales_hourly_product"} < read.keys()
    assert {model for model, scans in read.items() if scans} == COMPUTED_ANEW, read


def test_gold_adds_what_is_new(tmp_path: Path, cli: Cli, query: Query) -> None:
    """Its lines are added to the day that stands; a basket that goes on is counted once, and a day
    in which a copy was replaced is summed again."""

    def bring(name: str, *lines: str) -> dict[str, Any]:
        drop(tmp_path, name, *lines)
        for command in (["clean"], ["load"], ["transform", "--select", "+gold"]):
            assert cli(tmp_path, *command).exit_code == 0
        (row,) = query(
            tmp_path,
            "SELECT transactions, lines, return_lines, net_sales FROM purchases_gold "
            "WHERE sales_date = '2026-03-01'",
        )
        return row

    def counts(baskets: int, lines: int, returns: int, net_sales: str) -> dict[str, Any]:
        return {
            "transactions": baskets,
            "lines": lines,
            "return_lines": returns,
            "net_sales": net_sales,
        }

    one, other = {"basket_id": "one"}, {"basket_id": "other"}
    of_other = event(event_id="e2", event_type="return", **other)
    assert bring("1.json", event(**one), of_other) == counts(1, 2, 1, "0.0000")
    same_number = event(event_id="e4", store_id="S2", **one)
    goes_on = bring("2.json", event(event_id="e3", **one), same_number)
    assert goes_on == counts(2, 4, 1, "10.0000")
    assert bring("3.json", event(event_id="e5", **other)) == counts(3, 5, 1, "15.0000")
    cheaper = event(price=1, total_amount=2, corrected_at="2026-03-02T00:00:00Z", **one)
    corrected = bring("4.json", cheaper, event(event_id="e6", **one))
    assert corrected == counts(3, 6, 1, "17.0000")
    elsewhere = event(ts="2026-03-05T10:00:00Z", corrected_at="2026-03-03T00:00:00Z", **one)
    assert bring("5.json", elsewhere) == counts(3, 5, 1, "15.0000")


def test_a_row_by_product_gains_what_is_new(tmp_path: Path, cli: Cli, query: Query) -> None:
    """A basket leaves the row in which it counted for an earlier line, and comes back when that
    line goes; rows whose product is described anew are summed again."""

    def bring(name: str, *lines: str) -> list[tuple[Any, ...]]:
        drop(tmp_path, name, *lines)
        for command in (["clean"], ["load"], ["transform", "--select", "+sales_hourly_product"]):
            assert cli(tmp_path, *command).exit_code == 0
        rows = query(
            tmp_path,
            "SELECT product_id, category, transactions, category_transactions, lines, net_sales "
            "FROM sales_hourly_product ORDER BY ALL",
        )
        return [tuple(row.values()) for row in rows]

    def line(event_id: str, product_id: str, minute: int, **fields: Any) -> str:
        ts = f"2026-03-01T10:{minute}:00Z"
        given = {"ts": ts, "basket_id": "one", "product_id": product_id, "category": product_id}
        return event(event_id=event_id, **given | fields)

    second = ("P2", "p2", 1, 1, 1, "5.0000")
    assert bring("1.json", line("b", "P2", 30)) == [second]
    first = ("P1", "p1", 1, 1, 1, "5.0000")
    assert bring("2.json", line("a", "P1", 10)) == [first, ("P2", "p2", 0, 1, 1, "5.0000")]
    later = ("P2", "p2", 0, 1, 2, "10.0000")
    assert bring("3.json", line("c", "P2", 40)) == [first, later]
    earlier = ("P2", "p2", 0, 1, 3, "15.0000")
    assert bring("4.json", line("d", "P2", 20)) == [first, earlier]
    moved = line("a", "P1", 10, ts="2026-03-09T10:00:00Z", corrected_at="2026-03-10T00:00:00Z")
    assert bring("5.json", moved) == [first, ("P2", "p2", 1, 1, 3, "15.0000")]
    described = {"product_id": "P2", "category": "tea", "ts": "2026-01-01T00:00:00Z"}
    drop(tmp_path, "products/p.json", json.dumps(described))
    named = ("P2", "tea", 1, 1, 4, "20.0000")
    assert bring("6.json", line("e", "P2", 50)) == [first, named]


def _scans_of_history(operators: list[dict[str, Any]]) -> Iterator[str]:
    for operator in operators:
        facts = operator["extra_info"]
        table = facts.get("Table", "") if operator["type"] == "TABLE_SCAN" else ""
        columns = set(facts.get("Projections", []))
        if operator["intermediate_rows"] > HISTORY / 3 and (
            table.endswith("staging.purchases")
            or (table.endswith("purchases_silver") and not columns <= NARROW)
        ):
            yield f"{operator['intermediate_rows']} rows of {table}: {sorted(columns)}"
        yield from _scans_of_history(operator.get("children", []))
