"""A snapshot as HTML. Whatever comes from data is escaped; numbers stand in the text exactly."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

from medallion.dashboard import text
from medallion.dashboard.drawing import bars_by_hour, spark
from medallion.dashboard.model import Bar, Figure, Layer, Snapshot
from medallion.dashboard.sources import Relations

LIVE = 15.0
"""Seconds without a new snapshot after which the stream counts as resting."""
_LONGEST = 10


def board(shown: Snapshot, now: datetime) -> str:
    """The whole page."""
    sections = [
        *(_figure(figure, shown) for figure in shown.figures),
        _hours(shown),
        _ticker(shown),
        _list("Categories", shown.categories[:_LONGEST], shown, "order"),
        _list("Top products", shown.products, shown, "unit"),
        _movers(shown),
        _list("Stores", shown.stores[:_LONGEST], shown, "order"),
        _rates(shown),
        _quality(shown),
    ]
    today = "" if shown.is_today else " past"
    notes = f'<div class="note">{_notes(shown)}</div>'
    return (
        f'<div class="board{today}" data-version="{escape(shown.version)}">{_header(shown, now)}'
        f'<div class="grid">{"".join(sections)}</div>{notes}</div>'
    )


def state(relations: Relations, now: datetime) -> str:
    """What the page says of how new it is."""
    return f"{relations.version} {_pace(relations.published_at, now)}"


def _pace(published_at: datetime, now: datetime) -> str:
    age = (now - published_at).total_seconds()
    return "live" if age <= LIVE else f"resting: nothing new for {text.seconds(age)}"


def message(title: str, sentence: str) -> str:
    """A page with nothing to show, that says why."""
    return (
        f'<div class="board"><div class="card message"><h2>{escape(title)}</h2>'
        f"<div>{escape(sentence)}</div></div></div>"
    )


def _header(shown: Snapshot, now: datetime) -> str:
    if shown.as_of is None or shown.day is None:
        return "<header><div class='when'>No sale has come yet.</div></header>"
    pace = _pace(shown.published_at, now)
    live = pace == "live"
    when = f"<b>{text.day(shown.day)}</b>"
    if shown.is_today:
        when += f" until <b>{_clock(shown.as_of, shown)}</b> {escape(shown.time_zone)}"
    return (
        f'<header><div class="when">{when} · compared with the same '
        f"{'time' if shown.is_today else 'day'} a week before</div>"
        f'<div class="pill {"good" if live else ""}" data-state="{"live" if live else "resting"}">'
        f"<i></i>{escape(pace)}</div></header>"
    )


def _card(title: str, body: str, kind: str = "", small: str = "") -> str:
    note = f" <small>{escape(small)}</small>" if small else ""
    return f'<section class="card {kind}"><h3>{escape(title)}{note}</h3>{body}</section>'


def _figure(figure: Figure, shown: Snapshot) -> str:
    value = text.shown(figure.kind, figure.value, shown.currency)
    label = f"{figure.label} today" if figure.metric == "reporting_net_sales" else figure.label
    return (
        f'<section class="card figure" data-metric="{figure.metric}">'
        f"<h3>{escape(label if shown.is_today else figure.label)}</h3>"
        f'<div class="value">{escape(value)}</div>{_change(figure, shown)}'
        f"{spark(figure.course, figure.course_before, bars=figure.metric == 'orders')}</section>"
    )


def _change(figure: Figure, shown: Snapshot) -> str:
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
    return _card(
        "Revenue by hour", drawn, "wide", f"{shown.time_zone}; the line is the week before"
    )


def _ticker(shown: Snapshot) -> str:
    rows = "".join(_basket(basket, shown) for basket in shown.baskets)
    return _card("Latest baskets", _rows(rows, "ticker"), small=f"at the till, {shown.time_zone}")


def _basket(basket: dict[str, Any], shown: Snapshot) -> str:
    kind = "return" if basket["event_type"] == "return" else ""
    units = text.counted(basket["units"], "unit")
    name = f"{escape(basket['products'])}<small>{escape(basket['store_name'])}, {units}</small>"
    amount = text.money(basket["net_sales"], basket["currency"])
    return (
        f'<div class="row {kind}" data-basket="{escape(basket["basket_id"])}">'
        f'<span class="at">{_clock(basket["sold_at"], shown)}</span>'
        f'<span class="name">{name}</span><span class="amount">{escape(amount)}</span></div>'
    )


def _clock(at: datetime, shown: Snapshot) -> str:
    """A UTC time, as the clock of the reporting time zone shows it."""
    return text.clock(at.replace(tzinfo=UTC).astimezone(ZoneInfo(shown.time_zone)))


def _list(title: str, bars: Sequence[Bar], shown: Snapshot, unit: str) -> str:
    most = max((bar.value for bar in bars), default=Decimal(0))
    rows = "".join(
        f'<div class="row" data-key="{escape(bar.key)}">'
        f'<span class="name">{escape(bar.name)}{_aside(bar)}</span>'
        f'<span class="side">{text.counted(bar.count, unit)}</span>'
        f'<span class="amount">{escape(text.money(bar.value, shown.currency))}</span>'
        f'<span class="bar" style="width:{_width(bar.value, most)}%"></span></div>'
        for bar in bars
    )
    return _card(title, _rows(rows))


def _aside(bar: Bar) -> str:
    return f"<small>{escape(bar.note)}</small>" if bar.note and bar.note not in bar.name else ""


def _width(value: Decimal, most: Decimal) -> str:
    return f"{max(Decimal(0), value / most * 100) if most > 0 else 0:.1f}"


def _movers(shown: Snapshot) -> str:
    rows = "".join(
        f'<div class="row" data-key="{escape(bar.key)}"><span class="name">{escape(bar.name)}'
        f'{_aside(bar)}</span><span class="side">'
        f"{_share(bar.value / bar.before - 1 if bar.before > 0 else None)}</span>"
        f'<span class="amount">{escape(text.money(bar.value - bar.before, shown.currency))}</span>'
        "</div>"
        for bar in shown.movers
    )
    return _card("Movers", _rows(rows), small="change from the week before")


def _rates(shown: Snapshot) -> str:
    blocks = []
    for (amount, rate), title in zip(shown.rates, ("Returns", "Discounts"), strict=True):
        before = text.percent(rate.before)
        blocks.append(
            f'<div data-metric="{amount.metric}"><h3>{title}</h3><div class="value">'
            f"{escape(text.money(amount.value, shown.currency))}</div>"
            f'<div class="change">{text.percent(rate.value)} of sales, {before} a week before</div>'
            "</div>"
        )
    body = f'<div class="pair">{"".join(blocks)}</div>'
    arrived, rejected = shown.arrivals["lines"], shown.arrivals["quarantined"]
    share = Decimal(rejected) / arrived if arrived else None
    body += (
        '<div class="pair below"><div data-metric="quarantined"><h3>Quarantined</h3>'
        f'<div class="value">{text.count(rejected)}</div><div class="change">'
        f"{text.percent(share)} of {text.count(arrived)} lines</div></div>"
        f'<div data-metric="late_events"><h3>Late events</h3><div class="value">'
        f"{text.count(shown.arrivals['late_events'])}</div>"
        '<div class="change">more than a day after the sale</div></div></div>'
    )
    return f'<section class="card">{body}</section>'


def _quality(shown: Snapshot) -> str:
    lags = "".join(_lag(layer) for layer in shown.layers)
    most = Decimal(max((lines for *_, lines in shown.reasons), default=0))
    rows = "".join(
        f'<div class="row" data-reason="{escape(reason)}"><span class="name">'
        f"{escape(reason.replace('_', ' '))}<small>{escape(feed)}</small></span><span></span>"
        f'<span class="amount">{text.count(lines)}</span>'
        f'<span class="bar" style="width:{_width(Decimal(lines), most)}%;background:var(--late)">'
        "</span></div>"
        for feed, reason, lines in shown.reasons[:7]
    )
    nothing = "No line that arrived on this day was rejected."
    body = f'<div class="lags">{lags}</div>{_rows(rows, nothing=nothing)}'
    return _card("Lag per layer, and why lines were rejected", body)


def _lag(layer: Layer) -> str:
    return (
        f'<div class="lag {layer.state}" data-layer="{layer.name}"><small>{layer.name}</small>'
        f"<i></i>{text.seconds(layer.seconds)}</div>"
    )


def _rows(rows: str, kind: str = "", nothing: str = "Nothing was sold here.") -> str:
    if not rows:
        return f'<div class="empty">{escape(nothing)}</div>'
    return f'<div class="{kind}">{rows}</div>'


def _notes(shown: Snapshot) -> str:
    told = [
        f"Amounts in {shown.currency}, tax excluded; revenue is net sales: gross sales - discounts "
        "- returns.",
        f"Days and hours in {shown.time_zone}. Snapshot {shown.version}, "
        f"{shown.published_at.astimezone(UTC):%H:%M:%S} UTC.",
    ]
    if shown.unconverted_lines:
        told.append(
            f"{shown.unconverted_lines:,} lines have no rate to {shown.currency} and are in no "
            "amount."
        )
    return escape(" ".join(told))
