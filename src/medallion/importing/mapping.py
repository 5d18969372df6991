"""A mapping file: how to read a source, and the expression for each field of the contract."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping as Table
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medallion.contract import FEEDS, Feed
from medallion.errors import SettingsError
from medallion.importing.expressions import Expression, parse

FORMATS = ("csv", "json", "parquet")
LINES_VERSION = "mapping 1"
"""A part of the name of every object; raise it when the same source would give other lines."""


@dataclass(frozen=True)
class Mapping:
    """A parsed mapping file.

    `options` are those of DuckDB's reader of `format`. `all_text` reads every column as text.
    `digest` is a hash of everything that the lines depend on.
    """

    feed: Feed
    format: str
    all_text: bool
    options: dict[str, Any]
    fields: dict[str, Expression]
    digest: str


def load_mapping(path: Path) -> Mapping:
    """Read a mapping file; raise SettingsError when it is wrong."""
    try:
        text = path.read_text("utf-8")
        return parse_mapping(tomllib.loads(text))
    except FileNotFoundError:
        raise SettingsError(f"there is no mapping file {path}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"the mapping {path} cannot be read: {error}") from error
    except SettingsError as error:
        raise SettingsError(f"{path.name}: {error}") from None


def parse_mapping(tables: Table[str, Any]) -> Mapping:
    """Return the mapping of the tables of a file."""
    _only(tables, ("source", "fields", "feed"), "at the top")
    source = _table(tables, "source")
    _only(source, ("format", "all_text", "options", "feed"), "in [source]")
    feed = _choice(source.get("feed", tables.get("feed", "purchases")), tuple(FEEDS), "feed")
    format_ = _choice(source.get("format"), FORMATS, "format")
    all_text = source.get("all_text", False)
    if not isinstance(all_text, bool):
        raise SettingsError("all_text in [source] must be true or false")
    options = _table(source, "options") if "options" in source else {}
    fields = _fields(FEEDS[feed], _table(tables, "fields"))
    content = json.dumps(
        [LINES_VERSION, feed, format_, all_text, options, {n: e.sql for n, e in fields.items()}],
        sort_keys=True,
        default=str,
    )
    digest = hashlib.sha256(content.encode()).hexdigest()
    return Mapping(FEEDS[feed], format_, all_text, dict(options), fields, digest)


def _fields(feed: Feed, table: Table[str, Any]) -> dict[str, Expression]:
    for name, sql in table.items():
        if name not in feed.names:
            raise SettingsError(
                f"[fields] has {name}, which is no field of {feed.name}; "
                f"its fields are {', '.join(feed.names)}"
            )
        if not isinstance(sql, str) or not sql.strip():
            raise SettingsError(f"field {name} must be an SQL expression in quotes")
    missing = [f.name for f in feed.fields if f.required and f.name not in table]
    if missing:
        raise SettingsError(f"[fields] must also map {', '.join(missing)}: {feed.name} require it")
    return parse({f: table[f.name] for f in feed.fields if f.name in table})


def _table(tables: Table[str, Any], name: str) -> Table[str, Any]:
    value = tables.get(name)
    if not isinstance(value, dict):
        raise SettingsError(f"the table [{name}] is missing")
    return value


def _only(table: Table[str, Any], allowed: tuple[str, ...], where: str) -> None:
    for name in table:
        if name not in allowed:
            raise SettingsError(f"unknown name {name} {where}; known are {', '.join(allowed)}")


def _choice(value: object, allowed: tuple[str, ...], name: str) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise SettingsError(f"{name} in [source] must be one of {', '.join(allowed)}, not {value}")
    return value
