"""Source files, read by DuckDB; rows that its readers reject are kept as broken rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import duckdb

from medallion.errors import SettingsError
from medallion.importing.csv_file import CsvFile
from medallion.importing.mapping import Mapping
from medallion.importing.render import literal
from medallion.importing.source import (
    BROKEN,
    NUMBER,
    Formats,
    SourceRelation,
    broken_text,
    text_source,
    typed_source,
)
from medallion.importing.streams import copy_with_numbers_as_strings, open_plain
from medallion.lake.codecs import create_packed

RESERVED = {
    "path",
    "filename",
    "file_row_number",
    "hive_partitioning",
    "hive_types",
    "hive_types_autocast",
    "union_by_name",
    "schema",
    "column_statistics",
    "allow_empty",
    "ignore_errors",
    "store_rejects",
    "rejects_table",
    "rejects_scan",
    "rejects_limit",
    "rejects_line_size_limit",
    "files_to_sniff",
    "maximum_sample_files",
    "auto_detect",
    "all_varchar",
    "parallel",
    "compression",
    "bound_schema",
    "explicit_cardinality",
    "encryption_config",
    "debug_use_openssl",
    "prefetch_strategy",
    "geojson",
}
"""Options of the readers that an import sets itself."""


class SourceFile(Protocol):
    """A file to import; `broken` counts the rows that cannot be read."""

    broken: int

    def source(self) -> SourceRelation:
        """Return the relation as known before the whole file is read."""
        ...

    def scan(self) -> SourceRelation:
        """Return the relation of all rows."""
        ...

    def repair(self, failed: bool) -> bool:
        """After a scan, return whether there were broken rows, so that a new scan is needed."""
        ...


def check_options(con: duckdb.DuckDBPyConnection, mapping: Mapping) -> None:
    """Raise SettingsError for an option that the reader does not have."""
    reader = f"read_{mapping.format}"
    rows = con.execute(
        "SELECT DISTINCT unnest(parameters) FROM duckdb_functions() WHERE function_name = ?",
        [reader],
    ).fetchall()
    options = sorted({name for (name,) in rows if not name.startswith("col")} - RESERVED)
    options += ["columns"] if mapping.format != "parquet" else []
    for name, value in mapping.options.items():
        if name not in options:
            raise SettingsError(
                f"unknown option {name} in [source.options]; "
                f"for {mapping.format} they are {', '.join(options)}"
            )
        if not _sql_value(value):
            raise SettingsError(
                f"option {name} in [source.options] must be a text, a number, true or false, or a "
                f"list or table of these; got {value}"
            )


def open_source(
    con: duckdb.DuckDBPyConnection, path: Path, name: str, mapping: Mapping, scratch: Path
) -> SourceFile:
    """Open the file at `path`, which messages call `name`."""
    kinds: dict[str, Callable[..., SourceFile]] = {
        "csv": CsvFile,
        "json": JsonFile,
        "parquet": ParquetFile,
    }
    return kinds[mapping.format](con, path, name, mapping, scratch)


class ParquetFile:
    """A Parquet file, which has types and row numbers of its own."""

    broken = 0

    def __init__(
        self, con: duckdb.DuckDBPyConnection, path: Path, name: str, mapping: Mapping, scratch: Path
    ) -> None:
        options = "".join(f", {k} = {literal(v)}" for k, v in mapping.options.items())
        self.con, self.name, self.mapping = con, name, mapping
        self.reader = f"read_parquet({literal(str(path))}{options}"

    def source(self) -> SourceRelation:
        types = describe(self.con, f"FROM {self.reader})")
        rows = f'SELECT *, file_row_number + 1 AS "{NUMBER}" FROM {self.reader}, '
        rows += "file_row_number = true)"
        return typed_source(self.name, rows, types, f'"{NUMBER}"', self.mapping.all_text)

    scan = source

    def repair(self, failed: bool) -> bool:
        return False


class JsonFile:
    """A JSON file of lines with an object each, or of an array of objects.

    DuckDB detects the types in the file itself, and reads the rows from a copy in which every
    number is a string. When a file of lines cannot be read, it is copied with each bad line as a
    broken row.
    """

    def __init__(
        self, con: duckdb.DuckDBPyConnection, path: Path, name: str, mapping: Mapping, scratch: Path
    ) -> None:
        self.con, self.path, self.name, self.mapping = con, path, name, mapping
        self.scratch, self.broken, self.exact = scratch, 0, path

    def source(self) -> SourceRelation:
        try:
            return self._source(self.path)
        except duckdb.Error:
            if not self.repair(failed=True):
                raise
            return self._source(self.path)

    def scan(self) -> SourceRelation:
        self.exact = self.scratch / f"{self.path.name.split('.')[0]}-exact.json.zst"
        copy_with_numbers_as_strings(self.path, self.exact)
        return self._source(self.exact)

    def repair(self, failed: bool) -> bool:
        if not failed or self.broken or not self._has_lines():
            return False
        self.path, self.broken = _without_bad_lines(self.path, self.scratch)
        return self.broken > 0

    def _source(self, path: Path) -> SourceRelation:
        options = dict(self.mapping.options)
        types = describe(self.con, _reader("json", self.path, options))
        types.pop(BROKEN, None)
        date, timestamp = (
            next((options.pop(n) for n in names if n in options), None)
            for names in (("dateformat", "date_format"), ("timestampformat", "timestamp_format"))
        )
        texts = dict.fromkeys([*types, *([BROKEN] if self.broken else [])], "VARCHAR")
        reader = _reader("json", path, options | {"columns": texts})
        rows = f'SELECT row_number() OVER () AS "{NUMBER}", * {reader}'
        broken = f'"{BROKEN}"' if self.broken else "CAST(NULL AS VARCHAR)"
        formats = Formats(date, timestamp)
        return text_source(self.name, rows, types, formats, self.mapping.all_text, broken)

    def _has_lines(self) -> bool:
        if self.mapping.options.get("format", "auto") not in ("auto", "newline_delimited", "nd"):
            return False
        with open_plain(self.path) as file:
            for line in _lines(file):
                if line.strip():
                    return _is_object(line) or self.mapping.options.get("format", "auto") != "auto"
        return False


def describe(con: duckdb.DuckDBPyConnection, query: str) -> dict[str, str]:
    """Return the types of the columns of a query."""
    return {row[0]: str(row[1]) for row in con.execute(f"DESCRIBE {query}").fetchall()}


def _reader(format_: str, path: Path, options: dict[str, Any]) -> str:
    named = "".join(f", {k} = {literal(v)}" for k, v in options.items())
    return f"FROM read_{format_}({literal(str(path))}{named})"


def _sql_value(value: object) -> bool:
    if isinstance(value, list):
        return all(map(_sql_value, value))
    if isinstance(value, dict):
        return all(map(_sql_value, value.values()))
    return isinstance(value, bool | int | float | str)


def _lines(file: Any) -> Any:
    """Yield the lines of a stream, without their line feeds."""
    rest = b""
    while block := file.read(1 << 20):
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
    if rest:
        yield rest


def _is_object(line: bytes) -> bool:
    try:
        value = json.loads(line.decode())
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict)


def _without_bad_lines(path: Path, scratch: Path) -> tuple[Path, int]:
    """Copy a file, with bad lines as broken rows; return the copy and the number of these."""
    target, bad = scratch / f"{path.name.split('.')[0]}-mended.json.zst", 0
    with open_plain(path) as file, create_packed(target) as out:
        for line in _lines(file):
            if line.strip() and not _is_object(line):
                bad += 1
                line = json.dumps({BROKEN: broken_text("not a JSON object", line)}).encode()
            out.write(line + b"\n")
    return target, bad
