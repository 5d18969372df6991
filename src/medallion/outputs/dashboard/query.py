"""The SQL of a choice, and the metrics of the sums that it returns."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from medallion.errors import DashboardError, MetricError
from medallion.metrics import value
from medallion.outputs.dashboard import text
from medallion.outputs.dashboard.choice import Choice
from medallion.outputs.dashboard.model import Figure

MEASURES = (
    "lines",
    "units_sold",
    "units_returned",
    "reporting_gross_sales",
    "reporting_discounts",
    "reporting_returns",
    "reporting_net_sales",
    "unconverted_lines",
)
REPORTING = [name for name in MEASURES if name.startswith("reporting_")]
Sums = dict[str, Any]


class Query:
    """The parts of SQL that select the sales of a choice."""

    def __init__(self, choice: Choice, day: date) -> None:
        self.day = day
        # A basket counts once for each of its categories; so a choice has at most one category.
        self.transactions = "category_transactions" if choice.category else "transactions"
        self.where = (
            "(len($stores) = 0 OR list_contains($stores, store_id)) "
            "AND ($category IS NULL OR category = $category)"
        )
        self.parameters: dict[str, Any] = {
            "stores": list(choice.stores),
            "category": choice.category,
        }
        sums = ", ".join(f"coalesce(sum({name}), 0) AS {name}" for name in MEASURES)
        self.measures = f"coalesce(sum({self.transactions}), 0) AS transactions, {sums}"


def net_sales(when: str) -> str:
    """Return net sales as SQL: NULL where lines were sold but none has an exchange rate.

    Args:
        when: a FILTER clause for each of its sums.
    """
    return (
        f"CASE WHEN sum(lines) {when} > 0 AND sum(unconverted_lines) {when} = sum(lines) {when} "
        f"THEN NULL ELSE coalesce(sum(reporting_net_sales) {when}, 0) END"
    )


def without_unknown(sums: Sums, amounts: Iterable[str] = REPORTING) -> Sums:
    """Return the sums; amounts are None if lines were sold but none has an exchange rate."""
    if not sums["lines"] or sums["unconverted_lines"] < sums["lines"]:
        return sums
    return sums | dict.fromkeys(amounts)


def reason(kind: str, sums: Sums, currency: str) -> str:
    """Return why an amount is unknown; an empty text if it is known."""
    return text.unknown_because(without_unknown(sums), currency) if kind == "money" else ""


def metric_of(metric: str, sums: Sums) -> Decimal | None:
    """Return a metric of sums; raise DashboardError when its definition cannot be used."""
    try:
        return value(metric, sums)
    except MetricError as error:
        raise DashboardError(str(error)) from error


def figure_of(metric: str, now: Sums, before: Sums, currency: str = "") -> Figure:
    """Return an amount or a rate as a figure, from the sums of now and of a week before.

    With a currency, the figure also says why an amount is unknown.
    """
    why = reason("money", now, currency) if currency else ""
    return Figure(
        metric, metric, "money", metric_of(metric, now), metric_of(metric, before), reason=why
    )
