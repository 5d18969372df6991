"""What every warehouse can do, and the embedded one: a DuckDB file in the home."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import duckdb

from medallion.errors import WarehouseError
from medallion.platforms.local import sync

FILE = "warehouse.duckdb"
SCHEMAS = ("gold", "marts", "silver", "bronze", "ops", "staging")
"""Where an unqualified name is looked for, in this order."""

_REMEDY = (
    "if the file is damaged, remove it and its .wal, and 'medallion run --events 0' makes it again "
    "from bronze"
)
_ROWS_AT_A_TIME = 5_000
_SEALED = (
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "python_enable_replacements = false",
    "enable_external_access = false",
    "disabled_filesystems = 'LocalFileSystem'",
    "lock_configuration = true",
)


class Answer(Protocol):
    """The result of a query."""

    @property
    def description(self) -> Any:
        """A sequence for each column, of which the first is the name."""
        ...

    def fetchall(self) -> list[Any]:
        """The rows as tuples. Decimals are Decimal, times without a zone are UTC."""
        ...


class Warehouse(Protocol):
    """A warehouse that is read: a connection of DuckDB, or SnowflakeWarehouse. What is asked of it
    must be SQL that both understand, with every relation named with its schema."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Answer:
        """Runs a query, in which each question mark is a parameter: a text or a number."""
        ...


@dataclass(frozen=True)
class Result:
    """The rows of a query as they come: names of the columns, and lists of tuples."""

    columns: list[str]
    batches: Iterator[list[tuple[Any, ...]]]


_NAMES = {duckdb.StatementType.MULTI: "a PIVOT without its values, as in PIVOT t ON c IN ('a')"}
ONE_QUERY = "one query is run here, and nothing else"


def read(connection: duckdb.DuckDBPyConnection, sql: str) -> Result:
    """Run somebody's query: exactly one, that reads relations and no file. The connection can do
    nothing else from then on. Raises WarehouseError, also while rows are fetched."""
    try:
        _seal(connection)
        kinds = _kinds(connection, sql)
        if kinds != [duckdb.StatementType.SELECT]:
            names = (_NAMES.get(kind, kind.name) for kind in kinds)
            what = ", ".join(names) or "no statement"
            raise WarehouseError(f"{ONE_QUERY}: this is {what}")
        answer = connection.execute(sql)
        columns = [column[0] for column in answer.description or ()]
    except duckdb.Error as error:
        raise WarehouseError(_refusal(error)) from error
    return Result(columns, _fetched(answer))


def _fetched(answer: Any) -> Iterator[list[tuple[Any, ...]]]:
    try:
        while rows := answer.fetchmany(_ROWS_AT_A_TIME):
            yield rows
    except (duckdb.Error, ValueError, OverflowError) as error:
        raise WarehouseError(_refusal(error)) from error


def _seal(connection: duckdb.DuckDBPyConnection) -> None:
    """Take from a connection every way to a file, to the network and to this program's variables.
    DuckDB itself would still allow the files of its database, so the file system is taken too."""
    for setting in _SEALED:
        connection.execute(f"SET {setting}")


def _kinds(connection: duckdb.DuckDBPyConnection, sql: str) -> list[Any]:
    """The kinds of the statements in a text; an explanation is of the kind of what it explains."""
    explained = re.sub(r"(?is)^\s*explain(\s+analyze)?\b", "", sql)
    return [statement.type for statement in connection.extract_statements(explained)]


def one_line(error: Exception) -> str:
    """Return what DuckDB says, on one line, and for a damaged file what helps."""
    text = re.sub(r" \^+$", "", " ".join(str(error).split()))
    is_damage = isinstance(error, duckdb.FatalException) or "orrupt" in text
    return f"{text}; {_REMEDY}" if is_damage else text


def _refusal(error: Exception) -> str:
    text = one_line(error)
    if "disabled by configuration" in text or "has been locked" in text:
        return f"a query reads the relations of the warehouse, and no file or setting: {text}"
    return text


def total(*columns: str) -> str:
    """Sums of whole numbers, as a list of expressions; without rows they are 0."""
    return ", ".join(f"CAST(coalesce(sum({name}), 0) AS BIGINT)" for name in columns)


def literal(value: object) -> str:
    """A text or a path as a literal of SQL, where a parameter cannot stand."""
    return "'" + str(value).replace("'", "''") + "'"


def relations(warehouse: Warehouse) -> set[str]:
    """Every table and view of the layers, as schema.name. Raises WarehouseError when a layer's
    schema is missing, or hidden from who asks."""
    found = warehouse.execute("SELECT lower(schema_name) FROM information_schema.schemata")
    if hidden := set(SCHEMAS) - {schema for (schema,) in found.fetchall()}:
        raise WarehouseError(f"the warehouse shows no schema {', '.join(sorted(hidden))}")
    named = warehouse.execute(
        "SELECT lower(table_schema), lower(table_name) FROM information_schema.tables UNION "
        "SELECT lower(table_schema), lower(table_name) FROM information_schema.views"
    )
    return {f"{schema}.{name}" for schema, name in named.fetchall()}


def warehouse_path(home: Path) -> Path:
    """Where the warehouse of a home lies."""
    return home.absolute() / FILE


@contextmanager
def open_warehouse(home: Path, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the warehouse, in UTC, that finds every relation without its schema.

    Makes the file when it is missing, unless read only. Raises WarehouseError when it is missing,
    locked by another process or damaged.
    """
    path = warehouse_path(home)
    if not path.exists():
        if read_only:
            raise WarehouseError(f"there is no warehouse in {home} yet; 'medallion run' makes one")
        _create(path)
    try:
        connection = duckdb.connect(str(path), read_only=read_only)
    except duckdb.Error as error:
        raise WarehouseError(_why(path, str(error))) from error
    try:
        connection.execute("SET TimeZone = 'UTC'")
        # It would be drawn on standard output, in the middle of an answer.
        connection.execute("SET enable_progress_bar = false")
        # A checkpoint in the middle of a micro-batch takes longer than the batch.
        connection.execute("SET wal_autocheckpoint = '1GB'")
        if not read_only:
            for schema in SCHEMAS:
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        find_everywhere(connection)
        yield connection
    finally:
        connection.close()


def find_everywhere(connection: duckdb.DuckDBPyConnection) -> None:
    """Lets unqualified names be found in every schema."""
    found = connection.execute("SELECT schema_name FROM information_schema.schemata").fetchall()
    schemas = [s for s in SCHEMAS if (s,) in found]
    if schemas:
        connection.execute(f"SET search_path = '{','.join(schemas)}'")


def _create(path: Path) -> None:
    """Makes the file under another name first: a kill while DuckDB creates a file leaves one that
    never opens again."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        for stale in (temporary, temporary.with_name(temporary.name + ".wal")):
            stale.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        duckdb.connect(str(temporary)).close()
        sync(temporary)
        temporary.rename(path)
        sync(path.parent)
    except (OSError, duckdb.Error) as error:
        raise WarehouseError(f"cannot make the warehouse {path}: {error}") from error


def _why(path: Path, message: str) -> str:
    if holder := re.search(r"PID (\d+)", message):
        return f"the warehouse {path} is in use by process {holder[1]}; try again when it is done"
    return f"cannot open the warehouse {path}: {message.splitlines()[0]}; {_REMEDY}"
