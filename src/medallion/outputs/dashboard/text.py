"""The text of numbers, times and changes."""

from __future__ import annotations

from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal

SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
_CENT, _TENTH, _HUNDREDTH = Decimal("0.01"), Decimal("0.1"), Decimal("0.01")
_SIZES = ((Decimal(10**9), "B"), (Decimal(10**6), "M"), (Decimal(10**3), "k"))
ABSENT = "–"
UNKNOWN = "(unknown)"
"""The value of an attribute in the dbt models where no source names it."""


def money(amount: Decimal | None, currency: str) -> str:
    """Return an amount to the cent, rounded half away from zero, its sign before the symbol."""
    if amount is None:
        return ABSENT
    rounded = amount.quantize(_CENT, ROUND_HALF_UP)
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
    """Return a figure of a kind: money, count or ratio."""
    if kind == "money":
        return money(number, currency)
    return count(number) if kind == "count" else ratio(number)


def day(of: date) -> str:
    """Return a date as Mon 23 Nov 2026."""
    return f"{of:%a} {of.day} {of:%b %Y}"


def clock(at: datetime) -> str:
    """Return a time as 09:05:07."""
    return f"{at:%H:%M:%S}"


def date_clock(at: datetime) -> str:
    """Return a time with its date as 23 Nov 09:05:07."""
    return f"{at.day} {at:%b %H:%M:%S}"


def named(words: str, reason: str) -> str:
    """Return a name from data; – and the reason where there is none."""
    return f"{ABSENT} ({reason})" if words == UNKNOWN else words


def isolated(words: str) -> str:
    """Return words between Unicode marks that isolate their direction of writing."""
    return f"\u2068{words}\u2069"
