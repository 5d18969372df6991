"""The text of numbers, times and changes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from medallion.contract import THOUSANDTHS, WHOLE_CURRENCIES
from medallion.operations.freshness import duration

SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
_TENTH, _HUNDREDTH = Decimal("0.1"), Decimal("0.01")
_SIZES = ((Decimal(10**9), "B"), (Decimal(10**6), "M"), (Decimal(10**3), "k"))
ABSENT = "–"
UNKNOWN = "(unknown)"
"""The value of an attribute in the dbt models if no source gives it."""


def smallest_unit(currency: str) -> Decimal:
    """Return the smallest unit of a currency: 0.01, of JPY 1, of KWD 0.001."""
    if currency in WHOLE_CURRENCIES:
        return Decimal(1)
    return Decimal("0.001" if currency in THOUSANDTHS else "0.01")


def money(amount: Decimal | None, currency: str) -> str:
    """Return an amount to the currency's smallest unit, its sign before the symbol.

    It is rounded half away from zero.
    """
    if amount is None:
        return ABSENT
    rounded = amount.quantize(smallest_unit(currency), ROUND_HALF_UP)
    symbol = SYMBOLS.get(currency, f"{currency} ")
    return f"{'−' if rounded < 0 else ''}{symbol}{abs(rounded):,}"


def short_money(amount: Decimal, currency: str) -> str:
    """Return a short amount for an axis: $12k, −$3.4M."""
    size, unit = next(
        ((size, unit) for size, unit in _SIZES if abs(amount) >= size), (Decimal(1), "")
    )
    symbol = SYMBOLS.get(currency, f"{currency} ")
    return f"{'−' if amount < 0 else ''}{symbol}{abs(amount / size).normalize():,f}{unit}"


def count(number: Decimal | int | None) -> str:
    """Return a number of things with thousands separators; a weight keeps its fraction."""
    return ABSENT if number is None else f"{Decimal(number).normalize():,f}"


def counted(number: Decimal | int, unit: str) -> str:
    """Return a number of things: 1 order, 2 orders."""
    return f"{count(number)} {unit}{'' if number == 1 else 's'}"


def ratio(number: Decimal | None) -> str:
    """Return a number with two decimals."""
    return ABSENT if number is None else f"{number.quantize(_HUNDREDTH, ROUND_HALF_UP):,}"


def percent(share: Decimal | None) -> str:
    """Return a share in percent, with one decimal."""
    if share is None:
        return ABSENT
    shown = (share * 100).quantize(_TENTH, ROUND_HALF_UP)
    return f"{'−' if shown < 0 else ''}{abs(shown):,} %"


def change(by: Decimal) -> str:
    """Return a change with its sign, from tenfold on as a multiple: +3.1 %, −20.0 %, ×142."""
    if by >= 9:
        return f"×{(by + 1).quantize(Decimal(1), ROUND_HALF_UP):,}"
    shown = percent(by)
    return shown if by < 0 or shown == percent(Decimal(0)) else f"+{shown}"


def shown(kind: str, number: Decimal | None, currency: str) -> str:
    """Return a figure of a kind: money, count, ratio, share or change."""
    match kind:
        case "money":
            return money(number, currency)
        case "count":
            return count(number)
        case "share":
            return percent(number)
        case "change":
            return ABSENT if number is None else change(number)
    return ratio(number)


def plain(kind: str, number: Decimal | None, currency: str) -> str:
    """Return a figure as a program reads it, with the digits that `shown` shows.

    Shares and changes are in percent; an unknown figure is an empty text.
    """
    if number is None:
        return ""
    if kind == "count":
        return f"{Decimal(number).normalize():f}"
    units = {"money": smallest_unit(currency), "ratio": _HUNDREDTH}
    if kind in ("share", "change"):
        number *= 100
    return f"{Decimal(number).quantize(units.get(kind, _TENTH), ROUND_HALF_UP):f}"


def exact(kind: str, number: Decimal | None, unit: str) -> str:
    """Return a figure with all its digits and its unit; shares and changes in percent."""
    if number is None:
        return "unknown"
    if kind in ("share", "change"):
        number, unit = number * 100, "%"
    digits = f"{Decimal(number).quantize(Decimal('0.000001'), ROUND_HALF_UP):,f}"
    return f"{digits.rstrip('0').rstrip('.')} {unit}".strip()


def unknown_because(sums: Mapping[str, Any], currency: str) -> str:
    """Return why the amounts of sums are unknown; an empty text if they are known."""
    if sums["reporting_net_sales"] is not None:
        return ""
    return f"none of {sums['lines']:,} lines has a rate to {currency}"


def short(amount: Decimal | None) -> str:
    """Return a rounded amount for a small cell: 950, 12k, 3.4M."""
    if amount is None:
        return ABSENT
    size, unit = next(((s, u) for s, u in _SIZES if abs(amount) >= s), (Decimal(1), ""))
    scaled = amount / size
    rounded = scaled.quantize(_TENTH if unit and abs(scaled) < 10 else Decimal(1), ROUND_HALF_UP)
    return f"{'−' if rounded < 0 else ''}{abs(rounded):f}{unit}"


def seconds(length: float | None) -> str:
    """Return a number of seconds in words."""
    return ABSENT if length is None else duration(length)


def day(of: date) -> str:
    """Return a date as Mon 23 Nov 2026."""
    return f"{of:%a} {of.day} {of:%b %Y}"


def days(first: date, last: date) -> str:
    """Return a period as Mon 23 Nov 2026 – Wed 25 Nov 2026, one day by itself."""
    return day(first) if first == last else f"{day(first)} – {day(last)}"


def clock(at: datetime) -> str:
    """Return a time as 09:05:07."""
    return f"{at:%H:%M:%S}"


def date_clock(at: datetime) -> str:
    """Return a time with its date as 23 Nov 09:05:07."""
    return f"{at.day} {at:%b %H:%M:%S}"


def named(words: str, reason: str) -> str:
    """Return a name from data; – with the reason if there is none."""
    return f"{ABSENT} ({reason})" if words == UNKNOWN else words


def isolated(words: str) -> str:
    """Return words between Unicode marks that isolate their direction of writing."""
    return f"\u2068{words}\u2069"
