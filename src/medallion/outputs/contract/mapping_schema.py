"""The JSON Schema of the mapping files of `medallion import`, for editors that complete TOML."""

from __future__ import annotations

import json
from typing import Any

from medallion.contract import FEEDS
from medallion.importing.mapping import DESCRIPTIONS, EVENT, FORMATS, JOIN, SOURCE, TOP

_SQL = {"type": "string", "minLength": 1}
_NAMES = {"type": "array", "items": _SQL}
_KINDS: dict[str, dict[str, Any]] = {
    "format": {"enum": list(FORMATS)},
    "feed": {"enum": list(FEEDS), "default": "purchases"},
    "carry_down": _NAMES,
    "optional": _NAMES,
    "all_text": {"type": "boolean", "default": False},
    "options": {"type": "object"},
    "define": {"type": "object", "additionalProperties": _SQL},
    "on": {"anyOf": [_SQL, {"type": "object", "additionalProperties": _SQL, "minProperties": 1}]},
}


def mapping_schema() -> str:
    """Return the JSON Schema (draft 7, which editors of TOML read) of a mapping file."""
    names: dict[str, str] = {}
    for feed in FEEDS.values():
        names |= {field.name: field.description for field in feed.fields}
    fields = {
        "type": "object",
        "description": DESCRIPTIONS["fields"],
        "additionalProperties": False,
        "properties": {name: _SQL | {"description": text} for name, text in names.items()},
    }
    join = _table(JOIN, ("file", "on"), {})
    joins = {"type": "object", "additionalProperties": join}
    event = _table(EVENT, ("name",), {"fields": fields})
    events = {"type": "array", "minItems": 1, "items": event}
    source = _table(SOURCE, ("format",), {"join": joins})
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A mapping of medallion import",
        **_table(TOP, ("source",), {"source": source, "fields": fields, "events": events}),
        "anyOf": [{"required": ["fields"]}, {"required": ["events"]}],
    }
    return json.dumps(schema, indent=2) + "\n"


def _table(
    names: tuple[str, ...], required: tuple[str, ...], special: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Return the schema of a table with no other names than these."""
    properties = {
        name: {"description": DESCRIPTIONS[name]} | special.get(name, _KINDS.get(name, _SQL))
        for name in names
    }
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": properties,
    }
