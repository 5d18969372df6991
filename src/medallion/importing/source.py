"""A source file as a relation: typed columns for computing, and their text in the file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from medallion.importing.engine import EXACT
from medallion.importing.render import FLOATS, INTEGERS, ZONED, base, literal, quoted

BROKEN = "medallion broken"
"""The column that holds JSON of reason and text for a row that cannot be read, else NULL."""

NUMBER = "medallion line"


class UnreadableSource(Exception):
    """A source file that cannot be read; the message says why."""


@dataclass(frozen=True)
class Column:
    """A column: its name, its DuckDB type, and the column with its text in the file, if any."""

    name: str
    type: str
    text: str | None = None


@dataclass(frozen=True)
class SourceRelation:
    """A query of a source file: file, line, BROKEN, and every column with its text."""

    file: str
    query: str
    columns: tuple[Column, ...]

    def column(self, name: str) -> Column | None:
        return next((c for c in self.columns if c.name.lower() == name.lower()), None)

    @property
    def names(self) -> list[str]:
        return [c.name for c in self.columns]


@dataclass(frozen=True)
class Formats:
    """The formats of numbers and times in a file."""

    date: str | None = None
    timestamp: str | None = None
    decimal: str = "."
    thousands: str = ""


def text_source(
    file: str, rows: str, types: dict[str, str], formats: Formats, all_text: bool, broken: str
) -> SourceRelation:
    """Return the relation of rows that have only text, and NUMBER; `broken` is SQL for BROKEN."""
    columns, selected = [], []
    for i, (name, type_name) in enumerate(types.items()):
        own, text = _free(name, types), f"medallion text {i}"
        if all_text or type_name in ("VARCHAR", "JSON"):
            columns.append(Column(own, "VARCHAR"))
            selected.append(f"{quoted(name)} AS {quoted(own)}")
            continue
        written = quoted(name)
        if base(type_name) in INTEGERS or base(type_name) in FLOATS:
            written = _plain(written, formats)
        kind = EXACT if base(type_name) in FLOATS else type_name
        columns.append(Column(own, kind, text))
        selected.append(f"{typed(written, type_name, formats)} AS {quoted(own)}")
        selected.append(f"{written} AS {quoted(text)}")
    return _source(file, rows, columns, selected, quoted(NUMBER), broken)


def typed_source(
    file: str, rows: str, types: dict[str, str], line: str, all_text: bool
) -> SourceRelation:
    """Return the relation of rows with types; floats become decimals for computing."""
    columns, selected = [], []
    for i, (name, type_name) in enumerate(types.items()):
        own, text = _free(name, types), f"medallion text {i}"
        written = f"CAST({quoted(name)} AS VARCHAR)"
        if all_text:
            columns.append(Column(own, "VARCHAR"))
            selected.append(f"{written} AS {quoted(own)}")
        elif base(type_name) in FLOATS:
            columns.append(Column(own, EXACT, text))
            selected.append(f"TRY_CAST({written} AS {EXACT}) AS {quoted(own)}")
            selected.append(f"{written} AS {quoted(text)}")
        else:
            columns.append(Column(own, type_name))
            selected.append(f"{quoted(name)} AS {quoted(own)}")
    return _source(file, rows, columns, selected, line, "CAST(NULL AS VARCHAR)")


def broken_text(reason: str, text: bytes) -> str:
    """Return a value of BROKEN: the reason and the text, as two JSON strings."""
    shown = text.decode("utf-8", "backslashreplace")
    return ",".join(json.dumps(part, ensure_ascii=False) for part in (reason, shown))


def typed(text: str, type_name: str, formats: Formats) -> str:
    """Return SQL that converts a text to a type; NULL if it is not exactly a value of it."""
    kind = base(type_name)
    if kind in FLOATS:
        return f"TRY_CAST({text} AS {EXACT})"
    if kind in INTEGERS:
        whole = f"TRY_CAST({text} AS {type_name})"
        return f"CASE WHEN {whole} = TRY_CAST({text} AS {EXACT}) THEN {whole} END"
    if kind == "DATE" and formats.date:
        return f"CAST(try_strptime({text}, {literal(formats.date)}) AS DATE)"
    if kind == "TIMESTAMP" and formats.timestamp:
        return f"try_strptime({text}, {literal(formats.timestamp)})"
    if kind == "TIMESTAMP":
        return f"TRY_CAST({text} AS {ZONED}) AT TIME ZONE 'UTC'"
    if kind == "NESTED":
        nested = type_name.replace("DOUBLE", EXACT)
        return f"TRY(CAST(CAST({text} AS JSON) AS {nested}))"
    return f"TRY_CAST({text} AS {type_name})"


def _source(
    file: str, rows: str, columns: list[Column], selected: list[str], line: str, broken: str
) -> SourceRelation:
    query = (
        f"SELECT {literal(file)} AS file, {line} AS line, {broken} AS {quoted(BROKEN)}, "
        f"{', '.join(selected)} FROM ({rows}) AS rows"
    )
    extra = (Column("file", "VARCHAR"), Column("line", "BIGINT"))
    return SourceRelation(file, query, (*columns, *extra))


def _free(name: str, taken: Iterable[str]) -> str:
    """Return the name of a column; `file` and `line` of the source become file_1 and line_1."""
    if name.lower() not in ("file", "line"):
        return name
    used, i = {name.lower() for name in taken}, 1
    while f"{name}_{i}".lower() in used:
        i += 1
    return f"{name}_{i}"


def _plain(text: str, formats: Formats) -> str:
    """Return SQL of a number with a decimal point and without separators of thousands."""
    if formats.thousands:
        text = f"replace({text}, {literal(formats.thousands)}, '')"
    if formats.decimal != ".":
        text = f"replace({text}, {literal(formats.decimal)}, '.')"
    return text
