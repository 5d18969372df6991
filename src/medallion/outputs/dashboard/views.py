"""The views of a period: sales, stores, products, customers, hours and data quality, as HTML.

Each view returns its cards and its tables; the tables can be downloaded as CSV.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from html import escape
from typing import Any

from medallion.audit.last import LastAudit
from medallion.outputs.dashboard import text
from medallion.outputs.dashboard.choice import Choice
from medallion.outputs.dashboard.drawing import Column as Bar
from medallion.outputs.dashboard.drawing import chart, sparkline
from medallion.outputs.dashboard.periods import COMPARISONS, LAST_YEAR, Period
from medallion.outputs.dashboard.sales import MOVED, OTHERS, RETURNED, Entry, PeriodSales
from medallion.outputs.dashboard.snapshot import NO_CATEGORY, Board
from medallion.outputs.dashboard.tables import Column, Row, Table
from medallion.outputs.dashboard.targets import (
    OF_PERIOD,
    AgainstTarget,
    against_targets,
    facts,
    table_of,
)

NET = "reporting_net_sales"
IN_FULL = "the target of a day that is not over counts in full"
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
CARDS = (
    (NET, "Net sales", "money", ""),
    ("transactions", "Orders", "count", "orders"),
    ("reporting_average_order_value", "Average order", "money", ""),
    ("units_per_transaction", "Units per order", "ratio", "units"),
    ("reporting_gross_margin_rate", "Gross margin", "share", ""),
    ("reporting_return_rate", "Return rate", "share", ""),
)
MEASURES = {
    NET: Column("net_sales", "Net sales", "money"),
    "transactions": Column("orders", "Orders", "count", "order"),
    "units_sold": Column("units", "Units", "count", "unit"),
    "reporting_average_order_value": Column("average_order", "Average order", "money"),
    "reporting_gross_margin": Column("margin", "Margin", "money"),
    "reporting_gross_margin_rate": Column("margin_rate", "Margin %", "share"),
    "reporting_returns": Column("returns", "Returns", "money"),
    "reporting_return_rate": Column("return_rate", "Return rate %", "share"),
    "units_returned": Column("units_returned", "Units returned", "count", "unit"),
}
"""The columns of lists, by metric."""
WITHOUT_FILTERS = {
    "customers": "All days up to the newest, all stores and products: a segment or a cohort is of "
    "all that a customer ever bought",
    "quality": "All feeds: a rejected line has no store, product or day of sale that could be "
    "trusted",
}
"""Why the filters do not apply to a view."""


@dataclass(frozen=True)
class View:
    """The cards of a view as HTML, its tables, and the days that it shows, as HTML."""

    html: str
    tables: Sequence[Table]
    when: str = ""


class Cards:
    """The cards of a view while it is built."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._html: list[str] = []
        self.tables: list[Table] = []

    def add(self, title: str, body: str, size: str = "", small: str = "") -> None:
        """Add a card."""
        self._html.append(card(title, body, size, small))

    def raw(self, html: str) -> None:
        """Add HTML that is a card already."""
        self._html.append(html)

    def table(self, table: Table, size: str = "", small: str = "") -> None:
        """Add a card with a table."""
        self.tables.append(table)
        self.add(table.title, table.html(self._choice), size, small)

    @property
    def view(self) -> View:
        """The view with all cards."""
        return View(f'<div class="grid">{"".join(self._html)}</div>', self.tables)


def card(title: str, body: str, size: str = "", small: str = "") -> str:
    """Return a card as HTML; `size` is a class of its width."""
    note = f" <small>{escape(small)}</small>" if small else ""
    return (
        f'<section class="card {size}" aria-label="{escape(title)}">'
        f"<h2>{escape(title)}{note}</h2>{body}</section>"
    )


def view_of(board: Board, choice: Choice, audit: LastAudit | None = None) -> View:
    """Return the view of a period that a choice names; `audit` is the last audit of the home."""
    if choice.view == "quality":
        return replace(_quality(board, choice, audit), when=WITHOUT_FILTERS["quality"])
    if choice.view == "customers":
        return replace(_customers(board, choice), when=WITHOUT_FILTERS["customers"])
    with board.sales(choice) as sales:
        make = {"stores": _stores, "products": _products, "hours": _hours}.get(choice.view, _sales)
        return replace(make(board, choice, sales), when=_when(sales))


