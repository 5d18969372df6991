"""CSV files, read by DuckDB: the header names the columns, and every value is a text."""

from __future__ import annotations

import secrets
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from medallion.importing.render import literal, quoted
from medallion.importing.source import (
    BROKEN,
    TEXT,
    Column,
    Formats,
    UnreadableSource,
    broken_text,
)
from medallion.importing.streams import (
    BLOCK,
    copy_as_utf8,
    copy_with_line_feeds,
    marked_encoding,
    open_plain,
)
from medallion.lake.codecs import create_packed

if TYPE_CHECKING:
    from medallion.importing.mapping import FileFormat

_DIALECT = ("delim", "quote", "escape", "comment", "skip", "header")
_SAME = {
    "sep": "delim",
    "separator": "delim",
    "delimiter": "delim",
    "dtypes": "types",
    "date_format": "dateformat",
    "timestamp_format": "timestampformat",
    "null": "nullstr",
}
_OWN = (
    "columns",
    "names",
    "types",
    "normalize_names",
    "dateformat",
    "timestampformat",
    "decimal_separator",
    "thousands",
    "auto_type_candidates",
    "sample_size",
)
"""Options that are not passed to DuckDB's reader: they set names, types and formats, or control the
detection of types, which is switched off."""

_DELIMITERS = ",;\t|"
_REPAIRS = 2
_HEADER_BYTES = 1 << 20


