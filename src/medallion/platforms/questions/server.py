"""The server: questions of other processes, answered on cursors of the runner's own connection.

A client sends one JSON object for each query, {"sql": ..., "parameters": [...]}. The answer is
messages of one letter and a body: R and rows as an Arrow stream, any number of times; then
Z at the end of the rows, or E and why the query is refused. All queries of a client see the same
snapshot: that of its first moment.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from medallion.errors import WarehouseError
from medallion.platforms.questions.address import SOCKET, socket_path
from medallion.platforms.questions.rules import require_question
from medallion.platforms.warehouse import another, find_everywhere

ROWS, END, REFUSAL = b"R", b"Z", b"E"
ROWS_AT_A_TIME = 5_000
QUESTION_SECONDS = 60.0
"""Seconds that a query may compute, not counting the time of its reader."""
CLIENT_SECONDS = 3600.0
"""Seconds that a client may keep its snapshot; the warehouse keeps old rows as long."""
MEMORY = 512 << 20
"""Bytes that the memory of the warehouse may grow by during a query."""
CLIENTS = 16
"""How many clients are served at once; others wait until one of them has ended."""
LOOK_EVERY = 0.05

_MEMORY = """
SELECT coalesce(sum(memory_usage_bytes), 0)::BIGINT FROM duckdb_memory()
WHERE tag NOT IN ('BASE_TABLE', 'METADATA', 'IN_MEMORY_TABLE', 'EXTERNAL_FILE_CACHE')"""
"""The memory that queries use, without the cached blocks of tables, which can be dropped."""


@contextmanager
def answering(home: Path, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Answer the questions of other processes of this user while the block lasts.

    On a file system without sockets, no questions are answered.
    """
    listener = _listen(home)
    if listener is None:
        yield
        return
    server = _Server(listener, connection)
    try:
        yield
    finally:
        server.close()
        (home / SOCKET).unlink(missing_ok=True)


