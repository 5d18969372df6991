"""The pass itself: from the bytes of lines to typed cells.

`scan` proves that a line is acceptable, or leaves it alone: it never rejects. It is strict JSON
(RFC 8259) and knows no field by name; `tables` brings what the contract says. `machine_code`
compiles it and keeps the machine code.
"""

from __future__ import annotations

import numpy as np

from medallion.cleaning.compiled.base import (
    CLOSE,
    COMMA,
    FEED,
    LETTER_N,
    MINUS,
    NINE,
    OPEN,
    QUOTE,
    REFUSED,
    ZERO,
    compiled,
    inlined,
)
from medallion.cleaning.compiled.instants import to_day, to_instant
from medallion.cleaning.compiled.numbers import read_digits, read_number, to_decimal
from medallion.cleaning.compiled.tables import ABSENT, NONE, NULL, NUMBER, TEXT, TIMESTAMP, VALUE
from medallion.cleaning.compiled.texts import IN_PLACE, fold_case, put_text, read_string
from medallion.cleaning.compiled.values import skip_colon, skip_scalar, skip_space, skip_value
from medallion.cleaning.compiled.words import add_word, find_word, is_word, learn
from medallion.contract import MAX_LINE_BYTES

_EXACT = 4.0e18
"""Products below this are exact in 64 bits."""


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
        learn(tables, words)
    rows = left = blank = np.int64(0)
    room = np.int64(room)
    for n in range(len(offsets) - 1):
        i, e = np.int64(offsets[n]), np.int64(offsets[n + 1])
        if e > i and w[e - 1] == FEED:
            e -= 1
        after = np.int64(REFUSED)
        if e - i <= MAX_LINE_BYTES:
            i = skip_space(w, i, e)
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
    i = skip_space(w, i + 1, e)
    while i < e and w[i] == QUOTE:
        word, i, room = _name(w, i + 1, e, room, words, place)
        if word == REFUSED or words.words[word].line == words.state[2]:
            return REFUSED
        words.words[word].line = words.state[2]
        i = skip_colon(w, i, e)
        if i == REFUSED:
            return REFUSED
        if word < fields:
            i, room = _field(w, i, e, room, tables, words, cells, word, row)
        else:
            i = skip_value(w, i, e, room, cells.nesting)
            cells.unknown[unknown] = word
            unknown += 1
        if i == REFUSED:
            return REFUSED
        i = skip_space(w, i, e)
        if i == e or w[i] != COMMA:
            break
        i = skip_space(w, i + 1, e)
        if i == e or w[i] != QUOTE:
            return REFUSED
        place += 1
    if i == e or w[i] != CLOSE or skip_space(w, i + 1, e) != e:
        return REFUSED
    room = _fill(w, room, tables, cells, row)
    if room != REFUSED:
        for n in range(unknown):
            words.words[cells.unknown[n]].count += 1
    return room


@inlined
def _name(w, a, e, room, words, place):
    """Read the name of member number `place`; return its word, the place behind it and the room.

    Names mostly come in the order of the line before: the name at that place is tried first.
    """
    expected = words.order[place] if place < len(words.order) else NONE
    if expected != NONE:
        b = a + words.words[expected].size
        if b < e and w[b] == QUOTE and is_word(w, a, b, words, expected):
            return expected, b + 1, room
    a, b, i, room = read_string(w, a, e, room)
    if i == REFUSED:
        return REFUSED, i, room
    word = find_word(w, a, b, words)
    if word == NONE:
        word = add_word(w, a, b, words)
    if word != REFUSED and place < len(words.order):
        words.order[place] = word
    return word, i, room