class CsvFile:
    """A CSV file.

    The meaning of a value never depends on other rows: the delimiter is the one of , ; tab | that
    the header has most of, the quote is ", and the first row is the header, unless the mapping says
    otherwise. In a copy of the file, a row that does not fit the header is replaced by a marked
    one, so that every other row keeps its number.
    """

    def __init__(
        self, con: duckdb.DuckDBPyConnection, path: Path, format_: FileFormat, scratch: Path
    ) -> None:
        self.con, self.path, self.scratch = con, path, scratch
        self.broken, self.scans, self.repairs = 0, 0, 0
        self.has_line_feeds = False
        self.stem = path.name.split(".")[0]
        self.mark = f"\x01{secrets.token_hex(8)}:"
        self.options = {_SAME.get(name, name): v for name, v in format_.options.items()}
        self._transcode()
        self.formats = Formats(
            self.options.get("dateformat"),
            self.options.get("timestampformat"),
            self.options.get("decimal_separator", "."),
            self.options.get("thousands", ""),
        )
        self.dialect: dict[str, Any] = {"quote": '"', "comment": "", "skip": 0, "header": True}
        self.dialect |= {name: self.options[name] for name in _DIALECT if name in self.options}
        self.dialect.setdefault("escape", self.dialect["quote"])
        if "names" in self.options and "header" not in self.options:
            self.dialect["header"] = False
        head = self._head()
        if not head:
            raise UnreadableSource("it is empty: a CSV file begins with a header")
        if "delim" not in self.dialect:
            self.dialect["delim"] = _delimiter(head, str(self.dialect["quote"]))
        self.names = self._names(head)
        self.structure = dict.fromkeys(self.names, "text")

    def rows(self, scan: bool = False) -> tuple[str, dict[str, Column]]:
        self.scans += scan
        options = {k: v for k, v in self.options.items() if k not in (*_OWN, *_DIALECT)}
        options |= self.dialect | {
            "auto_detect": False,
            "columns": {f"c{i}": "VARCHAR" for i in range(len(self.names))},
            "store_rejects": True,
            "rejects_table": self._table,
            "rejects_scan": f"{self._table}_scans",
        }
        if isinstance(kept := options.get("force_not_null"), list):
            options["force_not_null"] = [f"c{self.names.index(n)}" for n in kept if n in self.names]
        reader = self._call("read_csv", self.path, options)
        query = f"SELECT row_number() OVER () AS line, {self._broken()} AS {quoted(BROKEN)}, * "
        types = self._types()
        columns = {
            name: Column(f"c{i}", TEXT, types.get(name)) for i, name in enumerate(self.names)
        }
        return f"{query} FROM {reader}", columns

    def repair(self, failed: bool) -> bool:
        if failed:
            return self._unify_line_ends()
        if not self.scans:
            return False
        rejected = self.con.execute(
            f"SELECT line_byte_position - 1, any_value(csv_line), string_agg(error_message, '; ') "
            f"FROM {quoted(self._table)} GROUP BY 1 ORDER BY 1"
        ).fetchall()
        if not rejected:
            return False
        if self.repairs == _REPAIRS:
            raise UnreadableSource(f"the rows do not fit the header: {rejected[0][2]}")
        self.repairs += 1
        target = self.scratch / f"{self.stem}-mended-{self.scans}.csv.zst"
        _replace(self.path, target, rejected, self._marked)
        self.path, self.broken = target, self.broken + len(rejected)
        return True

    @property
    def _table(self) -> str:
        return f"rejects_{self.stem}_{self.scans}"

    def _call(self, function: str, path: Path, options: dict[str, Any]) -> str:
        named = "".join(f", {k} = {literal(v)}" for k, v in options.items())
        return f"{function}({literal(str(path))}{named})"

    def _transcode(self) -> None:
        encoding = self.options.pop("encoding", None) or marked_encoding(self.path) or "utf-8"
        if encoding.lower().replace("-", "").removesuffix("sig") == "utf8":
            return  # the reader skips the mark
        target = self.scratch / f"{self.stem}-utf8.csv.zst"
        try:
            copy_as_utf8(self.path, target, encoding)
        except (LookupError, UnicodeDecodeError) as error:
            raise UnreadableSource(f"encoding {encoding}: {error}") from None
        self.path = target

    def _unify_line_ends(self) -> bool:
        """Copy the file with line feeds, once: the reader takes only one kind of line end."""
        if self.has_line_feeds:
            return False
        target = self.scratch / f"{self.stem}-lines.csv.zst"
        copy_with_line_feeds(self.path, target)
        self.path, self.has_line_feeds = target, True
        return True

    def _head(self) -> bytes:
        """Return the first row, without the lines that are skipped."""
        quote = str(self.dialect["quote"]).encode()
        with open_plain(self.path) as file:
            for _ in range(self.dialect["skip"]):
                file.readline(_HEADER_BYTES)
            row = b""
            while line := file.readline(_HEADER_BYTES):
                row += line
                # A quote that is open at the end of a line goes on in the next one.
                if len(row) >= _HEADER_BYTES or (
                    row.strip() and not (quote and row.count(quote) % 2)
                ):
                    break
        if len(row) >= _HEADER_BYTES:
            if b"\r" in row and self._unify_line_ends():
                return self._head()
            raise UnreadableSource("the first row has no end: is this a CSV file?")
        return row.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")

    def _names(self, head: bytes) -> list[str]:
        """Return the name of each column: those of the mapping, those of the header, or numbers."""
        declared = self.options.get("columns")
        if isinstance(declared, dict):
            return list(declared)
        cells = self._cells(head)
        names = [str(name) for name in self.options.get("names", ())]
        if not self.dialect["header"]:
            return names + [f"column{i}" for i in range(len(names), len(cells))]
        header = [cell or f"column{i}" for i, cell in enumerate(cells)]
        header[: len(names)] = names
        times: Counter[str] = Counter()
        for i, name in enumerate(header):
            if times[name]:
                header[i] = f"{name}_{times[name]}"
            times[name] += 1
        return header

    def _cells(self, head: bytes) -> list[str | None]:
        if not head.strip():
            return []
        path = self.scratch / f"{self.stem}-header.csv"
        path.write_bytes(head)
        options = self.dialect | {"header": False, "skip": 0, "all_varchar": True}
        if self.options.get("normalize_names"):
            options |= {"header": True, "normalize_names": True}
            described = self.con.execute(f"DESCRIBE FROM {self._call('read_csv', path, options)}")
            return [row[0] for row in described.fetchall()]
        try:
            row = self.con.execute(f"FROM {self._call('read_csv', path, options)}").fetchone()
        except duckdb.Error:
            shown = head[:80].decode("utf-8", "replace").strip()
            raise UnreadableSource(f"the first row is no header of a CSV file: {shown}") from None
        return list(row or ())

    def _types(self) -> dict[str, str]:
        """Return the types that the mapping declares, by column."""
        types = self.options.get("types", self.options.get("columns", {}))
        if isinstance(types, list):
            types = dict(zip(self.names, types, strict=False))
        return {str(name): str(kind) for name, kind in types.items()}

    def _broken(self) -> str:
        if not self.broken:
            return "CAST(NULL AS VARCHAR)"
        hexed = f"substr(c0, {len(self.mark) + 1})"
        return f"CASE WHEN starts_with(c0, {literal(self.mark)}) THEN decode(unhex({hexed})) END"

    def _marked(self, reason: str, text: bytes) -> bytes:
        """Return a marked row that fits the header and holds the text of a broken one."""
        held = broken_text(reason, text).encode().hex()
        delimiters = str(self.dialect["delim"]) * (len(self.names) - 1)
        return f"{self.mark}{held}{delimiters}".encode()


def _delimiter(head: bytes, quote: str) -> str:
    """Return the delimiter that the header has most of, outside of quotes."""
    text = head.decode("utf-8", "replace")
    outside = "".join(text.split(quote)[::2]) if quote else text
    return max(_DELIMITERS, key=outside.count)


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
