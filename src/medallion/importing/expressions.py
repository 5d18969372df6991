"""The SQL expressions of a mapping: their validation, and the columns that they use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb

from medallion.contract import Field
from medallion.errors import SettingsError

_FORBIDDEN = {
    "SUBQUERY": "a query",
    "WINDOW": "a window function",
    "STAR": "a star",
    "PARAMETER": "a parameter",
    "POSITIONAL_REFERENCE": "a column by its position",
    "DEFAULT": "DEFAULT",
}


@dataclass(frozen=True)
class Expression:
    """A scalar SQL expression for a field.

    `columns` are the names that it refers to; `bare` is the name if it is only a column.
    """

    field: Field
    sql: str
    columns: tuple[str, ...]
    bare: str | None


def parse(texts: dict[Field, str]) -> dict[str, Expression]:
    """Return the expressions by field.

    Raises:
        SettingsError: a text is not one scalar expression over columns (but a query or a second
            statement), or its value changes from run to run.
    """
    with duckdb.connect() as con:
        volatile = con.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() "
            "WHERE stability = 'VOLATILE' AND function_name <> 'error'"
        ).fetchall()
        changing = {name for (name,) in volatile}
        return {field.name: _parse(con, field, sql, changing) for field, sql in texts.items()}


def _parse(
    con: duckdb.DuckDBPyConnection, field: Field, sql: str, changing: set[str]
) -> Expression:
    tree = _tree(con, sql)
    if tree.get("error") and sql.strip().isidentifier():
        sql = f'"{sql.strip()}"'  # a column whose name is a word of SQL, such as at or end
        tree = _tree(con, sql)
    if tree.get("error"):
        raise SettingsError(f"field {field.name}: {sql!r} is not SQL: {tree['error_message']}")
    expression = _only_expression(con, tree)
    if expression is None:
        raise SettingsError(f"field {field.name}: {sql!r} is not one expression over columns")
    _refuse(field, sql, expression, changing)
    path = expression.get("column_names") if expression["class"] == "COLUMN_REF" else None
    bare = path[0] if path and len(path) == 1 else None
    return Expression(field, f"(\n{sql}\n)", tuple(dict.fromkeys(_columns(expression))), bare)


def _tree(con: duckdb.DuckDBPyConnection, sql: str) -> Any:
    row = con.execute("SELECT json_serialize_sql(?)", [f"SELECT (\n{sql}\n)"]).fetchone()
    return json.loads(row[0]) if row else {}


def _only_expression(con: duckdb.DuckDBPyConnection, tree: Any) -> Any:
    """Return the expression of a statement that has nothing else; None for others.

    With a constant instead of the expression it must be the statement `SELECT (1)`.
    """
    plain = _tree(con, "1")
    if len(tree["statements"]) != 1:
        return None
    selected = tree["statements"][0]["node"].get("select_list", ())
    if len(selected) != 1 or selected[0].get("alias"):
        return None
    tree["statements"][0]["node"]["select_list"] = []
    tree["statements"][0]["named_param_map"] = []
    plain["statements"][0]["node"]["select_list"] = []
    return selected[0] if _shape(tree) == _shape(plain) else None


def _shape(tree: Any) -> Any:
    """Return a tree without the positions in the text."""
    if isinstance(tree, dict):
        return {k: _shape(v) for k, v in tree.items() if not k.startswith("query_location")}
    return [_shape(v) for v in tree] if isinstance(tree, list) else tree


def _refuse(field: Field, sql: str, expression: Any, changing: set[str]) -> None:
    for node in _nodes(expression):
        what = _FORBIDDEN.get(node.get("class", ""))
        if node.get("class") == "FUNCTION" and node["function_name"].lower() in changing:
            what = f"{node['function_name']}(), which changes from run to run"
        if what:
            raise SettingsError(f"field {field.name}: {sql!r} must not use {what}")


def _columns(expression: Any) -> list[str]:
    """Return every name that may be a column, in order, but no parameter of a lambda."""
    bound = {
        part
        for node in _nodes(expression)
        if node.get("class") == "LAMBDA"
        for ref in _nodes(node["lhs"])
        for part in ref.get("column_names", ())
    }
    return [
        node["column_names"][0]
        for node in _nodes(expression)
        if node.get("class") == "COLUMN_REF" and node["column_names"][0] not in bound
    ]


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from _nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)
