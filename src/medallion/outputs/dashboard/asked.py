"""A choice as SQL, and what the sums that it finds come to as metrics."""

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


class Asked:
    """A choice as SQL."""

    def __init__(self, choice: Choice, day: date, is_newest: bool) -> None:
        self.day, self.is_newest = day, is_newest
        self.relation = "live_today" if is_newest else "live_hours"
        # A basket counts once for each of its categories: only one can be asked for.
        self.transactions = "category_transactions" if choice.category else "transactions"
        self.where = (
            "(len($stores) = 0 OR list_contains($stores, store_id)) "
            "AND ($category IS NULL OR category = $category)"
        )
        self.names: dict[str, Any] = {
            "stores": list(choice.stores),
            "category": choice.category,
        }
        sums = ", ".join(f"coalesce(sum({name}), 0) AS {name}" for name in MEASURES)
        self.measures = f"coalesce(sum({self.transactions}), 0) AS transactions, {sums}"

    def to_date(self, is_day: bool) -> str:
        """Of the newest day everything counts; of the week before, what was sold until that
        time."""
        return "is_to_date" if self.is_newest and not is_day else "true"


def net_sales(when: str) -> str:
    """Net sales as SQL: NULL where lines were sold of which none has a rate."""
    return (
        f"CASE WHEN sum(lines) {when} > 0 AND sum(unconverted_lines) {when} = sum(lines) {when} "
        f"THEN NULL ELSE coalesce(sum(reporting_net_sales) {when}, 0) END"
    )


def known(sums: Sums) -> Sums:
    """The sums, without amounts where lines were sold of which none has a rate."""
    if not sums["lines"] or sums["unconverted_lines"] < sums["lines"]:
        return sums
    return sums | dict.fromkeys(REPORTING)


def reason(kind: str, sums: Sums, currency: str) -> str:
    """Why an amount is not known; nothing where it is."""
    if kind != "money" or known(sums)["reporting_net_sales"] is not None:
        return ""
    return f"none of {sums['lines']:,} lines has a rate to {currency}"


def metric_of(metric: str, sums: Sums) -> Decimal | None:
    """A metric of sums. Raises DashboardError when its definition cannot be used."""
    try:
        return value(metric, sums)
    except MetricError as error:
        raise DashboardError(str(error)) from error


def figure_of(metric: str, now: Sums, before: Sums, currency: str = "") -> Figure:
    """An amount, or a share of one, of two sums; with a currency, why it is not known."""
    why = reason("money", now, currency) if currency else ""
    return Figure(
        metric, metric, "money", metric_of(metric, now), metric_of(metric, before), reason=why
    )
