"""Questions while a stream runs: the runner answers other processes of the same user."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from medallion.errors import WarehouseBusy, WarehouseError
from medallion.platforms.platform import Platform
from medallion.platforms.questions import server
from medallion.platforms.questions.address import SOCKET
from medallion.platforms.questions.client import held_warehouse
from medallion.settings import Settings
from tests.conftest import ENDLESS, Cli, medallion
from tests.test_doors import ATTEMPTS

TYPES = """
SELECT 1::HUGEINT AS h, 1::UHUGEINT AS uh, '12:00:00+02'::TIMETZ AS tz, '101'::BIT AS b,
    INTERVAL 3 days AS i, {'a': 1, 'b': [1, 2]} AS s, MAP {'x': 1} AS m, 'a'::ENUM ('a', 'b') AS e,
    TIMESTAMPTZ '2020-01-01 00:00:00+02' AS ts, TIMESTAMP_NS '2020-01-01' AS tn,
    'infinity'::DATE AS di, '{"a": 1}'::JSON AS j, union_value(k := 1) AS un,
    1.50::DECIMAL(38, 10) AS d, NULL AS n, 'x'::BLOB AS bl, [1, 2]::INT[2] AS arr,
    'inf'::DOUBLE AS f, TIME '12:00' AS t, [NULL] AS nl, chr(27) || '[2J' AS escape"""
"""A value of each type that comes out in a way of its own."""


@pytest.fixture(scope="module")
def held(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose warehouse a runner has opened for as long as the tests last."""
    home = Path(shutil.copytree(built, tmp_path_factory.mktemp("held") / "home"))
    with Platform.of(Settings(home)).warehouse():
        yield home


def same(cli: Cli, built: Path, held: Path, *arguments: str) -> str:
    """What a verb prints, which is the same in both ways of reaching the data."""
    direct, asked = cli(built, *arguments), cli(held, *arguments)
    assert asked.exit_code == direct.exit_code == 0, asked.output
    assert asked.stdout == direct.stdout
    return asked.stdout


@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",)], ids=["table", "json", "csv"])
@pytest.mark.parametrize(
    "sql",
    [
        TYPES,
        "SELECT * FROM purchases_silver ORDER BY event_id LIMIT 6000",
        "SELECT count(*) AS n FROM staging.purchases WHERE false GROUP BY ALL",
        "DESCRIBE purchases_gold",
        "SHOW TABLES",
        "EXPLAIN SELECT 1",
        "PIVOT purchases_gold ON currency IN ('USD') USING sum(lines) ORDER BY ALL",
        "WITH own AS (SELECT 1 AS a) SELECT * FROM own -- ; a comment",
    ],
)
def test_an_answer_is_the_same_in_both_ways(
    built: Path, held: Path, cli: Cli, sql: str, form: tuple[str, ...]
) -> None:
    """Types, order, digits and names; a result without rows has its columns."""
    same(cli, built, held, "query", sql, *form)


@pytest.mark.parametrize(
    "verb",
    [
        ("audit", "--all", "--json"),
        ("conflicts", "--json"),
        ("quarantine", "list", "--json"),
        ("quarantine", "show", "--json"),
        ("quarantine", "replay", "--reason", "bad_price", "--set", "price=1", "--json"),
    ],
    ids=" ".join,
)
def test_a_verb_that_reads_works_while_the_home_is_busy(
    built: Path, held: Path, cli: Cli, verb: tuple[str, ...]
) -> None:
    """And says what it says of a home at rest."""
    same(cli, built, held, *verb)


