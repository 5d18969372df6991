"""The value of a metric, evaluated over sums of its measures."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any

from medallion.errors import MetricError
from medallion.metrics.definitions import Definitions, read_definitions
from medallion.metrics.formula import (
    Aggregate,
    Arithmetic,
    Formula,
    Named,
    OneValueOnly,
    Quotient,
)

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
}
Measures = Mapping[str, Decimal | int | None]
"""Aggregated measures by name, of one group of rows; None where a value is unknown."""


@cache
def project() -> Definitions:
    """Return the definitions of the project, read once in a process."""
    return read_definitions()


def value(name: str, measures: Measures, definitions: Definitions | None = None) -> Decimal | None:
    """Return the value of a metric; None where a part of it is None or its denominator is 0.

    Args:
        name: the metric.
        measures: what its measures come to, over rows of one currency where the metric is in the
            transaction currency.
        definitions: those of the project if not given.

    Raises:
        MetricError: the definition cannot be used, or `measures` lacks a measure of it.
    """
    definitions = definitions or project()
    try:
        return _value(definitions.metric(name).formula, measures, definitions)
    except KeyError as error:
        raise MetricError(
            f"the metric {name} cannot be worked out: no value for measure {error}"
        ) from error


def _value(formula: Formula, measures: Measures, definitions: Definitions) -> Decimal | None:
    match formula:
        case Aggregate(_, _, measure):
            amount = measures[measure]
            return None if amount is None else Decimal(amount)
        case OneValueOnly(_, of):
            return _value(of, measures, definitions)
        case Named(name):
            return _value(definitions.metric(name).formula, measures, definitions)
        case Arithmetic(sign, left, right):
            a, b = (_value(part, measures, definitions) for part in (left, right))
            return None if a is None or b is None else Decimal(_OPERATORS[sign](a, b))
        case Quotient(above, below):
            a, b = (_value(part, measures, definitions) for part in (above, below))
            return a / b if a is not None and b else None
