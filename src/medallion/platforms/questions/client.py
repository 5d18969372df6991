"""The client: reads a warehouse through the process that holds it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from medallion.errors import WarehouseError
from medallion.platforms.questions.address import SOCKET, socket_path
from medallion.platforms.questions.server import CLIENT_SECONDS, REFUSAL, ROWS
from medallion.platforms.warehouse import Result

_GONE = (
    "the process that holds the warehouse has ended the answer: it has stopped, or the answer took "
    f"longer than {CLIENT_SECONDS:.0f} s"
)
Batch = list[tuple[Any, ...]]


@dataclass
class HeldAnswer:
    """The result of a query, in the same form as from DuckDB itself."""

    description: list[tuple[str]]
    batches: Iterator[Batch]

    def fetchall(self) -> Batch:
        return list(chain.from_iterable(self.batches))


class HeldWarehouse:
    """The warehouse that another process holds; all queries see one snapshot."""

    def __init__(self, messages: Connection) -> None:
        self._messages = messages
        self._decoder = duckdb.connect(config={"threads": 1})
        self._decoder.execute("SET TimeZone = 'UTC'")

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> HeldAnswer:
        """Run a query. The rows of the answer must be read before the next one.

        Raises:
            WarehouseError: the query is refused or fails, or the other process has ended.
        """
        tables = self.tables(sql, parameters)
        first = next(tables)
        return HeldAnswer([(name,) for name in first.column_names], self._decoded(tables))

    def read(self, sql: str) -> Result:
        """Run a query of a user; its rows are returned as they are computed."""
        answer = self.execute(sql)
        return Result([name for (name,) in answer.description], answer.batches)

    def tables(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[pa.Table]:
        """Yield the rows of a query as Arrow tables; the first table has only the columns."""
        question = json.dumps({"sql": sql, "parameters": list(parameters)})
        try:
            self._messages.send_bytes(question.encode())
            while (message := self._messages.recv_bytes())[:1] == ROWS:
                yield pa.ipc.open_stream(pa.py_buffer(message).slice(1)).read_all()
        except (OSError, EOFError) as error:
            raise WarehouseError(_GONE) from error
        if message[:1] == REFUSAL:
            raise WarehouseError(message[1:].decode())

    def _decoded(self, tables: Iterator[pa.Table]) -> Iterator[Batch]:
        for table in tables:
            self._decoder.register("rows_of_the_answer", table)
            yield self._decoder.execute("FROM rows_of_the_answer").fetchall()

    def close(self) -> None:
        """Close the connection."""
        self._messages.close()
        self._decoder.close()


@contextmanager
def held_warehouse(home: Path) -> Iterator[HeldWarehouse | None]:
    """Yield the warehouse of a home that another process holds; None where none answers."""
    messages = _connect(home)
    if messages is None:
        yield None
        return
    warehouse = HeldWarehouse(messages)
    try:
        yield warehouse
    finally:
        warehouse.close()


def _connect(home: Path) -> Connection | None:
    if not (home / SOCKET).exists():
        return None
    with socket.socket(socket.AF_UNIX) as connected:
        try:
            with socket_path(home) as path:
                connected.connect(path)
        except OSError:
            return None
        return Connection(connected.detach())
