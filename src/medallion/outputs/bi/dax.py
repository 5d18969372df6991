"""Formulas in DAX, the language of Power BI.

DAX treats BLANK as 0 in sums, differences and comparisons, and returns BLANK for the count of no
rows. Formulas therefore spell out what SQL does. DIVIDE returns BLANK for a denominator of 0 or
BLANK.

Source: https://learn.microsoft.com/dax/dax-operator-reference and the pages of the functions.
"""

from __future__ import annotations

from collections.abc import Iterator

from medallion.metrics.formula import (
    Aggregate,
    Arithmetic,
    Case,
    Column,
    Formula,
    Named,
    Number,
    OneValueOnly,
    Quotient,
    Row,
)
from medallion.outputs.bi.semantics import Table


def dax(table: Table, formula: Formula) -> str:
    """Return a formula as the expression of a measure."""
    match formula:
        case Aggregate():
            return _aggregate(table, formula)
        case OneValueOnly(column, of):
            return f"IF(HASONEVALUE({_column(table, column)}), {dax(table, of)})"
        case Named(name):
            return name_in_brackets(next(m.label for m in table.metrics if m.name == name))
        case Quotient(above, below):
            return f"DIVIDE({dax(table, above)}, {dax(table, below)})"
        case Arithmetic():
            present = (f"NOT ISBLANK({dax(table, part)})" for part in _operands(formula))
            return f"IF({' && '.join(dict.fromkeys(present))}, {_sum(table, formula)})"


def name_in_brackets(name: str) -> str:
    """Return the name of a measure or column in the notation of DAX."""
    return "[" + name.replace("]", "]]") + "]"


def table_in_quotes(table: Table) -> str:
    """Return the name of a table in the notation of DAX."""
    return "'" + table.label.replace("'", "''") + "'"


def _aggregate(table: Table, formula: Aggregate) -> str:
    rows = table_in_quotes(table)
    match formula:
        case Aggregate("sum", Column(name)):
            return f"SUM({_column(table, name)})"
        case Aggregate("sum", Number(1)):
            return f"COUNTROWS({rows})"
        case Aggregate("sum", row):
            return f"SUMX({rows}, {_row(table, row)})"
        case Aggregate("max", Column(name)):
            return f"MAX({_column(table, name)})"
        case Aggregate("count_distinct", Column(name)):
            return f"IF(NOT ISEMPTY({rows}), DISTINCTCOUNTNOBLANK({_column(table, name)}) + 0)"
        case Aggregate("count_distinct", Case(flag, is_negated, Column(name), None)):
            counted = f"DISTINCTCOUNTNOBLANK({_column(table, name)})"
            only = f"KEEPFILTERS({_is(table, flag, is_negated)})"
            return f"IF(NOT ISEMPTY({rows}), CALCULATE({counted}, {only}) + 0)"
    raise ValueError(f"Power BI has no expression for {formula}")


def _row(table: Table, row: Row | None) -> str:
    match row:
        case None:
            return "BLANK()"
        case Column(name):
            return _column(table, name)
        case Number(value):
            return str(value)
        case Case(flag, is_negated, then, otherwise):
            condition = _is(table, flag, is_negated)
            return f"IF({condition}, {_row(table, then)}, {_row(table, otherwise)})"


def _is(table: Table, flag: str, is_negated: bool) -> str:
    """Return a strict comparison: == does not take BLANK for FALSE."""
    return f"{_column(table, flag)} == {'FALSE()' if is_negated else 'TRUE()'}"


def _column(table: Table, name: str) -> str:
    return table_in_quotes(table) + name_in_brackets(table.field(name).label)


def _operands(formula: Formula) -> Iterator[Formula]:
    if isinstance(formula, Arithmetic):
        yield from _operands(formula.left)
        yield from _operands(formula.right)
    else:
        yield formula


def _sum(table: Table, formula: Formula, is_part: bool = False) -> str:
    if not isinstance(formula, Arithmetic):
        return dax(table, formula)
    left, right = _sum(table, formula.left, True), _sum(table, formula.right, True)
    text = f"{left} {formula.operator} {right}"
    return f"({text})" if is_part else text
