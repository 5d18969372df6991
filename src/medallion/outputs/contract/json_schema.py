"""JSON Schemas of the events, for producers. `LIMITS` names the rules that they cannot express."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from medallion.contract import (
    BEFORE,
    DATE,
    EPOCH_MS,
    FEEDS,
    NUMBER,
    RFC3339,
    VERSION,
    Feed,
    Field,
)
from medallion.outputs.contract.tables import plain

LIMITS = (
    "JSON Schema checks values, not bytes, and does no arithmetic. Only the cleaner decides "
    "whether a line is JSON that it can read; whether a number is accepted as a text (7 is, 7.0 is "
    "not); whether a number or a time in a string is within its bounds; whether a date exists; "
    "whether a number is within its bounds only after rounding; whether a currency was in use at "
    "the time of the event; and whether a total agrees with its parts."
)

_SPACE = r"[ \t\r\n]*"


def schemas() -> dict[str, str]:
    """Return the JSON Schema of each feed, by its file name."""
    return {
        f"{name}.schema.json": json.dumps(schema(feed), indent=2) + "\n"
        for name, feed in FEEDS.items()
    }


def schema(feed: Feed) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of one event of a feed."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:medallion:{feed.name}:{VERSION}",
        "$comment": LIMITS,
        "title": f"{feed.name}, version {VERSION} of the event contract",
        "description": feed.description,
        "type": "object",
        "required": [field.name for field in feed.fields if field.required],
        "properties": {field.name: _property(feed, field) for field in feed.fields},
    }


def _property(feed: Feed, field: Field) -> dict[str, Any]:
    """Return the schema of one field. Null and blank text stand for an absent value."""
    rule = _RULES[field.type.kind](field)
    if not field.required:
        rule["type"].append("null")
    rule = {"description": field.description} | rule
    if field.default is not None and field.default not in feed.names:
        text = field.default.strip("'")
        rule["default"] = text if field.type.kind == "text" else int(text)
    return rule


def _escaped(name: str) -> str:
    return name.replace("+", "\\+")


def _text(field: Field) -> dict[str, Any]:
    if field.allowed:
        values = (*field.allowed, *dict(field.ended))
        cased = map(_any_case if field.fold else _escaped, values)
        return {"type": ["string"], "pattern": _pattern(field, "|".join(cased))}
    rule: dict[str, Any] = {"type": ["string", "integer"], "minimum": 0}
    if field.required:
        rule["pattern"] = "[^ \\t\\r\\n]"
    return rule


def _number(field: Field) -> dict[str, Any]:
    is_integer = field.type.kind == "integer"
    rule: dict[str, Any] = {"type": ["integer" if is_integer else "number", "string"]}
    if field.minimum is not None:
        rule["minimum"] = plain(field.minimum)
    if field.maximum is not None:
        rule["maximum"] = field.maximum
    if not is_integer:
        most = 10 ** (field.type.precision - field.type.scale)
        rule["exclusiveMaximum"] = most
        if field.minimum is None:
            rule["exclusiveMinimum"] = -most
    return rule | {"pattern": _pattern(field, _unanchored(NUMBER))}


def _instant(field: Field) -> dict[str, Any]:
    end = int(datetime.fromisoformat(f"{BEFORE}T00:00:00+00:00").timestamp()) * 1000
    digits = int(EPOCH_MS.partition("{")[2].partition(",")[0])
    return {
        "type": ["string", "integer"],
        "minimum": 10 ** (digits - 1),
        "exclusiveMaximum": end,
        "pattern": _pattern(field, f"{_unanchored(RFC3339)}|{_unanchored(EPOCH_MS)}"),
        "examples": ["2026-03-01T10:00:00.000Z", "2026-03-01T10:00:00+02:00", 1772359200000],
    }


def _day(field: Field) -> dict[str, Any]:
    return {"type": ["string"], "pattern": _pattern(field, _unanchored(DATE))}


_RULES = {
    "text": _text,
    "integer": _number,
    "decimal": _number,
    "timestamp": _instant,
    "date": _day,
}


def _pattern(field: Field, value: str) -> str:
    """Return the pattern of a text that holds a value, with white space around it.

    A field that is not required may also be blank.
    """
    return f"^{_SPACE}(?:{value}){'' if field.required else '?'}{_SPACE}$"


def _unanchored(pattern: str) -> str:
    return pattern.removeprefix("^").removesuffix("$")


def _any_case(word: str) -> str:
    """Return a pattern that matches a word of ASCII letters in any case."""
    return "".join(f"[{c.upper()}{c.lower()}]" for c in word)
