"""The choice of a user, as the address of the page holds it: a link shows the same page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from urllib.parse import urlencode

from medallion.outputs.dashboard.periods import (
    BEFORE,
    COMPARISONS,
    EARLIEST,
    LATEST,
    NOTHING,
    PERIODS,
    RANGE,
    TODAY,
    Period,
)

VIEWS = {
    "sales": "Sales",
    "stores": "Stores",
    "products": "Products",
    "customers": "Customers",
    "hours": "Hours",
    "quality": "Data quality",
}


@dataclass(frozen=True)
class Choice:
    """The view, the period, and the filters. Without stores, a category or an hour, all count.

    - `days`: the days of the period `range`.
    - `sort`: the table and the column that orders it, as `stores.net_sales`; `-` before it turns
      the order.
    """

    view: str = "sales"
    period: str = TODAY
    days: Period | None = None
    compare: str = BEFORE
    stores: tuple[str, ...] = ()
    category: str | None = None
    hour: int | None = None
    sort: str = ""

    def but(self, **changes: Any) -> Choice:
        """Return the choice with some parts changed."""
        return replace(self, **changes)

    def of_days(self, days: Period, hour: int | None = None) -> Choice:
        """Return the choice with the days of a bar."""
        compare = self.compare if self.period != TODAY else NOTHING
        return self.but(period=RANGE, days=days, hour=hour, compare=compare)

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the address, without those that have their default."""
        days = self.days if self.period == RANGE else None
        parts = {
            "view": self.view if self.view != "sales" else None,
            "period": self.period,
            "from": days and str(days.first),
            "to": days and str(days.last),
            "compare": self.compare if self.compare != BEFORE else None,
            "store": list(self.stores) or None,
            "category": self.category,
            "hour": None if self.hour is None else str(self.hour),
            "sort": self.sort or None,
        }
        return {name: value for name, value in parts.items() if value is not None}

    @property
    def link(self) -> str:
        """The address, relative to the page."""
        return "?" + urlencode(self.parameters(), doseq=True)


def read_choice(address: Mapping[str, list[str]], default_period: str) -> tuple[Choice, list[str]]:
    """Return the choice of an address, and a sentence for each part of it that cannot be used."""
    problems = []

    def one_of(name: str, allowed: Mapping[str, str], default: str) -> str:
        value = (address.get(name) or [default])[-1]
        if value in allowed:
            return value
        problems.append(f"{name} must be one of {', '.join(allowed)}; got {value[:40]!r}.")
        return default

    period = one_of("period", PERIODS, default_period)
    days = None
    if period == RANGE:
        first, last = ((address.get(name) or [""])[-1] for name in ("from", "to"))
        try:
            days = Period(date.fromisoformat(first), date.fromisoformat(last))
            if not EARLIEST <= days.first <= days.last <= LATEST:
                raise ValueError
        except ValueError:
            problems.append(
                "from and to must be days such as 2026-01-31, the first not after the last; got "
                f"{first[:40]!r} and {last[:40]!r}."
            )
            period, days = default_period, None
    hour = (address.get("hour") or [""])[-1]
    if hour and not (hour.isascii() and hour.isdigit() and int(hour) < 24):
        problems.append(f"hour must be a whole number from 0 to 23; got {hour[:40]!r}.")
        hour = ""
    return Choice(
        view=one_of("view", VIEWS, "sales"),
        period=period,
        days=days,
        compare=one_of("compare", COMPARISONS, BEFORE),
        stores=tuple(dict.fromkeys(address.get("store", []))),
        category=address["category"][-1] if address.get("category") else None,
        hour=int(hour) if hour and days and days.days == 1 else None,
        sort=(address.get("sort") or [""])[-1],
    ), problems