def test_the_status_counts_the_same(built: Path, held: Path, cli: Cli) -> None:
    """All but what passes with time."""
    rows = [json.loads(cli(home, "status", "--json").stdout) for home in (built, held)]
    counts = [[(row["layer"], row["unit"], row["count"]) for row in home] for home in rows]
    assert counts[0] == counts[1] and all(count for _, _, count in counts[1])


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_an_export_is_the_same_in_both_ways(
    built: Path, held: Path, cli: Cli, tmp_path: Path, form: str
) -> None:
    """Every row, type and digit of every relation."""
    folders = [tmp_path / "direct", tmp_path / "asked"]
    reports = [
        cli(home, "export", str(folder), "--format", form, "--json")
        for home, folder in zip((built, held), folders, strict=True)
    ]
    assert [report.exit_code for report in reports] == [0, 0], reports[1].output
    rows = [json.loads(report.stdout)["rows"] for report in reports]
    assert rows[0] == rows[1] and sum(rows[0].values()) > 10_000
    for name in rows[0]:
        files = " EXCEPT ALL ".join(f"FROM '{folder / name}.{form}'" for folder in folders)
        with duckdb.connect() as connection:
            assert connection.execute(files).fetchall() == [], name
            kinds = [
                connection.execute(f"DESCRIBE FROM '{folder / name}.{form}'").fetchall()
                for folder in folders
            ]
        assert kinds[0] == kinds[1], name


@pytest.mark.parametrize("attempt", [*ATTEMPTS, "FROM secret.csv", "FROM connection"])
def test_a_question_reaches_nothing_but_relations(
    held: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attempt: str
) -> None:
    """The runner's own connection is open to files and may write; a question is not."""
    monkeypatch.chdir(tmp_path)
    secret = tmp_path / "secret.csv"
    secret.write_text("a\nplanted-secret\n")
    before = {p: p.stat().st_mtime_ns for p in held.rglob("*")}
    with held_warehouse(held) as warehouse, pytest.raises(WarehouseError) as refused:
        assert warehouse is not None
        warehouse.execute(attempt.format(file=secret, folder=held)).fetchall()
    assert "planted-secret" not in str(refused.value)
    assert {p: p.stat().st_mtime_ns for p in held.rglob("*")} == before
    assert not (tmp_path / "written.csv").exists()


def test_a_question_is_asked_in_utc(tmp_path: Path) -> None:
    """Wherever the machine stands: a further connection has the zone of the machine."""
    platform = Platform.of(Settings(tmp_path))
    with platform.warehouse() as own:
        own.execute("SET GLOBAL TimeZone = 'Asia/Tokyo'")
        with platform.reader() as warehouse:
            answer = warehouse.execute("SELECT CAST(to_timestamp(0) AS VARCHAR)").fetchall()
    assert answer == [("1970-01-01 00:00:00+00",)]


def test_a_client_sees_one_snapshot(tmp_path: Path) -> None:
    """What is written after its first moment is there for the next client."""
    platform = Platform.of(Settings(tmp_path))
    count = "SELECT count(*) FROM staging.t"
    with platform.warehouse() as own:
        own.execute("CREATE TABLE staging.t AS SELECT 1 AS a")
        with platform.reader() as first:
            assert first.execute(count).fetchall() == [(1,)]
            own.execute("INSERT INTO staging.t VALUES (2)")
            own.execute("CHECKPOINT")
            assert first.execute(count).fetchall() == [(1,)]
        with platform.reader() as second:
            assert second.execute(count).fetchall() == [(2,)]


@pytest.mark.parametrize(
    ("setting", "value", "sql", "why"),
    [
        ("QUESTION_SECONDS", 0.3, ENDLESS, "the query took longer than"),
        ("MEMORY", 64 << 20, "SELECT len(list(range::VARCHAR)) FROM range(300000000)", "of memory"),
        ("CLIENT_SECONDS", 0.3, ENDLESS, "has ended the answer"),
    ],
)
def test_a_greedy_question_is_stopped(
    held: Path,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    value: Any,
    sql: str,
    why: str,
) -> None:
    """In time, with a sentence, and the next question is answered."""
    monkeypatch.setattr(server, setting, value)
    started = time.monotonic()
    result = cli(held, "query", sql)
    assert result.exit_code == 2 and why in result.stderr and result.stderr.count("\n") == 1
    assert time.monotonic() - started < 10
    monkeypatch.undo()
    assert cli(held, "query", "SELECT 42 AS n", "--csv").stdout == "n\n42\n"


def test_who_hangs_up_ends_the_question(held: Path) -> None:
    """A query that nobody waits for takes no more time; one that nobody reads holds nobody up."""
    with held_warehouse(held) as gone, held_warehouse(held) as paused:
        assert gone is not None and paused is not None
        rows = paused.execute("SELECT range FROM range(1000000000000)").batches
        assert next(rows)[0] == (0,)
        gone._messages.send_bytes(json.dumps({"sql": ENDLESS, "parameters": []}).encode())
        gone._messages.close()
        started = time.monotonic()
        with held_warehouse(held) as next_one:
            assert next_one is not None
            assert next_one.execute("SELECT 1").fetchall() == [(1,)]
        assert time.monotonic() - started < 5


