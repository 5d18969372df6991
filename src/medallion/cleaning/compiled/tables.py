"""What the contract says of a feed, as arrays that the compiled pass reads."""

from __future__ import annotations

from datetime import date
from functools import cache
from typing import NamedTuple

import numpy as np

from medallion.contract import (
    BEFORE,
    EARLIEST,
    INTEGER_DECIMALS,
    LOWER_FROM,
    LOWER_TO,
    MAX_DEPTH,
    MAX_NAME_LENGTH,
    WHOLE_CURRENCIES,
    Feed,
    Field,
)

TEXT, NUMBER, TIMESTAMP, DATE = range(4)
"""How a field's value is read."""
ABSENT, NULL, VALUE = range(3)
"""What a row has of a field: nothing, null or blank text, a value."""
FOLD_LOWER, FOLD_UPPER = 1, 2
NONE = EMPTY = -1

MAX_WORDS = 2048
MAX_NAME = MAX_NAME_LENGTH
"""Bytes of the longest name that is remembered; lines with longer ones go to the exact lane."""

_KINDS = {"text": TEXT, "decimal": NUMBER, "integer": NUMBER, "timestamp": TIMESTAMP, "date": DATE}
_FOLDS = {None: 0, "lower": FOLD_LOWER, "upper": FOLD_UPPER}
_DAY = 86_400_000_000


RULE = np.dtype(
    [
        ("kind", np.int64),
        ("scale", np.int64),
        ("unit", np.int64),
        ("low", np.int64),
        ("high", np.int64),
        ("fold", np.int64),
        ("required", np.int64),
        ("restricted", np.int64),
        ("default_field", np.int64),
        ("has_default", np.int64),
        ("default_number", np.int64),
        ("default_from", np.int64),
        ("default_to", np.int64),
    ]
)
"""The rules of one field.

A number is read in units of 10**-scale and divided by `unit`, without rest. `low` and `high` bound
what is kept: decimals in units of their own scale, instants in microseconds, dates in days.
`default_field` is the field that stands in for an absent one, or NONE; the text of a default is
Tables.texts[default_from:default_to].
"""

WORD = np.dtype(
    [
        ("start", np.int64),
        ("size", np.int64),
        ("allowed", np.int64),
        ("count", np.int64),
        ("line", np.int64),
    ]
)
"""One word: Words.text[start:start + size]. Bit f of `allowed` says that it is a value of field f;
`count` in how many lines it was an unknown name; `line` the number of the last line that named it.
"""


class Tables(NamedTuple):
    """The rules of a feed, as arrays.

    - `rules`: a RULE for each field.
    - `texts`: the texts of defaults.
    - `vocabulary`: the names of the fields, then the values that a field allows: where each begins
      and ends in `letters`, and the field that allows it, or NONE.
    - `lower`: the lower case of each code point.
    - `total`: the field of the total, those of its price, quantity and discount; how many units of
      the price's scale make one of the total's; how many of the quantity's scale make 1; the
      tolerance in units of the product's scale, and in tenths of them for each unit of the
      quantity's; the field of the currency, and the tolerance where it has no smaller unit. Without
      a total the first is NONE.
    - `whole_currencies`: those without a smaller unit, as the first half of an Arrow view.
    """

    rules: np.ndarray
    texts: np.ndarray
    vocabulary: np.ndarray
    letters: np.ndarray
    lower: np.ndarray
    total: np.ndarray
    whole_currencies: np.ndarray


class Words(NamedTuple):
    """The texts that stand for something, and the names that lines brought.

    - `words`: the names of the fields in their order, the values that fields allow, then unknown
      names.
    - `text`: their bytes.
    - `slots`: a hash table of words (FNV-1a, linear probing).
    - `order`: the name at each place of the line before.
    - `last`: the value that each restricted field had last.
    - `state`: how many words there are, how many bytes of text, how many lines were read.
    """

    words: np.ndarray
    text: np.ndarray
    slots: np.ndarray
    order: np.ndarray
    last: np.ndarray
    state: np.ndarray


class Cells(NamedTuple):
    """The values of lines, by field and row.

    - `views`: texts as Arrow views; `numbers`: other values; `state`: ABSENT, NULL or VALUE.
    - `lines`: the line of each row; `left`: the lines that were not taken.
    - `unknown`, `nesting`: scratch.
    """

    views: np.ndarray
    numbers: np.ndarray
    state: np.ndarray
    lines: np.ndarray
    left: np.ndarray
    unknown: np.ndarray
    nesting: np.ndarray


