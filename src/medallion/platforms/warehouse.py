"""The warehouse: the queries that every warehouse answers, and the DuckDB file in a home."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import duckdb

from medallion.errors import WarehouseBusy, WarehouseDamaged, WarehouseError
from medallion.platforms.local import sync
from medallion.platforms.questions.rules import RELATIONS_ONLY, require_question

T = TypeVar("T")
WAREHOUSE_FILE = "warehouse.duckdb"
SCHEMAS = ("gold", "marts", "silver", "bronze", "ops", "staging")
"""The search path for unqualified names."""

AT_ONCE = 2
"""How many queries run at the same time where they do not need each other. Each of them uses all
processors, but DuckDB plans a query on one, which takes longer than to compute a small batch."""

LOG_BYTES = 8 << 20
"""The length of the log of the warehouse up to which a stream leaves it as it is. A longer one is
written at once for longer (64 MiB: 0.4 s, beside a page 2 s), a shorter one writes the same blocks
again more often."""

_DAMAGE = re.compile("[Cc]orrupt|not a valid DuckDB database file|Could not read enough bytes")
"""The messages of DuckDB about a file that is not what was written: a block whose checksum is
wrong, no database at all, and a file that is too short."""
_ROWS_AT_A_TIME = 5_000
# DuckDB would draw its progress on standard output, in the middle of the rows.
_OF_A_CONNECTION = ("TimeZone = 'UTC'", "enable_progress_bar = false")
_EXTENSIONS = ("autoinstall_known_extensions", "autoload_known_extensions")
_SEALED = (
    "enable_external_access = false",
    "disabled_filesystems = 'LocalFileSystem'",
    "lock_configuration = true",
)


class Answer(Protocol):
    """The result of a query."""

    @property
    def description(self) -> Any:
        """Return a sequence for each column, whose first item is the name."""
        ...

    def fetchall(self) -> list[Any]:
        """Return the rows as tuples; decimals are Decimal, times without a zone are UTC."""
        ...


class Warehouse(Protocol):
    """A warehouse for reading: a connection of DuckDB, or SnowflakeWarehouse.

    Queries must be valid in both, and name every relation with its schema.
    """

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Answer:
        """Run a query, in which each question mark is a parameter: a text or a number."""
        ...


@dataclass(frozen=True)
class Result:
    """The result of a query: names of the columns, and batches of rows as they are fetched."""

    columns: list[str]
    batches: Iterator[list[tuple[Any, ...]]]


def read(connection: duckdb.DuckDBPyConnection, sql: str) -> Result:
    """Run exactly one query of a user, which reads relations and no file.

    The connection stays locked down afterwards.

    Raises:
        WarehouseError: the query is refused or fails, also while its rows are fetched.
    """
    try:
        _seal(connection)
        require_question(connection, sql)
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
    """Cut a connection off from files, the network and the variables of this program.

    DuckDB would still allow the files of its own database, so the file system is disabled too.
    """
    for setting in _SEALED:
        connection.execute(f"SET {setting}")


def one_line(error: Exception) -> str:
    """Return the message of a DuckDB error on one line, with advice for a damaged file."""
    text = re.sub(r" \^+$", "", " ".join(str(error).split()))
    if isinstance(error, duckdb.FatalException) or _DAMAGE.search(text):
        text += (
            "; if the file is damaged, remove it and its .wal, and 'medallion run --events 0' "
            "makes it again from bronze"
        )
    return text


def _refusal(error: Exception) -> str:
    text = one_line(error)
    if "disabled by configuration" in text or "has been locked" in text:
        return f"{RELATIONS_ONLY}: {text}"
    return text


def total(*columns: str) -> str:
    """Return SQL that sums columns of whole numbers; the sum of no rows is 0."""
    return ", ".join(f"CAST(coalesce(sum({name}), 0) AS BIGINT)" for name in columns)


def literal(value: object) -> str:
    """Return a text or a path as an SQL literal, for places where a parameter is not allowed."""
    return "'" + str(value).replace("'", "''") + "'"


def relations(warehouse: Warehouse) -> set[str]:
    """Return every table and view of the layers, as schema.name.

    Raises:
        WarehouseError: the schema of a layer is missing, or the user may not see it.
    """
    visible = warehouse.execute("SELECT lower(schema_name) FROM information_schema.schemata")
    if hidden := set(SCHEMAS) - {schema for (schema,) in visible.fetchall()}:
        raise WarehouseError(f"the warehouse shows no schema {', '.join(sorted(hidden))}")
    named = warehouse.execute(
        "SELECT lower(table_schema), lower(table_name) FROM information_schema.tables UNION "
        "SELECT lower(table_schema), lower(table_name) FROM information_schema.views"
    )
    return {f"{schema}.{name}" for schema, name in named.fetchall()}


def side_by_side(warehouse: Warehouse, parts: Iterable[Callable[[Any], T]]) -> list[T]:
    """Return the results of parts that only read, AT_ONCE at a time, each with its own connection.

    Where there is one connection and no more, they run one after another.
    """
    if not isinstance(warehouse, duckdb.DuckDBPyConnection):
        return [part(warehouse) for part in parts]

    def run(part: Callable[[Any], T]) -> T:
        with another(warehouse) as own:
            return part(own)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return [*threads.map(run, parts)]


def another(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Return one more connection to a warehouse, in UTC; it does not inherit settings."""
    other = connection.cursor()
    for setting in _OF_A_CONNECTION:
        other.execute(f"SET {setting}")
    return other


