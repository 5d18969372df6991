"""A mapping file: how to read a source, which rows are events, and each field of the contract."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator
from collections.abc import Mapping as Table
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medallion.contract import FEEDS, Feed
from medallion.errors import SettingsError, did_you_mean
from medallion.importing.expressions import Expression, Reference, parse, parse_tree

FORMATS = ("csv", "json", "parquet")
LINES_VERSION = "mapping 3"
"""A part of the name of every object. Increase it when the same source would give other lines."""

TOP = ("feed", "source", "define", "fields", "events")
SOURCE = (
    "format",
    "feed",
    "rows",
    "where",
    "order",
    "carry_down",
    "optional",
    "all_text",
    "options",
    "join",
)
EVENT = ("name", "rows", "where", "fields")
JOIN = ("file", "on", "format", "options")
DESCRIPTIONS = {
    "feed": "The kind of event that the rows become.",
    "source": "How to read the files, and which of their rows are taken.",
    "define": "Names for expressions that are used in several places; each may use those above.",
    "fields": "An SQL expression for each field; beside [[events]] those that all of them share.",
    "events": "The events of a row: one table for each kind.",
    "format": "The format of the file.",
    "rows": "The path of a nested array, such as refunds.refund_line_items: each element is a row.",
    "where": "A condition in SQL; rows for which it is not true are left out, and counted.",
    "order": "An SQL expression that is equal on all rows of an order.",
    "carry_down": "Columns that only the first row of an order has; the rows after it get them.",
    "optional": "Columns and members that no file of an import needs to have.",
    "all_text": "Read every column of a Parquet file as text.",
    "options": "Options of DuckDB's reader of the format.",
    "join": "Second files, by the name that their columns begin with.",
    "name": "The name of this kind of event in the report.",
    "file": "The second file, beside the one that is imported.",
    "on": "The key: a column that both files have, or columns of the second with those of the row.",
}
"""The description of each name in a mapping."""


@dataclass(frozen=True)
class FileFormat:
    """A format of files, and the options of DuckDB's reader of it."""

    name: str
    options: dict[str, Any]
    all_text: bool = False


@dataclass(frozen=True)
class Join:
    """A second file: `on` gives the reference of the row for each column of the second file."""

    name: str
    file: str
    on: dict[str, Reference]
    format: FileFormat


@dataclass(frozen=True)
class EventKind:
    """One [[events]]: the array whose elements are events, a condition, and the fields."""

    name: str
    rows: tuple[str, ...]
    where: Expression | None
    fields: dict[str, Expression]

    @property
    def expressions(self) -> list[Expression]:
        return [*self.fields.values(), *([self.where] if self.where else [])]


@dataclass(frozen=True)
class Mapping:
    """A parsed mapping file; `digest` is a hash of everything that the lines depend on."""

    feed: Feed
    format: FileFormat
    rows: tuple[str, ...]
    where: Expression | None
    order: Expression | None
    carry_down: tuple[Reference, ...]
    optional: frozenset[str]
    joins: tuple[Join, ...]
    events: tuple[EventKind, ...]
    digest: str

    @property
    def row_references(self) -> Iterator[Reference]:
        """The references that the rows need: the condition, the order, and the keys of joins."""
        for expression in (self.where, self.order):
            yield from expression.references if expression else ()
        yield from self.carry_down
        for join in self.joins:
            yield from join.on.values()


