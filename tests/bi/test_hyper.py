"""`medallion export --hyper`: a Tableau extract, written and read by Tableau's own library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.bi.awkward import planted
from tests.conftest import medallion
from tests.environments import library

HYPER_LOCK = Path(__file__).parent / "hyper.lock"
READ_HYPER = """
import json, sys
from tableauhyperapi import Connection, HyperProcess, Telemetry
silent = Telemetry.DO_NOT_SEND_USAGE_DATA_TO_TABLEAU
with HyperProcess(silent, parameters={"log_config": ""}) as process:
    with Connection(process.endpoint, sys.argv[1]) as connection:
        tables = [t.name.unescaped for t in connection.catalog.get_table_names("marts")]
        rows = connection.execute_list_query(sys.argv[2])
        print(json.dumps([tables, [[str(v) for v in row] for row in rows]]))
"""


def test_an_extract_without_tableaus_library_says_how_to_get_it(
    built: Path, tmp_path: Path
) -> None:
    """One line, before anything is written."""
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / "tableauhyperapi.py").write_text("raise ImportError('not here')\n")
    arguments = ["export", str(tmp_path / "out"), "--hyper", str(tmp_path / "x.hyper")]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "stub")}
    process = medallion(*arguments, "--home", str(built), env=environment)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert errors.strip().endswith("pip install tableauhyperapi")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def hyper_library() -> Path:
    """Tableau's library, fetched by the lock file once, outside of the project's environment."""
    return library("hyper", HYPER_LOCK)


@pytest.fixture
def exported(
    copy: Path, tmp_path: Path, hyper_library: Path
) -> Callable[[], tuple[int | None, str]]:
    """Export a home with an awkward relation to out/ and x.hyper; return the exit code and the
    output."""
    with duckdb.connect(str(planted(copy) / "warehouse.duckdb")) as warehouse:
        warehouse.execute("ALTER TABLE marts.awkward DROP COLUMN many")  # no list in an extract

    def run() -> tuple[int | None, str]:
        arguments = ["export", str(tmp_path / "out"), "--format", "csv"]
        arguments += ["--hyper", str(tmp_path / "x.hyper"), "--home", str(copy)]
        environment = os.environ | {"PYTHONPATH": str(hyper_library)}
        process = medallion(*arguments, env=environment, cwd=tmp_path)
        _, errors = process.communicate(timeout=300)
        return process.returncode, errors

    return run


def test_an_extract_holds_the_same_numbers(
    exported: Callable[[], tuple[int | None, str]],
    tmp_path: Path,
    copy: Path,
    hyper_library: Path,
    query: Any,
) -> None:
    """Read back by Tableau's own library: decimals exact, times with their zone."""
    assert exported() == (0, "")

    def read(sql: str) -> Any:
        command = [sys.executable, "-c", READ_HYPER, str(tmp_path / "x.hyper"), sql]
        environment = os.environ | {"PYTHONPATH": str(hyper_library)}
        return json.loads(subprocess.check_output(command, env=environment, text=True))

    tables, rows = read(
        'SELECT "amount", "ts", "local_ts", "na,me" FROM "marts"."awkward" WHERE "number" = 0'
    )
    assert set(tables) == {p.stem for p in (tmp_path / "out").glob("*.csv")}
    amount = "-12345678901234567890123456789012.0001"
    times = ["2026-03-01 10:00:00.001000+00:00", "2026-03-01 11:00:00.001000"]
    assert rows == [[amount, *times, "=1+1"]]
    sums = "sum(net_sales) AS n, sum(returns) AS r, count(*) AS c"
    _, (row,) = read(f'SELECT {sums} FROM "marts"."fct_sales_line"')
    (held,) = query(copy, f"SELECT {sums} FROM fct_sales_line")
    assert list(map(Decimal, row)) == list(map(Decimal, held.values()))


def test_an_extract_replaces_only_that_of_the_last_export(
    exported: Callable[[], tuple[int | None, str]], tmp_path: Path
) -> None:
    """Nothing else is left beside it."""
    assert [exported(), exported()] == [(0, "")] * 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "out", "x.hyper"]
    (tmp_path / "x.hyper").write_bytes(b"mine")
    code, errors = exported()
    assert code == 2
    assert "x.hyper is not of the last export" in errors
    assert (tmp_path / "x.hyper").read_bytes() == b"mine"
