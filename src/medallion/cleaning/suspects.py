"""Which lines a lenient JSON parser might read otherwise than the contract says.

DuckDB's parser takes NaN, trailing commas and any nesting, turns numbers into doubles and maps
lone surrogates; trimming in SQL is dear. All of these need bytes that ordinary lines do not have,
so one pass over the block finds the lines that the exact reader must read. The test may be too
careful, never too bold: a line that it lets pass is read the same by both.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

import numpy as np

from medallion.cleaning.lines import Block
from medallion.contract import MAX_DEPTH, MAX_LINE_BYTES

LONG_DIGITS = 16
"""A double keeps every decimal of fewer digits."""

_AFTER_TEXT = np.frombuffer(b",:}] \t\r", np.uint8)
_ESCAPES = re.compile(rb"\\(?:[tnr]|u(?:00[0-2]|[dD][89a-fA-F]))")


SEGMENT_BYTES = 1 << 18
"""How much is looked at in one go: what fits the processor's cache is several times faster."""


@dataclass(frozen=True)
class Survey:
    """What the bytes of a block's lines tell.

    `suspect` is true for each line that needs the exact reader. `colons` counts the colons after a
    quote in each line, -1 where a colon follows white space: a valid line has at most so many
    members, at all depths, unless it is -1.
    """

    suspect: np.ndarray
    colons: np.ndarray


def survey(block: Block) -> Survey:
    """Looks through a block."""
    suspect = (block.sizes > MAX_LINE_BYTES) | (block.sizes < 1)
    colons = np.zeros(len(block), np.int32)
    data = np.frombuffer(block.data, np.uint8)
    bounds = np.arange(SEGMENT_BYTES, int(block.offsets[-1]), SEGMENT_BYTES)
    cuts = np.unique(np.concatenate([[0], np.searchsorted(block.offsets, bounds), [len(block)]]))
    for first, last in itertools.pairwise(cuts.tolist()):
        offsets = block.offsets[first : last + 1] - block.offsets[first]
        part = data[block.offsets[first] : block.offsets[last]]
        suspect[first:last] |= part[offsets[:-1]] != ord("{")
        suspect[_lines(offsets, _oddities(part)) + first] = True
        colons[first:last] = _colons(part, offsets)
    found = [_deep(block)]
    if b"\\" in block.data:
        found.append(_positions(_ESCAPES, block.data))
    if not block.data.isascii():
        found.append(_broken_text(block))
    odd = np.concatenate(found)
    suspect[_lines(block.offsets, odd[odd < block.offsets[-1]])] = True
    return Survey(suspect, colons)


def _lines(offsets: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The indexes of the lines in which positions lie."""
    return np.searchsorted(offsets, positions, side="right") - 1


def _oddities(data: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [_loose_brackets(data), _long_numbers(data), _word_values(data), _spaced_text(data)]
    )


def _colons(data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """See Survey.colons."""
    colons = np.flatnonzero(data == ord(":"))
    before = data[colons - 1]
    counts = np.diff(np.searchsorted(colons[before == ord('"')], offsets)).astype(np.int32)
    counts[_lines(offsets, colons[before <= ord(" ")])] = -1
    return counts


def _spaced_text(data: np.ndarray) -> np.ndarray:
    """Quotes with a space at their inner side, where a text may need trimming.

    A space before a quote may also part a value from the comma or colon before it: then the quote
    opens a text, and what follows is no separator."""
    spaces = np.flatnonzero(data[1:-2] == ord(" ")) + 1
    before, after, beyond = data[spaces - 1], data[spaces + 1], data[spaces + 2]
    parts = (before == ord(",")) | (before == ord(":"))
    closes = np.isin(beyond, _AFTER_TEXT)
    return spaces[(before == ord('"')) | ((after == ord('"')) & (~parts | closes))]


def _deep(block: Block) -> np.ndarray:
    """One position in each line with so many brackets that it may nest too deep."""
    long = np.flatnonzero(block.sizes > 2 * MAX_DEPTH).tolist()
    brackets = [(i, block.line(i).count(b"[") + block.line(i).count(b"{")) for i in long]
    return np.array([block.offsets[i] for i, count in brackets if count > MAX_DEPTH], np.int64)


def _loose_brackets(data: np.ndarray) -> np.ndarray:
    """Closing brackets after a comma or white space: perhaps a trailing comma."""
    closing = np.flatnonzero((data == ord("}")) | (data == ord("]")))
    before = data[closing - 1]
    return closing[(before == ord(",")) | (before <= ord(" "))]


def _long_numbers(data: np.ndarray) -> np.ndarray:
    """Where a number has many digits, and negative zeros."""
    run = (data - np.uint8(ord("."))) < 12
    length = 1
    while length < LONG_DIGITS:
        step = min(length, LONG_DIGITS - length)
        run = run[:-step] & run[step:] if len(run) > step else run[:0]
        length += step
    heads = np.flatnonzero(run)
    heads = heads[heads > 0]
    before = data[heads - 1]
    heads = heads[_opens_value(before) | (before | 0x20 == ord("e"))]
    minus = np.flatnonzero((data[:-1] == ord("-")) & (data[1:] == ord("0")))
    minus = minus[minus > 0]
    return np.concatenate([heads, minus[_opens_value(data[minus - 1])]])


def _word_values(data: np.ndarray) -> np.ndarray:
    """NaN, Infinity and their kin in any case, where a value may start."""
    small = data | np.uint8(0x20)
    third = np.flatnonzero(small[2:] == ord("n")) + 2
    nan = third[(small[third - 1] == ord("a")) & (small[third - 2] == ord("n"))] - 2
    third = np.flatnonzero(small[2:] == ord("f")) + 2
    inf = third[(small[third - 1] == ord("n")) & (small[third - 2] == ord("i"))] - 2
    heads = np.concatenate([nan, inf])
    heads = heads[heads > 0]
    return heads[_opens_value(data[heads - 1])]


def _opens_value(before: np.ndarray) -> np.ndarray:
    """Whether a byte can stand right before a JSON value (or its sign)."""
    return (
        (before == ord(":"))
        | (before == ord(","))
        | (before == ord("["))
        | (before == ord("-"))
        | (before == ord("+"))
        | (before <= ord(" "))
    )


def _positions(pattern: re.Pattern[bytes], data: bytes) -> np.ndarray:
    return np.fromiter((m.start() for m in pattern.finditer(data)), np.int64)


def _broken_text(block: Block) -> np.ndarray:
    """One position in each line that is not UTF-8."""
    try:
        block.data.decode()
    except UnicodeDecodeError:
        broken = [i for i in range(len(block)) if not _is_utf8(block.line(i))]
        return block.offsets[broken]
    return np.array([], np.int64)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