def _when(sales: PeriodSales) -> str:
    """Return the days that are shown and the comparison, as HTML."""
    period, before, hour = sales.period, sales.compared, sales.choice.hour
    of_hour = "" if hour is None else f", {hour:02}:00–{hour:02}:59"
    shown = f"<b>{text.days(period.first, period.last)}</b>{of_hour}, days of each store"
    if before is None:
        return f"{shown} · compared with nothing"
    same = ", to the same hour" if sales.is_open else ""
    scant, days = "", sales.days_before
    if not days:
        scant = ": nothing was sold then, there is nothing to compare"
    elif days * 2 < sales.days_now:
        scant = f", of which only {text.counted(days, 'day')} had sales"
    return f"{shown} · compared with {text.days(before.first, before.last)}{same}{scant}"


def _sales(board: Board, choice: Choice, sales: PeriodSales) -> View:
    cards, total, series = Cards(choice), sales.total(), sales.series()
    days = sales.period
    stores = against_targets(board, choice, days.first, days.last, OF_PERIOD)
    if stores:
        cards.raw(target_card(stores, board.currency, IN_FULL if sales.is_open else ""))
    for metric, label, kind, unit in CARDS:
        cards.raw(_figure(metric, label, kind, unit, total, series, board.currency))
    if choice.hour is None:
        cards.raw(_series(cards, choice, sales, series, board.currency))
    if stores:
        cards.table(table_of(stores, choice, board.currency, most=10), "full", "the worst first")
    lists = (
        ("categories", "Category", "transactions"),
        ("products", "Product", "units_sold"),
        ("stores", "Store", "transactions"),
    )
    for key, label, count in lists:
        metrics = (count, NET, "reporting_gross_margin_rate")
        entries = sales.by(label.lower())
        table = _list(key, label, entries, metrics, choice, sales, board.currency)
        cards.table(table, "half" if sales.is_compared or key != "stores" else "full")
    if sales.is_compared:
        cards.table(_movers(sales, board.currency), "half", "change of net sales")
    return cards.view


def _stores(board: Board, choice: Choice, sales: PeriodSales) -> View:
    cards, entries, days = Cards(choice), sales.by("store"), sales.period
    same = board.same_stores(sales.period, sales.compared)
    metrics = (
        NET,
        "transactions",
        "reporting_average_order_value",
        "reporting_gross_margin_rate",
        "reporting_return_rate",
    )
    table = _list("stores", "Store", entries, metrics, choice, sales, board.currency, most=500)
    if sales.is_compared:
        of_same = [entry for entry in entries if entry.key in same]
        now, before = (
            _known_sum([getattr(entry, side)(NET) for entry in of_same])
            for side in ("value", "previous")
        )
        growth = now / before - 1 if now is not None and before else None
        body = _facts(
            ("Same stores", text.count(len(of_same)), f"of {len(entries):,} with sales"),
            ("Their net sales", text.money(now, board.currency), "in this period"),
            ("Before", text.money(before, board.currency), "in the same stores"),
            (
                "Same-store growth",
                text.shown("change", growth, ""),
                "new and closed stores left out",
            ),
        )
        cards.add(
            "Same stores", body, "full", "open in both periods from the first day to the last"
        )
        columns = [*table.columns, Column("same_store", "Same store")]
        rows = [
            Row(r.key, [*r.values, "yes" if r.key in same else "no"], r.note, r.link)
            for r in table.rows
        ]
        others = table.others and replace(table.others, values=[*table.others.values, text.ABSENT])
        table = replace(table, columns=columns, rows=rows, others=others)
    cards.table(table, "full")
    stores = against_targets(board, choice, days.first, days.last, OF_PERIOD)
    if stores:
        note = f"the worst first; {IN_FULL}" if sales.is_open else "the worst first"
        cards.table(table_of(stores, choice, board.currency, most=500), "full", note)
    return cards.view


