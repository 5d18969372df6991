"""Texts: JSON strings (RFC 8259) with their escapes, UTF-8 (RFC 3629), case, and Arrow views."""

from __future__ import annotations

import numpy as np

from medallion.cleaning.compiled.base import (
    BACKSLASH,
    HEADS,
    LETTER_U,
    QUOTE,
    REFUSED,
    SPACE,
    compiled,
    eight_bytes,
    first_marked,
)
from medallion.cleaning.compiled.tables import FOLD_LOWER

IN_PLACE = 12
"""Arrow keeps a text of so many bytes in its view."""

_ONES = np.uint64(0x0101010101010101)
_HIGHS, _QUOTES, _BACKSLASHES, _SPACES = _ONES * np.array([128, 34, 92, 32], np.uint64)
_LEAST = np.array([0, 0, 0x80, 0x800, 0x10000])
_HEX = np.full(256, 16, np.uint8)
_HEX[list(b"0123456789abcdefABCDEF")] = [*range(16), *range(10, 16)]
_ESCAPES = np.zeros(256, np.uint8)
_ESCAPES[list(b'"\\/bfnrt')] = list(b'"\\/\b\f\n\r\t')


@compiled
def read_string(w, a, e, room):
    """Read a string from behind its opening quote.

    Return where its text begins and ends, the place behind the closing quote, and the room.
    """
    i = a
    while True:
        # The lowest mark is exact: at a quote, a backslash, a control character, or beyond ASCII.
        x = eight_bytes(w, i)
        marks = (x ^ _QUOTES) - _ONES | (x ^ _BACKSLASHES) - _ONES | x - _SPACES | x
        marks &= _HIGHS
        i += first_marked(marks)
        if marks or i >= e:
            break
    i = min(i, e)
    if i < e and w[i] == QUOTE:
        return a, i, i + 1, room
    out = room
    for k in range(a, i):
        w[out] = w[k]
        out += 1
    while i < e and w[i] != QUOTE and w[i] >= SPACE:
        code, i = _escape(w, i, e) if w[i] == BACKSLASH else _code(w, i, e)
        if code <= 0:
            return a, a, np.int64(REFUSED), room
        out = _put_code(w, out, code)
    return room, out, i + 1 if i < e and w[i] == QUOTE else np.int64(REFUSED), out


@compiled
def _escape(w, i, e):
    """Return the code point of an escape, and the place behind it.

    The two halves of a surrogate pair become one code point. A code of 0 or less cannot stand in a
    text.
    """
    if i + 1 >= e:
        return np.int64(REFUSED), i
    if w[i + 1] != LETTER_U:
        return np.int64(_ESCAPES[w[i + 1]]), i + 2
    code = _hex(w, i + 2, e)
    i += 6
    if 0xD800 <= code < 0xDC00 and i + 1 < e and w[i] == BACKSLASH and w[i + 1] == LETTER_U:
        low = _hex(w, i + 2, e)
        if 0xDC00 <= low < 0xE000:
            return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00), i + 6
    return code if code < 0xD800 or code >= 0xE000 else np.int64(REFUSED), i


@compiled
def _hex(w, i, e):
    """Return the number that four hexadecimal digits are."""
    code = np.int64(0) if i + 4 <= e else np.int64(REFUSED)
    for k in range(i, min(i + 4, e)):
        digit = np.int64(_HEX[w[k]])
        code = code * 16 + digit if code >= 0 and digit < 16 else np.int64(REFUSED)
    return code


@compiled
def _code(w, i, e):
    """Return the code point of a character in UTF-8 (RFC 3629), and the place behind it."""
    c = np.int64(w[i])
    if c < 0x80:
        return c, i + 1
    size = 2 if c < 0xE0 else 3 if c < 0xF0 else 4
    code = c & (0x7F >> size) if 0xC2 <= c <= 0xF4 and i + size <= e else np.int64(REFUSED)
    for k in range(i + 1, min(i + size, e)):
        if code < 0 or w[k] & 0xC0 != 0x80:
            return np.int64(REFUSED), i
        code = code << 6 | np.int64(w[k] & 63)
    if code < _LEAST[size] or 0xD800 <= code < 0xE000 or code > 0x10FFFF:
        return np.int64(REFUSED), i
    return code, i + size


@compiled
def _put_code(w, out, code):
    """Write a code point as UTF-8; return the place behind it."""
    if code < 0x80:
        w[out] = code
        return out + 1
    size = 2 if code < 0x800 else 3 if code < 0x10000 else 4
    for k in range(size - 1, 0, -1):
        w[out + k] = 0x80 | code & 63
        code >>= 6
    w[out] = 0xF00 >> size & 0xFF | code
    return out + size


@compiled
def fold_case(w, a, b, room, fold, lower):
    """Bring a text to lower or upper case; leave it in its place where nothing changes."""
    first, last = (65, 90) if fold == FOLD_LOWER else (97, 122)
    i = a
    while i < b and not (first <= w[i] <= last or w[i] >= 128):
        i += 1
    if i == b:
        return a, b, room
    i, out = a, room
    while i < b:
        code, i = _code(w, i, b)
        if fold == FOLD_LOWER:
            code = np.int64(lower[code]) if code < len(lower) else code
        elif first <= code <= last:
            code ^= 32
        out = _put_code(w, out, code)
    return room, out, out


@compiled
def put_text(views, f, row, w, a, b):
    """Write a text as an Arrow view.

    That is its size and up to 12 bytes; of a longer text the first 4 and where it begins.
    """
    size = b - a
    bytes_ = eight_bytes(w, a)
    if size > IN_PLACE:
        tail = np.uint64(a) << np.uint64(32)
    else:
        bytes_ &= HEADS[min(size, 8)]
        tail = bytes_ >> np.uint64(32)
        if size > 8:
            tail |= (eight_bytes(w, a + 8) & HEADS[size - 8]) << np.uint64(32)
    views[f, row, 0] = np.uint64(size) | bytes_ << np.uint64(32)
    views[f, row, 1] = tail
