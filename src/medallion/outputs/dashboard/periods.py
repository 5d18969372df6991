"""Periods of the dashboard in the 4-5-4 retail calendar, and the periods they are compared with.

Days are store-local. An unfinished period ends today, and is compared with the same number of days.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

TODAY, RANGE = "today", "range"
PERIODS = {
    TODAY: "Today, live",
    "yesterday": "Yesterday",
    "last_7_days": "Last 7 days",
    "last_28_days": "Last 28 days",
    "this_week": "This retail week",
    "last_week": "Last retail week",
    "this_month": "This retail month",
    "last_month": "Last retail month",
    "this_quarter": "This retail quarter",
    "last_quarter": "Last retail quarter",
    "year_to_date": "Retail year to date",
    RANGE: "From … to …",
}
"""The label of each period by its name in the address."""

BEFORE, LAST_YEAR, NOTHING = "before", "last_year", "nothing"
COMPARISONS = {
    BEFORE: "The period before",
    LAST_YEAR: "The same period last year",
    NOTHING: "Nothing",
}
EARLIEST, LATEST = date(1970, 1, 1), date(2199, 12, 31)
"""The first and the last day that can be chosen."""

_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
_MONTHS = (0, 4, 9, 13)
"""The weeks of a quarter before each of its months, and the number of all its weeks."""


@dataclass(frozen=True)
class Period:
    """Days from the first to the last, both included."""

    first: date
    last: date

    @property
    def days(self) -> int:
        """The number of days."""
        return (self.last - self.first).days + 1

    def moved(self, by: timedelta) -> Period:
        """Return a period of the same length, moved by a number of days."""
        return Period(self.first + by, self.last + by)

    def starting(self, first: date) -> Period:
        """Return a period of the same length from another first day."""
        return self.moved(first - self.first)


def period(name: str, today: date, chosen: Period | None = None) -> Period:
    """Return the days of a named period.

    Args:
        name: one of PERIODS.
        today: the newest day with sales.
        chosen: the days of the period `range`.
    """
    if name == RANGE and chosen:
        return chosen
    if name == "yesterday":
        return Period(today - _DAY, today - _DAY)
    if name in ("last_7_days", "last_28_days"):
        return Period(today - timedelta(days=int(name.split("_")[1]) - 1), today)
    if name == "year_to_date":
        return Period(_year_start(retail_year(today)), today)
    when, _, unit = name.partition("_")
    if when == "this":
        return Period(unit_of(today, unit).first, today)
    if when == "last":
        return unit_of(unit_of(today, unit).first - _DAY, unit)
    return Period(today, today)


def compared(name: str, of: Period, comparison: str) -> Period | None:
    """Return the period that a named period is compared with; None for nothing."""
    if comparison == NOTHING:
        return None
    if comparison == LAST_YEAR or name == "year_to_date":
        year = retail_year(of.last)
        return of.moved(_year_start(year - 1) - _year_start(year))
    when, _, unit = name.partition("_")
    if unit in ("week", "month", "quarter"):
        whole = unit_of(of.first - _DAY, unit)
        return of.starting(whole.first) if when == "this" else whole
    return of.moved(-timedelta(days=of.days))


def retail_year(day: date) -> int:
    """Return the retail year of a day."""
    return day.year if day >= _year_start(day.year) else day.year - 1


def unit_of(day: date, unit: str) -> Period:
    """Return the retail week, month or quarter that holds a day.

    A year has 52 or 53 weeks; week 53 belongs to the last month and quarter.
    """
    year = retail_year(day)
    start, end = _year_start(year), _year_start(year + 1)
    week = (day - start).days // 7
    if unit == "week":
        return Period(start + week * _WEEK, start + (week + 1) * _WEEK - _DAY)
    quarter = min(week // 13, 3)
    first, last = 0, 13
    if unit == "month":
        month = sum(week - quarter * 13 >= weeks for weeks in _MONTHS[1:3])
        first, last = _MONTHS[month], _MONTHS[month + 1]
    is_end_of_year = quarter == 3 and last == 13
    until = end if is_end_of_year else start + (quarter * 13 + last) * _WEEK
    return Period(start + (quarter * 13 + first) * _WEEK, until - _DAY)


def grain(of: Period) -> str:
    """Return the length of the bars of a period: hour, day, week or month."""
    limits = (("hour", 1), ("day", 35), ("week", 190))
    return next((name for name, days in limits if of.days <= days), "month")


def parts(of: Period, unit: str) -> Iterator[Period]:
    """Yield the days, weeks or months of a period; the first and the last may be incomplete."""
    first = of.first
    while first <= of.last:
        last = first if unit == "day" else min(unit_of(first, unit).last, of.last)
        yield Period(first, last)
        first = last + _DAY


def _year_start(year: int) -> date:
    """Return the Sunday nearest to 1 February."""
    february = date(year, 2, 1)
    since_sunday = (february.weekday() + 1) % 7
    return february + timedelta(days=-since_sunday if since_sunday <= 3 else 7 - since_sunday)
