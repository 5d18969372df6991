"""Source files, read by DuckDB; rows that its readers reject are kept as broken rows."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import duckdb
import pyarrow.parquet as pq

from medallion.errors import SettingsError
from medallion.importing.csv_file import CsvFile
from medallion.importing.mapping import FileFormat
from medallion.importing.render import literal, quoted, without_nanoseconds
from medallion.importing.source import (
    BROKEN,
    JSON,
    TEXT,
    Column,
    Formats,
    UnreadableSource,
    broken_text,
)
from medallion.importing.streams import (
    copy_as_utf8,
    copy_with_numbers_as_strings,
    marked_encoding,
    nesting,
    open_plain,
)
from medallion.importing.structure import Structure, merged, of_arrow
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
"""Options of DuckDB's readers that the import sets itself."""

MAX_DOCUMENT = 16 << 20
"""Bytes of the largest JSON object at the top of a file, unless maximum_object_size says else."""


MAX_NESTING = 100
"""The deepest nesting of arrays and objects that is read: DuckDB reads up to 128."""


class SourceFile(Protocol):
    """A file to import; `broken` counts the rows that cannot be read."""

    broken: int
    structure: Structure
    formats: Formats

    def rows(self, scan: bool = False) -> tuple[str, Column | dict[str, Column]]:
        """Return the query of all rows, and its columns: a document, or columns by name.

        The query also has `line`, the number of the row, and BROKEN. Only the query of a `scan` may
        be run; others serve to check expressions.
        """
        ...

    def repair(self, failed: bool) -> bool:
        """After a scan, return whether there were broken rows, so that a new scan is needed."""
        ...


def check_options(con: duckdb.DuckDBPyConnection, format_: FileFormat, where: str) -> None:
    """Raise SettingsError for an option that the reader does not have."""
    rows = con.execute(
        "SELECT DISTINCT unnest(parameters) FROM duckdb_functions() WHERE function_name = ?",
        [f"read_{format_.name}"],
    ).fetchall()
    options = sorted({name for (name,) in rows if not name.startswith("col")} - RESERVED)
    options += ["columns"] if format_.name != "parquet" else []
    for name, value in format_.options.items():
        if name not in options:
            raise SettingsError(
                f"unknown option {name} in {where}; "
                f"for {format_.name} they are {', '.join(options)}"
            )
        if not _sql_value(value):
            raise SettingsError(
                f"option {name} in {where} must be a text, a number, true or false, or a "
                f"list or table of these; got {value}"
            )


def open_source(
    con: duckdb.DuckDBPyConnection, path: Path, format_: FileFormat, scratch: Path
) -> SourceFile:
    """Return a reader of the file at `path`."""
    kinds: dict[str, Callable[..., Any]] = {
        "csv": CsvFile,
        "json": JsonFile,
        "parquet": ParquetFile,
    }
    source: SourceFile = kinds[format_.name](con, path, format_, scratch)
    return source


class ParquetFile:
    """A Parquet file, which has types and row numbers of its own."""

    broken = 0
    formats = Formats()

    def __init__(
        self, con: duckdb.DuckDBPyConnection, path: Path, format_: FileFormat, scratch: Path
    ) -> None:
        options = "".join(f", {k} = {literal(v)}" for k, v in format_.options.items())
        self.con, self.all_text = con, format_.all_text
        self.reader = f"read_parquet({literal(str(path))}{options}"
        self.schema = pq.read_schema(path)
        self.structure = {field.name: of_arrow(field.type) for field in self.schema}

    def rows(self, scan: bool = False) -> tuple[str, dict[str, Column]]:
        described = self.con.execute(f"DESCRIBE FROM {self.reader})").fetchall()
        selected, columns = [], {}
        for i, (name, row) in enumerate(zip(self.schema.names, described, strict=True)):
            sql, kind = without_nanoseconds(quoted(row[0]), str(row[1]))
            if self.all_text:
                sql, kind = f"CAST({sql} AS VARCHAR)", TEXT
            selected.append(f"{sql} AS c{i}")
            columns[name] = Column(f"c{i}", kind)
        query = (
            f"SELECT file_row_number + 1 AS line, CAST(NULL AS VARCHAR) AS {quoted(BROKEN)}, "
            f"{', '.join(selected)} FROM {self.reader}, file_row_number = true)"
        )
        return query, columns

    def repair(self, failed: bool) -> bool:
        return False


