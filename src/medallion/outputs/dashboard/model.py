"""The values of one page of the dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from medallion.outputs.dashboard.choice import Choice
from medallion.outputs.dashboard.periods import TODAY


def is_today(day: date, time_zone: str, now: datetime) -> bool:
    """Return whether `day` is the current day in a time zone."""
    return day == now.astimezone(ZoneInfo(time_zone)).date()


@dataclass(frozen=True)
class Figure:
    """A metric, its value a week before at the same time of day, and both as series over the day.

    None is an unknown value; `reason` says why it is unknown where lines were sold.
    """

    metric: str
    label: str
    kind: str
    value: Decimal | None
    before: Decimal | None
    series: Sequence[Decimal | None] = ()
    series_before: Sequence[Decimal | None] = ()
    reason: str = ""

    @property
    def change(self) -> Decimal | None:
        """The change from the week before, as a share; None where there is nothing to compare."""
        if self.value is None or not self.before:
            return None
        return self.value / self.before - 1


@dataclass(frozen=True)
class Bar:
    """A row of a list, such as a product.

    It has the net sales of the day and of the week before (None where no line has an exchange
    rate), the number of orders or units, a note that stands beside its name, and the number of
    lines of the day.
    """

    key: str
    name: str
    value: Decimal | None
    before: Decimal | None
    count: Decimal | int
    note: str
    lines: int

    @property
    def difference(self) -> Decimal | None:
        """The change from the week before; None where either amount is unknown."""
        if self.value is None or self.before is None:
            return None
        return self.value - self.before


@dataclass(frozen=True)
class Arrivals:
    """The arrivals of a day in raw/, over all stores.

    Late events arrived more than a day after the sale. `history_events` did so too, but in objects
    that hold history: they do not count as late.
    """

    day: date
    lines: int
    quarantined: int
    late_events: int
    history_events: int


@dataclass(frozen=True)
class Snapshot:
    """The values of one page.

    - `is_compared`: whether anything was sold a week before.
    - `lags`: the seconds from the arrival of the last batch in raw/ until it was in each layer.
    """

    version: str
    published_at: datetime
    choice: Choice
    as_of: datetime
    currency: str
    time_zone: str
    day: date
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
    lags: dict[str, float | None]
    lines: int
    unconverted_lines: int

    def is_today(self, now: datetime) -> bool:
        """Return whether the page shows the current day."""
        return is_today(self.day, self.time_zone, now)


@dataclass(frozen=True)
class Choices:
    """The options of a user: stores are names by id, `day` is the newest day with sales."""

    time_zone: str
    day: date | None
    stores: dict[str, str]
    categories: list[str]

    def is_today(self, now: datetime) -> bool:
        """Return whether the newest day is the current day."""
        return self.day is not None and is_today(self.day, self.time_zone, now)

    def default_period(self, now: datetime) -> str:
        """Return the period of a page whose address names none."""
        return TODAY if self.is_today(now) else "last_28_days"