def target_card(
    stores: Sequence[AgainstTarget],
    currency: str,
    small: str = "",
    sold_by_now: Decimal | None = None,
) -> str:
    """Return the card that says whether the stores reach their targets.

    Args:
        stores: the stores that have targets.
        currency: the reporting currency.
        small: a note beside the title.
        sold_by_now: of a day that is not over, the part of its sales that is usual at this time.
    """
    body = _facts(*facts(stores, currency, sold_by_now))
    return card("Against target", f'<div data-metric="target">{body}</div>', "full", small)


def _products(board: Board, choice: Choice, sales: PeriodSales) -> View:
    cards, entries = Cards(choice), sales.by("product")
    metrics = ("units_sold", NET, "reporting_gross_margin", "reporting_gross_margin_rate")
    cards.table(
        _list("products", "Product", entries, metrics, choice, sales, board.currency, most=50),
        "full",
    )
    returned = [
        e for e in sales.by("product", RETURNED) if e.now["units_returned"] or e.key == OTHERS
    ]
    metrics = ("units_sold", "units_returned", "reporting_returns", "reporting_return_rate")
    cards.table(
        _list(
            "returns", "Product", returned, metrics, choice, sales, board.currency,
            title="Returns", nothing="Nothing was returned.", compare="reporting_returns", most=15,
        ),
        "wide",
    )  # fmt: skip
    for table in reasons_of_returns(board, choice, sales.period):
        cards.table(table, "half", "as of the last full build")
    links = board.rows(
        "SELECT detail, value FROM data_quality WHERE measure = 'returns' ORDER BY value DESC",
        "data_quality",
    )
    cards.table(
        Table(
            "links",
            "What returns refer to",
            (Column("link", "Original sale"), Column("returns", "Return lines", "count", "line")),
            [Row(r["detail"], (r["detail"], r["value"])) for r in links],
            board.currency,
            nothing="Nothing was ever returned.",
        ),
        small="all days",
    )
    pairs = board.rows(
        "SELECT product_id, other_product_id, coalesce(one.product_name, product_id) AS name, "
        "coalesce(other.product_name, other_product_id) AS other_name, baskets_with_both, "
        "support, confidence, lift FROM basket_affinity AS pairs "
        "LEFT JOIN (FROM dim_products WHERE is_current) AS one USING (product_id) "
        "LEFT JOIN (FROM dim_products WHERE is_current) AS other "
        "ON other.product_id = other_product_id "
        "WHERE product_id < other_product_id AND baskets_with_both >= 3 "
        "ORDER BY lift DESC, product_id, other_product_id LIMIT 200",
        "basket_affinity",
        "dim_products",
    )
    cards.table(
        Table(
            "affinity",
            "Bought together",
            (
                Column("product", "Product"),
                Column("other", "With"),
                Column("baskets", "Baskets with both", "count", "basket"),
                Column("support", "Share of baskets %", "share"),
                Column("confidence", "With the first %", "share"),
                Column("lift", "Lift", "ratio", "time"),
            ),
            [
                Row(
                    f"{r['product_id']} {r['other_product_id']}",
                    (
                        r["name"], r["other_name"], r["baskets_with_both"], r["support"],
                        r["confidence"], r["lift"],
                    ),
                )
                for r in pairs
            ],
            board.currency,
            nothing="No two products were in three baskets together.",
            most=20,
        ),
        "full",
        "all days; pairs of the best-selling products in at least 3 baskets",
    )  # fmt: skip
    return cards.view


