"""The sources of the dashboard: published snapshots of a home, or relations in Snowflake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Protocol

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from medallion.audit.last import LastAudit, last_audit
from medallion.errors import DashboardError, NothingYet, SnapshotGone
from medallion.layers.snapshots import POINTER
from medallion.platforms.heartbeat import Runner, read_runner
from medallion.platforms.warehouse import literal

RELATIONS = (
    "live_clock",
    "live_today",
    "live_minutes",
    "live_products",
    "live_baskets",
    "live_quarantine",
    "live_arrivals",
    "dim_stores",
)
SALES = "sales_hourly_product"
"""The relation of all sales, of which only the days that a page shows are read."""
_CLOCK = "live_clock.parquet"
_TRIES = 5


@dataclass(frozen=True)
class Relations:
    """The relations of the dashboard as of one moment; `version` changes when they do."""

    version: str
    published_at: datetime
    tables: dict[str, pa.Table]
    more: More


class More(Protocol):
    """The relations of one moment that are read only when a view needs them."""

    sales_version: str
    """A text that changes when the sales do, which is rarer than changes of the live page."""

    def table(self, name: str) -> pa.Table:
        """Return a relation; raise DashboardError when there is none."""
        ...

    def sales(self, db: duckdb.DuckDBPyConnection, first: date, last: date) -> str:
        """Return SQL of all sales of these days, and possibly of others, for a connection."""
        ...

    def of_all_sales(self, db: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query over {sales}, all sales."""
        ...


class Source(Protocol):
    """A place that holds the relations of the dashboard."""

    refresh: float
    """Seconds between two requests of the browser; fewer requests cost less in Snowflake."""

    def version(self) -> str:
        """Return the newest version; raise DashboardError when there is none."""
        ...

    def read(self) -> Relations:
        """Return the newest relations; raise DashboardError when there are none."""
        ...

    def runner(self) -> Runner | None:
        """Return the process that makes new versions; None where that is unknown."""
        ...

    def audit(self) -> LastAudit | None:
        """Return the result of the last audit; None where that is unknown."""
        ...


class PublishedSnapshots:
    """The published Parquet snapshots of a home.

    Snapshots never change; the oldest are removed when newer ones are published. A reader whose
    snapshot is removed while it reads takes the newest one instead.
    """

    refresh = 0.5

    def __init__(self, home: Path) -> None:
        self._home = home.absolute()
        self._tables: dict[str, tuple[tuple[int, int], pa.Table]] = {}

    def version(self) -> str:
        try:
            return (self._home / "gold" / POINTER).read_text().strip()
        except FileNotFoundError:
            raise NothingYet(
                f"there is no snapshot in {self._home} yet; 'medallion run' or 'medallion up' "
                "publishes one"
            ) from None

    def read(self) -> Relations:
        for _ in range(_TRIES):
            folder = self._home / "gold" / self.version()
            try:
                tables = {name: self._table(folder, name) for name in RELATIONS}
                # A later snapshot of the same loads shares this file with the first.
                published = datetime.fromtimestamp((folder / _CLOCK).stat().st_mtime, UTC)
            except FileNotFoundError as error:
                missing = error
                continue
            return Relations(folder.name, published, tables, PublishedFiles(folder))
        raise _lacks(Path(missing.filename or "").name)

    def runner(self) -> Runner | None:
        return read_runner(self._home)

    def audit(self) -> LastAudit | None:
        return last_audit(self._home)

    def _table(self, folder: Path, name: str) -> pa.Table:
        # A relation that has not changed is the same file under another name: it is read once.
        path = folder / f"{name}.parquet"
        stat = path.stat()
        file = (stat.st_ino, stat.st_mtime_ns)
        cached_file, table = self._tables.get(name, (None, None))
        if cached_file != file:
            table = pq.read_table(path, partitioning=None)
            self._tables[name] = (file, table)
        return table


