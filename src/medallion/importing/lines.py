"""The query that writes the rows of a source as lines of JSON, by a mapping."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from medallion.contract import Field
from medallion.errors import SettingsError
from medallion.importing.allocation import Share, allocated
from medallion.importing.expressions import Expression, Path, Reference, render
from medallion.importing.mapping import EventKind, Mapping
from medallion.importing.readers import SourceFile
from medallion.importing.render import (
    NUMBERS,
    base,
    json_text,
    literal,
    object_line,
    quoted,
    string,
)
from medallion.importing.rows import LINE, ORDER_LINE, Lookup, Rows, Scope
from medallion.importing.source import (
    BROKEN,
    Formats,
    Value,
    instant,
    lost,
    plain_number,
)

ROW = "row"
"""The column with the number of a row of the mapping in its file, from 1."""

_BROKEN = quoted(BROKEN)
_RAW = "JSON text"
"""The type of a value that is JSON already."""


@dataclass(frozen=True)
class Plan:
    """The query of the rows of a file, and of the lines of each kind of event.

    The rows have ROW, BROKEN, and `skip`: why the row gives no event, else NULL.
    """

    con: duckdb.DuckDBPyConnection
    mapping: Mapping
    rows: Rows
    references: tuple[Reference, ...]

    @classmethod
    def of(
        cls,
        con: duckdb.DuckDBPyConnection,
        name: str,
        source: SourceFile,
        mapping: Mapping,
        lookups: dict[str, Lookup],
        scan: bool = False,
    ) -> Plan:
        """Return the plan of a file; only the plan of a `scan` may be run."""
        query, columns = source.rows(scan)
        references = _row_references(mapping)
        scope = Scope(columns, source.structure)
        rows = Rows(con, name, query, scope, source.formats, _wanted(mapping))
        for i, step in enumerate(mapping.rows):
            rows.keep(r for r in references if r.path[0] not in mapping.rows[i:])
            rows.keep_array(f"a{i}", (*mapping.rows[max(i - 1, 0) : i], step))
            rows.unnest(step, f"a{i}")
        for join in mapping.joins:
            rows.join(join.name, join.on, lookups[join.name])
        rows.keep(references)
        for i, event in enumerate(mapping.events):
            if event.rows:
                rows.keep_array(f"n{i}", (*mapping.rows[-1:], event.rows[0]))
        if mapping.order:
            rows.keep(mapping.order.references, is_last=True)
            rows.number_orders(mapping.order, [str(r.path[0]) for r in mapping.carry_down])
            rows.keep(references)
        rows.keep(mapping.row_references, is_last=True)
        _left_out(rows, mapping)
        return cls(con, mapping, rows, tuple(references))

    @property
    def is_flat(self) -> bool:
        """Return whether each row gives one line, so that the rows need not be kept."""
        mapping = self.mapping
        is_shaped = mapping.rows or mapping.where or mapping.order or mapping.joins
        return not (is_shaped or len(mapping.events) > 1 or mapping.events[0].rows)

    def missing(self) -> dict[Reference, str]:
        """Return the names that the file does not have, each with the expression that uses it."""
        labels = {
            r: expression.label
            for event in self.mapping.events
            for expression in event.expressions
            for r in expression.references
        }
        missing = self.rows.missing
        for i, event in enumerate(self.mapping.events):
            missing = missing + self._events(i, event).missing
        return {r: labels.get(r, "[source]") for r in missing}

    def check(self) -> None:
        """Raise SettingsError for an expression that cannot be used on the file."""
        expressions = [e for e in (self.mapping.where, self.mapping.order) if e]
        for expression in expressions:
            _bind(self.con, self.rows, expression)
        for i in range(len(self.mapping.events)):
            self.line_query(i)

    def rows_query(self) -> str:
        """Return the query of the rows, in order."""
        order = LINE + f", {ORDER_LINE}" * self.rows.has_order
        return (
            f"SELECT {', '.join(self.rows.kept)}, skip, row_number() OVER (ORDER BY {order}) "
            f"AS {ROW} FROM ({self.rows.query}) ORDER BY {ROW}"
        )

    def broken_query(self) -> str:
        """Return the query of the lines for rows that cannot be read."""
        return (
            f"SELECT {ROW}, {_broken_line(_BROKEN)} AS line FROM rows WHERE {_BROKEN} IS NOT NULL"
        )

    def flat_query(self) -> str:
        """Return the query of one line for each row, without a table of the rows."""
        return self._line_query(0, self.rows.query, f"{LINE} AS {ROW}")

    def line_query(self, number: int, table: str | None = None) -> str:
        """Return the query of row number and line for a kind of event.

        The line is NULL if the condition of the event is not true.
        """
        table = table or f"({self.rows_query()})"
        query = f"SELECT * FROM {table} WHERE skip IS NULL AND {_BROKEN} IS NULL"
        return self._line_query(number, query, ROW)

    def _line_query(self, number: int, query: str, row: str) -> str:
        event = self.mapping.events[number]
        rows = self._events(number, event, query)
        shares: list[Share] = []
        firsts = []
        for field in self._fields(event):
            firsts.append(len(shares))
            shares += _shares(rows, event.fields[field.name])
        if shares:
            rows.query = allocated(rows.query, shares, "parent", f"{LINE}, {ORDER_LINE}")
        inner, members = [], {}
        for i, (field, first) in enumerate(zip(self._fields(event), firsts, strict=True)):
            expression = event.fields[field.name]
            value, type_name, fails = _value(self.con, rows, expression, first, field)
            inner.append(f"{value} AS x{i}")
            text = json_text(f"x{i}", type_name, field) if type_name != _RAW else f"x{i}"
            if fails:
                used = rows.used(expression)
                inner += [f"{fails} AS y{i}", f"CASE WHEN y{i} THEN {used} END AS z{i}"]
                text = f"CASE WHEN y{i} THEN z{i} ELSE {text} END"
            members[field.name] = text
        line = object_line(members)
        if event.where:
            _bind(self.con, rows, event.where)
            inner.append(f"{_tried_condition(rows, event.where)} AS w")
            reason = string(literal(f"where of {event.name} cannot be computed"))
            inner.append(f"concat({reason}, ',', {string(rows.used(event.where))}) AS wt")
            line = f"CASE WHEN w.v IS NULL THEN {_broken_line('wt')} WHEN w.v THEN {line} END"
        line = f"CASE WHEN {_BROKEN} IS NOT NULL THEN {_broken_line(_BROKEN)} ELSE {line} END"
        order = f" ORDER BY {ROW}, parent, {ORDER_LINE}" if event.rows or shares else ""
        kept = [c for c in rows.kept if c in ("file", LINE, _BROKEN, ROW, "parent", ORDER_LINE)]
        return (
            f"SELECT {row}, {line} AS line FROM (SELECT {', '.join(dict.fromkeys(kept))}, "
            f"{', '.join(inner)} FROM ({rows.query}) AS source){order}"
        )

    def _fields(self, event: EventKind) -> list[Field]:
        return [field for field in self.mapping.feed.fields if field.name in event.fields]

    def _events(self, number: int, event: EventKind, query: str | None = None) -> Rows:
        """Return one row for each event, with all that its expressions use."""
        rows = self.rows.copy(query or f"({self.rows_query()})")
        if query != self.rows.query:
            rows.kept.append(ROW)
        references = [r for e in event.expressions for r in e.references]
        rows.values = {r: v for r, v in rows.values.items() if r.path[0] not in event.rows}
        for i, step in enumerate(event.rows):
            key = f"n{number}" if i == 0 else f"n{number}_{i}"
            if i:
                rows.keep(r for r in references if r.path[0] in event.rows[:i])
                rows.keep_array(key, (event.rows[i - 1], step))
            rows.unnest(step, key)
        if event.rows:
            rows.query = f"SELECT * FROM ({rows.query}) WHERE {rows.element} IS NOT NULL"
        rows.keep(references, is_last=True)
        return rows


def _shares(rows: Rows, expression: Expression) -> list[Share]:
    columns = {r: rows.values[r].sql for r in expression.references}
    return [
        Share(
            render(call.amount, columns),
            render(call.weight, columns),
            render(call.decimals, columns) if call.decimals else None,
            " OR ".join(rows.lost(call.references)) or "false",
        )
        for call in expression.allocations
    ]


def _row_references(mapping: Mapping) -> list[Reference]:
    """Return the references that are computed once for a row, not for each element of its array."""
    references = list(mapping.row_references)
    for event in mapping.events:
        for expression in event.expressions:
            references += [r for r in expression.references if r.path[0] not in event.rows]
    return list(dict.fromkeys(references))


def _wanted(mapping: Mapping) -> set[Path]:
    """Return the paths of everything that is read from documents."""
    references = [r for e in mapping.events for x in e.expressions for r in x.references]
    paths = {r.path for r in (*mapping.row_references, *references)}
    for event in mapping.events:
        steps = (*mapping.rows, *event.rows)
        paths |= {steps[max(i - 1, 0) : i + 1] for i in range(len(steps))}
    return paths


def _left_out(rows: Rows, mapping: Mapping) -> None:
    """Add `skip` to rows; a row whose condition cannot be computed becomes broken."""
    cases = [f"WHEN {_BROKEN} IS NOT NULL THEN NULL"]
    if mapping.rows:
        cases.append(f"WHEN {rows.element} IS NULL THEN {literal(no_element(mapping))}")
    if mapping.where:
        tried = _tried_condition(rows, mapping.where)
        reason = string(literal("where in [source] cannot be computed"))
        text = f"concat({reason}, ',', {string(rows.used(mapping.where))})"
        rows.query = (
            f"SELECT * REPLACE (CASE WHEN {_BROKEN} IS NULL AND {_element_is_there(rows, mapping)} "
            f"AND w IS NULL THEN {text} ELSE {_BROKEN} END AS {_BROKEN}) "
            f"FROM (SELECT *, {tried} AS w FROM ({rows.query}))"
        )
        cases.append(f"WHEN NOT w.v THEN {literal(not_taken(mapping))}")
    rows.query = f"SELECT *, CASE {' '.join(cases)} ELSE NULL END AS skip FROM ({rows.query})"


def _element_is_there(rows: Rows, mapping: Mapping) -> str:
    return f"{rows.element} IS NOT NULL" if mapping.rows else "true"


def no_element(mapping: Mapping) -> str:
    """Return the reason why a row without elements gives no event."""
    return f"no element in {'.'.join(mapping.rows)}"


def not_taken(mapping: Mapping) -> str:
    """Return the reason why a row for which `where` is not true gives no event."""
    where = " ".join(mapping.where.text.split()) if mapping.where else ""
    return f"where in [source] is not true: {where}"


def _broken_line(broken: str) -> str:
    return f"concat('[', to_json(file), ',', {LINE}, ',', {broken}, ']', chr(10))"


def _tried_condition(rows: Rows, where: Expression) -> str:
    """Return SQL of a condition as a struct; NULL where it cannot be computed."""
    tried = f"TRY(struct_pack(v := coalesce(CAST({rows.sql(where)} AS BOOLEAN), false)))"
    fails = " OR ".join(rows.lost(where.references))
    return f"CASE WHEN {fails} THEN NULL ELSE {tried} END" if fails else tried


def _value(
    con: duckdb.DuckDBPyConnection,
    rows: Rows,
    expression: Expression,
    first_allocation: int,
    field: Field,
) -> tuple[str, str, str | None]:
    """Return SQL of the value, its type, and SQL that is true where the value is lost.

    When an expression fails on a row, or the text of a column does not fit its type, the field
    becomes a JSON object of the source columns. No field of the contract accepts an object, so the
    cleaner rejects the row for that field, with the original text.
    """
    type_name = _bind(con, rows, expression, first_allocation)
    value = rows.values[expression.bare] if expression.bare else None
    if value and (plain := _as_written(value, field.type.kind, rows.formats)):
        return plain
    if value and not value.text:
        return value.sql, type_name, None
    tried = f"TRY(struct_pack(v := {rows.sql(expression, first_allocation)}))"
    fails = [*rows.lost(expression.references), f"{tried} IS NULL"]
    fails += [f"f{first_allocation + i}" for i in range(len(expression.allocations))]
    return f"{tried}.v", type_name, f"({' OR '.join(fails)})"


def _as_written(value: Value, kind: str, formats: Formats) -> tuple[str, str, str | None] | None:
    """Return a value that stands alone as the source writes it, if the field accepts it so."""
    is_text = value.type == "VARCHAR" and not value.text
    text = value.sql if is_text else value.text
    if not text:
        return None
    if kind in ("timestamp", "date") and is_text and (formats.timestamp or formats.date):
        sql = instant(text, formats)
        return sql, "TIMESTAMP", lost(sql, text)
    if kind in ("decimal", "integer") and (is_text or base(value.type) in NUMBERS):
        if formats.changes_numbers:
            number = plain_number(text, formats)
            return number, "VARCHAR", lost(number, text)
    elif not is_text and base(value.type) not in NUMBERS and kind != "text":
        return None
    if value.written:
        nested = f"substr({value.written}, 1, 1) IN ('{{', '[')"
        return f"CASE WHEN {nested} THEN {value.written} ELSE {string(text)} END", _RAW, None
    return text, "VARCHAR", None


def _bind(
    con: duckdb.DuckDBPyConnection, rows: Rows, expression: Expression, first_allocation: int = 0
) -> str:
    """Return the type of an expression; raise SettingsError with the field and the column."""
    sql = rows.sql(expression, first_allocation)
    try:
        row = con.execute(
            f"DESCRIBE SELECT TRY({sql}) AS v FROM ({rows.query}) AS source"
        ).fetchone()
        con.execute(f"EXPLAIN SELECT {LINE}, {sql} AS v FROM ({rows.query}) AS source").fetchall()
    except duckdb.Error as error:
        reason = str(error).split("\n")[0]
        types = ", ".join(f"{r.name} is {rows.values[r].type}" for r in expression.references)
        raise SettingsError(
            f"{expression.label}: {expression.text!r} cannot be used on {rows.file} ({types}): "
            f"{reason}"
        ) from None
    return str(row[1]) if row else "VARCHAR"
