"""Sales against targets: of stores, over the store-days that have a target.

A target is for a whole store and day, so a category or an hour has none. Sales of store-days
without a target do not count. Neither do store-days with an amount that has no exchange rate; these
are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from medallion.outputs.dashboard import text
from medallion.outputs.dashboard.choice import Choice
from medallion.outputs.dashboard.snapshot import Board
from medallion.outputs.dashboard.tables import Column, Row, Table

SOLD = (
    "SELECT sales_date, store_id, CASE WHEN sum(unconverted_lines) < sum(lines) OR sum(lines) = 0 "
    "THEN coalesce(sum(reporting_net_sales), 0) END AS net FROM {sales} GROUP BY ALL"
)
OF_PERIOD, OF_TODAY = (
    SOLD.format(sales=sales)
    for sales in (
        "sales WHERE NOT is_before",
        "(SELECT * RENAME (sales_day AS sales_date) FROM live_today)",
    )
)
"""The sales of each store and day, as SQL: of the period of a PeriodSales, and of the live page."""


@dataclass(frozen=True)
class AgainstTarget:
    """Net sales beside their target; `left_out` store-days have an amount that is not known."""

    key: str
    name: str
    actual: Decimal
    target: Decimal
    left_out: int = 0

    @property
    def difference(self) -> Decimal:
        return self.actual - self.target

    @property
    def share(self) -> Decimal | None:
        """The part of the target that is reached; None where the target is 0."""
        return self.actual / self.target if self.target else None


def against_targets(
    board: Board, choice: Choice, first: date, last: date, sold: str
) -> list[AgainstTarget]:
    """Return the stores that have targets on some days, the worst first.

    Args:
        board: the board, on whose connection `sold` can be read.
        choice: the filters.
        first: the first of the days.
        last: the last of them; days after the newest one with sales do not count.
        sold: OF_PERIOD or OF_TODAY.
    """
    if choice.category is not None or choice.hour is not None:
        return []
    rows = board.rows(
        f"WITH sold AS ({sold}), days AS (SELECT targets.store_id, "
        "reporting_net_sales_target AS target, "
        "CASE WHEN sold.store_id IS NULL THEN 0 ELSE net END AS actual, "
        "target IS NOT NULL AND actual IS NOT NULL AS is_known FROM sales_targets AS targets "
        "LEFT JOIN sold USING (store_id, sales_date) WHERE sales_date BETWEEN $first AND $last "
        "AND (len($stores) = 0 OR list_contains($stores, store_id))) "
        "SELECT store_id AS key, coalesce(any_value(store_name), store_id) AS name, "
        "coalesce(sum(actual) FILTER (is_known), 0) AS actual, "
        "coalesce(sum(target) FILTER (is_known), 0) AS target, "
        "count(*) FILTER (NOT is_known) AS left_out "
        "FROM days LEFT JOIN dim_stores USING (store_id) GROUP BY store_id ORDER BY store_id",
        "sales_targets",
        values={"first": first, "last": min(last, board.today), "stores": list(choice.stores)},
    )
    return sorted((AgainstTarget(**row) for row in rows), key=lambda store: store.difference)


def total_of(stores: Sequence[AgainstTarget]) -> AgainstTarget:
    """Return the sums of stores."""
    return AgainstTarget(
        "all",
        "",
        sum((store.actual for store in stores), Decimal(0)),
        sum((store.target for store in stores), Decimal(0)),
        sum(store.left_out for store in stores),
    )


def facts(
    stores: Sequence[AgainstTarget], currency: str, sold_by_now: Decimal | None = None
) -> list[tuple[str, str, str]]:
    """Return the facts of the first card: label, value and note of each.

    `sold_by_now` is the usual share of a day at this time; with it, a fact shows that share of the
    target.
    """
    total, below = total_of(stores), [store for store in stores if store.difference < 0]
    left_out = f"{text.counted(total.left_out, 'store-day')} without a rate left out"
    said = [
        ("Of the target", text.percent(total.share), left_out if total.left_out else ""),
        ("Net sales", text.money(total.actual, currency), "of the days with a target"),
        ("Target", text.money(total.target, currency), text.counted(len(stores), "store")),
        ("Difference", text.money(total.difference, currency), ""),
    ]
    if sold_by_now is not None:
        due = total.target * sold_by_now
        note = f"{text.percent(sold_by_now)} of the day was sold a week before"
        said.append(("Target by now", text.money(due, currency), note))
        said.append(("Difference by now", text.money(total.actual - due, currency), ""))
    elif below:
        worst = f"worst: {below[0].name} {text.money(below[0].difference, currency)}"
        said.append(("Below target", text.counted(len(below), "store"), worst))
    return said


def table_of(stores: Sequence[AgainstTarget], choice: Choice, currency: str, most: int) -> Table:
    """Return the stores against their targets as a table; each leads to its sales."""
    rows = [
        Row(
            store.key,
            (store.name, store.difference, store.share, store.actual, store.target),
            store.key if store.key != store.name else "",
            choice.but(view="sales", stores=(store.key,), sort="").link,
        )
        for store in stores
    ]
    columns = (
        Column("store", "Store"),
        Column("difference", "Difference", "money"),
        Column("share", "Of target %", "share"),
        Column("actual", "Net sales", "money"),
        Column("target", "Target", "money"),
    )
    return Table("targets", "Targets by store", columns, rows, currency, most=most)
