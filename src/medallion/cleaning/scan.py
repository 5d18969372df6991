"""The compiled pass of the plain lane: from the bytes of lines to typed cells, one pass.

`scan` proves that a line is acceptable, or leaves it alone: it never rejects. It is strict JSON
(RFC 8259) and knows no field by name; `tables` brings what the contract says. `machine_code`
compiles it and keeps the machine code.

Conventions: `w` holds bytes, `i` is a place in them, `e` the end of the line. A function that
reads something returns the place after it, or REFUSED where it is not what the pass can prove.
Texts that cannot be used as they stand (escapes, case, other alphabets) are written to the *room*,
the part of `w` behind the lines; `room` is where the next one goes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from medallion.cleaning.tables import (
    ABSENT,
    EMPTY,
    FOLD_LOWER,
    MAX_NAME,
    NONE,
    NULL,
    NUMBER,
    TEXT,
    TIMESTAMP,
    VALUE,
)
from medallion.contract import MAX_DEPTH, MAX_LINE_BYTES, MAX_NUMBER_LENGTH

REFUSED = -1
SPACE, TAB, RETURN, FEED = 32, 9, 13, 10
QUOTE, COMMA, MINUS, PLUS, POINT, COLON, BACKSLASH = 34, 44, 45, 43, 46, 58, 92
OPEN, CLOSE, OPEN_LIST = 123, 125, 91
ZERO, NINE, LETTER_E, LETTER_N, LETTER_U = 48, 57, 101, 110, 117
_TENS = np.array([10**n for n in range(20)], np.uint64)
_HEADS = np.array([256**n - 1 for n in range(9)], np.uint64)
_ONES = np.uint64(0x0101010101010101)
_HIGHS, _QUOTES, _BACKSLASHES, _SPACES = _ONES * np.array([128, 34, 92, 32], np.uint64)
_LITERALS, _LITERAL_AT = np.frombuffer(b"nulltruefalse", np.uint8), np.array([0, 4, 8, 13])
_LEAST = np.array([0, 0, 0x80, 0x800, 0x10000])
_HEX = np.full(256, 16, np.uint8)
_HEX[list(b"0123456789abcdefABCDEF")] = [*range(16), *range(10, 16)]
_ESCAPES = np.zeros(256, np.uint8)
_ESCAPES[list(b'"\\/bfnrt')] = list(b'"\\/\b\f\n\r\t')
_TOO_LARGE = np.uint64(2**64 - 1)
_EXACT = 4.0e18
"""Products below this are exact in 64 bits."""
IN_PLACE = 12
"""Arrow keeps a text of so many bytes in its view."""


_OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    # Nothing here owns memory, so nothing need count who uses it: that costs more than the work.
    "_nrt": False,
    # `machine_code` calls the function itself.
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
compiled: Callable[[Callable[..., Any]], Any] = njit(**_OPTIONS)
inlined: Callable[[Callable[..., Any]], Any] = njit(inline="always", **_OPTIONS)
"""Compiles a function into its callers: to hand it all the tables costs more than its work."""


@intrinsic
def _eight(context: Any, array: Any, place: Any) -> Any:
    """Load eight bytes of an array from any place on, the first one lowest."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        first = builder.gep(data, [arguments[1]])
        word = context.get_value_type(types.uint64).as_pointer()
        return builder.load(builder.bitcast(first, word), align=1)

    return types.uint64(array, types.int64), generate