@inlined
def _field(w, i, e, room, tables, words, cells, f, row):
    """Read the value of field `f`; return the place behind it and the room."""
    rule = tables.rules[f]
    kind = rule.kind
    c = w[i]
    if c == QUOTE:
        a, b, i, room = read_string(w, i + 1, e, room)
        if i == REFUSED:
            return i, room
        a = skip_space(w, a, b)
        while a < b and skip_space(w, b - 1, b) == b:
            b -= 1
        if a == b:
            cells.state[f, row] = NULL
            return i, room
        if kind == NUMBER and read_number(w, a, b, True) != b:
            return REFUSED, room
    elif c == MINUS or (ZERO <= c <= NINE):
        a, b = i, read_number(w, i, e, False)
        i = b
        if b == REFUSED or (kind == TEXT and read_digits(w, a, b) != b):
            return np.int64(REFUSED), room
    else:
        cells.state[f, row] = NULL
        return (skip_scalar(w, i, e, room) if c == LETTER_N else np.int64(REFUSED)), room
    if kind == TEXT:
        if rule.fold:
            a, b, room = fold_case(w, a, b, room, rule.fold, tables.lower)
        if rule.restricted and not _is_allowed(w, a, b, words, f):
            return REFUSED, room
        put_text(cells.views, f, row, w, a, b)
    else:
        if kind == NUMBER:
            value = to_decimal(w, a, b, rule.scale, rule.unit)
        elif kind == TIMESTAMP:
            value = to_instant(w, a, b)
        else:
            value = to_day(w, a, b)
        if value < rule.low or value > rule.high:
            return REFUSED, room
        cells.numbers[f, row] = value
    cells.state[f, row] = VALUE
    return i, room


@compiled
def _is_allowed(w, a, b, words, f):
    """Return whether field `f` allows a text; mostly it is the one of the line before."""
    word = words.last[f]
    if not is_word(w, a, b, words, word):
        word = find_word(w, a, b, words)
    if word == NONE or (words.words[word].allowed >> f) & 1 == 0:
        return False
    words.last[f] = word
    return True


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
            put_text(cells.views, f, row, w, first, first + size)
            room += size if size > IN_PLACE else 0
            cells.numbers[f, row] = rule.default_number
            cells.state[f, row] = VALUE if rule.has_default else ABSENT
    total = tables.total[0]
    if total != NONE and not _is_total_right(tables, cells, total, row):
        return np.int64(REFUSED)
    return room


@inlined
def _is_total_right(tables, cells, total, row):
    """Return whether the total is what its parts make, within the tolerance of contract.Total.

    An absent total is filled in. Amounts that do not fit 64 bits are left to the exact lane. The
    product has the decimals of price and quantity together, too many for 64 bits: so the whole
    units of the quantity and the part of one behind the point are multiplied apart.
    """
    price = cells.numbers[tables.total[1], row]
    quantity = cells.numbers[tables.total[2], row]
    discount = cells.numbers[tables.total[3], row]
    finer, one = tables.total[4], tables.total[5]
    fixed, each = tables.total[6], tables.total[7]
    currency, coarse = tables.total[8], tables.total[9]
    whole, part = quantity // one, quantity % one
    if (
        np.float64(price) * np.float64(whole) > _EXACT
        or np.float64(price) * np.float64(part) > _EXACT
        or np.float64(discount) * finer > _EXACT
    ):
        return False
    expected, rest = price * whole - discount * finer, price * part
    if cells.state[total, row] != VALUE:
        rest += expected % finer * one
        value, rest = expected // finer + rest // (finer * one), rest % (finer * one)
        value += 2 * rest + (value >= 0) > finer * one
        cells.numbers[total, row] = value
        cells.state[total, row] = VALUE
        return abs(value) <= tables.rules[total].high
    value = cells.numbers[total, row]
    if abs(np.float64(value)) * finer > _EXACT:
        return False
    difference = value * finer - expected
    if abs(np.float64(difference)) * one > _EXACT:
        return False
    beyond = abs(difference * one - rest) - each * quantity // 10
    return beyond <= fixed or (
        beyond <= coarse and cells.views[currency, row, 0] in tables.whole_currencies
    )
