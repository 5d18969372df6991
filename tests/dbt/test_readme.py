"""dbt/TESTS_README.md: its examples run, and its tables name the tests that there are."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.dbt.dbt_warehouse import (  # noqa: F401
    PROJECT,
    manifest_fixture,
    new_warehouse_fixture,
    warehouse_fixture,
)

README = (PROJECT / "TESTS_README.md").read_text(encoding="utf-8")


def examples(language: str) -> list[str]:
    """The code blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[list[str]]:
    """The words after `dbt` in every command, without the options that say where the project is."""
    lines = "\n".join(examples("bash")).splitlines()
    words = [shlex.split(line, comments=True) for line in lines if "dbt " in line]
    commands = [w[w.index("dbt") + 1 :] for w in words if w[0] != "cd"]
    return [w[: w.index("--project-dir")] if "--project-dir" in w else w for w in commands]


def test_every_example_works(
    warehouse: Any, tmp_path: Path, query: Callable[..., list[dict[str, Any]]]
) -> None:
    """The commands as written, one after the other, on a warehouse that was loaded just now; then
    the queries, which find the copy and the unknown product."""
    assert len(commands()) == 9
    warehouse.load("products", {"product_id": "P1", "ts": "2026-01-01", "category": "grocery"})
    warehouse.load("receipts", {"feed": "purchases", "lines": 3, "accepted": 3})
    sale = {"event_id": "a", "ts": "2026-01-01 10:00", "price": "2"}
    warehouse.sell(sale, sale, sale | {"event_id": "b", "product_id": "unknown"})
    for table in ("purchases", "receipts"):
        now = datetime.now(UTC).replace(tzinfo=None)
        warehouse.db.execute(f"UPDATE staging.{table} SET loaded_at = ?", [now])
    for words in commands():
        outcome = warehouse.dbt(*words)
        assert outcome.success, (words, outcome.exception or outcome.result)
        if words[0] in ("run", "test", "show"):
            assert len(outcome.result.results) > 0, f"{words} selects nothing"
    # dbt keeps the warehouse open in this process: the queries read a copy.
    warehouse.db.execute("CHECKPOINT")
    shutil.copy(warehouse.home / "warehouse.duckdb", tmp_path)
    queries = examples("sql")
    assert len(queries) == 2
    for sql in queries:
        (row,) = query(tmp_path, sql)
        assert all(value not in (None, 0) for value in row.values()), sql


def test_the_tables_name_every_test(manifest: Any) -> None:
    """The singular tests, the unit tests and the generic tests of our own, and no others."""
    nodes = [n for n in manifest.nodes.values() if n.resource_type == "test"]
    singular = {n.name for n in nodes if not hasattr(n, "test_metadata")}
    generic = {n.test_metadata.name for n in nodes if hasattr(n, "test_metadata")}
    unit = {n.name for n in manifest.unit_tests.values()}
    tables = "\n".join(line for line in README.splitlines() if line.startswith("|"))
    known = {n.name for n in manifest.nodes.values()} | {n.alias for n in manifest.nodes.values()}
    named = set(re.findall(r"`(\w+)`", tables))
    assert singular | unit | generic <= named
    columns = {"bronze_id", "event_id"}
    assert named <= singular | unit | generic | known | columns, named - known