@intrinsic
def _first(context: Any, marks: Any) -> Any:
    """The lowest byte of eight in which a bit is set; 8 where none is."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zeros = builder.cttz(arguments[0], context.get_constant(types.boolean, False))
        return builder.lshr(zeros, context.get_constant(types.uint64, 3))

    return types.int64(types.uint64), generate


@compiled
def scan(w, offsets, room, tables, words, cells):
    """Read lines into cells.

    Args:
        w: uint8, the lines and behind them the room.
        offsets: int32, one more than lines: line n is w[offsets[n]:offsets[n + 1]], with or
            without its line feed.
        room: where the room begins; it must hold three times the bytes of the lines.
        tables: what the contract says of the feed.
        words: names seen so far, none at first; unknown ones are counted there.
        cells: where the values go; at least one row for each line.

    Returns:
        How many rows were filled, how many lines were left (cells.left), how many were blank.
    """
    if words.state[0] == 0:
        _learn(tables, words)
    rows = left = blank = np.int64(0)
    room = np.int64(room)
    for n in range(len(offsets) - 1):
        i, e = np.int64(offsets[n]), np.int64(offsets[n + 1])
        if e > i and w[e - 1] == FEED:
            e -= 1
        after = np.int64(REFUSED)
        if e - i <= MAX_LINE_BYTES:
            i = _space(w, i, e)
            if i == e:
                blank += 1
                continue
            after = _line(w, i, e, room, tables, words, cells, rows)
        if after == REFUSED:
            cells.left[left] = n
            left += 1
        else:
            room = after
            cells.lines[rows] = n
            rows += 1
    return rows, left, blank


@compiled
def _learn(tables, words):
    """Give numbers to the names of the feed and to the values that its fields allow."""
    for k in range(len(tables.vocabulary)):
        a, b, f = tables.vocabulary[k]
        word = _find(tables.letters, a, b, words)
        if word == NONE:
            word = _add(tables.letters, a, b, words)
        if f != NONE:
            words.words[word].allowed |= np.int64(1) << f
            words.last[f] = word


@inlined
def _line(w, i, e, room, tables, words, cells, row):
    """Read the members of one object into a row; return the new end of the room."""
    fields = np.int64(len(tables.rules))
    words.state[2] += 1
    for f in range(fields):
        cells.state[f, row] = ABSENT
    if w[i] != OPEN:
        return REFUSED
    place = unknown = np.int64(0)
    i = _space(w, i + 1, e)
    while i < e and w[i] == QUOTE:
        word, i, room = _name(w, i + 1, e, room, words, place)
        if word == REFUSED or words.words[word].line == words.state[2]:
            return REFUSED
        words.words[word].line = words.state[2]
        i = _colon(w, i, e)
        if i == REFUSED:
            return REFUSED
        if word < fields:
            i, room = _field(w, i, e, room, tables, words, cells, word, row)
        else:
            i = _skip(w, i, e, room, cells.nesting)
            cells.unknown[unknown] = word
            unknown += 1
        if i == REFUSED:
            return REFUSED
        i = _space(w, i, e)
        if i == e or w[i] != COMMA:
            break
        i = _space(w, i + 1, e)
        if i == e or w[i] != QUOTE:
            return REFUSED
        place += 1
    if i == e or w[i] != CLOSE or _space(w, i + 1, e) != e:
        return REFUSED
    room = _fill(w, room, tables, cells, row)
    if room != REFUSED:
        for n in range(unknown):
            words.words[cells.unknown[n]].count += 1
    return room


@inlined
def _space(w, i, e):
    while i < e and (w[i] == SPACE or w[i] == TAB or w[i] == RETURN or w[i] == FEED):
        i += 1
    return i


@inlined
def _name(w, a, e, room, words, place):
    """Read a member's name, `place` names after the first; return its word, the place behind it
    and the room. Names mostly come in the order of the line before: that one is tried first."""
    expected = words.order[place] if place < len(words.order) else NONE
    if expected != NONE:
        b = a + words.words[expected].size
        if b < e and w[b] == QUOTE and _is(w, a, b, words, expected):
            return expected, b + 1, room
    a, b, i, room = _string(w, a, e, room)
    if i == REFUSED:
        return REFUSED, i, room
    word = _find(w, a, b, words)
    if word == NONE:
        word = _add(w, a, b, words)
    if word != REFUSED and place < len(words.order):
        words.order[place] = word
    return word, i, room


@inlined
def _is(w, a, b, words, word):
    """Whether a text is that word."""
    first, size = words.words[word].start, words.words[word].size
    if size != b - a:
        return False
    while size > 8:
        if _eight(w, a) != _eight(words.text, first):
            return False
        a, first, size = a + 8, first + 8, size - 8
    return (_eight(w, a) ^ _eight(words.text, first)) & _HEADS[size] == 0


@compiled
def _slot(w, a, b, words):
    """The slot of a word: the one that holds it, or the empty one where it belongs."""
    mask = len(words.slots) - 1
    code = np.uint32(2166136261)
    for k in range(a, b):
        code = np.uint32((code ^ np.uint32(w[k])) * np.uint32(16777619))
    slot = np.int64(code & np.uint32(mask))
    while words.slots[slot] != EMPTY and not _is(w, a, b, words, words.slots[slot]):
        slot = (slot + 1) & mask
    return slot


@compiled
def _find(w, a, b, words):
    """Return the number of the word w[a:b], or NONE."""
    found = words.slots[_slot(w, a, b, words)]
    return NONE if found == EMPTY else np.int64(found)


@compiled
def _add(w, a, b, words):
    """Give the word w[a:b] a number; REFUSED where there is no room for one more."""
    word, first = words.state[0], words.state[1]
    if word == len(words.words) or b - a > MAX_NAME or first + b - a + 8 > len(words.text):
        return np.int64(REFUSED)
    words.slots[_slot(w, a, b, words)] = word
    for k in range(b - a):
        words.text[first + k] = w[a + k]
    words.words[word].start, words.words[word].size = first, b - a
    words.state[0] += 1
    words.state[1] += b - a
    return word


@inlined
def _field(w, i, e, room, tables, words, cells, f, row):
    """Read the value of field `f`; return the place behind it and the room."""
    rule = tables.rules[f]
    kind = rule.kind
    c = w[i]
    if c == QUOTE:
        a, b, i, room = _string(w, i + 1, e, room)
        if i == REFUSED:
            return i, room
        a = _space(w, a, b)
        while a < b and _space(w, b - 1, b) == b:
            b -= 1
        if a == b:
            cells.state[f, row] = NULL
            return i, room
        if kind == NUMBER and _number(w, a, b, True) != b:
            return REFUSED, room
    elif c == MINUS or (ZERO <= c <= NINE):
        a, b = i, _number(w, i, e, False)
        i = b
        if b == REFUSED or (kind == TEXT and _digits(w, a, b) != b):
            return np.int64(REFUSED), room
    else:
        cells.state[f, row] = NULL
        return (_scalar(w, i, e, room) if c == LETTER_N else np.int64(REFUSED)), room
    if kind == TEXT:
        if rule.fold:
            a, b, room = _fold(w, a, b, room, rule.fold, tables.lower)
        if rule.restricted and not _is_allowed(w, a, b, words, f):
            return REFUSED, room
        _put_text(cells.views, f, row, w, a, b)
    else:
        if kind == NUMBER:
            value = _decimal(w, a, b, rule.scale, rule.unit)
        elif kind == TIMESTAMP:
            value = _instant(w, a, b)
        else:
            value = _day(w, a, b)
        if value < rule.low or value > rule.high:
            return REFUSED, room
        cells.numbers[f, row] = value
    cells.state[f, row] = VALUE
    return i, room


@compiled
def _is_allowed(w, a, b, words, f):
    """Whether a text is a value that field `f` allows; mostly it is the one of the line before."""
    word = words.last[f]
    if not _is(w, a, b, words, word):
        word = _find(w, a, b, words)
    if word == NONE or (words.words[word].allowed >> f) & 1 == 0:
        return False
    words.last[f] = word
    return True


@compiled
def _put_text(views, f, row, w, a, b):
    """Write a text as an Arrow view: its size and, in place, up to 12 bytes; of a longer one the
    first 4 and where it begins."""
    size = b - a
    bytes_ = _eight(w, a)
    if size > IN_PLACE:
        tail = np.uint64(a) << np.uint64(32)
    else:
        bytes_ &= _HEADS[min(size, 8)]
        tail = bytes_ >> np.uint64(32)
        if size > 8:
            tail |= (_eight(w, a + 8) & _HEADS[size - 8]) << np.uint64(32)
    views[f, row, 0] = np.uint64(size) | bytes_ << np.uint64(32)
    views[f, row, 1] = tail


@compiled
def _string(w, a, e, room):
    """Read a string from behind its quote: where its text begins and ends, the place behind the
    closing quote, the room."""
    i = a
    while True:
        # The lowest mark is exact: at a quote, a backslash, a control character, or beyond ASCII.
        x = _eight(w, i)
        marks = (x ^ _QUOTES) - _ONES | (x ^ _BACKSLASHES) - _ONES | x - _SPACES | x
        marks &= _HIGHS
        i += _first(marks)
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
    """The code point of an escape, halves of a pair joined, and the place behind it; a code of 0
    or less is none that a text may hold."""
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
    """The number that four hexadecimal digits are."""
    code = np.int64(0) if i + 4 <= e else np.int64(REFUSED)
    for k in range(i, min(i + 4, e)):
        digit = np.int64(_HEX[w[k]])
        code = code * 16 + digit if code >= 0 and digit < 16 else np.int64(REFUSED)
    return code


@compiled
def _code(w, i, e):
    """The code point of a character in UTF-8 (RFC 3629) and the place behind it."""
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
def _fold(w, a, b, room, fold, lower):
    """Bring a text to lower or upper case; as it stands where it is so already."""
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
def _number(w, i, e, is_text):
    """Read a number: of JSON, or (in a text) as contract.NUMBER has it, where it may begin with
    zeros and its exponent has at most three digits."""
    a = i
    if w[i] == MINUS:
        i += 1
    if i < e and w[i] == ZERO and not is_text:
        i += 1
    else:
        i = _digits(w, i, e)
    if i != REFUSED and i < e and w[i] == POINT:
        i = _digits(w, i + 1, e)
    if i != REFUSED and i < e and w[i] | 32 == LETTER_E:
        i += 1
        if i < e and (w[i] == PLUS or w[i] == MINUS):
            i += 1
        first = i
        i = _digits(w, i, e)
        if is_text and i - first > 3:
            return np.int64(REFUSED)
    return i if i - a <= MAX_NUMBER_LENGTH else np.int64(REFUSED)


@compiled
def _digits(w, i, e):
    """Read one digit or more."""
    a = i
    while i < e and ZERO <= w[i] <= NINE:
        i += 1
    return i if i > a else np.int64(REFUSED)


@compiled
def _decimal(w, a, b, scale, unit):
    """The value of a number in units of 10**-scale, rounded half away from zero; then divided by
    `unit`, which must leave nothing. A value that is none or too large is less than any bound."""
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
    """The absolute value of a number in units of 10**-scale; _TOO_LARGE from 19 digits on.

    The first 19 digits that count are kept, which is enough: to round half away from zero takes
    one digit more than the result has."""
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


@compiled
def _two(w, i):
    """Two digits, or less than 0."""
    if ZERO <= w[i] <= NINE and ZERO <= w[i + 1] <= NINE:
        return np.int64(w[i] - ZERO) * 10 + np.int64(w[i + 1] - ZERO)
    return np.int64(-10_000)


@compiled
def _day(w, a, b):
    """Days since 1970 of YYYY-MM-DD; less than any bound where that is no date."""
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
def _instant(w, a, b):
    """Microseconds since 1970 of an RFC 3339 time or of epoch milliseconds, cut to the
    millisecond; less than any bound where it is neither."""
    wrong = np.int64(-(2**62))
    if b - a < 20:
        if b - a < 12 or b - a > 15 or _digits(w, a, b) != b:
            return wrong
        value = np.int64(0)
        for k in range(a, b):
            value = value * 10 + np.int64(w[k] - ZERO)
        return value * 1000
    days = _day(w, a, a + 10)
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
        i = _digits(w, first, b)
        if i == REFUSED or i - first > 9:
            return wrong
        for k in range(first, first + 3):
            fraction = fraction * 10 + (np.int64(w[k] - ZERO) if k < i else 0)
    offset = np.int64(0)
    if b - i == 6 and (w[i] == PLUS or w[i] == MINUS) and w[i + 3] == COLON:
        hours, minutes = _two(w, i + 1), _two(w, i + 4)
        if min(hours, minutes) < 0 or hours > 23 or minutes > 59:
            return wrong
        offset = hours * 60 + minutes
        if w[i] == MINUS:
            offset = -offset
    elif b - i != 1 or w[i] | 32 != 122:
        return wrong
    seconds = days * 86400 + hour * 3600 + (minute - offset) * 60 + second
    return (seconds * 1000 + fraction) * 1000


@compiled
def _skip(w, i, e, room, nesting):
    """Read a value of any kind, strictly, without keeping it. `nesting` is scratch: how each
    object and array around the place ends. (No recursion: numba's cache cannot keep it.)"""
    depth = 1  # of the line's own object
    while True:
        is_first = w[i] in (OPEN, OPEN_LIST)
        if is_first:
            if depth == MAX_DEPTH:
                return np.int64(REFUSED)
            nesting[depth] = w[i] + 2  # } is { + 2, and ] is [ + 2
            depth += 1
            i = _space(w, i + 1, e)
        else:
            i = _scalar(w, i, e, room)
            if i == REFUSED or depth == 1:
                return i
            i = _space(w, i, e)
        while i < e and w[i] == nesting[depth - 1]:
            is_first = False
            depth -= 1
            if depth == 1:
                return i + 1
            i = _space(w, i + 1, e)
        if not is_first:
            i = _space(w, i + 1, e) if i < e and w[i] == COMMA else e
        if i < e and nesting[depth - 1] == CLOSE:
            name = _string(w, i + 1, e, room)[2] if w[i] == QUOTE else np.int64(REFUSED)
            i = _colon(w, name, e)
        if i == e or i == REFUSED:  # noqa: SIM109
            return np.int64(REFUSED)


@compiled
def _colon(w, i, e):
    """Read what stands between a name and its value, which must follow."""
    if i != REFUSED:
        i = _space(w, i, e)
        i = _space(w, i + 1, e) if i < e and w[i] == COLON else e
    return i if i < e else np.int64(REFUSED)


@compiled
def _scalar(w, i, e, room):
    """Read a string, a number, true, false or null."""
    if w[i] == QUOTE:
        return _string(w, i + 1, e, room)[2]
    if w[i] == MINUS or ZERO <= w[i] <= NINE:
        return _number(w, i, e, False)
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
def _fill(w, room, tables, cells, row):
    """Put defaults in place of what is absent, compute the total or check it; return the room."""
    for f in range(len(tables.rules)):
        if cells.state[f, row] == VALUE:
            continue
        rule = tables.rules[f]
        if rule.required:
            return np.int64(REFUSED)
        source = rule.default_field
        if source != NONE:
            cells.views[f, row, 0] = cells.views[source, row, 0]
            cells.views[f, row, 1] = cells.views[source, row, 1]
            cells.state[f, row] = cells.state[source, row]
        else:
            first, size = room, rule.default_to - rule.default_from
            for k in range(size):
                w[first + k] = tables.texts[rule.default_from + k]
            _put_text(cells.views, f, row, w, first, first + size)
            room += size if size > IN_PLACE else 0
            cells.numbers[f, row] = rule.default_number
            cells.state[f, row] = VALUE if rule.has_default else ABSENT
    total = tables.total[0]
    if total != NONE and not _is_total_right(tables, cells, total, row):
        return np.int64(REFUSED)
    return room


@inlined
def _is_total_right(tables, cells, total, row):
    """Whether the total is what its parts make, within the tolerance; absent, it is filled in.
    Amounts that do not fit 64 bits are left to the exact lane. See contract.Total."""
    price = cells.numbers[tables.total[1], row]
    quantity = cells.numbers[tables.total[2], row]
    discount = cells.numbers[tables.total[3], row]
    finer, fixed, each = tables.total[4], tables.total[5], tables.total[6]
    if np.float64(price) * np.float64(quantity) > _EXACT or np.float64(discount) * finer > _EXACT:
        return False
    expected = price * quantity - discount * finer
    if cells.state[total, row] != VALUE:
        size = (2 * abs(expected) // finer + 1) // 2
        cells.numbers[total, row] = -size if expected < 0 else size
        cells.state[total, row] = VALUE
        return size <= tables.rules[total].high
    value = cells.numbers[total, row]
    if abs(np.float64(value)) * finer > _EXACT:
        return False
    return abs(value * finer - expected) <= fixed + each * quantity // 10
