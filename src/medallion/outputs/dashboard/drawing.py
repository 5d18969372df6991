"""Two small charts in plain HTML: Streamlit removes SVG from pages.

They are redrawn every second without flicker, need no library in the browser, and take their colors
from the page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from math import ceil, floor, log10

from medallion.outputs.dashboard.text import ABSENT, money, short_money

_STEPS = (1, 2, 2.5, 5, 10)
_LINE = 4.0
"""Thickness of a line, in percent of the height of its chart."""
Series = Sequence[Decimal | None]


def sparkline(series: Series, before: Series, *, bars: bool = False) -> str:
    """Return a small chart of a figure, with that of the week before behind it."""
    length = max(len(series), len(before), 2)
    top = max((float(v) for v in (*series, *before) if v), default=0.0) or 1.0
    old, new = _points(before, length, top), _points(series, length, top)
    drawn = _shape("ghost", _band(old))
    if bars:
        drawn += "".join(
            f'<div class="minute" style="left:{i * 100 / length:.2f}%;'
            f'width:{70 / length:.2f}%;height:{float(v) / top * 88:.1f}%"></div>'
            for i, v in enumerate(series)
            if v
        )
    else:
        drawn += _shape("area", [*new, (new[-1][0], 100.0), (new[0][0], 100.0)] if new else [])
        drawn += _shape("line", _band(new))
    return f'<div class="spark" aria-hidden="true">{drawn}</div>'


def _points(values: Series, length: int, top: float) -> list[tuple[float, float]]:
    """Return the points of a series, in percent from the left and from the top."""
    return [
        (i * 100 / (length - 1), 96 - float(v) / top * 88)
        for i, v in enumerate(values)
        if v is not None
    ]


def _band(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the outline of a line through points."""
    return [
        *((x, y - _LINE / 2) for x, y in points),
        *((x, y + _LINE / 2) for x, y in points[::-1]),
    ]


def _shape(kind: str, outline: list[tuple[float, float]]) -> str:
    if not outline:
        return ""
    corners = ",".join(f"{x:.2f}% {y:.2f}%" for x, y in outline)
    return f'<div class="{kind}" style="clip-path:polygon({corners})"></div>'


@dataclass(frozen=True)
class Column:
    """A bar of a chart with its amount, the amount of the comparison, and the target of a click.

    `label` says in full what the bar shows, `short` stands below the axis.
    """

    key: str
    label: str
    short: str
    now: Decimal | None
    before: Decimal | None
    link: str = ""


def chart(title: str, columns: Sequence[Column], currency: str, before: str) -> str:
    """Return a chart: a bar for each column, a line over it for the comparison, and an axis.

    A bar is below zero if more was returned than sold. Unknown amounts are not drawn. A sentence
    gives the amounts of each bar: always to screen readers, to others under the pointer or focus.

    Args:
        title: what the chart shows.
        columns: the bars; amounts are None where they are unknown.
        currency: the currency of the amounts.
        before: the name of the comparison in the sentence; empty for none.
    """
    amounts = [v for c in columns for v in (c.now, c.before if before else None) if v is not None]
    most, least = max(amounts, default=Decimal(0)), min(amounts, default=Decimal(0))
    step = _round_step(most, least)
    high = max(ceil(most / step), 1) * step
    low = min(least, Decimal(0))

    def share(amount: Decimal) -> float:
        """Return the place of an amount, in percent of the height from the bottom."""
        return float((amount - low) / (high - low) * 100)

    drawn = [
        f'<div class="tick" aria-hidden="true" style="bottom:{share(n * step):.2f}%">'
        f"<span>{short_money(n * step, currency)}</span></div>"
        for n in range(ceil(low / step), int(high / step) + 1)
    ]
    every, width = ceil(len(columns) / 12) or 1, 100 / max(len(columns), 1)
    for n, column in enumerate(columns):
        reading = f"{column.label}  {money(column.now, currency)}"
        reading += f", {before} {money(column.before, currency)}" if before else ""
        label = ""
        if n % every == 0:
            minor = " minor" * (n // every % 2)
            label = f'<span class="hour{minor}" aria-hidden="true">{escape(column.short)}</span>'
        side = "right" if n > len(columns) / 2 else "left"
        tag = (
            f'a href="{escape(column.link)}" target="_self"' if column.link else 'div tabindex="0"'
        )
        fill = _fill(column.now, share) if column.now is not None else ""
        then = ""
        if before and column.before is not None:
            then = f'<div class="then" style="bottom:{share(column.before):.2f}%"></div>'
        drawn.append(
            f'<div class="column" role="listitem" data-bar="{escape(column.key)}" '
            f'style="left:{n * width:.3f}%;width:{width:.4f}%"><{tag} class="whole">'
            f'<span class="tip {side}">{escape(reading)}</span>{fill}{then}{label}'
            f"</{tag.split()[0]}></div>"
        )
    unknown = "" if amounts else f'<div class="empty">{ABSENT}</div>'
    return (
        f'<div class="hours"><div class="plot" role="list" aria-label="{escape(title)}">'
        f"{''.join(drawn)}{unknown}</div></div>"
    )


def _fill(amount: Decimal, share: Callable[[Decimal], float]) -> str:
    bottom, top = sorted((share(Decimal(0)), share(amount)))
    return f'<div class="fill" style="bottom:{bottom:.2f}%;height:{top - bottom:.2f}%"></div>'


def _round_step(high: Decimal, low: Decimal) -> Decimal:
    """Return a round amount that divides the range into about four steps."""
    about = float(high - min(low, Decimal(0))) / 4 or 1.0
    size = 10.0 ** floor(log10(about))
    return Decimal(str(next(s for s in _STEPS if s * size >= about * 0.999) * size))
