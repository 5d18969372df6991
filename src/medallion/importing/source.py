"""The values of a source file as SQL: their text in the file, and the type they are read as."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from medallion.errors import SettingsError
from medallion.importing.engine import EXACT
from medallion.importing.expressions import Path, Reference
from medallion.importing.render import (
    FLOATS,
    INTEGERS,
    ZONED,
    base,
    literal,
    quoted,
    without_nanoseconds,
)

BROKEN = "medallion broken"
"""The column that holds JSON of reason and text for a row that cannot be read, else NULL."""

TEXT, JSON = "TEXT", "JSON"
"""Kinds of columns without types of their own: a text, and a document that holds texts."""

_ISO = r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?)?"
_MEMBER = re.compile(r"[^.\[\]\"*]+(\[\*\])?(\.[^.\[\]\"*]+(\[\*\])?)*")


class UnreadableSource(Exception):
    """A source file that cannot be read; the message says why."""


@dataclass(frozen=True)
class Formats:
    """The formats of numbers and times in a file, as the mapping gives them."""

    date: str | None = None
    timestamp: str | None = None
    decimal: str = "."
    thousands: str = ""

    @property
    def changes_numbers(self) -> bool:
        return self.decimal != "." or bool(self.thousands)


@dataclass(frozen=True)
class Column:
    """A column of a query: its SQL, and TEXT, JSON or its DuckDB type.

    `declared` is the type that the mapping declares for a text.
    """

    sql: str
    kind: str
    declared: str | None = None


@dataclass(frozen=True)
class Value:
    """SQL of a value, and its type.

    `text` is SQL of its text in the file, if that may not be of the type. `written` is SQL of its
    JSON as the file has it, for a value of a document.
    """

    sql: str
    type: str
    text: str | None = None
    written: str | None = None


def absent(reference: Reference) -> Value:
    """Return the value of a reference that the source does not have."""
    kinds = {"number": EXACT, "total": EXACT, "instant": "TIMESTAMP"}
    kind = kinds.get(reference.use, "VARCHAR")
    return Value(f"CAST(NULL AS {kind})", kind)


MAX_HELD = 250_000
"""The bytes of a broken row that are kept; a longer row would again be too long for the reader."""


def broken_text(reason: str, text: bytes) -> str:
    """Return a value of BROKEN: the reason and the beginning of the text, as two JSON strings."""
    shown = text[:MAX_HELD].decode("utf-8", "backslashreplace")
    return ",".join(json.dumps(part, ensure_ascii=False) for part in (reason, shown))


def value_of(column: Column, path: Path, reference: Reference, formats: Formats) -> Value:
    """Return the value of a reference in a column, or at a path below it."""
    if reference.use == "total" and column.kind == TEXT:
        raise SettingsError(f"total() needs an array; {reference.name} is a text")
    if reference.use == "total":
        return _total(column, path, reference)
    if column.kind == TEXT:
        return _read(column.sql, reference.use, column.declared, formats)
    if column.kind == JSON:
        at = literal(pointer(path))
        text = f"json_extract_string({column.sql}, {at})"
        value = _read(text, reference.use, column.declared if not path else None, formats)
        written = f"nullif(CAST(json_extract({column.sql}, {at}) AS VARCHAR), 'null')"
        return Value(value.sql, value.type, value.text, written)
    sql = column.sql
    for step in path:
        sql += f"[{step + 1}]" if isinstance(step, int) else f".{quoted(step)}"
    if path:
        return Value(sql, "")
    return typed_value(sql, column.kind, reference, formats)


def typed_value(sql: str, kind: str, reference: Reference, formats: Formats) -> Value:
    """Return the value of a column with a type of its own; floats become decimals."""
    text = f"CAST({sql} AS VARCHAR)"
    if base(kind) in FLOATS:
        return Value(f"TRY_CAST({text} AS {EXACT})", EXACT, text)
    if kind == "VARCHAR" and reference.use in ("number", "instant"):
        return _read(sql, reference.use, None, formats)
    return Value(*without_nanoseconds(sql, kind))


def array_of(column: Column, path: Path) -> str:
    """Return SQL of the elements at a path; a value that is not an array counts as one element."""
    if column.kind != JSON:
        return column.sql + "".join(f".{quoted(str(step))}" for step in path)
    value = f"json_extract({column.sql}, {literal(pointer(path))})" if path else column.sql
    return (
        f"CASE WHEN coalesce(CAST({value} AS VARCHAR), 'null') = 'null' THEN [] "
        f"WHEN starts_with(CAST({value} AS VARCHAR), '[') THEN CAST({value} AS JSON[]) "
        f"ELSE [{value}] END"
    )


def lost(sql: str, text: str) -> str:
    """Return SQL that is true if a text is not of the type that it is read as."""
    return f"({sql} IS NULL AND nullif(trim({text}), '') IS NOT NULL)"


def plain_number(text: str, formats: Formats) -> str:
    """Return SQL of a number with a decimal point and without thousands separators.

    It is NULL for a text that is not a number in these formats. Thousands may be grouped by three
    digits, or by two before the last three, as in India: 12,34,567.
    """
    thousands, point = re.escape(formats.thousands), re.escape(formats.decimal)
    whole = r"\d+"
    if thousands:
        whole = rf"(\d+|\d{{1,3}}({thousands}\d{{2,3}})*{thousands}\d{{3}})"
    form = rf"\s*[+-]?({whole}({point}\d*)?|{point}\d+)([eE][+-]?\d+)?\s*"
    plain = text
    if thousands:
        plain = f"replace({plain}, {literal(formats.thousands)}, '')"
    if formats.decimal != ".":
        plain = f"replace({plain}, {literal(formats.decimal)}, '.')"
    return f"CASE WHEN regexp_full_match({text}, {literal(form)}) THEN {plain} END"


def instant(text: str, formats: Formats) -> str:
    """Return SQL of a time without a zone: in a format of the mapping, else as ISO 8601."""
    given = [f for f in (formats.timestamp, formats.date) if f]
    if given:
        return f"try_strptime({text}, {literal(given)})"
    return f"CASE WHEN regexp_full_match({text}, '{_ISO}') THEN TRY_CAST({text} AS TIMESTAMP) END"


def _read(text: str, use: str, declared: str | None, formats: Formats) -> Value:
    """Return a text read by its use, or else as the type that the mapping declares."""
    if use == "number":
        return Value(f"TRY_CAST({plain_number(text, formats)} AS {EXACT})", EXACT, text)
    if use == "instant":
        return Value(instant(text, formats), "TIMESTAMP", text)
    if declared and declared.upper() not in ("VARCHAR", "JSON"):
        kind = EXACT if base(declared) in FLOATS else declared
        return Value(_converted(text, declared.upper(), formats), kind, text)
    return Value(text, "VARCHAR")


def _total(column: Column, path: Path, reference: Reference) -> Value:
    """Return the exact sum of a member over the elements of an array; 0 if there are none."""
    if not _MEMBER.fullmatch(reference.member):
        raise SettingsError(
            f"total({reference.name}, {reference.member!r}) must name a member of the elements, "
            "such as 'amount' or 'tax_lines[*].price'"
        )
    steps = re.sub(r"[^.\[\]*]+", lambda part: f'"{part[0]}"', reference.member)
    if column.kind == JSON:
        at = literal(pointer(path))
        array = f"json_extract({column.sql}, {at})"
    else:
        below = "".join(f".{quoted(str(step))}" for step in path)
        array = f"CAST(to_json({column.sql}{below}) AS JSON)"
    texts = f"json_extract_string({array}, '$[*].{steps.replace(chr(39), chr(39) * 2)}')"
    amount = f"TRY(coalesce(list_sum(CAST({texts} AS {EXACT}[])), 0))"
    return Value(f"CAST({amount} AS {EXACT})", EXACT, f"CAST({array} AS VARCHAR)")


def _converted(text: str, type_name: str, formats: Formats) -> str:
    """Return SQL that converts a text to a type; NULL if it is not exactly a value of it."""
    kind, number = base(type_name), plain_number(text, formats)
    if kind in FLOATS:
        return f"TRY_CAST({number} AS {EXACT})"
    if kind in INTEGERS:
        whole = f"TRY_CAST({number} AS {type_name})"
        return f"CASE WHEN {whole} = TRY_CAST({number} AS {EXACT}) THEN {whole} END"
    if kind == "DECIMAL":
        return f"TRY_CAST({number} AS {type_name})"
    if kind == "DATE":
        return f"CAST({instant(text, formats)} AS DATE)"
    if kind == "TIMESTAMP" and (formats.timestamp or formats.date):
        return instant(text, formats)
    if kind == "TIMESTAMP":
        return f"TRY_CAST({text} AS {ZONED}) AT TIME ZONE 'UTC'"
    return f"TRY_CAST({text} AS {type_name})"


def pointer(path: Path) -> str:
    """Return a path as a JSON pointer (RFC 6901), or as DuckDB writes the whole document."""
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path)
    return "".join(f"/{step}" for step in steps) or "$"
