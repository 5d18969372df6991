"""SQL that writes values as exact JSON text."""

from __future__ import annotations

from medallion.contract import Field

_INTEGERS = {
    f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG", "HUGE")
} | {"INTEGER", "UINTEGER", "BIGNUM"}
FLOATS = {"FLOAT", "DOUBLE"}
NUMBERS = {*_INTEGERS, *FLOATS, "DECIMAL"}
INTEGERS = frozenset(_INTEGERS)
_INSTANTS = {"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS"}
ZONED = "TIMESTAMP WITH TIME ZONE"


def base(type_name: str) -> str:
    """Return a DuckDB type without parameters, as DECIMAL; NESTED for nested types."""
    if type_name.endswith("]") or type_name.startswith(("STRUCT", "MAP", "UNION", "JSON")):
        return "NESTED"
    return type_name.split("(")[0].strip()


def without_nanoseconds(sql: str, kind: str) -> tuple[str, str]:
    """Return a time in nanoseconds as one in microseconds, cut, with its type; others unchanged.

    DuckDB's text functions round such times, or do not accept them.
    """
    if kind == "TIMESTAMP_NS":
        return f"make_timestamp(epoch_ns({sql}) // 1000)", "TIMESTAMP"
    if kind in ("TIMESTAMPTZ_NS", "TIMESTAMP_NS WITH TIME ZONE"):
        return f"make_timestamptz(epoch_ns({sql}) // 1000)", ZONED
    return sql, kind


def string(sql: str) -> str:
    """Return SQL of a JSON string with the text of a value."""
    return f"CAST(to_json(CAST({sql} AS VARCHAR)) AS VARCHAR)"


def json_text(sql: str, type_name: str, field: Field) -> str:
    """Return SQL of the JSON text of a value for a field of the contract; NULL stays NULL.

    A text field gets a string. In other fields integers, decimals and booleans are JSON values, and
    a float is the shortest decimal that reads back as the same float. A timestamp becomes RFC 3339
    in UTC (one without a zone is in UTC), a date in a timestamp field its midnight.
    """
    sql, type_name = without_nanoseconds(sql, type_name)
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
        return _instant(f"({sql}) AT TIME ZONE 'UTC'", sql)
    if kind in _INSTANTS:
        return _instant(sql, sql)
    if kind == "DATE" and field.type.kind == "timestamp":
        return _instant(f"CAST({sql} AS TIMESTAMP)", sql)
    return string(sql)


def _instant(utc: str, sql: str) -> str:
    text = f"strftime({utc}, '\"%Y-%m-%dT%H:%M:%S.%fZ\"')"
    return f"CASE WHEN isfinite({sql}) THEN {text} ELSE {string(sql)} END"


def object_line(members: dict[str, str]) -> str:
    """Return SQL of a line with a JSON object, from SQL of its members; NULL ones are left out."""
    named = ", ".join(f"'\"{name}\":' || ({text})" for name, text in members.items())
    return f"concat('{{', concat_ws(',', {named}), '}}', chr(10))"


def literal(value: object) -> str:
    """Return a Python value as SQL."""
    if isinstance(value, bool | int | float):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(str(k))}: {literal(v)}" for k, v in value.items()) + "}"
    return "'" + str(value).replace("'", "''") + "'"


def quoted(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
