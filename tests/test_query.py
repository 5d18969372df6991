"""`medallion query`: what it prints, what it refuses, and that it never leaves the warehouse."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medallion.cli.printing.table import table_lines
from medallion.cli.printing.text import visible
from tests.conftest import Cli, drop, event, medallion

HOW_MANY = "SELECT range AS n, 'a text of some length' AS t FROM range(1000000000000)"


def reaches_out(home: Path, outside: Path) -> list[str]:
    """Ways to a file, to the network, to a setting or to this program, tried as queries."""
    warehouse = home / "warehouse.duckdb"
    return [
        "SELECT count(*) FROM read_text('/etc/hostname')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "FROM read_json('/etc/hostname')",
        "FROM read_blob('/etc/hostname')",
        "FROM sniff_csv('/etc/passwd')",
        "FROM parquet_metadata('/etc/hostname')",
        "FROM glob('/etc/*')",
        "FROM '/etc/passwd.csv'",
        "FROM 'http://127.0.0.1:9/x.parquet'",
        f"FROM read_parquet('{home}/gold/*/purchases_gold.parquet')",
        f"SELECT size FROM read_blob('{warehouse}')",
        f"FROM glob('{warehouse}')",
        f"FROM read_blob('{warehouse}.wal')",
        "FROM query('SELECT * FROM read_text(''/etc/hostname'')')",
        "WITH x AS (FROM read_text('/etc/hostname')) SELECT count(*) FROM x",
        "SELECT (SELECT count(*) FROM read_text('/etc/hostname'))",
        "FROM json_execute_serialized_sql(json_serialize_sql('FROM read_text(''/etc/hostname'')'))",
        "FROM sql",
        "FROM connection",
        f"COPY (SELECT 1) TO '{outside}/x.csv'",
        f"COPY (SELECT 1) TO '{warehouse}.wal'",
        f"EXPLAIN ANALYZE COPY (SELECT 1) TO '{outside}/x.csv'",
        f"EXPLAIN ANALYZE COPY (SELECT 1) TO '{warehouse}.wal'",
        f"explain /* x */ analyze COPY (SELECT 1) TO '{warehouse}.wal'",
        f"COPY purchases_gold FROM '{outside}/x.csv'",
        f"EXPORT DATABASE '{outside}/all'",
        f"IMPORT DATABASE '{outside}'",
        f"ATTACH '{outside}/other.duckdb'",
        f"ATTACH '{warehouse}' AS again",
        "ATTACH ':memory:' AS m",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET disabled_filesystems = ''",
        "SET threads = 1",
        "RESET lock_configuration",
        "SET VARIABLE a = 1",
        f"PRAGMA profiling_output = '{outside}/profile'",
        f"CALL enable_logging(storage = 'file', storage_path = '{outside}/log')",
        f"FROM enable_profiling(save_location = '{outside}/profile')",
        "CREATE PERSISTENT SECRET s (TYPE s3)",
        "CREATE TABLE t AS SELECT 1",
        "CREATE TEMP TABLE t AS SELECT 1",
        "DELETE FROM purchases_silver",
        "CHECKPOINT",
        "BEGIN",
        "PREPARE p AS SELECT 1",
        "SELECT 1; SELECT 2",
        f"SELECT 1; COPY (SELECT 1) TO '{outside}/x.csv'",
        "",
        "   ",
        ";",
        "/* nothing */",
    ]


def test_a_query_reaches_no_file(copy: Path, tmp_path: Path, cli: Cli) -> None:
    """Neither one outside nor those of the home; nothing is written, and each attempt is refused in
    one line."""
    (outside := tmp_path / "outside").mkdir()
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    for number, sql in enumerate(reaches_out(copy, outside)):
        result = cli(copy, "query", sql, *((), ("--json",), ("--csv",))[number % 3])
        assert (result.exit_code, result.stdout) == (2, ""), sql
        assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, sql
    assert not list(outside.iterdir())
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before
    assert cli(copy, "audit").exit_code == 0


@pytest.mark.parametrize(
    "sql",
    [
        "FROM purchases_gold",
        "DESCRIBE purchases_gold",
        "SHOW TABLES",
        "SUMMARIZE purchases_gold",
        "VALUES (1)",
        "EXPLAIN SELECT 1",
        "explain analyze SELECT count(*) FROM purchases_gold",
        "PIVOT purchases_gold ON currency IN ('USD') USING sum(lines)",
        "SELECT 1 -- a comment",
        "SELECT 1;",
    ],
)
def test_what_only_reads_is_run(built: Path, cli: Cli, sql: str) -> None:
    """Every kind of statement that is a query."""
    result = cli(built, "query", sql)
    assert result.exit_code == 0 and result.stdout, result.output


@pytest.mark.parametrize(
    "expression",
    [
        "(SELECT content FROM read_text('/etc/hostname'))",
        "a || (FROM read_text('/etc/hostname') SELECT content)",
        "list_transform([1], x -> (SELECT content FROM read_text('/etc/hostname')))[1]",
        "(FROM query('FROM read_text(''/etc/hostname'')'))",
        "a) FROM read_text('/etc/hostname') --",
        "a FROM read_text('/etc/hostname')",
        "write_log('x')",
        "read_text('/etc/hostname')",
        "getenv('HOME')",
    ],
)
def test_an_expression_of_a_mapping_reaches_no_file(
    tmp_path: Path, cli: Cli, expression: str
) -> None:
    """It is one value of one row; nothing is written when it tries to be more."""
    (tmp_path / "till.csv").write_text("a\n1\n")
    fields = {"event_id": expression, "ts": "a", "store_id": "a", "product_id": "a"}
    lines = "".join(f"{name} = {json.dumps(sql)}\n" for name, sql in fields.items())
    mapping = tmp_path / "till.toml"
    mapping.write_text(f'[source]\nformat = "csv"\n[fields]\n{lines}price = "a"\nquantity = "a"\n')
    (home := tmp_path / "home").mkdir()
    result = cli(home, "import", str(tmp_path / "till.csv"), "--mapping", str(mapping))
    assert result.exit_code == 2 and result.stderr.count("\n") == 1, result.output
    assert not (home / "raw").exists()


@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",)], ids=["table", "json", "csv"])
def test_rows_come_as_they_are_found(built: Path, cli: Cli, form: tuple[str, ...]) -> None:
    """The first of a trillion rows, at once; standard error says that there are more."""
    started = time.monotonic()
    result = cli(built, "query", HOW_MANY, "--limit", "3", *form)
    assert time.monotonic() - started < 10
    assert result.exit_code == 0 and result.stderr.startswith("these are the first 3 rows")
    assert result.stdout.count("a text of some length") == 3
    whole = cli(built, "query", "SELECT 1 AS one", "--limit", "1", *form)
    assert whole.stderr == "" and whole.exit_code == 0


def test_a_reader_that_goes_ends_the_query(built: Path) -> None:
    """As `head` does: no traceback, and the exit code of a closed pipe."""
    for form in ((), ("--json",), ("--csv",)):
        process = medallion("query", HOW_MANY, "--home", str(built), *form)
        assert process.stdout is not None and process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=20) == 141
        assert process.stderr is not None and process.stderr.read() == ""


def test_twenty_thousand_rows_are_a_matter_of_seconds(built: Path, cli: Cli) -> None:
    """Each whole and on a line of its own, wide as it is."""
    sql = "SELECT i, s.* EXCLUDE (load_seq) FROM range(20000) t(i), (FROM purchases_gold LIMIT 1) s"
    started = time.monotonic()
    result = cli(built, "query", sql)
    assert time.monotonic() - started < 20
    assert len(result.stdout.splitlines()) == 20_002


ODD = (
    "SELECT 'nan'::DOUBLE AS n, 'inf'::FLOAT AS i, 1 AS a, 2 AS a, 3 AS a_1, '' AS empty, "
    "NULL AS nothing, 'l1' || chr(10) || 'l2' AS lines, chr(27) || '[31mred' AS colour, "
    "{'x': 'nan'::DOUBLE} AS nested, true AS yes, chr(8238) || 'gpj' AS turned, chr(155) AS c1"
)


def test_json_holds_what_json_cannot_name(built: Path, cli: Cli) -> None:
    """No column is lost, NaN is a text, and nothing in it moves a cursor."""
    result = cli(built, "query", ODD, "--json")
    assert json.loads(result.stdout) == [
        {
            "n": "NaN",
            "i": "Infinity",
            "a": 1,
            "a_2": 2,
            "a_1": 3,
            "empty": "",
            "nothing": None,
            "lines": "l1\nl2",
            "colour": "\x1b[31mred",
            "nested": {"x": "NaN"},
            "yes": True,
            "turned": "\u202egpj",
            "c1": "\x9b",
        }
    ]
    assert visible(result.stdout.rstrip("\n")) == result.stdout.rstrip("\n")


def test_csv_tells_nothing_from_empty(built: Path, cli: Cli) -> None:
    """RFC 4180, decimals with all their digits; in a file the bytes are those of the data."""
    result = cli(built, "query", ODD, "--csv")
    (names, row) = csv.reader(io.StringIO(result.stdout))
    assert names[2:5] == ["a", "a_2", "a_1"]
    assert row[:2] == ["NaN", "Infinity"] and row[7:9] == ["l1\nl2", "\x1b[31mred"]
    assert ',"",,' in result.stdout
    exact = cli(built, "query", "SELECT 1.10::DECIMAL(30,20) AS d, 'a,\"b' AS t", "--csv")
    assert exact.stdout == 'd,t\n1.10000000000000000000,"a,""b"\n'


def test_a_table_shows_what_a_terminal_would_obey(built: Path, cli: Cli) -> None:
    """Escapes, line breaks and marks of direction, in values and in names."""
    shown = cli(built, "query", ODD + ', 1 AS "\x1b[2J"').stdout
    assert r"\x1b[31mred" in shown and r"l1\nl2" in shown and r"\u202egpj" in shown
    assert r"\x1b[2J" in shown and "\x1b" not in shown


def test_names_and_texts_of_others_are_shown_too(tmp_path: Path, cli: Cli) -> None:
    """What the quarantine holds, and what lies under raw/."""
    drop(tmp_path, "a\x1b[2J.json", '{"event_id": "\x1b]0;title\x07", nonsense')
    drop(tmp_path, "b\x1b[2J.csv", "a")
    for verb in ("clean", "load"):
        assert cli(tmp_path, verb).exit_code == 0
    for verb in (("quarantine", "list"), ("quarantine", "show"), ("status",)):
        output = cli(tmp_path, *verb).stdout
        assert r"\x1b[2J" in output and "\x1b" not in output, verb
    assert r"\x1b]0;title\x07" in cli(tmp_path, "quarantine", "show").stdout


@pytest.mark.parametrize("width", [40, 60, 100, None])
def test_a_table_fits_and_cuts_nothing(width: int | None) -> None:
    """Side by side where there is room, else one under the other; each value in one piece."""
    rows = [("2026-03-01 10:00:00", f"raw/{'x' * 30}.json:{n}", n * 1000) for n in range(3)]
    lines = list(table_lines(("at", "where", "n"), rows, width))
    if width is None or width > 75:
        assert all(len(line) <= 75 for line in lines) and len(lines) == 5
    else:
        assert len(lines) == 12
    text = "\n".join(lines)
    assert all(at in text and where in text for at, where, _ in rows) and "2,000" in text


def on_terminal(*arguments: str, columns: int, lines: int = 50, **environment: str) -> str:
    """Return what a person sees who runs `medallion` on a terminal of this size."""
    screen, terminal = pty.openpty()
    command = [sys.executable, "-m", "medallion.cli", *arguments]
    size = {"COLUMNS": str(columns), "LINES": str(lines)}
    with subprocess.Popen(
        command,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=os.environ | size | environment,
    ):
        os.close(terminal)
        shown = b""
        try:
            while block := os.read(screen, 65536):
                shown += block
        except OSError:
            pass  # the other end has closed
        os.close(screen)
    return shown.decode().replace("\r\n", "\n")


def test_on_a_terminal_wide_rows_stand_one_under_the_other(built: Path) -> None:
    """No line is broken, however narrow it is, and no progress bar of the database is drawn."""
    sql = "SELECT sales_date, currency, net_sales, gross_sales, returns FROM purchases_gold LIMIT 2"
    wide, narrow = (
        on_terminal("query", sql, "--home", str(built), columns=columns) for columns in (100, 40)
    )
    assert len(wide.splitlines()) == 4 and len(narrow.splitlines()) == 12
    assert all(len(line) <= 40 for line in narrow.splitlines())


def test_on_a_terminal_many_rows_go_through_the_pager(built: Path) -> None:
    """Those that fit do not; and a pager that is left early ends the query."""
    many = "SELECT range AS n FROM range(100000000)"
    shown = on_terminal(
        *("query", many, "--home", str(built)), columns=80, lines=10, PAGER="head -n 4"
    )
    assert [line.strip() for line in shown.splitlines()[2:]] == ["0", "1"]
    shown = on_terminal(
        *("query", "SELECT 1 AS n", "--home", str(built)), columns=80, lines=10, PAGER="false"
    )
    assert shown.splitlines()[2].strip() == "1"


def test_an_event_of_one_is_counted(tmp_path: Path, cli: Cli) -> None:
    """A repeated name in a query of the warehouse keeps both columns."""
    drop(tmp_path, "a.json", event())
    for verb in ("clean", "load"):
        assert cli(tmp_path, verb).exit_code == 0
    sql = "SELECT p.event_id, q.event_id FROM staging.purchases p, staging.purchases q"
    assert json.loads(cli(tmp_path, "query", sql, "--json").stdout) == [
        {"event_id": "e1", "event_id_1": "e1"}
    ]