def reasons_of_returns(board: Board, choice: Choice, period: Period) -> Iterator[Table]:
    """Yield the returns of whole days by reason, and by product and reason."""
    values: dict[str, Any] = {"first": period.first, "last": period.last}
    values |= {"stores": list(choice.stores), "category": choice.category}
    reason = f"replace(return_reason, '{text.UNKNOWN}', 'not stated')"
    returns = (
        "SELECT {keys}, sum(lines) AS lines, sum(units_returned) AS units, "
        "CASE WHEN sum(unconverted_lines) < sum(lines) THEN coalesce(sum(reporting_returns), 0) "
        "END AS value FROM returns_daily {join} "
        "WHERE sales_date BETWEEN $first AND $last "
        "AND (len($stores) = 0 OR list_contains($stores, store_id)) "
        "AND ($category IS NULL OR returns_daily.category = $category) "
        "GROUP BY {grouped} ORDER BY value DESC NULLS LAST, {grouped}"
    )
    measures = (
        Column("lines", "Return lines", "count", "line"),
        MEASURES["units_returned"],
        MEASURES["reporting_returns"],
    )
    rows = board.rows(
        returns.format(keys=f"{reason} AS reason", grouped="return_reason", join=""),
        "returns_daily",
        values=values,
    )
    all_of = _known_sum([r["value"] for r in rows])
    yield Table(
        "reasons",
        "Reasons of returns",
        (Column("reason", "Reason"), *measures, Column("share", "Of returns %", "share")),
        [
            Row(
                r["reason"],
                (
                    r["reason"], r["lines"], r["units"], r["value"],
                    r["value"] / all_of if all_of and r["value"] is not None else None,
                ),
            )
            for r in rows
        ],
        board.currency,
        nothing="Nothing was returned.",
    )  # fmt: skip
    join = "LEFT JOIN (FROM dim_products WHERE is_current) AS named USING (product_id)"
    keys = f"product_id, coalesce(any_value(product_name), product_id) AS name, {reason} AS reason"
    products = board.rows(
        returns.format(keys=keys, grouped="product_id, return_reason", join=join),
        "returns_daily",
        "dim_products",
        values=values,
    )
    yield Table(
        "product_reasons",
        "Reasons by product",
        (Column("product", "Product"), Column("reason", "Reason"), *measures),
        [
            Row(
                f"{r['product_id']} {r['reason']}",
                (r["name"], r["reason"], r["lines"], r["units"], r["value"]),
            )
            for r in products
        ],
        board.currency,
        nothing="Nothing was returned.",
        most=15,
    )  # fmt: skip


def _hours(board: Board, choice: Choice, sales: PeriodSales) -> View:
    cards, cells = Cards(choice), sales.by_weekday_and_hour()
    days = sales.days_of_weekdays()
    values = {
        (day, hour): None if (net := entry.value(NET)) is None else net / days[day]
        for (day, hour), entry in cells.items()
        if days.get(day)
    }
    most = max((v for v in values.values() if v is not None), default=Decimal(0))
    heads = "".join(f'<th scope="col">{hour:02}</th>' for hour in range(24))
    body = []
    for day in range(7):
        row = []
        for hour in range(24):
            amount = values.get((day, hour), Decimal(0)) if days.get(day) else None
            heat = max(0, float(amount / most)) if amount and most > 0 else 0
            title = f"{WEEKDAYS[day]} {hour:02}:00 {text.money(amount, board.currency)}"
            shown = text.short(amount)
            row.append(f'<td style="--heat:{heat:.3f}" title="{title}">{shown}</td>')
        body.append(f'<tr><th scope="row">{WEEKDAYS[day][:3]}</th>{"".join(row)}</tr>')
    name = "Net sales by day of the week and hour"
    html = (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{name}, table">'
        f'<table class="heat" aria-label="{name}"><thead><tr><th scope="col">Day</th>{heads}</tr>'
        f"</thead><tbody>{''.join(body)}</tbody></table></div>"
    )
    cards.add(name, html, "full", f"{board.currency}, average of these days; hours of each store")
    rows = [
        Row(
            f"{day}-{hour}",
            (f"{WEEKDAYS[day]} {hour:02}:00", entry.value("transactions"), entry.value(NET)),
        )
        for (day, hour), entry in sorted(cells.items())
    ]
    columns = (Column("hour", "Hour"), MEASURES["transactions"], MEASURES[NET])
    cards.tables.append(Table("hours", name, columns, rows, board.currency))
    return cards.view


