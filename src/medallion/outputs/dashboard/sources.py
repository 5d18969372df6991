"""The sources of the dashboard: published snapshots of a home, or relations in Snowflake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from medallion.errors import DashboardError, NothingYet
from medallion.layers.snapshots import POINTER
from medallion.platforms.heartbeat import Runner, read_runner

RELATIONS = (
    "live_clock",
    "live_today",
    "live_hours",
    "live_minutes",
    "live_products",
    "live_baskets",
    "live_past_baskets",
    "live_quarantine",
    "live_arrivals",
    "dim_stores",
)
_CLOCK = "live_clock.parquet"
_TRIES = 5


@dataclass(frozen=True)
class Relations:
    """The relations of the dashboard as of one moment; `version` changes when they do."""

    version: str
    published_at: datetime
    tables: dict[str, pa.Table]


class Source(Protocol):
    """A place that holds the relations of the dashboard."""

    refresh: float
    """Seconds between two requests of the browser; rarer requests cost less in Snowflake."""

    def version(self) -> str:
        """Return the newest version; raise DashboardError when there is none."""
        ...

    def read(self) -> Relations:
        """Return the newest relations; raise DashboardError when there are none."""
        ...

    def runner(self) -> Runner | None:
        """Return the process that makes new versions; None where that is unknown."""
        ...


class PublishedSnapshots:
    """The published Parquet snapshots of a home.

    Snapshots never change, and the oldest are removed when newer ones come. A reader whose snapshot
    was removed while it read takes the newest instead.
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
            return Relations(folder.name, published, tables)
        raise DashboardError(
            f"the snapshot lacks {Path(missing.filename or '').name}; 'medallion transform' "
            "publishes a whole one"
        )

    def runner(self) -> Runner | None:
        return read_runner(self._home)

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


class SnowflakeRelations:
    """The relations in Snowflake, over a connection of Snowflake's own connector.

    A Streamlit app in Snowflake has one in `st.connection("snowflake")`; any other connection will
    do.
    """

    refresh = 30.0

    def __init__(self, connection: Any, database: str = "RETAIL") -> None:
        self._connection, self._marts = connection, f"{database}.MARTS"

    def version(self) -> str:
        (row,) = self._rows(f"SELECT staged_at, as_of FROM {self._marts}.LIVE_CLOCK")
        if row[0] is None:
            raise NothingYet("Snowflake holds no load yet; see docs/snowflake.md")
        return f"{row[0]:%Y%m%dT%H%M%S%f}"

    def read(self) -> Relations:
        version = self.version()
        tables = {name: self._table(name) for name in RELATIONS}
        return Relations(version, datetime.now(UTC), tables)

    def runner(self) -> Runner | None:
        return None

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            rows: list[tuple[Any, ...]] = cursor.execute(sql).fetchall()
            return rows

    def _table(self, name: str) -> pa.Table:
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {self._marts}.{name.upper()}")
            fields = [_field(column) for column in cursor.description]
            rows = cursor.fetchall()
        columns = [pa.array([row[i] for row in rows], field.type) for i, field in enumerate(fields)]
        return pa.table(columns, schema=pa.schema(fields))


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
