"""What one page of the dashboard is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo


def is_today(day: date, time_zone: str, now: datetime) -> bool:
    """Whether it is this day in a time zone now."""
    return day == now.astimezone(ZoneInfo(time_zone)).date()


@dataclass(frozen=True)
class Choice:
    """What the user wants to see: nothing chosen is everything; without a day it is the newest."""

    day: date | None = None
    stores: tuple[str, ...] = ()
    category: str | None = None


@dataclass(frozen=True)
class Figure:
    """A metric, the same a week before (for the newest day: until the same time), and its course. A
    value of None is not known; `reason` says why, where lines were sold."""

    metric: str
    label: str
    kind: str
    value: Decimal | None
    before: Decimal | None
    course: Sequence[Decimal | None] = ()
    course_before: Sequence[Decimal | None] = ()
    reason: str = ""

    @property
    def change(self) -> Decimal | None:
        """Against the week before, as a share; None where there is nothing to compare."""
        if self.value is None or not self.before:
            return None
        return self.value / self.before - 1


@dataclass(frozen=True)
class Bar:
    """One of a list: net sales and those of the week before, None where no line has a rate; orders
    or units; a word to its name."""

    key: str
    name: str
    value: Decimal | None
    before: Decimal | None
    count: int
    note: str

    @property
    def difference(self) -> Decimal | None:
        """Against the week before; None where either is not known."""
        if self.value is None or self.before is None:
            return None
        return self.value - self.before


@dataclass(frozen=True)
class Arrivals:
    """What arrived in raw/ on a day, of all stores: lines, those that were rejected, late events,
    and events of history that came as a whole."""

    day: date
    lines: int
    quarantined: int
    late_events: int
    history_events: int


@dataclass(frozen=True)
class Snapshot:
    """All that one page shows. `reached` are the seconds that the last batch took from its arrival
    in raw/ to each layer; `is_compared` is whether anything was sold a week before."""

    version: str
    published_at: datetime
    choice: Choice
    as_of: datetime
    currency: str
    time_zone: str
    day: date
    is_newest: bool
    is_compared: bool
    figures: list[Figure]
    rates: list[tuple[Figure, Figure]]
    hours: list[tuple[int, Decimal | None, Decimal | None]]
    categories: list[Bar]
    products: list[Bar]
    movers: list[Bar]
    stores: list[Bar]
    baskets: list[dict[str, Any]]
    reasons: list[tuple[str, str, int]]
    arrivals: Arrivals | None
    reached: dict[str, float | None]
    lines: int
    unconverted_lines: int
    days: int
    first_day: date

    def is_today(self, now: datetime) -> bool:
        """Whether the newest day, which is shown, is the day that it is now."""
        return self.is_newest and is_today(self.day, self.time_zone, now)


@dataclass(frozen=True)
class Choices:
    """What can be chosen: days in the reporting zone, newest first; stores by id; categories."""

    time_zone: str
    days: list[date]
    stores: dict[str, str]
    categories: list[str]

    def is_today(self, now: datetime) -> bool:
        """Whether the newest day is the day that it is now."""
        return bool(self.days) and is_today(self.days[0], self.time_zone, now)