def _customers(board: Board, choice: Choice) -> View:
    cards = Cards(choice)
    cohorts = board.rows(
        "SELECT cohort_month, months_since, cohort_size, active_customers, retention_rate "
        "FROM cohort_retention ORDER BY cohort_month DESC, months_since",
        "cohort_retention",
    )
    months = board.rows(
        "SELECT cohort_month + to_months(months_since) AS month, "
        "sum(active_customers) FILTER (months_since = 0) AS new, "
        "sum(active_customers) FILTER (months_since > 0) AS returning "
        "FROM cohort_retention GROUP BY 1 ORDER BY 1 DESC",
        "cohort_retention",
    )
    cards.table(
        Table(
            "new_customers",
            "New and returning customers",
            (
                Column("month", "Month"),
                Column("new", "New", "count", "customer"),
                Column("returning", "Returning", "count", "customer"),
                Column("returning_share", "Returning %", "share"),
            ),
            [_month(r) for r in months],
            board.currency,
            nothing="No sale names a customer.",
            most=6,
        ),
        "half",
        "calendar months; new in the month of the first purchase",
    )
    segments = board.rows(
        "SELECT segment, sum(customers) AS customers, sum(repeat_customers) AS repeat_customers, "
        "sum(baskets) AS baskets, sum(basket_value) AS value "
        "FROM customer_segments GROUP BY 1 ORDER BY value DESC NULLS LAST, segment",
        "customer_segments",
    )
    cards.table(
        Table(
            "segments",
            "Segments by recency, frequency and value (RFM)",
            (
                Column("segment", "Segment"),
                Column("customers", "Customers", "count", "customer"),
                Column("repeat", "Came back", "count", "customer"),
                Column("baskets", "Baskets", "count", "basket"),
                Column("value", "Sales before returns", "money"),
            ),
            [
                Row(
                    r["segment"],
                    (r["segment"], r["customers"], r["repeat_customers"], r["baskets"], r["value"]),
                )
                for r in segments
            ],
            board.currency,
            nothing="No sale names a customer.",
        ),
        "half",
        "guests are in none",
    )
    sizes = {r["cohort_month"]: r["cohort_size"] for r in cohorts}
    rates = {(r["cohort_month"], r["months_since"]): r["retention_rate"] for r in cohorts}
    longest = min(max((since for _, since in rates), default=0), 12)
    cards.table(
        Table(
            "cohorts",
            "Cohorts",
            (
                Column("cohort", "First purchase in"),
                Column("customers", "Customers", "count", "customer"),
                *(Column(f"month_{n}", f"+{n}", "share") for n in range(1, longest + 1)),
            ),
            [
                Row(
                    f"{month:%Y-%m}",
                    (
                        f"{month:%b %Y}",
                        size,
                        *(rates.get((month, n)) for n in range(1, longest + 1)),
                    ),
                )
                for month, size in sizes.items()
            ],
            board.currency,
            nothing="No sale names a customer.",
            most=24,
        ),
        "full",
        "% of the customers who bought again so many months later",
    )
    return cards.view


def _quality(board: Board, choice: Choice, audit: LastAudit | None) -> View:
    cards = Cards(choice)
    cards.table(_audit_table(audit, board.currency), "full", _audit_state(audit))
    lags = _facts(*((f"To {layer}", text.seconds(s), "") for layer, s in board.lags.items()))
    cards.add("The last batch", lags, "full", "from its arrival in raw/ to each layer")
    arrivals = board.rows("SELECT * FROM live_arrivals ORDER BY arrival_day DESC")
    cards.table(
        Table(
            "arrivals",
            "What arrived, by day",
            (
                Column("day", "Day of arrival"),
                Column("lines", "Lines", "count", "line"),
                Column("rejected", "Rejected", "count", "line"),
                Column("share", "Rejected %", "share"),
                Column("late", "Late events", "count", "event"),
            ),
            [
                Row(
                    str(r["arrival_day"]),
                    (
                        str(r["arrival_day"]), r["lines"], r["quarantined"],
                        Decimal(r["quarantined"]) / r["lines"] if r["lines"] else None,
                        r["late_events"],
                    ),
                )
                for r in arrivals
            ],
            board.currency,
            nothing="Nothing has arrived.",
            most=10,
        ),
        "full",
        f"{board.time_zone}; late: more than a day after the sale",
    )  # fmt: skip
    rejected = board.rows(
        "SELECT * FROM live_quarantine ORDER BY arrival_day DESC, lines DESC, feed, reason"
    )
    cards.table(
        Table(
            "quarantine",
            "Rejected lines by reason",
            (
                Column("reason", "Reason"),
                Column("feed", "Feed"),
                Column("day", "Day of arrival"),
                Column("lines", "Lines", "count", "line"),
            ),
            [
                Row(
                    f"{r['arrival_day']} {r['feed']} {r['reason']}",
                    (r["reason"].replace("_", " "), r["feed"], str(r["arrival_day"]), r["lines"]),
                )
                for r in rejected
            ],
            board.currency,
            nothing="No line was rejected.",
            most=15,
        ),
        "full",
        "'medallion quarantine list' shows where",
    )
    quality = board.rows("SELECT measure, detail, value FROM data_quality", "data_quality")
    cards.table(
        Table(
            "quality",
            "All of history",
            (Column("what", "What"), Column("of", "Of which"), Column("count", "Count", "count")),
            [Row(f"{r['measure']}: {r['detail']}", tuple(r.values())) for r in quality],
            board.currency,
            most=100,
        ),
        "full",
        "as of the last full build; 'medallion audit' checks every promise",
    )
    return cards.view


