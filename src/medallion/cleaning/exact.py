"""The reference reader: one line at a time, in plain Python, strict to the letter of RFC 8259.

It reads what the fast decoders cannot be sure to read right, and the tests hold every engine
against it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from medallion.contract import (
    MALFORMED,
    MAX_DEPTH,
    MAX_NUMBER_LENGTH,
    WHITE_SPACE,
    WRONG_TYPE,
    Feed,
)

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_LONG_NUMBER = re.compile(rf"[-+.0-9eE]{{{MAX_NUMBER_LENGTH + 1}}}")
UNREADABLE_NUMBER = "1e999"
"""A number that no field can hold."""


class _Malformed(ValueError):
    """The line is not one JSON object that the contract can hold."""


class _Number(str):
    """The text of a JSON number."""


@dataclass(frozen=True)
class Decoded:
    """What one line says: its damage, or the text of each field and the names of all members."""

    damage: str | None
    texts: dict[str, str | None] = field(default_factory=dict)
    names: tuple[str, ...] = ()


def decode_line(raw: bytes, feed: Feed) -> Decoded:
    """Reads one line, given without its line feed, as the relation that the judge expects."""
    try:
        pairs = _parse(raw.decode("utf-8"))
    except (UnicodeDecodeError, _Malformed, json.JSONDecodeError):
        return Decoded(MALFORMED)
    values = dict(pairs)
    texts = {f.name: _text(values.get(f.name), f.type.kind) for f in feed.fields}
    return Decoded(None, texts, tuple(name for name, _ in pairs))


def _parse(text: str) -> tuple[tuple[str, Any], ...]:
    """The members of the one object in `text`, numbers as _Number, objects as tuples of pairs."""
    structure = _STRING.sub('""', text)
    if _LONG_NUMBER.search(structure) or _depth(structure) > MAX_DEPTH:
        raise _Malformed
    pairs = json.loads(
        text,
        object_pairs_hook=_members,
        parse_int=_Number,
        parse_float=_Number,
        parse_constant=_refuse,
    )
    if not isinstance(pairs, tuple) or len(pairs) != len(dict(pairs)):
        raise _Malformed
    return pairs


def _depth(structure: str) -> int:
    depth = deepest = 0
    for character in structure:
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _members(pairs: list[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    for name, value in pairs:
        _check_text(name)
        _check_text(value)
    return tuple(pairs)


def _check_text(value: Any) -> None:
    """Refuses text that UTF-8, or a warehouse, cannot hold: lone surrogates and NUL."""
    if isinstance(value, list):
        for item in value:
            _check_text(item)
    elif isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _Malformed from None
        if "\x00" in value:
            raise _Malformed


def _refuse(constant: str) -> None:
    raise _Malformed(constant)


def _text(value: Any, kind: str) -> str | None:
    if isinstance(value, _Number):
        return _digits(value) if kind == "text" else _canonical(value)
    if value is None or isinstance(value, str):
        return value and value.strip(WHITE_SPACE)
    return WRONG_TYPE


def _digits(number: _Number) -> str:
    return str(number) if number.isdigit() else WRONG_TYPE


def _canonical(number: _Number) -> str:
    """The number as text that the contract's pattern matches whenever a decimal can hold it: its
    exponent without leading zeros, or none where it leaves nothing or too much of the number."""
    mantissa, _, exponent = number.lower().partition("e")
    digits = exponent.lstrip("+-").lstrip("0")
    if len(digits) <= 3:
        sign = "-" if exponent.startswith("-") else ""
        return f"{mantissa}e{sign}{digits or 0}" if exponent else mantissa
    return "0" if exponent.startswith("-") or not mantissa.strip("-0.") else UNREADABLE_NUMBER
