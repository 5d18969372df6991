"""CSV files, read by DuckDB: the dialect is detected once, every value is read as text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from medallion.importing.render import literal, quoted
from medallion.importing.source import (
    NUMBER,
    Formats,
    SourceRelation,
    UnreadableSource,
    broken_text,
    text_source,
)
from medallion.importing.streams import BLOCK, copy_as_utf8, open_plain
from medallion.lake.codecs import create_packed

if TYPE_CHECKING:
    from medallion.importing.mapping import Mapping

_DETECTED = (
    "delim",
    "sep",
    "separator",
    "delimiter",
    "quote",
    "escape",
    "comment",
    "skip",
    "header",
    "columns",
    "names",
    "types",
    "dtypes",
    "auto_type_candidates",
    "sample_size",
    "normalize_names",
    "dateformat",
    "date_format",
    "timestampformat",
    "timestamp_format",
    "decimal_separator",
    "thousands",
    "new_line",
)
"""Options of the sniffer; the reader then gets the result of the sniffer instead."""

_ATTEMPTS = 3


class CsvFile:
    """A CSV file.

    A row that does not fit the header is replaced by a marked one in a copy of the file, so that
    every other row keeps its number.
    """

    def __init__(
        self, con: duckdb.DuckDBPyConnection, path: Path, name: str, mapping: Mapping, scratch: Path
    ) -> None:
        self.con, self.path, self.name, self.mapping = con, path, name, mapping
        self.scratch, self.broken, self.scans = scratch, 0, 0
        self.stem = path.name.split(".")[0]
        self.mark = f"\x01{mapping.digest[:16]}:"
        self.options = dict(mapping.options)
        self.dialect: dict[str, Any] = {}

    def source(self) -> SourceRelation:
        if not self.dialect:
            self._transcode()
            self.dialect = self._sniff()
        options = {k: v for k, v in self.options.items() if k not in _DETECTED}
        types = {c["name"]: c["type"] for c in self.dialect["Columns"]}
        options |= {
            "auto_detect": False,
            "delim": _sniffed(self.dialect["Delimiter"]),
            "quote": _sniffed(self.dialect["Quote"]),
            "escape": _sniffed(self.dialect["Escape"]),
            "comment": _sniffed(self.dialect["Comment"]),
            "skip": self.dialect["SkipRows"],
            "header": self.dialect["HasHeader"],
            "columns": dict.fromkeys(types, "VARCHAR"),
            "store_rejects": True,
            "rejects_table": self._table,
            "rejects_scan": f"{self._table}_scans",
        }
        reader = self._call("read_csv", options)
        rows = f'SELECT row_number() OVER () AS "{NUMBER}", * FROM {reader}'
        return text_source(
            self.name, rows, types, self._formats(), self.mapping.all_text, self._broken(types)
        )

    def scan(self) -> SourceRelation:
        self.scans += 1
        return self.source()

    def repair(self, failed: bool) -> bool:
        if failed:
            return False
        rejected = self.con.execute(
            f"SELECT line_byte_position - 1, any_value(csv_line), string_agg(error_message, '; ') "
            f"FROM {quoted(self._table)} GROUP BY 1 ORDER BY 1"
        ).fetchall()
        if not rejected:
            return False
        if self.scans >= _ATTEMPTS:
            raise UnreadableSource(f"the rows do not fit the header: {rejected[0][2]}")
        target = self.scratch / f"{self.stem}-mended-{self.scans}.csv.zst"
        _replace(self.path, target, rejected, self._marked)
        self.path, self.broken = target, self.broken + len(rejected)
        return True

    @property
    def _table(self) -> str:
        return f"rejects_{self.stem}_{self.scans}"

    def _call(self, function: str, options: dict[str, Any]) -> str:
        named = "".join(f", {k} = {literal(v)}" for k, v in options.items())
        return f"{function}({literal(str(self.path))}{named})"

    def _sniff(self) -> dict[str, Any]:
        call = self._call("sniff_csv", self.options | {"ignore_errors": True})
        cursor = self.con.execute(f"SELECT * EXCLUDE (Prompt, UserArguments) FROM {call}")
        names = [d[0] for d in cursor.description]
        return dict(zip(names, cursor.fetchone() or (), strict=True))

    def _transcode(self) -> None:
        encoding = self.options.pop("encoding", "utf-8")
        if encoding.lower().replace("-", "") == "utf8":
            return
        target = self.scratch / f"{self.stem}-utf8.csv.zst"
        try:
            copy_as_utf8(self.path, target, encoding)
        except (LookupError, UnicodeDecodeError) as error:
            raise UnreadableSource(f"encoding {encoding}: {error}") from None
        self.path = target

    def _formats(self) -> Formats:
        return Formats(
            _sniffed(self.dialect["DateFormat"]) or None,
            _sniffed(self.dialect["TimestampFormat"]) or None,
            self.options.get("decimal_separator", "."),
            self.options.get("thousands", ""),
        )

    def _broken(self, types: dict[str, str]) -> str:
        if not self.broken:
            return "CAST(NULL AS VARCHAR)"
        first, mark = quoted(next(iter(types))), literal(self.mark)
        hexed = f"substr({first}, {len(self.mark) + 1})"
        return f"CASE WHEN starts_with({first}, {mark}) THEN decode(unhex({hexed})) END"

    def _marked(self, reason: str, text: bytes) -> bytes:
        """Return a row that fits the header and holds a broken one."""
        held = broken_text(reason, text).encode().hex()
        delimiter = _sniffed(self.dialect["Delimiter"]) * (len(self.dialect["Columns"]) - 1)
        return f"{self.mark}{held}{delimiter}".encode()


def _sniffed(value: str | None) -> str:
    return "" if value in (None, "(empty)") else str(value)


def _replace(path: Path, target: Path, rejected: list[tuple[Any, ...]], marked: Any) -> None:
    """Copy a file, and replace each rejected row (position, text, reasons)."""
    with open_plain(path) as file, create_packed(target) as out:
        position = 0
        for place, text, reasons in rejected:
            position += _copy(file, out, place - position)
            row = file.read(len((text or "").encode()))
            if not row.endswith((b"\r", b"\n")):
                row += file.readline()
            position += len(row)
            kept = row.strip(b"\r\n")
            before, _, after = row.partition(kept)
            out.write(before + marked(reasons, kept) + after)
        while block := file.read(BLOCK):
            out.write(block)


def _copy(file: Any, out: Any, size: int) -> int:
    copied = 0
    while copied < size and (block := file.read(min(BLOCK, size - copied))):
        out.write(block)
        copied += len(block)
    return copied