def test_only_the_owner_may_ask(held: Path) -> None:
    """The socket has the rights of a private file."""
    mode = (held / SOCKET).stat().st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600


def test_a_home_with_a_long_path_answers_too(tmp_path: Path) -> None:
    """The kernel takes about a hundred bytes for the path of a socket."""
    home = tmp_path.joinpath(*["a-folder-with-a-long-name"] * 8)
    platform = Platform.of(Settings(home))
    home.mkdir(parents=True)
    with platform.warehouse(), held_warehouse(home) as warehouse:
        assert warehouse is not None
        assert warehouse.execute("SELECT 1").fetchall() == [(1,)]
    assert not (home / SOCKET).exists()


def test_a_killed_runner_leaves_nothing_in_the_way(tmp_path: Path, cli: Cli) -> None:
    """Its socket is left: who reads opens the file, and the next runner answers."""
    code = (
        "import sys, os; from pathlib import Path; from medallion.settings import Settings\n"
        "from medallion.platforms.platform import Platform\n"
        "with Platform.of(Settings(Path(sys.argv[1]))).warehouse(): os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    assert killed.returncode == -signal.SIGKILL and (tmp_path / SOCKET).exists()
    assert cli(tmp_path, "query", "SELECT 1 AS n", "--csv").stdout == "n\n1\n"
    platform = Platform.of(Settings(tmp_path))
    with platform.warehouse(), held_warehouse(tmp_path) as warehouse:
        assert warehouse is not None
    assert not (tmp_path / SOCKET).exists()


def test_who_comes_between_file_and_socket_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runner that has just opened the file answers a moment later."""
    platform = Platform.of(Settings(tmp_path))
    with platform.warehouse():
        aside = (tmp_path / SOCKET).rename(tmp_path / "aside")
        threading.Timer(0.5, lambda: aside.rename(tmp_path / SOCKET)).start()
        monkeypatch.setattr(
            "medallion.platforms.platform.open_warehouse", _busy
        )  # of another process
        with platform.reader() as warehouse:
            assert warehouse.execute("SELECT 1").fetchall() == [(1,)]


def _busy(*_: Any, **__: Any) -> Any:
    raise WarehouseBusy("in use by process 1")


def test_where_no_socket_can_be_the_runner_works_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system without sockets."""

    def refuse(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(socket.socket, "listen", refuse)
    with Platform.of(Settings(tmp_path)).warehouse() as warehouse:
        assert warehouse.execute("SELECT 1").fetchall() == [(1,)]


def test_a_stream_answers_and_its_audit_holds(built: Path, tmp_path: Path) -> None:
    """Processes of their own: `up` streams, and beside it the reading verbs do not refuse."""
    home = Path(shutil.copytree(built, tmp_path / "home"))
    streaming = medallion("up", "--rate", "500", "--no-dashboard", "--home", str(home))
    try:
        deadline = time.monotonic() + 240
        while not (home / SOCKET).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        before = asked = _lines(home)
        while asked < before + 1_000 and time.monotonic() < deadline:
            time.sleep(0.2)
            asked = _lines(home)
        assert asked >= before + 1_000
        for verb in (("status",), ("audit",), ("quarantine", "list"), ("conflicts",)):
            _asked(home, *verb)
    finally:
        streaming.send_signal(signal.SIGINT)
        streaming.communicate(timeout=60)
    assert streaming.returncode == 130
    _asked(home, "audit")


def _lines(home: Path) -> int:
    with held_warehouse(home) as warehouse:
        assert warehouse is not None
        ((lines,),) = warehouse.execute("SELECT count(*) FROM staging.purchases").fetchall()
        return int(lines)


def _asked(home: Path, *arguments: str) -> str:
    process = medallion(*arguments, "--home", str(home), env=dict(os.environ))
    answer, errors = process.communicate(timeout=120)
    assert process.returncode == 0, (arguments, answer[-2000:], errors)
    return answer
