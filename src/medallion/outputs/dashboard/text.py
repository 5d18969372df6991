"""How numbers, times and changes read."""

from __future__ import annotations

from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal

SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
_CENT, _TENTH, _HUNDREDTH = Decimal("0.01"), Decimal("0.1"), Decimal("0.01")
_SIZES = ((Decimal(10**9), "B"), (Decimal(10**6), "M"), (Decimal(10**3), "k"))
ABSENT = "–"
UNKNOWN = "(unknown)"
"""What the models say where no source names an attribute."""


def money(amount: Decimal | None, currency: str) -> str:
    """To the cent, half away from zero, with the sign in front of the symbol."""
    if amount is None:
        return ABSENT
    rounded = amount.quantize(_CENT, ROUND_HALF_UP)
    symbol = SYMBOLS.get(currency, f"{currency} ")
    return f"{'−' if rounded < 0 else ''}{symbol}{abs(rounded):,}"


def short_money(amount: Decimal, currency: str) -> str:
    """For an axis: $12k, −$3.4M."""
    size, unit = next(
        ((size, unit) for size, unit in _SIZES if abs(amount) >= size), (Decimal(1), "")
    )
    symbol = SYMBOLS.get(currency, f"{currency} ")
    return f"{'−' if amount < 0 else ''}{symbol}{abs(amount / size).normalize():,f}{unit}"


def count(number: Decimal | int | None) -> str:
    """A whole number."""
    return ABSENT if number is None else f"{int(number):,}"


def counted(number: Decimal | int, unit: str) -> str:
    """A whole number of things: 1 order, 2 orders."""
    return f"{count(number)} {unit}{'' if number == 1 else 's'}"


def ratio(number: Decimal | None) -> str:
    """Two places."""
    return ABSENT if number is None else f"{number.quantize(_HUNDREDTH, ROUND_HALF_UP):,}"


def percent(share: Decimal | None) -> str:
    """One place."""
    if share is None:
        return ABSENT
    shown = (share * 100).quantize(_TENTH, ROUND_HALF_UP)
    return f"{'−' if shown < 0 else ''}{abs(shown):,} %"


def change(by: Decimal) -> str:
    """With its sign, and from tenfold on as a multiple: +3.1 %, −20.0 %, ×142."""
    if by >= 9:
        return f"×{(by + 1).quantize(Decimal(1), ROUND_HALF_UP):,}"
    shown = percent(by)
    return shown if by < 0 or shown == percent(Decimal(0)) else f"+{shown}"


def shown(kind: str, number: Decimal | None, currency: str) -> str:
    """A figure of a kind: money, count or ratio."""
    if kind == "money":
        return money(number, currency)
    return count(number) if kind == "count" else ratio(number)


def day(of: date) -> str:
    """Mon 23 Nov 2026."""
    return f"{of:%a} {of.day} {of:%b %Y}"


def clock(at: datetime) -> str:
    """09:05:07."""
    return f"{at:%H:%M:%S}"


def date_clock(at: datetime) -> str:
    """23 Nov 09:05:07."""
    return f"{at.day} {at:%b %H:%M:%S}"


def named(words: str, reason: str) -> str:
    """A name from data; – and the reason where there is none."""
    return f"{ABSENT} ({reason})" if words == UNKNOWN else words


def isolated(words: str) -> str:
    """Words from data between marks that keep their direction of writing to themselves."""
    return f"\u2068{words}\u2069"