def warehouse_path(home: Path) -> Path:
    """Return the path of the warehouse of a home."""
    return home.absolute() / WAREHOUSE_FILE


def log_path(home: Path) -> Path:
    """Return the path of the write-ahead log of the warehouse of a home."""
    return home.absolute() / f"{WAREHOUSE_FILE}.wal"


@contextmanager
def open_warehouse(home: Path, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection in UTC that resolves every relation without its schema.

    The file is created when it is missing, unless read only.

    Raises:
        WarehouseBusy: another process holds the file.
        WarehouseDamaged: its content is not what was written.
        WarehouseError: it is missing, or cannot be opened.
    """
    path = warehouse_path(home)
    if not path.exists():
        if read_only:
            raise WarehouseError(f"there is no warehouse in {home} yet; 'medallion run' makes one")
        _create(path)
    try:
        connection = duckdb.connect(str(path), read_only=read_only)
    except duckdb.Error as error:
        raise _why(path, str(error)) from error
    try:
        for setting in _OF_A_CONNECTION:
            connection.execute(f"SET {setting}")
        # A checkpoint in the middle of a micro-batch takes longer than the batch.
        connection.execute("SET wal_autocheckpoint = '1GB'")
        # Other processes ask here: no name may mean a variable of this program or an extension,
        # and every type must come to them as it is.
        for setting in ("python_enable_replacements", *_EXTENSIONS):
            connection.execute(f"SET {setting} = false")
        connection.execute("SET arrow_lossless_conversion = true")
        if not read_only:
            for schema in SCHEMAS:
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        find_everywhere(connection)
        yield connection
    finally:
        connection.close()


def keep_memory(connection: duckdb.DuckDBPyConnection) -> None:
    """Let DuckDB keep up to 2 GiB that it has freed, for a process that ends when it is done.

    To give memory back to the system and to take it again costs a twentieth of a long run.
    """
    connection.execute("SET block_allocator_memory = '2GiB'")


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Run the statements of the block as one transaction; an error takes all of them back."""
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # None is open where COMMIT has failed; the first error is the one that says why.
        with suppress(duckdb.Error):
            connection.execute("ROLLBACK")
        raise


def shorten_log(home: Path, connection: duckdb.DuckDBPyConnection) -> None:
    """Write what is in the log of the warehouse into its file, if the log is long.

    DuckDB keeps these rows in memory until then. While another transaction writes, nothing is done.
    """
    log = log_path(home)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        with suppress(duckdb.TransactionException):
            connection.execute("CHECKPOINT")


def find_everywhere(connection: duckdb.DuckDBPyConnection) -> None:
    """Set the search path to all schemas that exist."""
    existing = connection.execute("SELECT schema_name FROM information_schema.schemata").fetchall()
    schemas = [s for s in SCHEMAS if (s,) in existing]
    if schemas:
        connection.execute(f"SET search_path = '{','.join(schemas)}'")


def _create(path: Path) -> None:
    """Create the file under a temporary name, then rename it.

    A kill while DuckDB creates a file leaves one that never opens again.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        # The log of a deleted database would be applied to the new one, and be refused.
        for stale in (temporary, *(p.with_name(p.name + ".wal") for p in (temporary, path))):
            stale.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        duckdb.connect(str(temporary)).close()
        sync(temporary)
        temporary.rename(path)
        sync(path.parent)
    except (OSError, duckdb.Error) as error:
        raise WarehouseError(f"cannot make the warehouse {path}: {error}") from error


def _why(path: Path, message: str) -> WarehouseError:
    if holder := re.search(r"PID (\d+)", message):
        return WarehouseBusy(
            f"the warehouse {path} is in use by process {holder[1]}; try again when it is done"
        )
    why = message.splitlines()[0]
    if _DAMAGE.search(message):
        return WarehouseDamaged(
            f"the warehouse {path} is damaged; 'medallion run --events 0' sets it aside and makes "
            f"it again from bronze: {why}"
        )
    return WarehouseError(f"cannot open the warehouse {path}: {why}")
