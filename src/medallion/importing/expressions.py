"""The SQL expressions of a mapping: their validation, and the columns that they use."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import duckdb

from medallion.errors import SettingsError, did_you_mean

_FORBIDDEN = {
    "SUBQUERY": "a query",
    "WINDOW": "a window function",
    "STAR": "a star",
    "PARAMETER": "a parameter",
    "POSITIONAL_REFERENCE": "a column by its position",
    "DEFAULT": "DEFAULT",
}
_ARITHMETIC = ("+", "-", "*", "/", "//", "%")
_NARROWING = ("round", "ceil", "floor", "trunc")
"""Functions whose result has fewer decimals than a number, as a type of its own. Beside another
number in a CASE or coalesce(), DuckDB would round that one to them."""
_NUMERIC = ("unit_price", "number", "abs", "sign", *_NARROWING)
_SAME_TYPE = ("nullif", "greatest", "least", "ifnull", "coalesce")
_NUMBER_LITERALS = ("INTEGER", "DECIMAL", "DOUBLE", "FLOAT", "HUGEINT", "BIGINT", "NUMERIC")
ALLOCATE, TOTAL = "allocate", "total"
"""The functions of a mapping that DuckDB does not have."""

Path = tuple[str | int, ...]
"""A column and members below it; a number is a position in an array, from 0."""


@dataclass(frozen=True)
class Reference:
    """A value of the row that an expression names, and what the expression uses it as.

    `use` is text, number, instant or total; a total is the sum of `member` over an array.
    """

    path: Path
    use: str = "text"
    member: str = ""

    @property
    def name(self) -> str:
        return ".".join(map(str, self.path))


@dataclass(frozen=True)
class Allocation:
    """A call of allocate(amount, weight, decimals), with its arguments as trees."""

    amount: Any
    weight: Any
    decimals: Any

    @property
    def references(self) -> list[Reference]:
        return list(_references([self.amount, self.weight, self.decimals]))


@dataclass(frozen=True)
class Expression:
    """A scalar SQL expression; `label` names its purpose in messages, such as "field price".

    `bare` is the reference if the expression is nothing else.
    """

    label: str
    text: str
    tree: Any
    references: tuple[Reference, ...]
    allocations: tuple[Allocation, ...]
    bare: Reference | None

    def sql(self, columns: dict[Reference, str], first_allocation: int = 0) -> str:
        """Return the expression over columns by their names in a query."""
        return render(self.tree, columns, first_allocation)


def parse(label: str, text: object, names: Mapping[str, Any] | None = None) -> Expression:
    """Parse an expression; each of `names` in it stands for a tree of `parse_tree`.

    Raises:
        SettingsError: it is not one scalar expression over columns (but a query or a second
            statement), or its value changes from run to run.
    """
    expression = parse_tree(label, text, names or {})
    marked = _mark(expression, "text", _bound(expression))
    references = tuple(dict.fromkeys(_references(marked)))
    allocations = tuple(_allocations(label, marked))
    bare = marked.get("reference")
    bare = None if bare and bare.use == "total" else bare
    return Expression(label, str(text), marked, references, allocations, bare)


def parse_tree(label: str, text: object, names: Mapping[str, Any]) -> Any:
    """Return the tree of an expression, with the trees of `names` inserted.

    Raises:
        SettingsError: as `parse` does.
    """
    if not isinstance(text, str) or not text.strip():
        raise SettingsError(f"{label} must be an SQL expression in quotes")
    tree = _tree(text)
    if tree.get("error") and text.strip().isidentifier():
        # A column whose name is a word of SQL, such as at or end.
        tree = _tree(f'"{text.strip()}"')
    if tree.get("error"):
        raise SettingsError(f"{label}: {text!r} is not SQL: {tree['error_message']}")
    expression = _only_expression(tree)
    if expression is None:
        raise SettingsError(f"{label}: {text!r} is not one expression over columns")
    _refuse(label, text, expression)
    return _replaced(expression, names)


def render(tree: Any, columns: dict[Reference, str], first_allocation: int = 0) -> str:
    """Return the SQL of a tree; the i-th call of allocate is the column a<first + i>."""
    numbers = iter(range(first_allocation, 1 << 30))

    def rendered(node: Any) -> Any:
        if isinstance(node, list):
            return [rendered(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "reference" in node:
            return _column(columns[node["reference"]])
        if "allocation" in node:
            return _column(f"a{next(numbers)}")
        return {name: rendered(value) for name, value in node.items()}

    statement = copy.deepcopy(_tree("1"))
    statement["statements"][0]["node"]["select_list"] = [rendered(tree)]
    row = (
        _parser()
        .execute("SELECT json_deserialize_sql(CAST(? AS JSON))", [json.dumps(statement)])
        .fetchone()
    )
    return f"({str(row[0]).removeprefix('SELECT ')})" if row else ""


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


@cache
def _changing() -> set[str]:
    rows = _parser().execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() "
        "WHERE stability = 'VOLATILE' AND function_name <> 'error'"
    )
    return {name for (name,) in rows.fetchall()}


def _tree(sql: str) -> Any:
    row = _parser().execute("SELECT json_serialize_sql(?)", [f"SELECT (\n{sql}\n)"]).fetchone()
    return json.loads(row[0]) if row else {}


def _only_expression(tree: Any) -> Any:
    """Return the expression of a statement that has nothing else; None for other statements.

    With a constant in place of the expression, the statement must be `SELECT (1)`.
    """
    plain = _tree("1")
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
    """Return a tree without its positions in the text."""
    if isinstance(tree, dict):
        return {k: _shape(v) for k, v in tree.items() if not k.startswith("query_location")}
    return [_shape(v) for v in tree] if isinstance(tree, list) else tree


def _refuse(label: str, sql: str, expression: Any) -> None:
    for node in _nodes(expression):
        what = _FORBIDDEN.get(node.get("class", ""))
        if node.get("class") == "FUNCTION" and node["function_name"].lower() in _changing():
            what = f"{node['function_name']}(), which changes from run to run"
        if what:
            raise SettingsError(f"{label}: {sql!r} must not use {what}")
        zone = _constant_zone(node)
        if zone is not None and zone not in _zones():
            hint = did_you_mean(zone, _zones())
            raise SettingsError(f"{label}: there is no time zone {zone!r}{hint}")


def _constant_zone(node: Any) -> str | None:
    if str(node.get("function_name", "")).lower() != "timezone" or len(node["arguments"]) != 2:
        return None
    literal = node["arguments"][0]["expression"].get("literal", {})
    return str(literal["text"]) if literal.get("kind") == "STRING" else None


@cache
def _zones() -> frozenset[str]:
    rows = _parser().execute("SELECT name FROM pg_timezone_names()").fetchall()
    return frozenset(name for (name,) in rows)


def _replaced(node: Any, names: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_replaced(item, names) for item in node]
    if not isinstance(node, dict):
        return node
    path = node.get("column_names", ())
    if len(path) == 1 and path[0] in names:
        return names[path[0]]
    return {key: _replaced(value, names) for key, value in node.items()}


def _bound(expression: Any) -> set[str]:
    """Return the parameters of lambdas, which are not columns."""
    return {
        part
        for node in _nodes(expression)
        if node.get("class") == "LAMBDA"
        for ref in _nodes(node["lhs"])
        for part in ref.get("column_names", ())
    }


def _mark(node: Any, use: str, bound: set[str]) -> Any:
    """Return a tree in which each reference is a node {"reference": Reference}.

    The position of a reference decides how its value is read: as a number if it is an operand of
    arithmetic, or of a comparison with a number; as an instant if it gets a time zone.
    """
    if isinstance(node, list):
        return [_mark(item, use, bound) for item in node]
    if not isinstance(node, dict):
        return node
    path = _path(node)
    if path and path[0] not in bound:
        return {"reference": Reference(path, use)}

    def children(inner: str) -> dict[str, Any]:
        return {name: _mark(value, inner, bound) for name, value in node.items()}

    kind, function = node.get("class"), str(node.get("function_name", "")).lower()
    if kind == "FUNCTION":
        return _mark_function(node, function, use, bound)
    if kind == "CASE":
        inner = _shared(use, [*(c["then_expr"] for c in node["case_checks"]), node["else_expr"]])
        marked = children(inner)
        for check, new in zip(node["case_checks"], marked["case_checks"], strict=True):
            new["when_expr"] = _mark(check["when_expr"], "text", bound)
        return marked
    if node.get("type") == "OPERATOR_COALESCE":
        return children(_shared(use, node["children"]))
    if kind in ("COMPARISON", "BETWEEN") or node.get("type") in ("COMPARE_IN", "COMPARE_NOT_IN"):
        operands = [v for v in node.values() if isinstance(v, dict)] + node.get("children", [])
        return children(_shared("text", operands))
    # A statement part such as the argument of a function keeps the use; another operator does not.
    return children(use if kind is None else "text")


def _mark_function(node: Any, function: str, use: str, bound: set[str]) -> Any:
    arguments = [argument["expression"] for argument in node["arguments"]]
    if function == ALLOCATE:
        marked = [_mark(argument, "number", bound) for argument in arguments]
        if len(marked) == 3:
            marked[2] = _mark(arguments[2], "text", bound)
        return {"allocation": marked}
    if function == TOTAL and len(arguments) == 2:
        path, member = _path(arguments[0]), arguments[1].get("literal", {})
        if path and member.get("kind") == "STRING":
            return {"reference": Reference(path, "total", member["text"])}
    inner = "text"
    if function in _NUMERIC or (function in _ARITHMETIC and node.get("is_operator")):
        inner = "number"
    elif function in _SAME_TYPE:
        inner = _shared(use, arguments)
    marked = [_mark(argument, inner, bound) for argument in arguments]
    if function == "timezone" and len(arguments) == 2:
        marked[1] = _mark(arguments[1], "instant", bound)
        if arguments[0].get("class") != "CONSTANT":
            marked[0] = _call("known_zone", marked[0])
    called = node | {
        "arguments": [
            argument | {"expression": expression}
            for argument, expression in zip(node["arguments"], marked, strict=True)
        ]
    }
    return _call("number", called) if function in _NARROWING else called


def _call(function: str, argument: Any) -> Any:
    """Return the tree of a call of a function with one argument."""
    (call,) = _tree(f"{function}(1)")["statements"][0]["node"]["select_list"]
    call["arguments"][0]["expression"] = argument
    return call


def _shared(use: str, operands: list[Any]) -> str:
    """Return the use of operands of the same type: number if one of them is a number."""
    return "number" if any(map(_is_number, operands)) else use


def _is_number(node: Any) -> bool:
    if not isinstance(node, dict):
        return False
    if node.get("class") == "CONSTANT":
        return node["literal"].get("kind") in _NUMBER_LITERALS
    if node.get("class") == "FUNCTION":
        function = node["function_name"].lower()
        if function in _SAME_TYPE:
            return any(_is_number(argument["expression"]) for argument in node["arguments"])
        return function in (*_NUMERIC, ALLOCATE, TOTAL) or (
            function in _ARITHMETIC and node.get("is_operator", False)
        )
    if node.get("type") == "OPERATOR_COALESCE":
        return any(map(_is_number, node["children"]))
    return False


def _path(node: Any) -> Path | None:
    """Return the path of a column and members of it, `a.b[1].c`; None for anything else."""
    if node.get("class") == "COLUMN_REF":
        return tuple(node["column_names"])
    if node.get("type") not in ("STRUCT_EXTRACT", "ARRAY_EXTRACT"):
        return None
    below, key = _path(node["children"][0]), node["children"][1].get("literal", {})
    if below and key.get("kind") == "STRING":
        return (*below, key["text"])
    if below and key.get("kind") == "INTEGER":
        with suppress(ValueError):
            return (*below, int(key["text"]) - 1)
    return None


def _references(tree: Any) -> Iterator[Reference]:
    for node in _nodes(tree):
        if "reference" in node:
            yield node["reference"]


def _allocations(label: str, tree: Any) -> Iterator[Allocation]:
    for node in _nodes(tree):
        if "allocation" in node:
            arguments = node["allocation"]
            if len(arguments) not in (2, 3) or any(
                "allocation" in inner for inner in _nodes(arguments)
            ):
                raise SettingsError(
                    f"{label}: write allocate(amount, weight) or allocate(amount, weight, decimals)"
                )
            yield Allocation(arguments[0], arguments[1], [*arguments, None][2])


def _column(name: str) -> Any:
    return {
        "class": "COLUMN_REF",
        "type": "COLUMN_REF",
        "alias": "",
        "query_location": 0,
        "column_names": [name],
    }


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from _nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)
