"""Access limits: who may use the dashboard, and what a query may reach."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from medallion.outputs.dashboard.server import Served, dashboard
from tests.conftest import Cli
from tests.processes import free_port


@pytest.fixture(scope="module")
def outside() -> Iterator[socket.socket]:
    """A listener in place of everything outside: the server uses it as its proxy."""
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.MonkeyPatch.context() as patch:
        listener.setblocking(False)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            patch.setenv(name, address)
            patch.setenv(name.lower(), address)
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        yield listener


@pytest.fixture(scope="module")
def served(outside: socket.socket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The dashboard of a home without a snapshot, with one more name."""
    with dashboard(tmp_path_factory.mktemp("empty"), free_port(), ["shop.example"]) as server:
        yield server


def answer(served: Served, host: str, origin: str) -> int:
    """The status that a websocket gets which names this host and comes from this origin."""
    port = int(served.url.rpartition(":")[2])
    request = (
        f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(request.encode())
        return int(connection.recv(1 << 16).split(b" ")[1])


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:{port}", "http://127.0.0.1:{port}", 101),
        ("localhost:{port}", "http://localhost:{port}", 101),
        ("shop.example", "https://shop.example", 101),
        ("evil.example:{port}", "http://evil.example:{port}", 403),
        ("127.0.0.1:{port}", "http://evil.example", 403),
        ("evil.example", "http://127.0.0.1:{port}", 403),
    ],
)
def test_only_names_of_this_machine_are_served(
    served: Served, outside: socket.socket, host: str, origin: str, status: int
) -> None:
    """A foreign name that leads here (DNS rebinding) gets no page; nobody outside is asked."""
    port = served.url.rpartition(":")[2]
    assert answer(served, host.format(port=port), origin.format(port=port)) == status
    with pytest.raises(BlockingIOError):
        outside.accept()


ATTEMPTS = (
    "SELECT * FROM read_text('{file}')",
    "SELECT * FROM read_blob('{file}')",
    "SELECT * FROM read_csv('{file}')",
    "SELECT * FROM read_json('{file}')",
    "SELECT * FROM read_parquet('{file}')",
    "SELECT * FROM sniff_csv('{file}')",
    "SELECT * FROM parquet_metadata('{file}')",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM '{file}'",
    "FROM 'https://127.0.0.1:1/x.parquet'",
    "SELECT getenv('HOME')",
    "SELECT * FROM read_duckdb('{folder}/warehouse.duckdb', table_name = 'x')",
    "COPY (SELECT 1) TO '{folder}/written.csv'",
    "COPY (SELECT 1) TO '{folder}/warehouse.duckdb.wal'",
    "EXPORT DATABASE '{folder}/written'",
    "IMPORT DATABASE '{folder}/written'",
    "ATTACH '{folder}/written.duckdb' AS other",
    "ATTACH ':memory:' AS other",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{folder}/x.duckdb_extension'",
    "CREATE SECRET (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "CREATE TABLE main.stolen AS SELECT 1",
    "CREATE MACRO f() AS 1",
    "INSERT INTO staging.purchases SELECT * FROM staging.purchases",
    "DELETE FROM staging.purchases",
    "DROP TABLE staging.purchases",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "RESET lock_configuration",
    "SET disabled_filesystems = ''",
    "SET GLOBAL temp_directory = '{folder}/spill'",
    "PRAGMA enable_profiling = 'json'",
    "PRAGMA profiling_output = '{folder}/profile.json'",
    "SET log_query_path = '{folder}/log'",
    "CHECKPOINT",
    "USE memory",
    "CALL pragma_version()",
    "SELECT 1; SELECT * FROM read_text('{file}')",
    "SELECT 1; COPY (SELECT 1) TO '{folder}/written.csv'",
    "PREPARE p AS SELECT 1",
    "EXPLAIN ANALYZE SELECT * FROM read_text('{file}')",
    "EXPLAIN COPY (SELECT 1) TO '{folder}/written.csv'",
    "WITH x AS (SELECT * FROM read_text('{file}')) FROM x",
    "SELECT * FROM query('SELECT * FROM read_text(''{file}'')')",
    "SELECT * FROM query_table('{file}')",
    "FROM python_variable",
)


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_query_reaches_nothing_but_relations(
    built: Path, cli: Cli, tmp_path: Path, attempt: str
) -> None:
    """One line, exit 2; nothing of the file is told, and nothing is written or changed."""
    secret = tmp_path / "secret.csv"
    secret.write_text("a\nplanted-secret\n")
    before = {p: p.stat().st_mtime_ns for p in built.rglob("*") if p.name != ".lock.json"}
    result = cli(built, "query", attempt.format(file=secret, folder=built))
    assert result.exit_code == 2, result.output
    assert result.stderr.rstrip("\n").count("\n") == 0, result.stderr
    assert "planted-secret" not in result.output and os.environ["HOME"] not in result.stdout
    assert {p: p.stat().st_mtime_ns for p in built.rglob("*") if p.name != ".lock.json"} == before


@pytest.mark.parametrize("attempt", [a for a in ATTEMPTS if "{file}" in a or "{folder}" in a])
def test_without_the_rule_a_query_reaches_no_file_either(
    built: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attempt: str
) -> None:
    """The connection of a command is closed by itself: the rule may have a gap."""
    monkeypatch.setattr("medallion.platforms.warehouse.require_question", lambda *_: None)
    secret, before = tmp_path / "secret.csv", set(built.rglob("*"))
    secret.write_text("a\nplanted-secret\n")
    result = cli(built, "query", attempt.format(file=secret, folder=built))
    assert "planted-secret" not in result.output
    assert set(built.rglob("*")) == before
