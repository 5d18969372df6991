"""SQL that writes a value as JSON text, exactly."""

from __future__ import annotations

from medallion.contract import Field

_INTEGERS = {
    f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG", "HUGE")
} | {"INTEGER", "UINTEGER", "BIGNUM"}
FLOATS = {"FLOAT", "DOUBLE"}
NUMBERS = {*_INTEGERS, *FLOATS, "DECIMAL"}
INTEGERS = frozenset(_INTEGERS)
_INSTANTS = {"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"}
ZONED = "TIMESTAMP WITH TIME ZONE"


def base(type_name: str) -> str:
    """A DuckDB type without its parameters: DECIMAL(18,2) is DECIMAL; nested types are NESTED."""
    if type_name.endswith("]") or type_name.startswith(("STRUCT", "MAP", "UNION", "JSON")):
        return "NESTED"
    return type_name.split("(")[0].strip()


def string(sql: str) -> str:
    """A JSON string of a value's text."""
    return f"CAST(to_json(CAST({sql} AS VARCHAR)) AS VARCHAR)"


def json_text(sql: str, type_name: str, field: Field) -> str:
    """JSON of a value of a DuckDB type for a field of the contract; NULL stays NULL.

    A field of text gets a string. Elsewhere integers, decimals and booleans are themselves and a
    float is the shortest decimal that reads back as it. A timestamp is RFC 3339 in UTC (one
    without a zone is UTC), a date in a field of timestamps its midnight.
    """
    kind = base(type_name)
    if kind == "NESTED":
        return f"CAST(to_json({sql}) AS VARCHAR)"
    if field.type.kind == "text":
        return string(sql)
    if kind in INTEGERS or kind in ("DECIMAL", "BOOLEAN"):
        return f"CAST({sql} AS VARCHAR)"
    if kind in FLOATS:
        return f"CASE WHEN isfinite({sql}) THEN CAST({sql} AS VARCHAR) ELSE {string(sql)} END"
    if kind == ZONED:
        return _instant(f"({sql}) AT TIME ZONE 'UTC'", sql, "%f")
    if kind in _INSTANTS:
        return _instant(sql, sql, "%n" if kind == "TIMESTAMP_NS" else "%f")
    if kind == "DATE" and field.type.kind == "timestamp":
        return _instant(f"CAST({sql} AS TIMESTAMP)", sql, "%f")
    return string(sql)


def _instant(utc: str, sql: str, fraction: str) -> str:
    text = f"strftime({utc}, '\"%Y-%m-%dT%H:%M:%S.{fraction}Z\"')"
    return f"CASE WHEN isfinite({sql}) THEN {text} ELSE {string(sql)} END"


def object_line(members: dict[str, str]) -> str:
    """A line of one JSON object from the JSON text of each member; NULL members are left out."""
    named = ", ".join(f"'\"{name}\":' || ({text})" for name, text in members.items())
    return f"concat('{{', concat_ws(',', {named}), '}}', chr(10))"


def literal(value: object) -> str:
    """A Python value as SQL."""
    if isinstance(value, bool | int | float):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(str(k))}: {literal(v)}" for k, v in value.items()) + "}"
    return "'" + str(value).replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
