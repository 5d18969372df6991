"""What one page of the dashboard is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

GOOD, LATE = 5.0, 30.0
"""Seconds: a layer that lags behind arrival by no more is green, amber; beyond it is red."""


@dataclass(frozen=True)
class Choice:
    """What the user wants to see: nothing chosen is everything; without a day it is today."""

    day: date | None = None
    stores: tuple[str, ...] = ()
    category: str | None = None


@dataclass(frozen=True)
class Figure:
    """A metric, the same a week before (for today: until the same time), and its course."""

    metric: str
    label: str
    kind: str
    value: Decimal | None
    before: Decimal | None
    course: Sequence[Decimal | None] = ()
    course_before: Sequence[Decimal | None] = ()

    @property
    def change(self) -> Decimal | None:
        """Against the week before, as a share; None where there is nothing to compare."""
        if self.value is None or not self.before:
            return None
        return self.value / self.before - 1


@dataclass(frozen=True)
class Bar:
    """One of a list: net sales, those of the week before, orders or units, a word to its name."""

    key: str
    name: str
    value: Decimal
    before: Decimal
    count: int
    note: str


@dataclass(frozen=True)
class Layer:
    """Seconds from the arrival in raw until a layer had what is newest."""

    name: str
    seconds: float | None

    @property
    def state(self) -> str:
        """good, late or bad; unknown where nothing has come yet."""
        if self.seconds is None:
            return "unknown"
        return "good" if self.seconds <= GOOD else "late" if self.seconds <= LATE else "bad"


@dataclass(frozen=True)
class Snapshot:
    """All that one page shows."""

    version: str
    published_at: datetime
    as_of: datetime | None
    currency: str
    time_zone: str
    day: date | None
    is_today: bool
    figures: list[Figure]
    rates: list[tuple[Figure, Figure]]
    hours: list[tuple[int, Decimal, Decimal]]
    categories: list[Bar]
    products: list[Bar]
    movers: list[Bar]
    stores: list[Bar]
    baskets: list[dict[str, Any]]
    reasons: list[tuple[str, str, int]]
    arrivals: dict[str, int]
    layers: list[Layer]
    unconverted_lines: int


@dataclass(frozen=True)
class Choices:
    """What can be chosen: days, newest first; stores by id; categories."""

    days: list[date]
    stores: dict[str, str]
    categories: list[str]
