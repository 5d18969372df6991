"""The second files of an import: each is read once, and kept as a table to join."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import duckdb

from medallion.errors import SettingsError
from medallion.importing.expressions import Reference
from medallion.importing.mapping import Join
from medallion.importing.readers import SourceFile, open_source
from medallion.importing.render import quoted
from medallion.importing.rows import Lookup, Scope
from medallion.importing.source import BROKEN, Column, UnreadableSource, value_of
from medallion.importing.streams import check_packed
from medallion.importing.structure import find
from medallion.lake.codecs import SUFFIXES, codec_of_file


class LookupFiles:
    """The second files of an import; each is in the folder of the file that it belongs to."""

    def __init__(self, joins: Iterable[Join], files: list[Path], scratch: Path) -> None:
        self.joins, self.scratch = tuple(joins), scratch
        self._tables: dict[tuple[str, Path], Lookup] = {}
        for file in files:
            for join, path in zip(self.joins, self.of(file), strict=True):
                if not path.is_file():
                    raise SettingsError(
                        f"[source.join.{join.name}] needs {join.file} beside {file}, and there is "
                        "no such file"
                    )
        self.paths = list(dict.fromkeys(path.resolve() for f in files for path in self.of(f)))

    def of(self, file: Path) -> list[Path]:
        """Return the second files of a file, in the order of the joins."""
        return [file.parent / join.file for join in self.joins]

    def tables(self, con: duckdb.DuckDBPyConnection, file: Path) -> dict[str, Lookup]:
        """Return the tables to join to a file, by the name of the join.

        Raises:
            UnreadableSource: a second file cannot be read, or has several rows for one key.
        """
        tables = {}
        for join, path in zip(self.joins, self.of(file), strict=True):
            key = (join.name, path.resolve())
            if key not in self._tables:
                self._tables[key] = self._read(con, join, path)
            tables[join.name] = self._tables[key]
        return tables

    def _read(self, con: duckdb.DuckDBPyConnection, join: Join, path: Path) -> Lookup:
        number = len(self._tables)
        link = self.scratch / f"join{number}.data{SUFFIXES.get(codec_of_file(path) or '', '')}"
        link.symlink_to(path.resolve())
        check_packed(link)
        source = open_source(con, link, join.format, self.scratch)
        table, prefix = f"join{number}", f"j{number}"
        try:
            columns = _create(con, table, prefix, join, path, source)
        except duckdb.Error:
            if not source.repair(failed=True):
                raise
            columns = _create(con, table, prefix, join, path, source)
        self._require_sound(con, table, path, join, source.repair(failed=False))
        con.execute(f"ALTER TABLE {table} DROP COLUMN {quoted(BROKEN)}")
        return Lookup(table, Scope(_renamed(columns, prefix), source.structure), source.formats)

    def _require_sound(
        self, con: duckdb.DuckDBPyConnection, table: str, path: Path, join: Join, rejected: bool
    ) -> None:
        (broken,) = con.execute(f"SELECT count({quoted(BROKEN)}) FROM {table}").fetchall()[0]
        if broken or rejected:
            raise UnreadableSource(f"{path.name}, which is joined, has rows that cannot be read")
        keys = ", ".join(f"k{i}" for i in range(len(join.on)))
        twice = con.execute(
            f"SELECT {keys} FROM {table} GROUP BY ALL HAVING count(*) > 1 LIMIT 1"
        ).fetchone()
        if twice and None not in twice:
            raise UnreadableSource(
                f"{path.name}, which is joined, has several rows with {', '.join(join.on)} = "
                f"{', '.join(map(str, twice))}; a join needs one"
            )


def _create(
    con: duckdb.DuckDBPyConnection,
    table: str,
    prefix: str,
    join: Join,
    path: Path,
    source: SourceFile,
) -> Column | dict[str, Column]:
    """Create the table of a second file: its key as k<i>, and its columns with the prefix."""
    query, columns = source.rows(scan=True)
    keys = []
    for i, name in enumerate(join.on):
        place = find(source.structure, (name,))
        if place is None:
            raise SettingsError(f"on in [source.join.{join.name}]: {path.name} has no {name}")
        column = columns if isinstance(columns, Column) else columns[str(place[0])]
        rest = place if isinstance(columns, Column) else ()
        value = value_of(column, rest, Reference(place), source.formats)
        keys.append(f"CAST({value.sql} AS VARCHAR) AS k{i}")
    own = [columns] if isinstance(columns, Column) else list(columns.values())
    selected = [f"{c.sql} AS {prefix}{c.sql}" for c in own]
    con.execute(
        f"CREATE TABLE {table} AS SELECT {', '.join([*keys, *selected])}, {quoted(BROKEN)} "
        f"FROM ({query})"
    )
    return columns


def _renamed(columns: Column | dict[str, Column], prefix: str) -> Column | dict[str, Column]:
    if isinstance(columns, Column):
        return Column(f"{prefix}{columns.sql}", columns.kind, columns.declared)
    return {n: Column(f"{prefix}{c.sql}", c.kind, c.declared) for n, c in columns.items()}
