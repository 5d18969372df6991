"""The SQL of a choice, and the metrics of the sums that it returns."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from medallion.errors import DashboardError, MetricError
from medallion.metrics import value
from medallion.outputs.dashboard.model import Choice, Figure

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
    """The parts of SQL that select what a choice covers."""

    def __init__(self, choice: Choice, day: date, is_newest: bool) -> None:
        self.day, self.is_newest = day, is_newest
        self.relation = "live_today" if is_newest else "live_hours"
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

    def to_date(self, is_day: bool) -> str:
        """Return the condition on the time of day.

        Days count in full, except the one a week before the newest: it ends at the same time.
        """
        return "is_to_date" if self.is_newest and not is_day else "true"


def net_sales(when: str) -> str:
    """Return net sales as SQL: NULL where lines were sold but none has an exchange rate.

    Args:
        when: a FILTER clause for each of its sums.
    """
    return (
        f"CASE WHEN sum(lines) {when} > 0 AND sum(unconverted_lines) {when} = sum(lines) {when} "
        f"THEN NULL ELSE coalesce(sum(reporting_net_sales) {when}, 0) END"
    )


def without_unknown(sums: Sums) -> Sums:
    """Return the sums; amounts become None where lines were sold but none has an exchange rate."""
    if not sums["lines"] or sums["unconverted_lines"] < sums["lines"]:
        return sums
    return sums | dict.fromkeys(REPORTING)


def reason(kind: str, sums: Sums, currency: str) -> str:
    """Return why an amount is unknown; an empty text where it is known."""
    if kind != "money" or without_unknown(sums)["reporting_net_sales"] is not None:
        return ""
    return f"none of {sums['lines']:,} lines has a rate to {currency}"


def metric_of(metric: str, sums: Sums) -> Decimal | None:
    """Return a metric of sums; raise DashboardError when its definition cannot be used."""
    try:
        return value(metric, sums)
    except MetricError as error:
        raise DashboardError(str(error)) from error


def figure_of(metric: str, now: Sums, before: Sums, currency: str = "") -> Figure:
    """Return an amount or a rate as a figure, from the sums of now and of a week before.

    With a currency, the figure says why an amount is unknown.
    """
    why = reason("money", now, currency) if currency else ""
    return Figure(
        metric, metric, "money", metric_of(metric, now), metric_of(metric, before), reason=why
    )
