"""The formulas of the three tools, read back from the templates and translated to SQL for DuckDB,
with each vendor's rules for NULL, BLANK and 0. Nothing in this module knows how the templates are
made."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_TOKENS = re.compile(
    r"""\s*(?: (?P<number>\d+) | '(?P<table>(?:[^']|'')+)' | \[(?P<bracket>(?:[^\]]|\]\])+)\]
    | \{(?P<brace>[^{}]+)\} | (?P<word>[A-Za-z_]\w*) | (?P<sign>==|<>|&&|\|\||[-+*/=(),]) )""",
    re.VERBOSE,
)
_BINDING = {"||": 1, "&&": 2, "=": 3, "==": 3, "<>": 3, "+": 4, "-": 4, "*": 5, "/": 5}
Node = tuple[Any, ...]


def parse(text: str) -> Node:
    """Return a formula as a tree. Raises ValueError for text that is no formula."""
    tokens, place = [], 0
    while place < len(text.rstrip()):
        match = _TOKENS.match(text, place)
        if not match:
            raise ValueError(f"no formula: {text[place:]}")
        kind = match.lastgroup or ""
        tokens.append((kind, match[kind]))
        place = match.end()
    reader = _Reader(tokens)
    node = reader.expression()
    if reader.tokens:
        raise ValueError(f"left over: {reader.tokens}")
    return node


@dataclass
class _Reader:
    tokens: list[tuple[str, str]]

    def expression(self, least: int = 0) -> Node:
        left = self.operand()
        while self.tokens and _BINDING.get(self.tokens[0][1], 0) > least:
            operator = self.tokens.pop(0)[1]
            left = ("operator", operator, left, self.expression(_BINDING[operator]))
        return left

    def operand(self) -> Node:
        kind, value = self.tokens.pop(0)
        if kind == "number":
            return ("number", int(value))
        if kind == "table":
            table = value.replace("''", "'")
            if self.tokens and self.tokens[0][0] == "bracket":
                return ("column", table, self.tokens.pop(0)[1].replace("]]", "]"))
            return ("table", table)
        if kind in ("bracket", "brace"):
            return ("name", value.replace("]]", "]") if kind == "bracket" else value)
        if value == "(":
            inner = self.expression()
            self.take(")")
            return inner
        if value == "NOT":
            return ("not", self.expression(3))
        if value == "IF" and self.tokens[0][1] != "(":
            return self.conditional()
        if kind == "word" and self.tokens and self.tokens[0][1] == "(":
            return ("call", value, *self.arguments())
        if value == "NULL":
            return ("null",)
        raise ValueError(f"unexpected {value}")

    def conditional(self) -> Node:
        condition = self.expression()
        self.take("THEN")
        then, otherwise = self.expression(), ("null",)
        if self.tokens[0][1] == "ELSE":
            self.take("ELSE")
            otherwise = self.expression()
        self.take("END")
        return ("call", "IF", condition, then, otherwise)

    def arguments(self) -> list[Node]:
        self.take("(")
        arguments: list[Node] = []
        while self.tokens[0][1] != ")":
            arguments.append(self.expression())
            if self.tokens[0][1] == ",":
                self.take(",")
        self.take(")")
        return arguments

    def take(self, value: str) -> None:
        if not self.tokens or self.tokens.pop(0)[1] != value:
            raise ValueError(f"{value} is missing")


Resolve = Callable[[str], str]
"""The SQL of a name in a template: of a column, or of another metric."""


def sql(node: Node, resolve: Resolve) -> str:
    """A formula of Tableau or QuickSight in SQL: NULL is NULL in both."""
    match node:
        case ("number", value):
            return str(value)
        case ("null",):
            return "NULL"
        case ("name", name):
            return resolve(name)
        case ("not", inner):
            return f"NOT {sql(inner, resolve)}"
        case ("operator", operator, left, right):
            return f"({sql(left, resolve)} {operator} {sql(right, resolve)})"
        case ("call", "IF" | "ifelse", condition, then, otherwise):
            parts = [sql(part, resolve) for part in (condition, then, otherwise)]
            return "CASE WHEN {} THEN {} ELSE {} END".format(*parts)
        case ("call", "SUM" | "MAX" | "sum" | "max" as function, row):
            return f"{function}({sql(row, resolve)})"
        case ("call", "COUNTD" | "distinct_count", row):
            return f"count(DISTINCT {sql(row, resolve)})"
    raise ValueError(f"unknown: {node}")


def dax_sql(node: Node, resolve: Resolve, where: str = "TRUE") -> str:
    """A measure in SQL. BLANK is NULL, but + and - take it for 0 unless both are BLANK; a count of
    nothing is BLANK; == does not take BLANK for FALSE."""

    def sql(part: Node) -> str:
        return dax_sql(part, resolve, where)

    match node:
        case ("number", value):
            return str(value)
        case ("name", name) | ("column", _, name):
            return resolve(name)
        case ("not", inner):
            return f"(NOT {sql(inner)})"
        case ("operator", "==", left, right):
            return f"({sql(left)} IS NOT DISTINCT FROM {sql(right)})"
        case ("operator", "&&", left, right):
            return f"({sql(left)} AND {sql(right)})"
        case ("operator", "+" | "-" as sign, left, right):
            a, b = sql(left), sql(right)
            total = f"coalesce({a}, 0) {sign} coalesce({b}, 0)"
            return f"(CASE WHEN {a} IS NULL AND {b} IS NULL THEN NULL ELSE {total} END)"
        case ("operator", "*", left, right):
            return f"({sql(left)} * {sql(right)})"
        case ("call", *_):
            return _dax_call(node, resolve, where)
    raise ValueError(f"unknown: {node}")


def _dax_call(node: Node, resolve: Resolve, where: str) -> str:
    def sql(part: Node) -> str:
        return dax_sql(part, resolve, where)

    counted = f"FILTER (WHERE {where})"
    match node[1:]:
        case ("TRUE" | "FALSE" as value,):
            return value
        case ("BLANK",):
            return "NULL"
        case ("IF", condition, then, *rest):
            otherwise = sql(rest[0]) if rest else "NULL"
            return f"(CASE WHEN {sql(condition)} THEN {sql(then)} ELSE {otherwise} END)"
        case ("ISBLANK", inner):
            return f"({sql(inner)} IS NULL)"
        case ("ISEMPTY", ("table", _)):
            return "(count(*) = 0)"
        case ("DIVIDE", above, below):
            return f"(CASE WHEN {sql(below)} <> 0 THEN {sql(above)} / {sql(below)} END)"
        case ("HASONEVALUE", column):
            name = sql(column)
            return f"(count(DISTINCT {name}) + max(CAST({name} IS NULL AS INT)) = 1)"
        case ("SUM" | "MAX" as function, column):
            return f"{function}({sql(column)}) {counted}"
        case ("SUMX", ("table", _), row):
            return f"sum({sql(row)}) {counted}"
        case ("COUNTROWS", ("table", _)):
            return f"nullif(count(*) {counted}, 0)"
        case ("DISTINCTCOUNTNOBLANK", column):
            return f"nullif(count(DISTINCT {sql(column)}) {counted}, 0)"
        case ("CALCULATE", inner, ("call", "KEEPFILTERS", condition)):
            return dax_sql(inner, resolve, f"{where} AND {sql(condition)}")
    raise ValueError(f"unknown: {node}")