def _listen(home: Path) -> socket.socket | None:
    """Return a socket for the owner; a socket that a killed process has left is replaced."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        (home / SOCKET).unlink(missing_ok=True)
        with socket_path(home) as path:
            listener.bind(path)
        # Nobody can connect before the socket listens.
        (home / SOCKET).chmod(0o600)
        listener.listen(CLIENTS)
        listener.settimeout(LOOK_EVERY)
    except OSError:
        listener.close()
        return None
    return listener


@dataclass
class _Question:
    """A query that is being computed: its cursor, and the resources that it has used so far."""

    cursor: duckdb.DuckDBPyConnection
    client: Connection
    memory_before: int = 0
    computed: float = 0.0
    since: float | None = None
    stopped: str = ""

    @contextmanager
    def computing(self) -> Iterator[None]:
        self.since = time.monotonic()
        try:
            yield
        finally:
            self.computed += time.monotonic() - self.since
            self.since = None


@dataclass
class _Server:
    listener: socket.socket
    connection: duckdb.DuckDBPyConnection
    questions: dict[int, _Question] = field(default_factory=dict)
    clients: dict[int, tuple[socket.socket, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ended, self.turn = threading.Event(), threading.Lock()
        self.room = threading.Semaphore(CLIENTS)
        self.probe = self.connection.cursor()
        self.serving: list[threading.Thread] = []
        self.own = [_started(self._accept), _started(self._watch)]

    def close(self) -> None:
        """Stop every question, and accept no more."""
        self.ended.set()
        for thread in self.own:
            thread.join()
        for question in list(self.questions.values()):
            _interrupt(question)
        for client, _ in list(self.clients.values()):
            _hang_up(client)
        for thread in self.serving:
            thread.join()
        self.listener.close()
        self.probe.close()

    def _accept(self) -> None:
        while not self.ended.is_set():
            try:
                client, _ = self.listener.accept()
            except OSError:
                continue  # nobody came
            while not self.room.acquire(timeout=LOOK_EVERY):
                if self.ended.is_set():
                    client.close()
                    return
            self.serving = [thread for thread in self.serving if thread.is_alive()]
            self.serving.append(_started(self._serve, client))

    def _serve(self, client: socket.socket) -> None:
        name = threading.get_ident()
        self.clients[name] = client, time.monotonic() + CLIENT_SECONDS
        cursor = another(self.connection)
        # This object keeps the socket to close it; the messages use a copy of the descriptor.
        messages = Connection(os.dup(client.fileno()))
        try:
            find_everywhere(cursor)
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            while not self.ended.is_set():
                self._answer(cursor, messages, json.loads(messages.recv_bytes()))
        except (OSError, EOFError, ValueError, KeyError, TypeError, duckdb.Error, _Refused):
            pass  # the client has gone, talks another language, or knows why it is refused
        finally:
            del self.clients[name]
            messages.close()
            client.close()
            with suppress(duckdb.Error):
                cursor.execute("ROLLBACK")
            cursor.close()
            self.room.release()

    def _answer(
        self, cursor: duckdb.DuckDBPyConnection, client: Connection, asked: dict[str, Any]
    ) -> None:
        name = threading.get_ident()
        question = _Question(cursor, client)
        self.questions[name] = question
        try:
            for table in self._batches(question, asked["sql"], asked["parameters"]):
                client.send_bytes(ROWS + _arrow(table))
        except (duckdb.Error, pa.ArrowException, WarehouseError, OSError) as error:
            if isinstance(error, BrokenPipeError | ConnectionError):
                raise
            why = question.stopped or " ".join(str(error).split())
            client.send_bytes(REFUSAL + why.encode())
            # Its transaction has ended with the error.
            raise _Refused from error
        finally:
            del self.questions[name]
        client.send_bytes(END)

    def _batches(self, question: _Question, sql: str, parameters: list[Any]) -> Iterator[pa.Table]:
        """Yield the rows of a query: first a table without rows, which has the columns.

        Only one question is computed at a time, however slowly the clients read.
        """
        with self.turn, question.computing():
            question.memory_before = self._memory()
            require_question(question.cursor, sql)
            relation = question.cursor.sql(sql, params=parameters)
            reader = relation.to_arrow_reader(ROWS_AT_A_TIME)
        yield pa.Table.from_batches([], reader.schema)
        while True:
            try:
                with self.turn, question.computing():
                    batch = reader.read_next_batch()
            except StopIteration:
                return
            yield pa.Table.from_batches([batch])

    def _memory(self) -> int:
        ((held,),) = self.probe.cursor().execute(_MEMORY).fetchall()
        return int(held)

    def _watch(self) -> None:
        """Interrupt queries that take too long or too much memory, or whose client is gone."""
        while not self.ended.wait(LOOK_EVERY):
            now = time.monotonic()
            for client, deadline in list(self.clients.values()):
                if now > deadline:
                    _hang_up(client)
            for question in list(self.questions.values()):
                if question.since is not None and (why := self._excess(question, now)):
                    question.stopped = why
                    _interrupt(question)

    def _excess(self, question: _Question, now: float) -> str:
        if question.computed + now - (question.since or now) > QUESTION_SECONDS:
            return (
                f"the query took longer than {QUESTION_SECONDS:.0f} s, and the stream must go on: "
                "ask for less, or when no runner is at work"
            )
        if self._memory() - question.memory_before > MEMORY:
            return (
                f"the query needs more than {MEMORY >> 20} MiB of memory beside the stream: ask "
                "for less, or when no runner is at work"
            )
        return "nobody waits for the answer" if _has_gone(question.client) else ""


class _Refused(Exception):
    """A query was refused, and its client was told why."""


def _started(work: Callable[..., None], *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    return thread


def _arrow(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def _has_gone(client: Connection) -> bool:
    """Return whether the client is gone; a client that waits for its answer sends nothing."""
    with suppress(OSError):
        return client.poll()
    return True


def _interrupt(question: _Question) -> None:
    with suppress(duckdb.Error):  # it has just ended
        question.cursor.interrupt()


def _hang_up(client: socket.socket) -> None:
    with suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)
