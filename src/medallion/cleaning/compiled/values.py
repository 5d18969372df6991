"""JSON values that nobody reads: skipped, but strictly."""

from __future__ import annotations

import numpy as np

from medallion.cleaning.compiled.base import (
    CLOSE,
    COLON,
    COMMA,
    FEED,
    MINUS,
    NINE,
    OPEN,
    OPEN_LIST,
    QUOTE,
    REFUSED,
    RETURN,
    SPACE,
    TAB,
    ZERO,
    compiled,
    inlined,
)
from medallion.cleaning.compiled.numbers import read_number
from medallion.cleaning.compiled.texts import read_string
from medallion.contract import MAX_DEPTH

_LITERALS, _LITERAL_AT = np.frombuffer(b"nulltruefalse", np.uint8), np.array([0, 4, 8, 13])


@compiled
def skip_value(w, i, e, room, nesting):
    """Read a value of any kind, strictly, without keeping it.

    `nesting` is scratch: it holds how each object and array around the place ends.
    """
    depth = 1  # of the line's own object
    while True:
        is_first = w[i] in (OPEN, OPEN_LIST)
        if is_first:
            if depth == MAX_DEPTH:
                return np.int64(REFUSED)
            nesting[depth] = w[i] + 2  # } is { + 2, and ] is [ + 2
            depth += 1
            i = skip_space(w, i + 1, e)
        else:
            i = skip_scalar(w, i, e, room)
            if i == REFUSED or depth == 1:
                return i
            i = skip_space(w, i, e)
        while i < e and w[i] == nesting[depth - 1]:
            is_first = False
            depth -= 1
            if depth == 1:
                return i + 1
            i = skip_space(w, i + 1, e)
        if not is_first:
            i = skip_space(w, i + 1, e) if i < e and w[i] == COMMA else e
        if i < e and nesting[depth - 1] == CLOSE:
            name = read_string(w, i + 1, e, room)[2] if w[i] == QUOTE else np.int64(REFUSED)
            i = skip_colon(w, name, e)
        if i == e or i == REFUSED:  # noqa: SIM109
            return np.int64(REFUSED)


@compiled
def skip_colon(w, i, e):
    """Read what stands between a name and its value, which must follow."""
    if i != REFUSED:
        i = skip_space(w, i, e)
        i = skip_space(w, i + 1, e) if i < e and w[i] == COLON else e
    return i if i < e else np.int64(REFUSED)


@compiled
def skip_scalar(w, i, e, room):
    """Read a string, a number, true, false or null."""
    if w[i] == QUOTE:
        return read_string(w, i + 1, e, room)[2]
    if w[i] == MINUS or ZERO <= w[i] <= NINE:
        return read_number(w, i, e, False)
    for n in range(3):
        size = _LITERAL_AT[n + 1] - _LITERAL_AT[n]
        if i + size <= e:
            k = 0
            while k < size and w[i + k] == _LITERALS[_LITERAL_AT[n] + k]:
                k += 1
            if k == size:
                return i + size
    return np.int64(REFUSED)


@inlined
def skip_space(w, i, e):
    """Return the first place from `i` on that holds no white space of JSON."""
    while i < e and (w[i] == SPACE or w[i] == TAB or w[i] == RETURN or w[i] == FEED):
        i += 1
    return i