def load_mapping(path: Path) -> Mapping:
    """Read a mapping file; raise SettingsError when it is wrong."""
    try:
        text = path.read_text("utf-8")
        return parse_mapping(tomllib.loads(text))
    except FileNotFoundError:
        raise SettingsError(f"there is no mapping file {path}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"the mapping {path} cannot be read: {error}") from error
    except RecursionError:
        raise SettingsError(f"the mapping {path} cannot be read: it is nested too deeply") from None
    except SettingsError as error:
        raise SettingsError(f"{path.name}: {error}") from None


def parse_mapping(tables: Table[str, Any]) -> Mapping:
    """Return the mapping of the tables of a file."""
    _only(tables, TOP, "at the top")
    source = _table(tables, "source")
    _only(source, SOURCE, "in [source]")
    name = _choice(source.get("feed", tables.get("feed", "purchases")), tuple(FEEDS), "feed")
    names = _defined(tables)
    where, order = (
        parse(f"{key} in [source]", source[key], names) if key in source else None
        for key in ("where", "order")
    )
    for expression in (where, order):
        if expression and expression.allocations:
            raise SettingsError(f"{expression.label} must not use allocate(); a field may")
    mapping = Mapping(
        feed=FEEDS[name],
        format=_format(source, "[source]"),
        rows=_steps(source, "[source]"),
        where=where,
        order=order,
        carry_down=tuple(Reference((c,)) for c in _texts(source, "carry_down", "[source]")),
        optional=frozenset(_texts(source, "optional", "[source]")),
        joins=tuple(_joins(source)),
        events=_events(FEEDS[name], tables, names),
        digest=hashlib.sha256(
            json.dumps([LINES_VERSION, tables], sort_keys=True, default=str).encode()
        ).hexdigest(),
    )
    _check_orders(mapping)
    return mapping


def _check_orders(mapping: Mapping) -> None:
    """Raise SettingsError when a feature needs the order of a row, and nothing defines it."""
    is_ordered = mapping.order or mapping.rows
    if mapping.carry_down and not mapping.order:
        raise SettingsError(
            "carry_down in [source] needs order, which says to what order a row belongs: "
            "order = '\"Order ID\"'"
        )
    for event in mapping.events:
        for expression in event.expressions:
            needs = [r.name for r in expression.references if r.path == ("order_line",)]
            needs += ["allocate()"] * bool(expression.allocations)
            if needs and not (is_ordered or event.rows):
                raise SettingsError(
                    f"{expression.label} uses {needs[0]}, which needs order in [source]: "
                    "the expression that is equal on all rows of an order"
                )


def _format(table: Table[str, Any], where: str, default: str | None = None) -> FileFormat:
    all_text = table.get("all_text", False)
    if not isinstance(all_text, bool):
        raise SettingsError(f"all_text in {where} must be true or false")
    options = table.get("options", {})
    if not isinstance(options, dict):
        raise SettingsError(f"options in {where} must be a table")
    return FileFormat(
        _choice(table.get("format", default), FORMATS, "format", where), dict(options), all_text
    )


def _joins(source: Table[str, Any]) -> Iterator[Join]:
    joins = source.get("join", {})
    if not isinstance(joins, dict) or not all(isinstance(j, dict) for j in joins.values()):
        raise SettingsError("a join is a table with a name, such as [source.join.orders]")
    for name, table in joins.items():
        where = f"[source.join.{name}]"
        _only(table, JOIN, f"in {where}")
        file, on = table.get("file"), table.get("on")
        if not isinstance(file, str) or not file:
            raise SettingsError(f"file in {where} must name the second file")
        if isinstance(on, str):
            on = {on: on}
        if not isinstance(on, dict) or not on or not all(isinstance(v, str) for v in on.values()):
            raise SettingsError(
                f"on in {where} must be the column that both files have, or a table "
                '{ "column of the second file" = "column of the first" }'
            )
        keys = {theirs: Reference((ours,)) for theirs, ours in on.items()}
        yield Join(name, file, keys, _format(table, where, source.get("format")))


def _defined(tables: Table[str, Any]) -> dict[str, Any]:
    """Return the trees of the expressions in [define], each of which may use those before it."""
    table, names = tables.get("define", {}), dict[str, Any]()
    if not isinstance(table, dict):
        raise SettingsError("define must be a table of expressions: [define]")
    for name, text in table.items():
        names[name] = parse_tree(f"{name} in [define]", text, names)
    return names


def _events(feed: Feed, tables: Table[str, Any], names: dict[str, Any]) -> tuple[EventKind, ...]:
    if "events" not in tables:
        fields = _table(tables, "fields")
        return (EventKind(feed.name, (), None, _fields(feed, fields, "[fields]", names)),)
    events, common = tables["events"], tables.get("fields", {})
    if not isinstance(events, list) or not events or not all(isinstance(e, dict) for e in events):
        raise SettingsError("events must be written as [[events]], one for each kind of event")
    kinds: list[EventKind] = []
    for i, table in enumerate(events, 1):
        _only(table, EVENT, "in [[events]]")
        name = table.get("name")
        if not isinstance(name, str) or not name.strip():
            raise SettingsError(f'[[events]] number {i} needs a name, such as name = "line"')
        if name in [kind.name for kind in kinds]:
            raise SettingsError(f"two [[events]] have the name {name}")
        where = f"[[events]] {name}"
        own = table.get("fields", {})
        condition = parse(f"where of {where}", table["where"], names) if "where" in table else None
        if condition and condition.allocations:
            raise SettingsError(f"{condition.label} must not use allocate(); a field may")
        fields = _fields(feed, {**common, **own}, f"[fields] of {where}", names)
        kinds.append(EventKind(name, _steps(table, where), condition, fields))
    return tuple(kinds)


def _fields(
    feed: Feed, table: Table[str, Any], where: str, names: dict[str, Any]
) -> dict[str, Expression]:
    if not isinstance(table, dict):
        raise SettingsError(f"{where} must be a table")
    for name in table:
        if name not in feed.names:
            raise SettingsError(
                f"{where} has {name}, which is no field of {feed.name}; "
                f"its fields are {', '.join(feed.names)}"
            )
    missing = [f.name for f in feed.fields if f.required and f.name not in table]
    if missing:
        raise SettingsError(f"{where} must also map {', '.join(missing)}: {feed.name} require it")
    return {
        f.name: parse(f"field {f.name}", table[f.name], names)
        for f in feed.fields
        if f.name in table
    }


def _steps(table: Table[str, Any], where: str) -> tuple[str, ...]:
    rows = table.get("rows", "")
    if not isinstance(rows, str) or ("rows" in table and not all(rows.split("."))):
        raise SettingsError(
            f"rows in {where} must be the path of an array in quotes, such as "
            '"refunds.refund_line_items"'
        )
    return tuple(rows.split(".")) if rows else ()


def _texts(table: Table[str, Any], name: str, where: str) -> list[str]:
    values = table.get(name, [])
    if not isinstance(values, list) or not all(isinstance(v, str) and v for v in values):
        raise SettingsError(f"{name} in {where} must be a list of column names in quotes")
    return values


def _table(tables: Table[str, Any], name: str) -> Table[str, Any]:
    value = tables.get(name)
    if not isinstance(value, dict):
        raise SettingsError(f"the table [{name}] is missing")
    return value


def _only(table: Table[str, Any], allowed: tuple[str, ...], where: str) -> None:
    for name in table:
        if name not in allowed:
            hint = did_you_mean(name, allowed)
            raise SettingsError(
                f"unknown name {name} {where}; known are {', '.join(allowed)}{hint}"
            )


def _choice(value: object, allowed: tuple[str, ...], name: str, where: str = "[source]") -> str:
    if not isinstance(value, str) or value not in allowed:
        raise SettingsError(f"{name} in {where} must be one of {', '.join(allowed)}, not {value}")
    return value
