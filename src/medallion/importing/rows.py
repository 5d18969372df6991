"""The rows of a source file as a query that is built step by step.

The steps are nested arrays, joins, orders and the condition.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import duckdb

from medallion.errors import SettingsError
from medallion.importing.expressions import Expression, Path, Reference
from medallion.importing.render import literal, quoted
from medallion.importing.source import (
    BROKEN,
    JSON,
    TEXT,
    Column,
    Formats,
    Value,
    absent,
    array_of,
    lost,
    pointer,
    typed_value,
    value_of,
)
from medallion.importing.structure import Structure, below, element, find

FILE, LINE, ORDER_LINE = "file", "line", "order_line"
OWN = {
    FILE: Value(FILE, "VARCHAR"),
    LINE: Value(LINE, "BIGINT"),
    ORDER_LINE: Value(ORDER_LINE, "BIGINT"),
}
"""Columns that every row has besides those of its source."""


@dataclass(frozen=True)
class Scope:
    """Names that expressions can use: the columns of a file, or the members of a document.

    `members` are columns that hold the members of a document that expressions use.
    """

    columns: Column | dict[str, Column]
    structure: Structure
    members: dict[str, Column] = field(default_factory=dict)


@dataclass(frozen=True)
class Lookup:
    """A second file that is joined: its table, and its columns in that table."""

    table: str
    scope: Scope
    formats: Formats


class Rows:
    """Rows of a source file, as a query that further steps extend.

    `query` has line, BROKEN, the values that are kept, and the columns of the scopes. A value is
    the columns v<i>, t<i> (its text) and w<i> (its JSON). Documents around an element are dropped
    as soon as deeper elements do not need them, so that no document is read again for each of its
    elements.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        file: str,
        query: str,
        scope: Scope,
        formats: Formats,
        wanted: Iterable[Path],
    ) -> None:
        self.con, self.formats, self.wanted = con, formats, tuple(wanted)
        self.file, self.names = file, _names(scope.structure)
        self.query = f"SELECT {literal(file)} AS {FILE}, * FROM ({query})"
        self.kept = [FILE, LINE, quoted(BROKEN)]
        self.scopes: dict[str, Scope] = {}
        self.values: dict[Reference, Value] = {}
        self.arrays: dict[str, tuple[Structure, str]] = {}
        self.missing: list[Reference] = []
        self.element = ""
        self.has_order, self.count = False, 0
        self._enter("", scope)

    def copy(self, query: str) -> Rows:
        """Return rows that continue from a table with these rows, without scopes."""
        rows = Rows.__new__(Rows)
        rows.__dict__ |= self.__dict__ | {
            "query": query,
            "scopes": {},
            "values": dict(self.values),
            "kept": list(self.kept),
            "missing": [],
        }
        return rows

    def keep(self, references: Iterable[Reference], is_last: bool = False) -> None:
        """Compute and keep the values of references that have a name in a scope.

        If this `is_last`, the other references are missing, and their values are absent.
        """
        selected = []
        for reference in references:
            if reference in self.values:
                continue
            if (own := self._own(reference)) is not None:
                self.values[reference] = own
            elif (place := self._find(reference.path)) or is_last:
                value = self._value(*place, reference) if place else absent(reference)
                self.missing += [] if place else [reference]
                i = self.count
                self.count += 1
                names = [f"v{i}"]
                selected.append(f"{value.sql} AS v{i}")
                for letter, sql in (("t", value.text), ("w", value.written)):
                    names += [f"{letter}{i}"] if sql else []
                    selected += [f"{sql} AS {letter}{i}"] if sql else []
                self.values[reference] = Value(
                    f"v{i}",
                    value.type,
                    f"t{i}" if value.text else None,
                    f"w{i}" if value.written else None,
                )
                self.kept += names
        if selected:
            self.query = f"SELECT *, {', '.join(selected)} FROM ({self.query})"

    def keep_array(self, key: str, path: Path) -> None:
        """Keep an array for a later `unnest`; an empty array if there is none of this name."""
        array, kind = "CAST([] AS JSON[])", JSON
        structure: Structure = "JSON"
        if place := self._find(path):
            column, rest, structure = place
            if column.kind == TEXT:
                raise SettingsError(f"rows: {path[-1]} of {self.file} is a text, not an array")
            array, kind = array_of(column, rest), JSON if column.kind == JSON else ""
        else:
            self.missing.append(Reference(path))
        self.query = f"SELECT *, {array} AS {key} FROM ({self.query})"
        self.kept.append(key)
        self.arrays[key] = (element(structure), kind)

    def unnest(self, step: str, key: str) -> None:
        """Make each element of a kept array a row; a row without elements stays one row, without e.

        `parent` is then the number of the row that held the element, `order_line` its place there.
        """
        structure, kind = self.arrays[key]
        self.kept = [k for k in dict.fromkeys(self.kept) if k not in (key, "parent", ORDER_LINE)]
        listed = f"CASE WHEN coalesce(len({key}), 0) = 0 THEN [NULL] ELSE {key} END"
        numbered = f"SELECT *, {listed} AS l FROM ({self.query})"
        name = f"e{len(self.arrays)}_{key}"
        self.query = (
            f"SELECT {', '.join(self.kept)}, parent, unnest(l) AS {name}, "
            f"unnest(range(1, len(l) + 1)) AS {ORDER_LINE} FROM "
            f"(SELECT *, row_number() OVER () AS parent FROM ({numbered}))"
        )
        self.kept += ["parent", ORDER_LINE]
        if not kind:
            described = self.con.execute(f"DESCRIBE SELECT {name} FROM ({self.query})").fetchone()
            kind = str(described[1]) if described else JSON
        self.element, self.has_order = name, True
        self.scopes = {}
        self._enter(step, Scope(Column(name, kind), structure))

    def join(self, name: str, keys: dict[str, Reference], other: Lookup) -> None:
        """Add the columns of a second file, by its keys; they are absent where it has no row."""
        self.keep(keys.values(), is_last=True)
        conditions = [
            f"CAST({self.values[reference].sql} AS VARCHAR) = k{i}"
            for i, reference in enumerate(keys.values())
        ]
        names = [f"k{i}" for i in range(len(keys))]
        self.query = (
            f"SELECT rows.*, other.* EXCLUDE ({', '.join(names)}) FROM ({self.query}) AS rows "
            f"LEFT JOIN {other.table} AS other ON {' AND '.join(conditions)}"
        )
        self._enter(name, other.scope)

    def number_orders(self, order: Expression, carried: Iterable[str]) -> None:
        """Add the number of each line in its order, and carry values down from earlier lines."""
        key = f"TRY({self.sql(order)})"
        self.query = (
            f"SELECT * EXCLUDE ({LINE}), {LINE}, coalesce('k' || CAST({key} AS VARCHAR), "
            f"'l' || {LINE}) AS parent FROM ({self.query})"
            if not self.has_order
            else f"SELECT * EXCLUDE (parent, {ORDER_LINE}), coalesce('k' || CAST({key} AS VARCHAR),"
            f" 'l' || parent) AS parent, {ORDER_LINE} AS place FROM ({self.query})"
        )
        place = f"{LINE}, place" if self.has_order else LINE
        over = f"OVER (PARTITION BY parent ORDER BY {place}"
        carried_columns = [
            f"last_value({_unless_blank(column, value)} IGNORE NULLS) {over} "
            f"ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS {column}"
            for reference, value in self.values.items()
            if str(reference.path[0]) in set(carried)
            for column in (value.sql, value.text, value.written)
            if column
        ]
        replaced = f" REPLACE ({', '.join(carried_columns)})" if carried_columns else ""
        self.query = f"SELECT *{replaced}, row_number() {over}) AS {ORDER_LINE} FROM ({self.query})"
        self.kept = [k for k in self.kept if k not in ("parent", ORDER_LINE)]
        self.kept += ["parent", ORDER_LINE]
        self.has_order = True

    def sql(self, expression: Expression, first_allocation: int = 0) -> str:
        """Return an expression over the kept values as SQL; missing values are NULL."""
        columns = {r: self.values[r].sql for r in expression.references}
        return expression.sql(columns, first_allocation)

    def lost(self, references: Iterable[Reference]) -> list[str]:
        """Return SQL that is true if a used value is not of its type."""
        values = [self.values[r] for r in references]
        return [lost(v.sql, v.text) for v in values if v.text]

    def used(self, expression: Expression) -> str:
        """Return SQL of a JSON object with the used values as they are in the source."""
        members = ", ".join(
            f"{literal(r.name)}, {v.text or v.sql}"
            for r in dict.fromkeys(replace(r, use="text") for r in expression.references)
            if (v := self._any(r))
        )
        return f"CAST(json_object({members}) AS VARCHAR)"

    def _any(self, reference: Reference) -> Value | None:
        place = (reference.path, reference.member)
        return next((v for r, v in self.values.items() if (r.path, r.member) == place), None)

    def _own(self, reference: Reference) -> Value | None:
        name = str(reference.path[0]).lower()
        if len(reference.path) > 1 or (name == ORDER_LINE and not self.has_order):
            return None
        return OWN.get(name)

    def _find(self, path: Path) -> tuple[Column, Path, Structure] | None:
        """Return the column in which a path begins, the rest of the path, and its structure."""
        name = str(path[0])
        is_step = name in self.scopes and name
        scope = self.scopes.get(name if is_step else "")
        if scope is None:
            return None
        rest = path[1:] if is_step else self._renamed(path, scope)
        original = find(scope.structure, rest)
        if original is None:
            return None
        structure = below(scope.structure, original)
        if original and (member := scope.members.get(str(original[0]))):
            return member, original[1:], structure
        if isinstance(scope.columns, Column):
            return scope.columns, original, structure
        if not original:
            return None
        return scope.columns[str(original[0])], original[1:], structure

    def _enter(self, name: str, scope: Scope) -> None:
        """Add a scope; all needed members of a document are read from it at once.

        For each function that reads a document, DuckDB uses ten bytes per byte of the document.
        """
        self.scopes[name] = scope
        document = scope.columns
        if not isinstance(document, Column) or document.kind != JSON:
            return
        paths = (
            [self._renamed(p, scope) for p in self.wanted]
            if not name
            else [p[1:] for p in self.wanted if p[0] == name]
        )
        originals = [find(scope.structure, path) for path in paths]
        names = list(dict.fromkeys(str(path[0]) for path in originals if path))
        if names:
            pointers = literal([pointer((n,)) for n in names])
            column, self.count = f"x{self.count}", self.count + 1
            self.query = (
                f"SELECT *, json_extract({document.sql}, {pointers}) AS {column} "
                f"FROM ({self.query})"
            )
            scope.members.update(
                {n: Column(f"{column}[{i}]", JSON) for i, n in enumerate(names, 1)}
            )

    def _renamed(self, path: Path, scope: Scope) -> Path:
        """Return the path of a column file_1, which is the column file of the source."""
        name = str(path[0])
        original = name.removesuffix("_1")
        if name != original and original.lower() in OWN and find(scope.structure, (name,)) is None:
            return (original, *path[1:])
        return path

    def _value(self, column: Column, path: Path, _: Structure, reference: Reference) -> Value:
        value = value_of(column, path, reference, self.formats)
        if value.type:
            return value
        row = self.con.execute(f"DESCRIBE SELECT {value.sql} FROM ({self.query})").fetchone()
        return typed_value(value.sql, str(row[1]) if row else "VARCHAR", reference, self.formats)


def _unless_blank(column: str, value: Value) -> str:
    is_text = column != value.sql or value.type == "VARCHAR"
    return f"nullif(trim({column}), '')" if is_text else column


def _names(structure: Structure) -> list[str]:
    if not isinstance(structure, dict) or not structure:
        return []
    taken = {name.lower() for name in structure}
    own = [f"{n}_1" if n.lower() in OWN and f"{n}_1" not in taken else n for n in structure]
    return [*own, FILE, LINE]
