"""The rule of a question: exactly one query, which reads relations of the warehouse and no more.

The syntax tree that DuckDB makes of the text is searched, so neither quotes nor comments nor
nesting hide anything. What is not known to be harmless is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import duckdb

from medallion.errors import WarehouseError

ONE_QUERY = "one query is run here, and nothing else"
RELATIONS_ONLY = "a query reads the relations of the warehouse, and no file or setting"
_PIVOT = {duckdb.StatementType.MULTI: "a PIVOT without its values, as in PIVOT t ON c IN ('a')"}
_TABLE_FUNCTIONS = re.compile(
    "duckdb_(columns|constraints|databases|dependencies|functions|indexes|keywords|memory|schemas"
    "|settings|tables|types|views)|pragma_(database_size|show|storage_info|table_info)"
    "|generate_series|json_each|json_tree|pg_timezone_names|range|repeat|repeat_row|test_all_types"
    "|unnest"
)
"""The table functions that access only the warehouse and their own arguments."""
_FORBIDDEN = frozenset(("json_serialize_plan", "write_log"))
"""Other functions that access more: json_serialize_plan opens the files of a query in a text."""


def require_question(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise WarehouseError unless a text is one query that reads relations and no file.

    EXPLAIN counts as the query that it explains.
    """
    explained = re.sub(r"(?is)^\s*explain(\s+analyze)?\b", "", sql)
    kinds = [statement.type for statement in connection.extract_statements(explained)]
    if kinds != [duckdb.StatementType.SELECT]:
        what = ", ".join(_PIVOT.get(kind, kind.name) for kind in kinds) or "no statement"
        raise WarehouseError(f"{ONE_QUERY}: this is {what}")
    ((text,),) = connection.execute("SELECT json_serialize_sql(?)", [explained]).fetchall()
    tree = json.loads(text)
    if tree["error"]:
        raise WarehouseError(f"{ONE_QUERY}: {tree['error_message']}")
    for node in _nodes(tree["statements"]):
        if reaches := _forbidden(connection, node):
            raise WarehouseError(f"{RELATIONS_ONLY}: {reaches} is not allowed")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _forbidden(connection: duckdb.DuckDBPyConnection, node: dict[str, Any]) -> str:
    """Return what a node of the tree accesses outside of the warehouse; "" for nothing."""
    if node.get("type") == "BASE_TABLE":
        path = node["qualified_name"]["path"]
        return "" if _is_relation(connection, path) else f"reading {'.'.join(path)!r}"
    if node.get("type") == "TABLE_FUNCTION":
        name = node["function"]["function_name"].lower()
        return "" if _TABLE_FUNCTIONS.fullmatch(name) else f"{name}()"
    name = str(node.get("function_name", "")).lower()
    return f"{name}()" if name in _FORBIDDEN else ""


def _is_relation(connection: duckdb.DuckDBPyConnection, path: list[str]) -> bool:
    """Return whether a name cannot be a file: DuckDB reads `gold.csv` if there is no such table.

    A name without its schema has no point, and so no file suffix.
    """
    if not all(re.fullmatch(r"\w+", part) for part in path):
        return False
    if len(path) == 1:
        return True
    known = connection.execute(
        "SELECT 1 FROM (SELECT schema_name, table_name FROM duckdb_tables() UNION ALL "
        "SELECT schema_name, view_name FROM duckdb_views()) AS relations(schema_name, name) "
        "WHERE lower(schema_name) = ? AND lower(name) = ?",
        [part.lower() for part in path[-2:]],
    )
    return bool(known.fetchall())
