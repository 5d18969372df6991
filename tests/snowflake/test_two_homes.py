"""One stream of purchases, two warehouses, one answer: the simulator fills a bucket, the Glue job
cleans it, and what it announces reaches the account through its pipes, where dbt builds; the same
objects are loaded and built on DuckDB. Twice, as the second batch meets history."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest

from medallion.contract import FEEDS
from tests.conftest import event
from tests.dbt.extremes import extremes
from tests.glue.harness import Glue, build_package, s3a_jars, stub_jar
from tests.snowflake import tools
from tests.snowflake.account_here import World, fill, world

LAYERS = ("BRONZE.", "SILVER.", "GOLD.", "MARTS.", "OPS.")
GRAMMAR = Path(__file__).with_name("grammar.py")
TILL = "raw/purchases/till.jsonl"
ITS_OWN = ("_SEQ", "LOADED_AT", "STAGED_AT", "EVENT_KEY", "EVENT_BUCKET")
"""Columns, by their end, that are a warehouse's own affair: when it took a row in, and the
numbers by which it finds an event_id (each reads the bytes of the same digest in its own order)."""


@dataclass(frozen=True)
class Homes:
    """The account and the folder of the DuckDB home, both brought to gold."""

    account: World
    home: Path
    landed: dict[str, int]
    task_runs: dict[str, str]
    first: Path


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homes]:
    """The first batch is built by dbt from outside, the second by the account's own task."""
    folder = tmp_path_factory.mktemp("account")
    home, first = folder / "home", folder / "first"
    with world(folder) as account:
        glue = job(account, folder)
        account.run_script()
        with batch(account, glue, home, 1200, 3):
            account.landed()
            account.dbt("run")
        shutil.copytree(folder / "target" / "compiled", first)
        account.deploy()
        with batch(account, glue, home, 500, 4):
            landed = account.landed()
            runs = account.server.control(tick=True)
        yield Homes(account, home, landed, runs, first)


def job(account: World, folder: Path) -> Glue:
    """The Glue job on this machine, which finds the bucket."""
    s3 = account.s3
    return Glue(
        stub_jar(),
        build_package(folder),
        folder,
        jars=s3a_jars(),
        settings=s3.settings(),
        variables=s3.environment(),
    )