class PublishedFiles:
    """The files of one published snapshot."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = sorted(path.name for path in folder.glob(f"{SALES}.*.parquet"))
        self.sales_version = " ".join(self._files)

    def table(self, name: str) -> pa.Table:
        try:
            return pq.read_table(self._folder / f"{name}.parquet", partitioning=None)
        except FileNotFoundError:
            raise self._missing(f"{name}.parquet") from None

    def sales(self, db: duckdb.DuckDBPyConnection, first: date, last: date) -> str:
        if not self._files:
            raise self._missing(f"{SALES}.*.parquet")
        # Months, days and hours; without the hour, each text is as long as its part of a date.
        periods = [name.split(".")[1].partition("T")[0] for name in self._files]
        files = [
            self._folder / name
            for name, period in zip(self._files, periods, strict=True)
            if f"{first}"[: len(period)] <= period <= f"{last}"[: len(period)]
        ] or [self._folder / self._files[0]]
        if not all(file.exists() for file in files):
            raise self._missing(files[0].name)
        return f"read_parquet([{', '.join(literal(file) for file in files)}])"

    def of_all_sales(self, db: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
        sales = self.sales(db, date.min, date.max)
        return db.execute(query.format(sales=sales)).fetchall()

    def _missing(self, file: str) -> DashboardError:
        return _lacks(file) if self._folder.exists() else SnapshotGone("a newer snapshot is there")


def _lacks(file: str) -> DashboardError:
    return DashboardError(f"the snapshot lacks {file}; 'medallion transform' publishes a whole one")


class SnowflakeRelations:
    """The relations in Snowflake, over a connection of Snowflake's own connector.

    A Streamlit app in Snowflake has one in `st.connection("snowflake")`; any other connection will
    do.
    """

    refresh = 30.0

    def __init__(self, connection: Any, database: str = "RETAIL") -> None:
        self._connection, self._marts = connection, f"{database}.MARTS"

    def version(self) -> str:
        (row,) = self.rows("SELECT staged_at, as_of FROM {clock}", clock="live_clock")
        if row[0] is None:
            raise NothingYet("Snowflake holds no load yet; see docs/snowflake.md")
        return f"{row[0]:%Y%m%dT%H%M%S%f}"

    def read(self) -> Relations:
        version = self.version()
        tables = {name: self.table(name) for name in RELATIONS}
        return Relations(version, datetime.now(UTC), tables, SnowflakeTables(self, version))

    def runner(self) -> Runner | None:
        return None

    def audit(self) -> LastAudit | None:
        return None

    def rows(self, query: str, **relations: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query, in which {names} stand for relations."""
        names = {key: f"{self._marts}.{name.upper()}" for key, name in relations.items()}
        with self._connection.cursor() as cursor:
            rows: list[tuple[Any, ...]] = cursor.execute(query.format(**names)).fetchall()
            return rows

    def table(self, name: str, days: tuple[date, date] | None = None) -> pa.Table:
        """Return a relation, or its rows of some days."""
        where = f" WHERE sales_date BETWEEN '{days[0]}' AND '{days[1]}'" if days else ""
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {self._marts}.{name.upper()}{where}")
            fields = [_field(column) for column in cursor.description]
            rows = cursor.fetchall()
        columns = [pa.array([row[i] for row in rows], field.type) for i, field in enumerate(fields)]
        return pa.table(columns, schema=pa.schema(fields))


class SnowflakeTables:
    """The relations in Snowflake that are read when a view needs them."""

    def __init__(self, relations: SnowflakeRelations, version: str) -> None:
        self._relations, self.sales_version = relations, version

    def table(self, name: str) -> pa.Table:
        return self._relations.table(name)

    def sales(self, db: duckdb.DuckDBPyConnection, first: date, last: date) -> str:
        db.register("history", self._relations.table(SALES, (first, last)))
        return "history"

    def of_all_sales(self, db: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
        return self._relations.rows(query, sales=SALES)


# The connector's type numbers (snowflake.connector.constants.FIELD_TYPES).
_NUMBER = 0
_TYPES = {
    1: pa.float64(),
    2: pa.string(),
    3: pa.date32(),
    6: pa.timestamp("us", "UTC"),
    8: pa.timestamp("us"),
    13: pa.bool_(),
}


def _field(column: Sequence[Any]) -> pa.Field:
    """Return the name and type of a column as Snowflake describes it.

    The values of an empty column would not show its type.
    """
    name, kind, scale = column[0], column[1], column[5]
    number = pa.decimal128(38, scale) if scale else pa.int64()
    return pa.field(name.lower(), number if kind == _NUMBER else _TYPES[kind])
