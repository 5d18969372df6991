"""What a metric is made of, before a tool's own language says it.

Read from the measures and metrics of dbt/models/marts/metrics.yml, whose SQL is of few forms. A
measure adds up, counts or takes the greatest of a column, a whole number or a `case` over one flag;
a metric is such a measure, or sums, differences, products and quotients of metrics. NULL in a part
makes the whole NULL, and so does a denominator of 0.
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
    """The same whole number for every row."""

    value: int


@dataclass(frozen=True)
class Case:
    """`then` where the flag is true (or, negated, false), else `otherwise`; None is NULL."""

    flag: str
    is_negated: bool
    then: Column | Number
    otherwise: Column | Number | None


Row = Column | Number | Case


@dataclass(frozen=True)
class Aggregate:
    """Rows made one: `function` is sum, count_distinct or max."""

    function: str
    row: Row


@dataclass(frozen=True)
class OneValueOnly:
    """`of`, but NULL when the rows have more than one value of `column`."""

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


def aggregate(function: str, expression: str) -> Aggregate:
    """A measure of a semantic model. Raises ValueError for SQL of another form."""
    if function not in _FUNCTIONS:
        raise ValueError(f"a measure with agg {function!r}: only {', '.join(_FUNCTIONS)} can be")
    text = " ".join(expression.split())
    if re.fullmatch(_ATOM, text):
        return Aggregate(function, _atom(text))
    if found := _CASE.fullmatch(text):
        negated, flag, then, otherwise = found.groups()
        other = _atom(otherwise) if otherwise else None
        return Aggregate(function, Case(flag, bool(negated), _atom(then), other))
    raise ValueError(
        f"a measure with expr {text!r}: only a column, a number or a case over one flag"
    )


def combination(expression: str) -> Formula:
    """A formula of metrics, such as `(a - b) / nullif(b, 0)`. Raises ValueError for others."""
    return _formula(ast.parse(expression, mode="eval").body)


def columns(formula: Formula | Row | None) -> Iterator[str]:
    """The columns that a formula reads itself, not those of the metrics that it names."""
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
    """The metrics that a formula names itself."""
    match formula:
        case Named(name):
            return {name}
        case Arithmetic(_, left, right) | Quotient(left, right):
            return metrics_named(left) | metrics_named(right)
    return set()


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
        f"a metric's formula has {ast.unparse(node)}: only + - * and x / nullif(y, 0) can be"
    )
