"""The formula of a metric, as a tree from which any language can be written.

A measure sums, counts or takes the maximum of a column, a whole number or a `case` over one flag. A
metric is a measure, or sums, differences, products and quotients of other metrics. If a part is
NULL the whole is NULL, and so is a quotient whose denominator is 0.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """The value of a column in a row."""

    name: str


@dataclass(frozen=True)
class Number:
    """The same whole number in every row."""

    value: int


@dataclass(frozen=True)
class Case:
    """`then` where the flag is true (if negated: false), else `otherwise`; None is NULL."""

    flag: str
    is_negated: bool
    then: Column | Number
    otherwise: Column | Number | None


Row = Column | Number | Case


@dataclass(frozen=True)
class Aggregate:
    """One value of many rows: `function` is sum, count_distinct or max. `measure` is its name."""

    function: str
    row: Row
    measure: str


@dataclass(frozen=True)
class OneValueOnly:
    """`of`, or NULL when the rows have more than one value of `column`."""

    column: str
    of: Aggregate


@dataclass(frozen=True)
class Named:
    """The value of another metric."""

    name: str


@dataclass(frozen=True)
class Arithmetic:
    """`left` + - or * `right`."""

    operator: str
    left: Formula
    right: Formula


@dataclass(frozen=True)
class Quotient:
    """`above` / `below`; NULL when `below` is 0."""

    above: Formula
    below: Formula


Formula = Aggregate | OneValueOnly | Named | Arithmetic | Quotient

_ATOM = r"[a-z_][a-z0-9_]*|\d+"
_CASE = re.compile(
    rf"case when (not )?([a-z_][a-z0-9_]*) then ({_ATOM})(?: else ({_ATOM}))? end", re.IGNORECASE
)
_FUNCTIONS = ("sum", "count_distinct", "max")
_OPERATORS: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}


def aggregate(measure: str, function: str, expression: str) -> Aggregate:
    """Parse a measure of a semantic model. Raises ValueError for an expression of another form."""
    if function not in _FUNCTIONS:
        raise ValueError(f"agg must be one of {', '.join(_FUNCTIONS)}; got {function!r}")
    text = " ".join(expression.split())
    if re.fullmatch(_ATOM, text):
        return Aggregate(function, _atom(text), measure)
    if case := _CASE.fullmatch(text):
        negated, flag, then, otherwise = case.groups()
        other = _atom(otherwise) if otherwise else None
        return Aggregate(function, Case(flag, bool(negated), _atom(then), other), measure)
    raise ValueError(
        f"expr of a measure must be a column, a number or a case over one flag; got {text!r}"
    )


def combination(expression: str) -> Formula:
    """Parse a formula of metrics such as `(a - b) / nullif(b, 0)`. Raises ValueError for others."""
    try:
        return _formula(ast.parse(" ".join(expression.split()), mode="eval").body)
    except SyntaxError as error:
        raise ValueError(f"expr must be a formula of metrics; got {expression!r}") from error


def columns(formula: Formula | Row | None) -> Iterator[str]:
    """Yield the columns that a formula reads directly, not through the metrics that it names."""
    match formula:
        case Column(name):
            yield name
        case Case(flag, _, then, otherwise):
            yield flag
            yield from columns(then)
            yield from columns(otherwise)
        case Aggregate(_, row):
            yield from columns(row)
        case OneValueOnly(column, of):
            yield column
            yield from columns(of)
        case Arithmetic(_, left, right) | Quotient(left, right):
            yield from columns(left)
            yield from columns(right)


def metrics_named(formula: Formula) -> set[str]:
    """Return the metrics that a formula names directly."""
    match formula:
        case Named(name):
            return {name}
        case Arithmetic(_, left, right) | Quotient(left, right):
            return metrics_named(left) | metrics_named(right)
    return set()


def text(formula: Formula | Row) -> str:
    """Return a formula as people read it: `sum(net_sales)`, `returns / (gross_sales - discounts)`.

    The rule of OneValueOnly is left out: docs/metrics.md states it once for all.
    """
    match formula:
        case Column(name) | Named(name):
            return name
        case Number(value):
            return str(value)
        case Case(flag, is_negated, then, otherwise):
            condition = f"not {flag}" if is_negated else flag
            other = f" else {text(otherwise)}" if otherwise else ""
            return f"case when {condition} then {text(then)}{other} end"
        case Aggregate("sum", Number(1)):
            return "count(*)"
        case Aggregate("count_distinct", row):
            return f"count(distinct {text(row)})"
        case Aggregate(function, row):
            return f"{function}({text(row)})"
        case OneValueOnly(_, of):
            return text(of)
        case Arithmetic("*", left, right):
            return f"{_in_brackets(left)} * {_in_brackets(right)}"
        case Arithmetic("-", left, right):
            return f"{text(left)} - {_in_brackets(right)}"
        case Arithmetic(operator, left, right):
            return f"{text(left)} {operator} {text(right)}"
        case Quotient(above, below):
            return f"{_in_brackets(above)} / {_in_brackets(below)}"


def _in_brackets(formula: Formula) -> str:
    is_compound = isinstance(formula, Arithmetic | Quotient)
    return f"({text(formula)})" if is_compound else text(formula)


def _atom(text: str) -> Column | Number:
    return Number(int(text)) if text.isdigit() else Column(text)


def _formula(node: ast.expr) -> Formula:
    match node:
        case ast.Name(name):
            return Named(name)
        case ast.BinOp(left, ast.Div(), ast.Call(ast.Name("nullif"), [below, ast.Constant(0)])):
            return Quotient(_formula(left), _formula(below))
        case ast.BinOp(left, operator, right) if type(operator) in _OPERATORS:
            return Arithmetic(_OPERATORS[type(operator)], _formula(left), _formula(right))
    raise ValueError(
        f"expr must be made of metrics, + - * and x / nullif(y, 0); got {ast.unparse(node)!r}"
    )