@contextmanager
def batch(account: World, glue: Glue, home: Path, events: int, seed: int) -> Iterator[None]:
    """Simulates purchases into the bucket and lets the job clean them there. What it has made of
    them is brought to gold on DuckDB while the block runs. Every batch rewrites one object, and
    has events of every feed with the greatest and smallest values that the contract accepts."""
    fill(account.s3, home.with_name(f"simulated-{seed}"), events, seed)
    for name, feed in FEEDS.items():
        most = [line for line, _ in extremes(Random(seed), feed, 40)]
        account.s3.put({f"raw/{name}/extremes-{seed}.ndjson": b"\n".join(most)})
    lines = [event(event_id=f"till-{n}", price=seed, total_amount=2 * seed) for n in range(seed, 6)]
    account.s3.put({TILL: "\n".join(lines).encode()})
    glue.submit(account.environment["MEDALLION_LAKE"]).wait()
    process = subprocess.Popen(
        [sys.executable, "-m", "medallion.cli", "run", "--events", "0", "--home", str(home)],
        env=account.process,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output


def relations(homes: Homes) -> tuple[set[str], set[str]]:
    """The relations of the layers, on DuckDB and on the account."""
    with duckdb.connect(homes.home / "warehouse.duckdb", read_only=True) as laptop:
        sql = (
            "SELECT upper(schema_name || '.' || table_name) FROM duckdb_tables() "
            "UNION ALL SELECT upper(schema_name || '.' || view_name) FROM duckdb_views()"
        )
        in_laptop = {name for (name,) in laptop.execute(sql).fetchall()}
    in_snowflake = (
        name.rpartition("RETAIL.")[2]
        for name in homes.account.server.state()["objects"]
        if name.startswith(("TABLE RETAIL.", "VIEW RETAIL."))
    )
    return (
        {name for name in in_laptop if name.startswith(LAYERS)},
        {name for name in in_snowflake if name.startswith(LAYERS)},
    )


def bag(columns: list[str], rows: list[tuple[Any, ...]]) -> Counter[tuple[Any, ...]]:
    """Rows without the columns of the load, each as often as it comes. Raises on a float: money
    and counts have none."""
    kept = [n for n, name in enumerate(columns) if not name.upper().endswith(ITS_OWN)]
    bag_of_rows: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        values = tuple(row[n] for n in kept)
        assert not any(isinstance(value, float) for value in values), row
        bag_of_rows[tuple(bytes(v) if isinstance(v, bytearray) else v for v in values)] += 1
    return bag_of_rows


def both(homes: Homes, relation: str) -> tuple[list[str], Counter[Any], list[str], Counter[Any]]:
    """Columns and rows of a relation on DuckDB, then on the account."""
    sql = f"SELECT * FROM {relation}"
    if relation == "MARTS.DATA_QUALITY":
        sql += " WHERE measure NOT IN ('seconds', 'loads behind bronze')"  # of the load
    with duckdb.connect(homes.home / "warehouse.duckdb", read_only=True) as laptop:
        answer = laptop.execute("SET TimeZone = 'UTC'").execute(sql)
        columns = [column[0].upper() for column in answer.description]
        in_laptop = bag(columns, answer.fetchall())
    with homes.account.session() as cursor:
        cursor.execute(sql)
        others = [column[0] for column in cursor.description]
        in_snowflake = bag(others, cursor.fetchall())
    return columns, in_laptop, others, in_snowflake


def test_both_homes_give_the_same_rows(homes: Homes) -> None:
    """Every relation of bronze, silver, gold, marts and ops: the same columns, the same rows."""
    in_laptop, in_snowflake = relations(homes)
    assert in_laptop == in_snowflake and len(in_laptop) > 30
    counted, differences = 0, {}
    for relation in sorted(in_laptop):
        columns, laptop, others, snowflake = both(homes, relation)
        assert columns == others, relation
        counted += sum(laptop.values())
        if laptop != snowflake:
            differences[relation] = (list(laptop - snowflake)[:2], list(snowflake - laptop)[:2])
    print(f"\n{len(in_laptop)} relations, {counted:,} rows, {len(differences)} relations differ")
    assert not differences, differences
    assert counted > 5000


def test_the_newest_version_of_an_object_counts(homes: Homes) -> None:
    """Lines of the second batch alone: two, at its price."""
    sql = f"SELECT event_id, price FROM SILVER.PURCHASES_SILVER WHERE source_file = '{TILL}'"
    assert sorted(homes.account.rows(sql)) == [("till-4", 4), ("till-5", 4)]
    sql = "SELECT versions, staged_rows, holds FROM OPS.CONSERVATION WHERE source_file = "
    assert homes.account.rows(f"{sql}'{TILL}'") == [(2, 2, True)]


def test_every_object_was_cleaned_by_the_glue_job(homes: Homes) -> None:
    """Both batches: nothing that the embedded cleaner has made is compared above."""
    sql = (
        "SELECT DISTINCT split_part(engine, ' ', 1), count(DISTINCT bronze_file) FROM OPS.RECEIPTS"
    )
    assert homes.account.rows(f"{sql} GROUP BY 1") == [("spark", 2)]


def test_the_task_has_built_the_second_batch(homes: Homes) -> None:
    """It runs when something has landed and is skipped when nothing has; monitoring tells."""
    tasks = ["RETAIL.CONTROL.BOOK_ARRIVALS", "RETAIL.CONTROL.BUILD"]
    assert homes.task_runs == dict.fromkeys(tasks, "SUCCEEDED")
    assert homes.account.server.control(tick=True) == {tasks[0]: "SKIPPED"}
    sql = "SELECT name, state, count(*) FROM MONITORING.TASK_RUNS GROUP BY 1, 2"
    runs = {(n, s): c for n, s, c in homes.account.rows(sql, "RETAIL_MONITOR")}
    assert runs["BUILD", "SUCCEEDED"] == 1 and runs["BOOK_ARRIVALS", "SKIPPED"] == 1


def test_unit_tests_hold_on_the_account(homes: Homes) -> None:
    assert "PASS=" in homes.account.dbt("test", "--select", "test_type:unit")


def test_freshness_and_docs(homes: Homes) -> None:
    assert "PASS freshness of staging.purchases" in homes.account.dbt("source", "freshness")
    homes.account.dbt("docs", "generate")
    catalog = json.loads((homes.account.folder / "target" / "catalog.json").read_text())
    objects = homes.account.server.state()["objects"]
    tables = {name for name in relations(homes)[1] if f"TABLE RETAIL.{name}" in objects}
    assert len(catalog["nodes"]) == len(tables)  # the stand-in's catalog holds no views
    assert len(catalog["sources"]) == 0


def test_readers_see_no_customer(homes: Homes) -> None:
    """In tables and in the views over them: digests, which still join; dbt's role sees all."""
    for relation in ("DIM_CUSTOMERS", "FCT_BASKET", "FCT_SALES_LINE", "CUSTOMER_RFM"):
        sql = f"SELECT DISTINCT customer_id FROM MARTS.{relation} WHERE customer_id <> '(guest)'"
        real = {name for (name,) in homes.account.rows(sql)}
        shown = {name for (name,) in homes.account.rows(sql, "RETAIL_READER")}
        assert shown == {sha256(name.encode()).hexdigest() for name in real} and real


def test_grammar_of_every_model(homes: Homes, tmp_path: Path) -> None:
    """Models as they are built at first and as they go on, and the data tests of our own."""
    folder = homes.account.folder / "target" / "compiled"
    texts = {}
    for path in (*homes.first.rglob("*.sql"), *folder.rglob("*.sql")):
        if ".yml" not in str(path.parent):
            texts[path.read_text()] = path
    command = [tools.python(), GRAMMAR, *map(str, texts.values())]
    faults = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert faults == {"violations": {}, "foreign": {}}
    assert len(texts) > 40
