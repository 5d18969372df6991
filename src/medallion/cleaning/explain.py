"""Why a line was rejected: which value breaks which rule of the contract, and where it stands.

Worked out from the bytes of the line, its reason and the contract alone, for people who look at
the quarantine. `members` is the only piece that reads JSON: a reader that already knows where each
value of a line stands can take its place.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from json.decoder import WHITESPACE, scanstring  # type: ignore[attr-defined]
from typing import Any

from medallion.contract import (
    BEFORE,
    CURRENCIES,
    EARLIEST,
    MALFORMED,
    MAX_DEPTH,
    MAX_LINE_BYTES,
    MAX_NUMBER_LENGTH,
    NUMBER,
    OVERSIZE,
    RFC3339,
    TIME_ZONES,
    TOTAL_MISMATCH,
    UNREADABLE,
    WHITE_SPACE,
    WHOLE_CURRENCIES,
    Feed,
    Field,
    Total,
)

LONGEST = 60
"""Characters of a value that are shown."""


@dataclass(frozen=True)
class Explanation:
    """What breaks a line.

    `position` is the character in the line at which `value` begins, from 1. Field, value and
    position are None where no single value is to blame.
    """

    why: str
    field: str | None = None
    value: str | None = None
    position: int | None = None

    def __str__(self) -> str:
        if self.field is None or self.value is None:
            at = f" at character {self.position:,}" if self.position else ""
            return self.why + at
        return f"{self.field} at character {self.position:,} is {self.value}: {self.why}"


@dataclass(frozen=True)
class Member:
    """One name and its value in the object of a line, with the text of the value and its place."""

    name: str
    value: Any
    text: str
    position: int


def explain(feed: Feed, reason: str, raw: bytes, size: int) -> Explanation:
    """Return why a line of a feed has a reason.

    Args:
        feed: what the line is.
        reason: why it was rejected.
        raw: its bytes, or the beginning of them.
        size: how many bytes the whole line has.
    """
    if reason == UNREADABLE:
        return Explanation(
            "the archive is damaged or cut, or of a kind that is not read: nothing of it was taken"
        )
    if reason == OVERSIZE:
        return Explanation(f"the line has {size:,} bytes, at most {MAX_LINE_BYTES:,} are read")
    try:
        text = raw.decode()
        parsed = list(members(text))
    except UnicodeDecodeError as error:
        position = len(raw[: error.start].decode()) + 1
        return Explanation(f"byte {raw[error.start]:#04x} is no UTF-8", position=position)
    except json.JSONDecodeError as error:
        why = error.msg.removesuffix(" starting at")
        return Explanation(f"this is no JSON: {why[0].lower()}{why[1:]}", position=error.pos + 1)
    except RecursionError:
        return Explanation(f"nested deeper than {MAX_DEPTH}")
    if reason == MALFORMED:
        return _malformed(text, parsed)
    last = {member.name: member for member in parsed}
    if feed.total and reason == TOTAL_MISMATCH:
        return _mismatch(feed.total, last)
    kind, _, name = reason.partition("_")
    field = next((field for field in feed.fields if field.name == name), None)
    if field is None:
        return Explanation("this version of the contract has no such reason")
    member = last.get(name)
    if member is None and kind == "bad":
        return Explanation(f"{name} is computed: {_wanted(field)}", name)
    if member is None:
        return Explanation(f"{name} is required, and the line has none", name)
    why = "it is required" if kind == "missing" else _broken_rule(field, member)
    return Explanation(why, name, _cut(member.text), member.position)


def members(text: str) -> Iterator[Member]:
    """Yield the members of the one object in a line, with their places. Raises JSONDecodeError."""
    decoder = json.JSONDecoder(parse_float=str, parse_int=str)
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        raise json.JSONDecodeError("a line must be one object in braces", text, at)
    at = _skip(text, at + 1)
    is_first = True
    while text[at : at + 1] != "}":
        if not is_first:
            at = _skip(text, _expect(text, at, ",", "a comma is missing"))
        name, at = scanstring(text, _expect(text, at, '"', "a name in double quotes is missing"))
        at = _skip(text, _expect(text, _skip(text, at), ":", "a colon is missing"))
        value, end = decoder.raw_decode(text, at)
        yield Member(name, value, text[at:end], at + 1)
        at, is_first = _skip(text, end), False
    if (rest := _skip(text, at + 1)) < len(text):
        raise json.JSONDecodeError("there is more after the object", text, rest)


def _skip(text: str, at: int) -> int:
    match = WHITESPACE.match(text, at)
    return int(match.end()) if match else at


def _expect(text: str, at: int, sign: str, why: str) -> int:
    if text[at : at + 1] != sign:
        raise json.JSONDecodeError(why, text, at)
    return at + 1


_OUTSIDE_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NO_NUMBER = re.compile(r"NaN|-?Infinity")
_UNHOLDABLE = re.compile(r"\\u(0000|d[89a-f][0-9a-f]{2})", re.I)


def _malformed(text: str, parsed: list[Member]) -> Explanation:
    """Say why a line that Python can read is malformed all the same."""
    counts = Counter(member.name for member in parsed)
    for member in parsed:
        if counts[member.name] > 1:
            return Explanation(f"the name {_cut(member.name)} comes twice", None, None, None)
    outside = _OUTSIDE_STRINGS.sub(lambda match: " " * len(match[0]), text)
    if match := _NO_NUMBER.search(outside):
        return Explanation(f"{match[0]} is no number of JSON", position=match.start() + 1)
    if match := re.search(rf"[-+.0-9eE]{{{MAX_NUMBER_LENGTH + 1}}}", outside):
        return Explanation(
            f"a number of more than {MAX_NUMBER_LENGTH:,} characters", position=match.start() + 1
        )
    if match := _UNHOLDABLE.search(text):
        return Explanation(f"no text can hold {match[0]}", position=match.start() + 1)
    return Explanation(f"it is no JSON that the contract can hold, such as deeper than {MAX_DEPTH}")


def _broken_rule(field: Field, member: Member) -> str:
    """Say which rule of a field a value breaks."""
    value = member.value
    if value is None or isinstance(value, bool | list | dict):
        return _wanted(field)
    text = str(value).strip(WHITE_SPACE)
    if end := dict(field.ended).get(text.upper()):
        return f"{text.upper()} was withdrawn: only an event before {end} may have it"
    if field.type.kind == "timestamp":
        return _broken_time(text)
    if field.type.kind not in ("integer", "decimal"):
        return _wanted(field)
    number = _number(text)
    if number is None:
        return _wanted(field)
    if field.minimum is not None and number < field.minimum:
        return f"it must be at least {field.minimum:,}"
    if field.maximum is not None and number > field.maximum:
        return f"it must be at most {field.maximum:,}"
    if field.type.kind == "integer":
        return "it must be a whole number"
    return _wanted(field)


def _wanted(field: Field) -> str:
    """Say what a field takes."""
    kind = field.type.kind
    if field.allowed == CURRENCIES:
        return "it must be a code of ISO 4217, such as USD"
    if field.allowed == TIME_ZONES:
        return "it must be an IANA time zone, such as Europe/Berlin"
    if field.allowed:
        return f"it must be {' or '.join(field.allowed)}"
    if kind == "text":
        return "it must be a text, or a whole number from 0"
    if kind == "date":
        return f"it must be a date such as 2026-03-01, from {EARLIEST} and before {BEFORE}"
    if kind == "integer":
        return "it must be a whole number"
    if kind == "timestamp":
        return _MOMENT
    if field.minimum is not None and field.maximum is not None:
        return f"it must be a number from {field.minimum:,} to {field.maximum:,}"
    digits = field.type.precision - field.type.scale
    return f"it must be a number of at most {digits} digits before the point"


_MOMENT = "it must be RFC 3339 with an offset, such as 2026-03-01T10:00:00Z, or epoch milliseconds"


def _broken_time(text: str) -> str:
    if re.fullmatch(RFC3339.strip("^$"), text) or re.fullmatch(r"\d{12,15}", text):
        return f"it must be from {EARLIEST} and before {BEFORE}, and a day of the calendar"
    if re.fullmatch(r"\d{9,11}", text):
        return "it must have milliseconds, and these look like epoch seconds"
    if re.match(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}", text) and not re.search(
        r"[Zz]|\d[-+]", text[16:]
    ):
        return "it must say its offset from UTC, such as 2026-03-01T10:00:00Z or +02:00"
    return _MOMENT


def _mismatch(total: Total, by_name: dict[str, Member]) -> Explanation:
    """Say what the total would have to be."""
    parts = f"{total.price} x {total.quantity} - {total.discount}"
    price, quantity, discount = (
        _number(str(by_name[name].value).strip(WHITE_SPACE)) if name in by_name else None
        for name in (total.price, total.quantity, total.discount)
    )
    given = by_name.get(total.field)
    if price is None or quantity is None or given is None:
        return Explanation(f"it is not {parts}", total.field)
    expected = price * quantity - (discount or 0)
    currency = by_name.get(total.currency)
    is_whole = currency and str(currency.value).strip(WHITE_SPACE).upper() in WHOLE_CURRENCIES
    most = (total.whole if is_whole else total.fixed) + total.each * quantity
    why = f"{parts} is {expected:f}, from which it may differ by {most.normalize():f}"
    return Explanation(why, total.field, _cut(given.text), given.position)


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text) if re.fullmatch(NUMBER.strip("^$"), text) else None
    except InvalidOperation:
        return None


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
