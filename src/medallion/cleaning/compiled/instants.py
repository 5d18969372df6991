"""Instants: RFC 3339, epoch milliseconds and days, as integers."""

from __future__ import annotations

import numpy as np

from medallion.cleaning.compiled.base import (
    COLON,
    MINUS,
    NINE,
    PLUS,
    POINT,
    REFUSED,
    SPACE,
    ZERO,
    compiled,
)
from medallion.cleaning.compiled.numbers import read_digits


@compiled
def _two(w, i):
    """Return the number of two digits; a negative one where they are no digits."""
    if ZERO <= w[i] <= NINE and ZERO <= w[i + 1] <= NINE:
        return np.int64(w[i] - ZERO) * 10 + np.int64(w[i + 1] - ZERO)
    return np.int64(-10_000)


@compiled
def to_day(w, a, b):
    """Return the days since 1970 of YYYY-MM-DD; where that is no date, less than any bound."""
    wrong = np.int64(-(2**62))
    if b - a != 10 or w[a + 4] != MINUS or w[a + 7] != MINUS:
        return wrong
    year, month, day = _two(w, a) * 100 + _two(w, a + 2), _two(w, a + 5), _two(w, a + 8)
    if year < 0 or month < 1 or month > 12 or day < 1:
        return wrong
    longest = 31
    if month == 2:
        longest = 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    elif month == 4 or month == 6 or month == 9 or month == 11:
        longest = 30
    if day > longest:
        return wrong
    # Years that begin in March, in eras of 400: days_from_civil by Howard Hinnant.
    year -= month <= 2
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


@compiled
def to_instant(w, a, b):
    """Return the microseconds since 1970 of an RFC 3339 time or of epoch milliseconds.

    A time without seconds is left to the exact lane. It is cut to the millisecond. Where the text
    is neither, it is less than any bound.
    """
    wrong = np.int64(-(2**62))
    if b - a < 20:
        if b - a < 12 or b - a > 15 or read_digits(w, a, b) != b:
            return wrong
        value = np.int64(0)
        for k in range(a, b):
            value = value * 10 + np.int64(w[k] - ZERO)
        return value * 1000
    days = to_day(w, a, a + 10)
    hour, minute, second = _two(w, a + 11), _two(w, a + 14), _two(w, a + 17)
    between = w[a + 10]
    if (
        (between != 84 and between != 116 and between != SPACE)
        or w[a + 13] != COLON
        or w[a + 16] != COLON
        or days == wrong
        or min(hour, minute, second) < 0
        or hour > 23
        or max(minute, second) > 59
    ):
        return wrong
    i, fraction = a + 19, np.int64(0)
    if w[i] == POINT:
        first = i + 1
        i = read_digits(w, first, b)
        if i == REFUSED or i - first > 9:
            return wrong
        for k in range(first, first + 3):
            fraction = fraction * 10 + (np.int64(w[k] - ZERO) if k < i else 0)
    offset = np.int64(0)
    size = b - i
    if (w[i] == PLUS or w[i] == MINUS) and (
        size == 3 or size == 5 or (size == 6 and w[i + 3] == COLON)
    ):
        hours, minutes = _two(w, i + 1), _two(w, b - 2) if size > 3 else np.int64(0)
        if min(hours, minutes) < 0 or hours > 23 or minutes > 59:
            return wrong
        offset = hours * 60 + minutes
        if w[i] == MINUS:
            offset = -offset
    elif size != 1 or w[i] | 32 != 122:
        return wrong
    seconds = days * 86400 + hour * 3600 + (minute - offset) * 60 + second
    return (seconds * 1000 + fraction) * 1000
