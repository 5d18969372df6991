"""A snapshot as HTML.

Text from data is escaped, and stands in a <bdi>, so that its direction of writing does not affect
the text around it. Numbers stand in the text in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

from medallion.operations.freshness import duration
from medallion.outputs.dashboard import text
from medallion.outputs.dashboard.drawing import bars_by_hour, sparkline
from medallion.outputs.dashboard.model import Bar, Figure, Snapshot
from medallion.outputs.dashboard.tables import Cell, Row, table

_MOST_ROWS = 10


def board(shown: Snapshot, now: datetime) -> str:
    """Return the whole page but its header."""
    is_today = shown.is_today(now)
    sections = [
        *(_figure(figure, shown, is_today) for figure in shown.figures),
        _hours(shown),
        _ticker(shown),
        _list("Categories", "Category", shown.categories[:_MOST_ROWS], shown, "order"),
        _list("Top products", "Product", shown.products, shown, "unit"),
        _movers(shown),
        _list("Stores", "Store", shown.stores[:_MOST_ROWS], shown, "order"),
        _rates(shown),
        _quality(shown),
    ]
    past = "" if shown.is_newest else " past"
    notes = f'<div class="note">{_notes(shown)}</div>'
    return (
        f'<div class="board{past}" data-version="{escape(shown.version)}">'
        f'<div class="grid">{"".join(sections)}</div>{notes}</div>'
    )


def message(title: str, sentence: str) -> str:
    """Return a page that only says why there is nothing to show."""
    return (
        f'<div class="board"><div class="card message"><h2>{escape(title)}</h2>'
        f"<div>{escape(sentence)}</div></div></div>"
    )


def when(shown: Snapshot, now: datetime) -> str:
    """Return the day that is shown, its time zone, and what it is compared with, as HTML."""
    zone = escape(shown.time_zone)
    if not shown.is_newest:
        return f"<b>{text.day(shown.day)}</b>, {zone} · compared with the same day a week before"
    newest = "" if shown.is_today(now) else ", the newest day,"
    return (
        f"<b>{text.day(shown.day)}</b>{newest} until <b>{_clock(shown.as_of, shown)}</b> {zone} · "
        "compared with the same time a week before"
    )


def _card(title: str, body: str, kind: str = "", small: str = "") -> str:
    note = f" <small>{escape(small)}</small>" if small else ""
    return (
        f'<section class="card {kind}" aria-label="{escape(title)}">'
        f"<h3>{escape(title)}{note}</h3>{body}</section>"
    )


def _figure(figure: Figure, shown: Snapshot, is_today: bool) -> str:
    value = text.shown(figure.kind, figure.value, shown.currency)
    is_revenue = figure.metric == "reporting_net_sales"
    chart = sparkline(figure.series, figure.series_before, bars=figure.metric == "orders")
    label = f"{figure.label} today" if is_revenue and is_today else figure.label
    return (
        f'<section class="card figure" data-metric="{figure.metric}" aria-label="{escape(label)}">'
        f"<h3>{escape(label)}</h3>"
        f'<div class="value">{escape(value)}</div>{_change(figure, shown)}'
        f"{chart}</section>"
    )


def _change(figure: Figure, shown: Snapshot) -> str:
    if figure.reason:
        return f'<div class="change">{escape(figure.reason)}</div>'
    if figure.before is None or not figure.before:
        return '<div class="change">nothing to compare a week before</div>'
    before = text.shown(figure.kind, figure.before, shown.currency)
    return f'<div class="change">{_share(figure.change)} from {escape(before)}</div>'


def _share(change: Decimal | None) -> str:
    if change is None:
        return "<b>new</b>"
    way = "up" if change > 0 else "down" if change < 0 else ""
    return f'<b class="{way}">{text.change(change)}</b>'


def _hours(shown: Snapshot) -> str:
    drawn = bars_by_hour(shown.hours, shown.currency)
    small = f"{shown.time_zone}; the line is the week before"
    return _card("Revenue by hour", drawn, "wide", small)


def _ticker(shown: Snapshot) -> str:
    body = table(
        "Latest baskets",
        ("Time", "Basket", "Amount"),
        [_basket(basket, shown) for basket in shown.baskets],
        kind="ticker",
        nothing="None of the last baskets of this day matches the filters.",
    )
    of_day = "" if shown.is_newest else f", the last of {text.day(shown.day)}"
    return _card("Latest baskets", body, small=f"at the till, {shown.time_zone}{of_day}")


def _basket(basket: dict[str, Any], shown: Snapshot) -> Row:
    sold_at = basket["sold_at"].replace(tzinfo=UTC)
    local = text.date_clock(sold_at.astimezone(ZoneInfo(shown.time_zone)))
    aside = f"{_isolated(basket['store_name'])}, {text.counted(basket['units'], 'unit')}"
    amount = text.money(basket["net_sales"], basket["currency"])
    return Row(
        {"basket": basket["basket_id"]},
        [
            Cell("at", f'<time datetime="{sold_at:%Y-%m-%dT%H:%M:%SZ}">{local}</time>'),
            Cell("name", f"{_isolated(basket['products'])} <small>{aside}</small>"),
            Cell("amount", escape(amount)),
        ],
        kind="return" if basket["event_type"] == "return" else "",
    )


def _clock(at: datetime, shown: Snapshot) -> str:
    """Return a time of day in the reporting time zone."""
    return text.clock(at.astimezone(ZoneInfo(shown.time_zone)))


def _isolated(words: str) -> str:
    return f"<bdi>{escape(words)}</bdi>"


def _list(title: str, what: str, bars: Sequence[Bar], shown: Snapshot, unit: str) -> str:
    most = max((bar.value for bar in bars if bar.value is not None), default=Decimal(0))
    rows = [
        Row(
            {"key": bar.key},
            [
                _name(bar),
                Cell("side", text.counted(bar.count, unit)),
                Cell("amount", escape(text.money(bar.value, shown.currency))),
            ],
            width=_width(bar.value, most),
        )
        for bar in bars
    ]
    return _card(title, table(title, (what, f"{unit.title()}s", "Revenue"), rows))


def _name(bar: Bar) -> Cell:
    is_new = bar.note and bar.note not in bar.name
    aside = f" <small>{_isolated(bar.note)}</small>" if is_new else ""
    return Cell("name", f"{_isolated(bar.name)}{aside}")


def _width(value: Decimal | None, most: Decimal) -> Decimal:
    """Return the width of a bar, in percent of the longest one."""
    return max(Decimal(0), value / most * 100) if value and most > 0 else Decimal(0)


def _movers(shown: Snapshot) -> str:
    rows = [
        Row(
            {"key": bar.key},
            [
                _name(bar),
                Cell("side", _mover_share(bar)),
                Cell("amount", escape(text.money(bar.difference, shown.currency))),
            ],
        )
        for bar in shown.movers
    ]
    nothing = "Nothing was sold a week before: there is nothing to compare."
    body = table("Movers", ("Product", "Change in %", "Change"), rows, nothing=nothing)
    return _card("Movers", body, small="change from the week before")


def _mover_share(bar: Bar) -> str:
    if bar.value is None or bar.before is None:
        return text.ABSENT
    return _share(bar.value / bar.before - 1 if bar.before > 0 else None)


def _rates(shown: Snapshot) -> str:
    blocks = []
    for (amount, rate), title in zip(shown.rates, ("Returns", "Discounts"), strict=True):
        change = (
            escape(amount.reason)
            or f"{text.percent(rate.value)} of sales, {text.percent(rate.before)} a week before"
        )
        blocks.append(
            _block(amount.metric, title, text.money(amount.value, shown.currency), change)
        )
    body = (
        f'<div class="pair">{"".join(blocks)}</div><div class="pair below">{_arrived(shown)}</div>'
    )
    title = "Returns, discounts, quarantine and late events"
    return f'<section class="card" aria-label="{title}">{body}</section>'


def _block(metric: str, title: str, value: str, change: str) -> str:
    return (
        f'<div data-metric="{metric}"><h3>{title}</h3><div class="value">{escape(value)}</div>'
        f'<div class="change">{change}</div></div>'
    )


def _arrived(shown: Snapshot) -> str:
    """Return the counts of a day of arrival: a rejected line has no day of sale."""
    arrivals = shown.arrivals
    if arrivals is None:
        nothing = "nothing arrived on this day"
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


def _quality(shown: Snapshot) -> str:
    most = Decimal(max((lines for *_, lines in shown.reasons), default=0))
    rows = [
        Row(
            {"reason": reason},
            [
                Cell("name", escape(reason.replace("_", " "))),
                Cell("side", escape(feed)),
                Cell("amount", text.count(lines)),
            ],
            width=_width(Decimal(lines), most),
            bar="late",
        )
        for feed, reason, lines in shown.reasons[:7]
    ]
    nothing = "No line that arrived on this day was rejected."
    if shown.arrivals is None:
        nothing = "Nothing arrived on this day."
    rejected = table("Rejected lines", ("Reason", "Feed", "Lines"), rows, nothing=nothing)
    lags = "".join(_lag(layer, seconds) for layer, seconds in shown.lags.items())
    label = "Seconds of the last batch to each layer"
    body = f'<ul class="lags" role="list" aria-label="{label}">{lags}</ul>{rejected}'
    title = "The last batch, and why lines were rejected"
    return _card(title, body, small="from raw/ to each layer")


def _lag(layer: str, seconds: float | None) -> str:
    after = text.ABSENT if seconds is None else duration(seconds)
    name = f"<small>to {layer}</small>"
    return f'<li class="lag" role="listitem" data-layer="{layer}">{name}{after}</li>'


def _notes(shown: Snapshot) -> str:
    notes = [
        f"Amounts in {shown.currency}, tax excluded; revenue is net sales: gross sales - discounts "
        "- returns.",
        f"Days and hours of this page are those of {shown.time_zone}, whatever the zone of a "
        "store; the marts keep each store's own days.",
        f"The page has the {shown.days:,} days with sales since {text.day(shown.first_day)}; what "
        "was sold before is in the marts, such as sales_daily_store.",
        f"Snapshot {shown.version}, {shown.published_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC.",
    ]
    if shown.unconverted_lines:
        notes.append(
            f"{shown.unconverted_lines:,} of {shown.lines:,} lines have no rate to "
            f"{shown.currency} and are in no amount."
        )
    return escape(" ".join(notes))
