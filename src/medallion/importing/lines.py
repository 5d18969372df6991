"""From a source and its mapping to the query that writes lines of JSON."""

from __future__ import annotations

import duckdb

from medallion.errors import SettingsError
from medallion.importing.expressions import Expression
from medallion.importing.mapping import Mapping
from medallion.importing.render import (
    NUMBERS,
    base,
    json_text,
    literal,
    object_line,
    quoted,
)
from medallion.importing.source import BROKEN, Column, Source


def line_query(con: duckdb.DuckDBPyConnection, source: Source, mapping: Mapping) -> str:
    """The query whose one column, `line`, is the raw JSON of each row of the source.

    When an expression fails on a row, or a column that it uses does not hold what its type says,
    the field becomes an object of those columns as they are in the source. No field of the
    contract takes an object, so the row is rejected for that field with the original text.
    A row that could not be read at all becomes an array: malformed, with its text.
    """
    inner, members = [], {}
    for i, (name, expression) in enumerate(mapping.fields.items()):
        value, type_name, fails = _value(con, source, expression)
        inner.append(f"{value} AS v{i}")
        text = json_text(f"v{i}", type_name, expression.field)
        if fails:
            used = _used(source, expression)
            inner += [f"{fails} AS f{i}", f"CASE WHEN f{i} THEN {used} END AS o{i}"]
            text = f"CASE WHEN f{i} THEN o{i} ELSE {text} END"
        members[name] = text
    broken = quoted(BROKEN)
    return (
        f"SELECT CASE WHEN {broken} IS NOT NULL "
        f"THEN concat('[', to_json(file), ',', line, ',', {broken}, ']', chr(10)) "
        f"ELSE {object_line(members)} END AS line "
        f"FROM (SELECT file, line, {broken}, {', '.join(inner)} FROM ({source.query}) AS source)"
    )


def _value(
    con: duckdb.DuckDBPyConnection, source: Source, expression: Expression
) -> tuple[str, str, str | None]:
    """SQL of the value, its type, and SQL that tells whether the row lost it."""
    type_name = _bind(con, source, expression)
    column = source.column(expression.bare) if expression.bare else None
    if column and column.text and _as_written(column, expression):
        return quoted(column.text), "VARCHAR", None
    if column and not column.text:
        return quoted(column.name), type_name, None
    tried = f"TRY(struct_pack(v := {expression.sql}))"
    lost = [
        f"({quoted(c.name)} IS NULL AND nullif(trim({quoted(c.text)}), '') IS NOT NULL)"
        for c in _columns(source, expression)
        if c.text
    ]
    lost.append(f"{tried} IS NULL")
    return f"{tried}.v", type_name, f"({' OR '.join(lost)})"


def _as_written(column: Column, expression: Expression) -> bool:
    """Whether the text of a column that stands alone is taken as it is."""
    kind = base(column.type)
    return kind in NUMBERS or (expression.field.type.kind == "text" and kind != "NESTED")


def _columns(source: Source, expression: Expression) -> list[Column]:
    found = (source.column(name) for name in expression.columns)
    return [c for c in dict.fromkeys(found) if c]


def _used(source: Source, expression: Expression) -> str:
    """JSON of the columns that an expression uses, as they are in the source."""
    members = ", ".join(
        f"{literal(c.name)}, {quoted(c.text or c.name)}" for c in _columns(source, expression)
    )
    return f"CAST(json_object({members}) AS VARCHAR)"


def _bind(con: duckdb.DuckDBPyConnection, source: Source, expression: Expression) -> str:
    """The type of an expression. Raises SettingsError naming the field and the column."""
    try:
        found = con.execute(
            f"DESCRIBE SELECT TRY({expression.sql}) AS v FROM ({source.query}) AS source"
        ).fetchone()
        con.execute(
            f"EXPLAIN SELECT line, {expression.sql} AS v FROM ({source.query}) AS source"
        ).fetchall()
    except duckdb.Error as error:
        field, sql = expression.field.name, expression.sql.strip("()\n")
        for name in expression.columns:
            if source.column(name) is None and name.lower() != "source":
                raise SettingsError(
                    f"field {field}: {source.file} has no column {name}; "
                    f"its columns are {', '.join(source.names)}"
                ) from None
        reason = str(error).split("\n")[0]
        types = ", ".join(f"{c.name} is {c.type}" for c in _columns(source, expression))
        raise SettingsError(
            f"field {field}: {sql!r} cannot be used on {source.file} ({types}): {reason}"
        ) from None
    return str(found[1]) if found else "VARCHAR"