def _audit_state(audit: LastAudit | None) -> str:
    """Return the time and the result of the last audit."""
    if audit is None:
        return ""
    count = len(audit.checks)
    result = f"all {count} checks hold"
    if audit.broken:
        result = f"{audit.broken} of {count} checks are broken: 'medallion audit' says by what"
    return f"{audit.at:%Y-%m-%d %H:%M:%S} UTC; {result}"


def _audit_table(audit: LastAudit | None, currency: str) -> Table:
    return Table(
        "audit",
        "The last audit",
        (
            Column("check", "Check"),
            Column("result", "Result"),
            Column("figure", "Figure"),
            Column("promise", "Promise"),
        ),
        [
            Row(
                check.name,
                (check.name, "holds" if check.holds else "BROKEN", check.figure, check.promise),
                kind="" if check.holds else "broken",
            )
            for check in (audit.checks if audit else ())
        ],
        currency,
        nothing="No audit of this home is known: 'medallion run' and 'medallion audit' make one.",
        most=100,
    )


def _month(row: dict[str, Any]) -> Row:
    month: datetime = row["month"]
    new, returning = int(row["new"] or 0), int(row["returning"] or 0)
    share = Decimal(returning) / (new + returning) if new + returning else None
    return Row(f"{month:%Y-%m}", (f"{month:%Y-%m}", new, returning, share))


def _figure(
    metric: str,
    label: str,
    kind: str,
    unit: str,
    total: Entry,
    series: Sequence[tuple[Period, int | None, Entry]],
    currency: str,
) -> str:
    value, before = total.value(metric), total.previous(metric)
    points = [entry.value(metric) if entry.now["lines"] else None for *_, entry in series]
    line = sparkline(
        points, [e.previous(metric) if e.before["lines"] else None for *_, e in series]
    )
    exact = escape(text.exact(kind, value, currency if kind == "money" else unit))
    reason = text.unknown_because(total.now, currency) if kind == "money" else ""
    if "margin" in metric and value is None:
        reason = "no cost is known"
    change = escape(reason) or comparison(kind, value, before, currency)
    return (
        f'<section class="card figure sixth" data-metric="{metric}" aria-label="{escape(label)}">'
        f'<h2>{escape(label)}</h2><div class="value" title="{exact}">'
        f'{escape(text.shown(kind, value, currency))}</div><div class="change">{change}</div>'
        f"{line}</section>"
    )


def comparison(kind: str, value: Decimal | None, before: Decimal | None, currency: str) -> str:
    """Return how a figure compares with the one before, as HTML; empty if that is unknown."""
    if value is None or not before:
        return "&nbsp;"
    if kind == "share":
        points = (value - before) * 100
        sign = "+" if points > 0 else "−" if points < 0 else ""
        by = f"<b>{sign}{text.ratio(abs(points))} points</b>"
    else:
        share = value / before - 1
        way = "up" if share > 0 else "down" if share < 0 else ""
        by = f'<b class="{way}">{text.change(share)}</b>'
    return f"{by} from {escape(text.shown(kind, before, currency))}"


