"""The query that writes the rows of a source as lines of JSON, by a mapping."""

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
from medallion.importing.source import BROKEN, Column, SourceRelation


def line_query(con: duckdb.DuckDBPyConnection, source: SourceRelation, mapping: Mapping) -> str:
    """Return the query whose only column, `line`, is the raw JSON of each row of the source.

    When an expression fails on a row, or the text of a column does not fit its type, the field
    becomes a JSON object of the source columns. No field of the contract accepts an object, so the
    cleaner rejects the row for that field, with the original text. A row that could not be read
    becomes a JSON array, which the cleaner rejects as malformed.
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
    con: duckdb.DuckDBPyConnection, source: SourceRelation, expression: Expression
) -> tuple[str, str, str | None]:
    """Return SQL of the value, its type, and SQL that is true where the value is lost."""
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
    """Return whether the field takes the text of a column unchanged."""
    kind = base(column.type)
    return kind in NUMBERS or (expression.field.type.kind == "text" and kind != "NESTED")


def _columns(source: SourceRelation, expression: Expression) -> list[Column]:
    columns = (source.column(name) for name in expression.columns)
    return [c for c in dict.fromkeys(columns) if c]


def _used(source: SourceRelation, expression: Expression) -> str:
    """Return SQL of a JSON object of the columns that an expression uses, as in the source."""
    members = ", ".join(
        f"{literal(c.name)}, {quoted(c.text or c.name)}" for c in _columns(source, expression)
    )
    return f"CAST(json_object({members}) AS VARCHAR)"


def _bind(con: duckdb.DuckDBPyConnection, source: SourceRelation, expression: Expression) -> str:
    """Return the type of an expression; raise SettingsError with the field and the column."""
    try:
        row = con.execute(
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
    return str(row[1]) if row else "VARCHAR"