@cache
def tables_of(feed: Feed) -> Tables:
    """Return the rules of a feed."""
    texts = b""
    rules = np.zeros(len(feed.fields), RULE)
    for rule, field in zip(rules, feed.fields, strict=True):
        text = _default_text(field).encode()
        is_integer = field.type.kind == "integer"
        rule["kind"] = _KINDS[field.type.kind]
        rule["scale"] = INTEGER_DECIMALS if is_integer else field.type.scale
        rule["unit"] = 10**INTEGER_DECIMALS if is_integer else 1
        rule["low"], rule["high"] = _bounds(field)
        rule["fold"] = _FOLDS[field.fold]
        rule["required"] = field.required
        rule["restricted"] = bool(field.allowed)
        rule["default_field"] = (
            feed.names.index(field.default) if field.default in feed.names else NONE
        )
        rule["has_default"] = field.default is not None
        rule["default_number"] = _default_number(field)
        rule["default_from"], rule["default_to"] = len(texts), len(texts) + len(text)
        texts += text
    defaults = np.frombuffer(texts + b" ", np.uint8)
    return Tables(rules, defaults, *_vocabulary(feed), _lower(), _total(feed), _whole_currencies())


def _vocabulary(feed: Feed) -> tuple[np.ndarray, np.ndarray]:
    places, letters = list[tuple[int, int, int]](), b""
    allowed = [(value, f) for f, field in enumerate(feed.fields) for value in field.allowed]
    for text, f in [*((name, NONE) for name in feed.names), *allowed]:
        places.append((len(letters), len(letters) + len(text.encode()), f))
        letters += text.encode()
    return np.array(places, np.int64), np.frombuffer(letters + b" " * 8, np.uint8)


def words_for(feed: Feed) -> Words:
    """Return the words of a feed before any line was read: none."""
    return Words(
        words=np.zeros(MAX_WORDS, WORD),
        text=np.zeros(MAX_WORDS * 32 + 8, np.uint8),
        slots=np.full(2 * MAX_WORDS, EMPTY, np.int32),
        order=np.full(64, NONE, np.int64),
        last=np.zeros(len(feed.fields), np.int64),
        state=np.zeros(3, np.int64),
    )


def cells_for(feed: Feed, rows: int) -> Cells:
    """Return room for the values of as many lines."""
    fields = len(feed.fields)
    return Cells(
        views=np.empty((fields, rows, 2), np.uint64),
        numbers=np.empty((fields, rows), np.int64),
        state=np.empty((fields, rows), np.uint8),
        lines=np.empty(rows, np.int32),
        left=np.empty(rows, np.int32),
        unknown=np.empty(MAX_WORDS, np.int32),
        nesting=np.empty(MAX_DEPTH, np.uint8),
    )


def _bounds(field: Field) -> tuple[int, int]:
    """Return the least and the greatest value, in the units of RULE."""
    kind = field.type.kind
    if kind in ("timestamp", "date"):
        unit = _DAY if kind == "timestamp" else 1
        first, end = date.fromisoformat(EARLIEST), date.fromisoformat(BEFORE)
        days = (first - date(1970, 1, 1)).days, (end - date(1970, 1, 1)).days
        return days[0] * unit, days[1] * unit - 1
    unit = 10**field.type.scale
    most = 10 ** (field.type.precision or 18) - 1
    low = -most if field.minimum is None else int(field.minimum * unit)
    return low, most if field.maximum is None else field.maximum * unit


def _default_number(field: Field) -> int:
    if field.type.kind == "text" or field.default is None:
        return 0
    return int(field.default) * 10**field.type.scale


def _default_text(field: Field) -> str:
    default = field.default or ""
    return default.strip("'") if default.startswith("'") else ""


def _lower() -> np.ndarray:
    codes = np.arange(1 << 16, dtype=np.uint16)
    codes[[ord(c) for c in LOWER_FROM]] = [ord(c) for c in LOWER_TO]
    return codes


def _total(feed: Feed) -> np.ndarray:
    if feed.total is None:
        return np.array([NONE] + [0] * 9)
    total, names = feed.total, feed.names
    places = [names.index(n) for n in (total.field, total.price, total.quantity, total.discount)]
    scale, finer, behind = (feed.fields[places[n]].type.scale for n in (0, 1, 2))
    fixed, coarse = (int(unit.scaleb(finer + behind)) for unit in (total.fixed, total.whole))
    each, currency = int(total.each.scaleb(finer + 1)), names.index(total.currency)
    return np.array(
        [*places, 10 ** (finer - scale), 10**behind, fixed, each, currency, coarse], np.int64
    )


def _whole_currencies() -> np.ndarray:
    """Return the size of each code and its first four bytes, as put_text writes them."""
    return np.array(
        [len(code) | int.from_bytes(code.encode(), "little") << 32 for code in WHOLE_CURRENCIES],
        np.uint64,
    )