class JsonFile:
    """A JSON file: one object per line, an array of objects, or a single object.

    Each row is a document, read from a copy in which every number is a string. If a file of lines
    cannot be read, it is copied with each bad line as a broken row.
    """

    def __init__(
        self, con: duckdb.DuckDBPyConnection, path: Path, format_: FileFormat, scratch: Path
    ) -> None:
        self.con, self.path, self.scratch = con, path, scratch
        self.broken, self.exact = 0, Path()
        self.options = dict(format_.options)
        self.formats = Formats(
            self.options.get("dateformat", self.options.get("date_format")),
            self.options.get("timestampformat", self.options.get("timestamp_format")),
        )
        self._transcode()
        self._require_shallow()
        self.structure = self._structure()

    def rows(self, scan: bool = False) -> tuple[str, Column]:
        if scan and not self.exact.name:
            self.exact = self.scratch / f"{self.path.name.split('.')[0]}-exact.json.zst"
            copy_with_numbers_as_strings(self.path, self.exact)
        at = literal(f"/{BROKEN}")
        held = f"json_extract_string(json, {at})" if self.broken else "CAST(NULL AS VARCHAR)"
        other = "concat('\"not a JSON object\",', to_json(CAST(json AS VARCHAR)))"
        broken = f"CASE WHEN json_type(json) = 'OBJECT' THEN {held} ELSE {other} END"
        query = (
            f"SELECT row_number() OVER () AS line, {broken} AS {quoted(BROKEN)}, json AS d0 "
            f"FROM {self._reader(self.exact if scan else self.path)}"
        )
        return query, Column("d0", JSON)

    def repair(self, failed: bool) -> bool:
        if not failed or self.broken or not self._has_lines():
            return False
        self.path, self.broken = _without_bad_lines(self.path, self.scratch)
        self.exact = Path()
        return self.broken > 0

    def _transcode(self) -> None:
        """Copy a file with a byte order mark to UTF-8 without one."""
        if encoding := marked_encoding(self.path):
            target = self.scratch / f"{self.path.name.split('.')[0]}-utf8.json.zst"
            try:
                copy_as_utf8(self.path, target, encoding)
            except UnicodeDecodeError as error:
                raise UnreadableSource(f"encoding {encoding}: {error}") from None
            self.path = target

    def _require_shallow(self) -> None:
        """Turn lines that are nested too deep for DuckDB into broken rows.

        Raises:
            UnreadableSource: a file without lines is nested that deep, or is not closed at its end.
        """
        if self._has_lines():
            with open_plain(self.path) as file:
                if any(map(_is_too_deep, _lines(file))):
                    self.repair(failed=True)
            return
        with open_plain(self.path) as file:
            deepest, left = nesting(file)
        if deepest > MAX_NESTING:
            raise UnreadableSource(f"arrays and objects are nested deeper than {MAX_NESTING}")
        if left > 0:
            raise UnreadableSource("the last array or object has no end: the file is cut short")

    def _structure(self) -> Structure:
        """Return the members of all documents of the file."""
        query = (
            f"SELECT DISTINCT json_structure(json) FROM {self._reader(self.path)} "
            "WHERE json_type(json) = 'OBJECT'"
        )
        structure: Structure = {}
        try:
            result = self.con.execute(query)
            while rows := result.fetchmany(1000):
                for (text,) in rows:
                    structure = merged(structure, json.loads(text))
        except duckdb.Error:
            if not self.repair(failed=True):
                raise
            return self._structure()
        if isinstance(structure, dict):
            structure.pop(BROKEN, None)
        return structure

    def _reader(self, path: Path) -> str:
        size = self.options.get("maximum_object_size", MAX_DOCUMENT)
        named = f", maximum_object_size = {literal(size)}"
        if "format" in self.options:
            named += f", format = {literal(self.options['format'])}"
        return f"read_json_objects({literal(str(path))}{named})"

    def _has_lines(self) -> bool:
        if self.options.get("format", "auto") not in ("auto", "newline_delimited", "nd"):
            return False
        with open_plain(self.path) as file:
            for line in _lines(file):
                if line.strip():
                    return _is_object(line) or self.options.get("format", "auto") != "auto"
        return False


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


def _is_too_deep(line: bytes) -> bool:
    may_be = line.count(b"{") + line.count(b"[") > MAX_NESTING
    return may_be and nesting(io.BytesIO(line))[0] > MAX_NESTING


def _is_object(line: bytes) -> bool:
    if _is_too_deep(line):
        return False
    try:
        value = json.loads(line.decode())
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict)


def _without_bad_lines(path: Path, scratch: Path) -> tuple[Path, int]:
    """Copy a file with bad lines as broken rows; return the copy and the number of bad lines."""
    target, bad = scratch / f"{path.name.split('.')[0]}-mended.json.zst", 0
    with open_plain(path) as file, create_packed(target) as out:
        for line in _lines(file):
            if line.strip() and not _is_object(line):
                bad += 1
                line = json.dumps(
                    {BROKEN: broken_text("no JSON object, or one that is nested too deep", line)}
                ).encode()
            out.write(line + b"\n")
    return target, bad
