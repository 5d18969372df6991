"""Numbers: their grammar, and their value as a scaled integer."""

from __future__ import annotations

import numpy as np

from medallion.cleaning.compiled.base import (
    LETTER_E,
    MINUS,
    NINE,
    PLUS,
    POINT,
    REFUSED,
    ZERO,
    compiled,
)
from medallion.contract import MAX_NUMBER_LENGTH

_TENS = np.array([10**n for n in range(20)], np.uint64)
_TOO_LARGE = np.uint64(2**64 - 1)


@compiled
def read_number(w, i, e, is_text):
    """Read a JSON number, or with `is_text` one as contract.NUMBER has it.

    Such a one may begin with zeros, and its exponent has at most three digits.
    """
    a = i
    if w[i] == MINUS:
        i += 1
    if i < e and w[i] == ZERO and not is_text:
        i += 1
    else:
        i = read_digits(w, i, e)
    if i != REFUSED and i < e and w[i] == POINT:
        i = read_digits(w, i + 1, e)
    if i != REFUSED and i < e and w[i] | 32 == LETTER_E:
        i += 1
        if i < e and (w[i] == PLUS or w[i] == MINUS):
            i += 1
        first = i
        i = read_digits(w, i, e)
        if is_text and i - first > 3:
            return np.int64(REFUSED)
    return i if i - a <= MAX_NUMBER_LENGTH else np.int64(REFUSED)


@compiled
def read_digits(w, i, e):
    """Read one digit or more."""
    a = i
    while i < e and ZERO <= w[i] <= NINE:
        i += 1
    return i if i > a else np.int64(REFUSED)


@compiled
def to_decimal(w, a, b, scale, unit):
    """Return a number in units of 10**-scale, divided by `unit`.

    It is rounded half away from zero; the division must leave no rest. Where that fails, or the
    value is too large, the result is less than any bound.
    """
    size = _magnitude(w, a, b, scale)
    if unit > 1:
        if size % np.uint64(unit):
            return np.int64(-(2**63))
        size //= np.uint64(unit)
    if size >= np.uint64(2**63 - 1):
        return np.int64(-(2**63))
    return -np.int64(size) if w[a] == MINUS else np.int64(size)


@compiled
def _magnitude(w, a, b, scale):
    """Return the absolute value of a number in units of 10**-scale; _TOO_LARGE from 19 digits on.

    The first 19 digits that count are kept. That is enough: rounding half away from zero needs one
    digit more than the result has.
    """
    i = a + 1 if w[a] == MINUS else a
    value, digits, places, behind = np.uint64(0), 0, 0, False
    while i < b and w[i] | 32 != LETTER_E:
        c = w[i]
        if c == POINT:
            behind = True
        else:
            places += behind
            if digits or c != ZERO:
                digits += 1
                if digits <= 19:
                    value = value * np.uint64(10) + np.uint64(c - ZERO)
        i += 1
    if digits == 0:
        return np.uint64(0)
    shift = scale - places
    if i < b:
        shift += _exponent(w, i + 1, b)
    kept = digits + shift
    if kept > 19 or (kept == 19 and digits > 19):
        return _TOO_LARGE
    if kept < 0:
        return np.uint64(0)
    if digits <= kept:
        return value * _TENS[shift]
    value //= _TENS[min(digits, 19) - kept - 1]
    return value // np.uint64(10) + np.uint64(value % np.uint64(10) >= 5)


@compiled
def _exponent(w, i, b):
    minus = w[i] == MINUS
    if minus or w[i] == PLUS:
        i += 1
    value = np.int64(0)
    while i < b:
        value = min(value * 10 + np.int64(w[i] - ZERO), 1_000_000)
        i += 1
    return -value if minus else value
