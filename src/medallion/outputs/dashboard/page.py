"""The live page as HTML.

Text from data is escaped and put into a <bdi>, so that its direction of writing does not affect the
text around it. Numbers are in the text in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

from medallion.outputs.dashboard import text
from medallion.outputs.dashboard.choice import Choice
from medallion.outputs.dashboard.drawing import Column as ChartBar
from medallion.outputs.dashboard.drawing import chart, sparkline
from medallion.outputs.dashboard.model import Bar, Figure, Snapshot
from medallion.outputs.dashboard.periods import Period
from medallion.outputs.dashboard.tables import Column, Row, Table
from medallion.outputs.dashboard.targets import AgainstTarget, table_of
from medallion.outputs.dashboard.views import View, card, comparison, mover, target_card


def live(
    shown: Snapshot, choice: Choice, now: datetime, targets: Sequence[AgainstTarget] = ()
) -> View:
    """Return the live page without its header; `targets` are those of the day."""
    is_today = shown.is_today(now)
    categories = _list("categories", "Category", shown.categories, shown, "order", choice)
    products = _list("products", "Product", shown.products, shown, "unit", choice)
    stores = _list("stores", "Store", shown.stores, shown, "order", choice)
    hours = _hours(shown, choice)
    movers, reasons = _movers(shown), _reasons(shown)
    lags = "".join(_lag(layer, seconds) for layer, seconds in shown.lags.items())
    label = "Seconds of the last batch to each layer"
    batch = f'<ul class="lags" role="list" aria-label="{label}">{lags}</ul>'
    against = table_of(targets, choice, shown.currency, most=10)
    by_target = []
    if targets:
        by_target = [
            target_card(targets, shown.currency, "of the whole day", _sold_by_now(shown)),
            card(against.title, against.html(choice), "full", "of the whole day; the worst first"),
        ]
    sections = [
        *by_target[:1],
        *(_figure(figure, shown, is_today) for figure in shown.figures),
        card(
            hours.title,
            _drawn(shown, hours),
            "wide",
            f"{shown.time_zone}; the line is the week before",
        ),
        _ticker(shown),
        *by_target[1:],
        *(card(table.title, table.html(choice)) for table in (categories, products)),
        card(movers.title, movers.html(choice), small="change from the week before"),
        card(stores.title, stores.html(choice)),
        _rates(shown),
        card(
            "The last batch, and why lines were rejected",
            batch + reasons.html(choice),
            small="from raw/ to each layer",
        ),
    ]
    notes = f'<div class="note">{_notes(shown)}</div>'
    html = f'<div class="grid">{"".join(sections)}</div>{notes}'
    tables = [hours, categories, products, movers, stores, reasons]
    tables += [against] if targets else []
    return View(html, tables, _when(shown, now))


def message(title: str, sentence: str) -> str:
    """Return a page that only explains why there is nothing to show."""
    return (
        f'<div class="board"><div class="card message"><h2>{escape(title)}</h2>'
        f"<div>{escape(sentence)}</div></div></div>"
    )


def _when(shown: Snapshot, now: datetime) -> str:
    """Return the day that is shown, its time zone, and what it is compared with, as HTML."""
    newest = "" if shown.is_today(now) else ", the newest day,"
    compared = "compared with the same time a week before"
    if not shown.is_compared:
        compared = "nothing was sold a week before: there is nothing to compare"
    return (
        f"<b>{text.day(shown.day)}</b>{newest} until <b>{_clock(shown.as_of, shown)}</b> "
        f"{escape(shown.time_zone)} · {compared}"
    )


def _sold_by_now(shown: Snapshot) -> Decimal | None:
    """Return the share of its day that the day a week before had sold at this time."""
    whole = sum((before for *_, before in shown.hours if before is not None), Decimal(0))
    (revenue,) = [figure for figure in shown.figures if figure.metric == "reporting_net_sales"]
    return None if revenue.before is None or whole <= 0 else revenue.before / whole


def _figure(figure: Figure, shown: Snapshot, is_today: bool) -> str:
    value = text.shown(figure.kind, figure.value, shown.currency)
    is_revenue = figure.metric == "reporting_net_sales"
    line = sparkline(figure.series, figure.series_before, bars=figure.metric == "orders")
    label = f"{figure.label} today" if is_revenue and is_today else figure.label
    change = escape(figure.reason) or comparison(
        figure.kind, figure.value, figure.before, shown.currency
    )
    exact = text.exact(figure.kind, figure.value, shown.currency if figure.kind == "money" else "")
    return (
        f'<section class="card figure" data-metric="{figure.metric}" aria-label="{escape(label)}">'
        f"<h2>{escape(label)}</h2>"
        f'<div class="value" title="{escape(exact)}">{escape(value)}</div>'
        f'<div class="change">{change}</div>{line}</section>'
    )


def _hours(shown: Snapshot, choice: Choice) -> Table:
    rows = [Row(str(hour), (f"{hour:02}:00", now, before)) for hour, now, before in shown.hours]
    columns = (
        Column("hour", "Hour"),
        Column("revenue", "Revenue", "money"),
        Column("before", "Week before", "money"),
    )
    return Table("by_hour", "Revenue by hour", columns, rows, shown.currency)


def _drawn(shown: Snapshot, hours: Table) -> str:
    day = Period(shown.day, shown.day)
    bars = [
        ChartBar(str(h), f"{h:02}:00", f"{h:02}", now, before, shown.choice.of_days(day, h).link)
        for h, now, before in shown.hours
    ]
    return chart(hours.title, bars, shown.currency, "a week before")


def _ticker(shown: Snapshot) -> str:
    heads = "".join(
        f'<th role="columnheader" scope="col">{name}</th>' for name in ("Time", "Basket", "Amount")
    )
    body = "".join(_basket(basket, shown) for basket in shown.baskets)
    table = (
        '<table class="rows ticker" role="table" aria-label="Latest baskets">'
        f'<thead class="unseen" role="rowgroup"><tr role="row">{heads}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table>'
    )
    nothing = '<div class="empty">None of the last baskets of this day matches the filters.</div>'
    small = f"at the till, {shown.time_zone}"
    return card("Latest baskets", table if body else nothing, small=small)


def _basket(basket: dict[str, Any], shown: Snapshot) -> str:
    sold_at = basket["sold_at"].replace(tzinfo=UTC)
    local = text.date_clock(sold_at.astimezone(ZoneInfo(shown.time_zone)))
    aside = f"{_isolated(basket['store_name'])}, {text.counted(basket['units'], 'unit')}"
    amount = text.money(basket["net_sales"], basket["currency"])
    exact = text.exact("money", basket["net_sales"], basket["currency"])
    kind = "return" if basket["event_type"] == "return" else ""
    return (
        f'<tr class="row {kind}" role="row" data-basket="{escape(basket["basket_id"])}">'
        f'<td class="at" role="cell"><time datetime="{sold_at:%Y-%m-%dT%H:%M:%SZ}">{local}</time>'
        f'</td><th class="name" role="rowheader" scope="row">{_isolated(basket["products"])} '
        f'<small>{aside}</small></th><td class="amount" role="cell" title="{escape(exact)}">'
        f"{escape(amount)}</td></tr>"
    )


def _clock(at: datetime, shown: Snapshot) -> str:
    """Return a time of day in the reporting time zone."""
    return text.clock(at.astimezone(ZoneInfo(shown.time_zone)))


def _isolated(words: str) -> str:
    return f"<bdi>{escape(words)}</bdi>"


def _list(
    key: str, label: str, bars: Sequence[Bar], shown: Snapshot, unit: str, choice: Choice
) -> Table:
    columns = (
        Column(label.lower(), label),
        Column("count", f"{unit.title()}s", "count", unit),
        Column("revenue", "Revenue", "money"),
    )
    rows = []
    for bar in bars:
        link = ""
        if label == "Category":
            link = choice.but(category=bar.key).link
        elif label == "Store":
            link = choice.but(stores=(bar.key,)).link
        rows.append(Row(bar.key, (bar.name, bar.count, bar.value), bar.note, link))
    title = {"products": "Top products", "categories": "Categories"}.get(key, "Stores")
    return Table(key, title, columns, rows, shown.currency, bar="revenue", is_list=True)


def _movers(shown: Snapshot) -> Table:
    columns = (
        Column("product", "Product"),
        Column("share", "Change in %", "aligned"),
        Column("change", "Change", "money"),
    )
    rows = [Row(bar.key, (bar.name, _moved(bar), bar.difference), bar.note) for bar in shown.movers]
    nothing = "There is nothing to compare."
    return Table("movers", "Movers", columns, rows, shown.currency, nothing, is_list=True)


def _moved(bar: Bar) -> str:
    if bar.value is None or bar.before is None:
        return text.ABSENT
    return mover(bar.lines, bar.value / bar.before - 1 if bar.before > 0 else None)


def _rates(shown: Snapshot) -> str:
    blocks = []
    for (amount, rate), title in zip(shown.rates, ("Returns", "Discounts"), strict=True):
        before = f", {text.percent(rate.before)} a week before" if shown.is_compared else ""
        change = escape(amount.reason) or f"{text.percent(rate.value)} of sales{before}"
        value = text.money(amount.value, shown.currency)
        exact = text.exact("money", amount.value, shown.currency)
        blocks.append(_block(amount.metric, title, value, change, exact))
    body = (
        f'<div class="pair">{"".join(blocks)}</div><div class="pair below">{_arrived(shown)}</div>'
    )
    title = "Returns, discounts, quarantine and late events"
    return f'<section class="card" aria-label="{title}">{body}</section>'


def _block(metric: str, title: str, value: str, change: str, exact: str = "") -> str:
    return (
        f'<div data-metric="{metric}"><h2>{title}</h2>'
        f'<div class="value" title="{escape(exact or value)}">{escape(value)}</div>'
        f'<div class="change">{change}</div></div>'
    )


def _arrived(shown: Snapshot) -> str:
    """Return the counts of a day of arrival: a rejected line has no day of sale."""
    arrivals = shown.arrivals
    if arrivals is None:
        nothing = "nothing has arrived"
        return _block("quarantined", "Quarantined", text.ABSENT, nothing) + _block(
            "late_events", "Late events", text.ABSENT, nothing
        )
    share = Decimal(arrivals.quarantined) / arrivals.lines if arrivals.lines else None
    of_all = " of all stores" if shown.choice.stores or shown.choice.category else ""
    rejected = f"{text.percent(share)} of {text.count(arrivals.lines)} lines{of_all}"
    late = "more than a day after the sale"
    if arrivals.history_events:
        late = f"{text.count(arrivals.history_events)} more came as history"
    return (
        _block("quarantined", "Quarantined", text.count(arrivals.quarantined), rejected)
        + _block("late_events", "Late events", text.count(arrivals.late_events), late)
        + f'<div class="change whole">arrived {text.day(arrivals.day)}</div>'
    )


def _reasons(shown: Snapshot) -> Table:
    columns = (
        Column("reason", "Reason"),
        Column("feed", "Feed"),
        Column("lines", "Lines", "count"),
    )
    rows = [
        Row(reason, (reason.replace("_", " "), feed, lines))
        for feed, reason, lines in shown.reasons
    ]
    nothing = "No line that arrived on this day was rejected."
    if shown.arrivals is None:
        nothing = "Nothing has arrived."
    return Table(
        "rejected", "Rejected lines", columns, rows, shown.currency, nothing, 7, "reason", "lines",
        "late", is_list=True,
    )  # fmt: skip


def _lag(layer: str, seconds: float | None) -> str:
    name = f"<small>to {layer}</small>"
    return (
        f'<li class="lag" role="listitem" data-layer="{layer}">{name}{text.seconds(seconds)}</li>'
    )


def _notes(shown: Snapshot) -> str:
    notes = [
        f"Amounts in {shown.currency}, tax excluded; revenue is net sales: gross sales - discounts "
        "- returns.",
        f"Days and hours of this page are those of {shown.time_zone}, whatever the zone of "
        "a store; other periods have the days and hours of each store, as the marts do.",
        f"Snapshot {shown.version}, {shown.published_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC.",
    ]
    if shown.unconverted_lines:
        notes.append(
            f"{shown.unconverted_lines:,} of {shown.lines:,} lines have no rate to "
            f"{shown.currency} and are in no amount."
        )
    return escape(" ".join(notes))
