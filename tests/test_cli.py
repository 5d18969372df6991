"""The command line: what it prints, and how it refuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from medallion.cli import main
from tests.conftest import ROOT, Cli, drop, event, medallion


def test_every_verb_says_what_it_does(cli: Cli) -> None:
    """`--help` works for the program and for each verb."""
    assert CliRunner().invoke(main, ["--help"]).exit_code == 0
    for verb in main.commands:
        assert CliRunner().invoke(main, [verb, "--help"]).exit_code == 0


def test_query_prints_decimals_as_strings_and_finds_relations_without_schema(
    built: Path, cli: Cli
) -> None:
    """An array with one object a row."""
    sql = (
        "SELECT 1.10::DECIMAL(9,2) AS d, DATE '2026-01-02' AS day, NULL AS nothing, "
        "TIMESTAMP '2026-01-02 03:04:05' AS t, count(*) > 0 AS any FROM purchases_gold"
    )
    result = cli(built, "query", sql, "--json")
    assert json.loads(result.stdout) == [
        {
            "d": "1.10",
            "day": "2026-01-02",
            "nothing": None,
            "t": "2026-01-02T03:04:05Z",
            "any": True,
        }
    ]
    table = cli(built, "query", "SELECT 'x' AS name, 1234.5::DECIMAL(9,1) AS amount")
    assert "name" in table.stdout and "1,234.5" in table.stdout


@pytest.mark.parametrize("sql", ["SELEKT 1", "DELETE FROM purchases_silver", "FROM nothing"])
def test_a_query_that_cannot_run_is_one_line(built: Path, cli: Cli, sql: str) -> None:
    """Also one that would write: the warehouse is opened for reading only."""
    result = cli(built, "query", sql)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1


def test_status_shows_each_layer(built: Path, cli: Cli) -> None:
    """As a table and as JSON."""
    rows = json.loads(cli(built, "status", "--json").stdout)
    assert [row["layer"] for row in rows] == [
        "raw",
        "raw",
        "bronze",
        "bronze",
        "staging",
        "silver",
        "gold",
    ]
    assert all(row["count"] > 0 for row in rows)
    assert "silver" in cli(built, "status").stdout


def test_quarantine_lists_reasons_and_shows_the_original_text(tmp_path: Path, cli: Cli) -> None:
    """By reason and by file; bytes that are no text are shown as such."""
    drop(tmp_path, "a.json", event(price=-1, total_amount=...), b"\xff{", event(quantity="two"))
    for verb in ("clean", "load"):
        assert cli(tmp_path, verb).exit_code == 0
    listed = json.loads(cli(tmp_path, "quarantine", "list", "--json").stdout)
    assert {row["reason"]: row["lines"] for row in listed} == {
        "bad_price": 1,
        "malformed_json": 1,
        "bad_quantity": 1,
    }
    shown = json.loads(
        cli(tmp_path, "quarantine", "show", "--reason", "malformed_json", "--json").stdout
    )
    assert [(r["source_file"], r["source_line"], r["raw"]) for r in shown] == [
        ("raw/a.json", 2, "�{")
    ]
    assert "bad_price" in cli(tmp_path, "quarantine", "show", "--file", "raw/a.json").stdout


def test_a_missing_warehouse_is_one_line(tmp_path: Path, cli: Cli) -> None:
    """It says how to make one, and makes nothing."""
    for arguments in (["query", "SELECT 1"], ["status"], ["audit"], ["quarantine", "list"]):
        result = cli(tmp_path / "none", *arguments)
        assert result.exit_code == 2
        assert "'medallion run' makes one" in result.stderr and result.stderr.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_a_locked_warehouse_is_one_line(copy: Path, cli: Cli) -> None:
    """It names the process that holds it."""
    with duckdb.connect(str(copy / "warehouse.duckdb")):
        process = medallion("query", "SELECT 1", "--home", str(copy))
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"in use by process {os.getpid()}" in errors and errors.count("\n") == 1


@pytest.mark.parametrize("home", ["/proc/none", "README.md"])
def test_a_home_that_cannot_be_used_is_one_line(cli: Cli, home: str) -> None:
    """A place that nobody can write to, and a file."""
    path = Path(home) if home.startswith("/") else ROOT / home
    for verb in ("run", "clean", "load", "simulate"):
        result = cli(path, verb)
        assert result.exit_code == 2, verb
        assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "options",
    [
        ["run", "--events", "-1"],
        ["run", "--faults", "2"],
        ["up", "--duration", "soon"],
        ["simulate", "--rate", "0"],
        ["run", "--nonsense"],
        ["simulate", "--duration", "5s"],
        ["import", "x.csv"],
        ["import", "x.csv", "--mapping", "none.toml"],
    ],
)
def test_a_wrong_option_writes_nothing(tmp_path: Path, cli: Cli, options: list[str]) -> None:
    """Exit code 2 and a reason."""
    result = cli(tmp_path / "home", *options)
    assert result.exit_code == 2
    assert re.search(r"(?i)error", result.stderr)
    assert not list((tmp_path).rglob("*.ndjson*"))


def test_doctor_tells_what_is_missing(tmp_path: Path, cli: Cli) -> None:
    """What is needed is here, or this test would not run."""
    result = cli(tmp_path, "doctor", "--json")
    assert result.exit_code == 0
    assert {"python", "duckdb", "home", "disk"} <= {f["what"] for f in json.loads(result.stdout)}


def test_a_damaged_bronze_object_does_not_stop_the_loader(tmp_path: Path, cli: Cli) -> None:
    """Its neighbours are loaded; it is named; cleaning it again mends it."""
    drop(tmp_path, "a.json", event())
    drop(tmp_path, "b.json", event(event_id="e2"))
    cli(tmp_path, "clean")
    broken = sorted((tmp_path / "bronze/purchases").rglob("*.parquet"))[0]
    broken.write_bytes(b"PAR1")
    report = json.loads(cli(tmp_path, "load", "--json").stdout)
    assert report["rows"] == 1 and len(report["failures"]) == 1
    stem = broken.name.rpartition("-")[0]
    (tmp_path / f"bronze/receipts/{stem}.parquet").unlink()
    cli(tmp_path, "clean")
    report = json.loads(cli(tmp_path, "load", "--json").stdout)
    assert report["rows"] == 1 and not report["failures"]


def test_no_verb_imports_pandas(copy: Path) -> None:
    """It is installed beside the dashboard, and would take longer to import than a small object to
    clean; afterwards it can be imported."""
    drop(copy, "purchases/one.ndjson", event(event_id="one-more"))
    program = """
import sys
from medallion.cli import main
try:
    main(["run", "--events", "0", "--home", sys.argv[1]])
finally:
    assert "pandas" not in sys.modules
    import pandas
"""
    result = subprocess.run(
        [sys.executable, "-c", program, str(copy)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "1 accepted" in result.stdout, result.stdout