def _series(
    cards: Cards,
    choice: Choice,
    sales: PeriodSales,
    series: Sequence[tuple[Period, int | None, Entry]],
    currency: str,
) -> str:
    bars, rows = [], []
    for part, hour, entry in series:
        is_after = part.first > sales.period.last
        label = f"{hour:02}:00" if hour is not None else text.days(part.first, part.last)
        short = f"{hour:02}" if hour is not None else f"{part.first.day} {part.first:%b}"
        link = "" if is_after else choice.of_days(part, hour).link
        now = None if is_after else entry.value(NET)
        before = entry.previous(NET) if sales.is_compared else None
        bars.append(
            Bar(f"{part.first}" if hour is None else str(hour), label, short, now, before, link)
        )
        values = (label, entry.value("transactions"), now, before, entry.change(NET))
        rows.append(Row(label, values if sales.is_compared else values[:3], link=link))
    title = f"Net sales by {sales.grain}"
    columns = [Column("time", sales.grain.title()), MEASURES["transactions"], MEASURES[NET]]
    if sales.is_compared:
        columns += [Column("before", "Before", "money"), Column("change", "Change %", "change")]
    table = Table(f"by_{sales.grain}", title, columns, rows, currency, most=60)
    cards.tables.append(table)
    name = "a year before" if choice.compare == LAST_YEAR else "before"
    drawn = chart(title, bars, currency, name if sales.is_compared else "")
    small = f"the line is {COMPARISONS[choice.compare].lower()}" if sales.is_compared else ""
    return card(title, drawn, "full", small)


def _movers(sales: PeriodSales, currency: str) -> Table:
    moved = [e for e in sales.by("product", MOVED) if e.key != OTHERS and e.difference(NET)]
    rows = [
        Row(e.key, (e.name, mover(e.now["lines"], e.change(NET)), e.difference(NET)), e.note)
        for e in moved
    ]
    columns = (
        Column("product", "Product"),
        Column("share", "Change in %", "aligned"),
        Column("change", "Change", "money"),
    )
    return Table("movers", "Movers", columns, rows, currency, "Nothing moved.")


def mover(lines: Any, change: Decimal | None) -> str:
    """Return how a product moved; no sales at all are distinguished from fewer sales."""
    if not lines:
        return "not sold"
    return "new" if change is None else text.change(change)


def _list(
    key: str,
    label: str,
    entries: Sequence[Entry],
    metrics: Sequence[str],
    choice: Choice,
    sales: PeriodSales,
    currency: str,
    *,
    title: str = "",
    nothing: str = "Nothing was sold here.",
    compare: str = NET,
    most: int = 10,
) -> Table:
    """Return a table of the parts of the sales, with the change of one metric."""
    columns = [Column(label.lower(), label), *(MEASURES[metric] for metric in metrics)]
    if sales.is_compared:
        columns.append(Column("change", "Change %", "change"))
    rows = []
    for entry in entries:
        values: list[Any] = [entry.name, *(entry.value(metric) for metric in metrics)]
        if label == "Category":
            values[0] = text.named(entry.name, NO_CATEGORY)
        if sales.is_compared:
            values.append(entry.change(compare))
        note = entry.note or (entry.key if entry.key != entry.name and label == "Store" else "")
        link = _link(label, entry.key, choice) if entry.key != OTHERS else ""
        rows.append(Row(entry.key, values, note, link))
    others = rows.pop() if rows and rows[-1].key == OTHERS else None
    return Table(
        key, title or {"categories": "Categories"}.get(key, f"{label}s"), columns, rows, currency,
        nothing, most, others=others,
    )  # fmt: skip


def _link(label: str, key: str, choice: Choice) -> str:
    """Return the target of a row's link: products of a category, or hours of a store."""
    if label == "Category":
        return choice.but(view="sales", category=key, sort="").link
    if label == "Store":
        return choice.but(view="sales", stores=(key,), sort="").link
    return ""


def _facts(*facts: tuple[str, str, str]) -> str:
    """Return labelled values side by side."""
    return (
        '<div class="pair">'
        + "".join(
            f'<div><h3>{escape(name)}</h3><div class="value">{escape(value)}</div>'
            f'<div class="change">{escape(note)}</div></div>'
            for name, value, note in facts
        )
        + "</div>"
    )


def _known_sum(values: Sequence[Decimal | None]) -> Decimal | None:
    known = [value for value in values if value is not None]
    return sum(known, Decimal(0)) if known else None
