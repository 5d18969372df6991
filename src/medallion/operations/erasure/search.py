"""The search for an id in all files of a home and all versions of objects in a bucket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from medallion.contract import PURCHASES, feed_of
from medallion.lake.codecs import codec_of_file, open_unpacked
from medallion.lake.receipts import SUFFIXES
from medallion.operations.erasure.pseudonym import Replacement
from medallion.operations.erasure.raw_lines import READ_ERRORS, lines
from medallion.platforms.lake import Lake, Version, batches
from medallion.platforms.warehouse import WAREHOUSE_FILE, literal

TEXT = ("VARCHAR", "JSON")
ROWS_AT_A_TIME = 10_000
PREFIXES = ("raw/", "bronze/", "tmp/")
"""The prefixes of all objects of a lake that can hold lines of producers."""


class Unsearchable(Exception):
    """The content of a file cannot be searched."""


@dataclass
class Search:
    """How many files of each kind were searched, and the places where the id is or may be."""

    searched: Counter[str] = field(default_factory=Counter)
    places: list[str] = field(default_factory=list)


def search(home: Path, lake: Lake, by: Replacement) -> Search:
    """Search every file of the home, and every version of every object in a bucket.

    Raw objects are searched by line, Parquet files and the warehouse by column, others as text.
    """
    result, searcher = Search(), Searcher(by)
    for path in sorted(p for p in home.rglob("*") if p.is_file()):
        name = str(path.relative_to(home))
        result.searched[kind_of(name)] += 1
        result.places += _places(searcher, path, name, name)
    for version, path in contents(lake):
        result.searched[kind_of(version.key) if version.is_current else "old versions"] += 1
        place = f"{lake.url}/{version.key}"
        place += "" if version.is_current else f", version {version.id}"
        result.places += _places(searcher, path, version.key, place)
    return result


def contents(lake: Lake) -> Iterator[tuple[Version, Path]]:
    """Yield every version with content, each with a local file that lasts until the next one."""
    for prefix in PREFIXES:
        for batch in batches(v for v in lake.versions(prefix) if not v.is_deletion):
            with lake.fetched_versions(batch) as paths:
                yield from zip(batch, paths, strict=True)


def kind_of(name: str) -> str:
    """Return the kind of a file, by its name in the home or in the lake."""
    if name.endswith(SUFFIXES):
        return "Parquet files"
    if name.startswith("raw/"):
        return "raw objects"
    return "warehouse" if name == WAREHOUSE_FILE else "other files"


def _kind_of_content(path: Path) -> str | None:
    """Return the kind of a file whose content is compressed, whatever its name is."""
    with path.open("rb") as file:
        return "Parquet files" if file.read(4) == b"PAR1" else None


def _places(searcher: Searcher, path: Path, name: str, place: str) -> list[str]:
    try:
        return [f"{place}: {where}" if where else place for where in searcher.places(path, name)]
    except Unsearchable as error:
        return [f"{place}: {error}"]


class Searcher:
    """A search for one id in files."""

    def __init__(self, by: Replacement) -> None:
        self._by = by
        self._db = duckdb.connect()

    def places(self, path: Path, name: str) -> list[str]:
        """Return the columns of a file that hold the id, or "" for a file without columns.

        Args:
            path: the file.
            name: its name in the home or in the lake.

        Raises:
            Unsearchable: the file cannot be read.
        """
        try:
            kind = _kind_of_content(path) or kind_of(name)
            if kind == "Parquet files":
                self._db.execute(
                    "CREATE OR REPLACE VIEW file AS FROM read_parquet("
                    f"{literal(path)}, hive_partitioning = false)"
                )
                return [*self._columns(self._db, "main", "file")]
            if kind == "warehouse":
                return [*self._tables(path)]
            if kind == "raw objects":
                return [""] if self._has_line(path, name) else []
            with open_unpacked(path, codec_of_file(path, name)) as stream:
                text = stream.read().decode("utf-8", "replace")
            # A cluster keeps lines of raw objects in tmp/.
            is_held = self._by.text(text) != text
            is_held = is_held or (name.startswith("tmp/") and self._has_line(path, name))
            return [""] if is_held else []
        except (*READ_ERRORS, duckdb.Error) as error:
            raise Unsearchable(str(error).splitlines()[0]) from error

    def _has_line(self, path: Path, name: str) -> bool:
        return any(changed for _, changed in lines(path, name, self._by))

    def _tables(self, path: Path) -> Iterator[str]:
        with duckdb.connect(str(path), read_only=True) as db:
            tables = db.execute(
                "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal "
                "ORDER BY ALL"
            ).fetchall()
            for schema, table in tables:
                for column in self._columns(db, schema, table):
                    yield f"{schema}.{table}.{column}"

    def _columns(self, db: duckdb.DuckDBPyConnection, schema: str, table: str) -> Iterator[str]:
        """Yield the columns of a relation that hold the id.

        customer_id is compared with the id, raw lines are searched as lines, and other texts for
        the id as a word.
        """
        columns = dict(
            db.execute(
                "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = ? "
                "AND table_name = ?",
                [schema, table],
            ).fetchall()
        )
        for column, kind in columns.items():
            if kind == "BLOB":
                source = "source_file" if "source_file" in columns else "NULL"
                query = f"SELECT {column}, {source} FROM {schema}.{table}"
                rows = _rows(db, query)
                if any(line is not None and self._is_line(line, key) for line, key in rows):
                    yield column
            elif kind.startswith(TEXT):
                text = f"CAST({column} AS VARCHAR)"
                query = f"SELECT DISTINCT {text} FROM {schema}.{table} WHERE contains({text}, ?)"
                rows = _rows(db, query, self._by.customer)
                if any(self._holds(column, value) for (value,) in rows):
                    yield column

    def _is_line(self, line: bytes, source_file: str | None) -> bool:
        feed = feed_of(source_file) if source_file else PURCHASES
        return self._by.line(line, feed) != line

    def _holds(self, column: str, value: str) -> bool:
        if column == "customer_id":
            return value == self._by.customer
        return column not in OTHER_IDS and self._by.text(value) != value


OTHER_IDS = ("event_id", "basket_id", "original_event_id", "product_id", "store_id")
"""Columns of the contract in which the same characters identify something other than a customer."""


def _rows(db: duckdb.DuckDBPyConnection, query: str, *parameters: str) -> Iterator[tuple[Any, ...]]:
    result = db.execute(query, list(parameters))
    while rows := result.fetchmany(ROWS_AT_A_TIME):
        yield from rows
