"""The explanation of a reject: which value breaks which rule of the contract, and where it is.

It is for people who look at the quarantine. The exact lane says which rule is broken; this module
finds the place of the value, and says why a line is not JSON.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from json.decoder import WHITESPACE, scanstring  # type: ignore[attr-defined]
from typing import Any

from medallion.cleaning.exact import Validator
from medallion.contract import (
    MALFORMED,
    MAX_DEPTH,
    MAX_LINE_BYTES,
    MAX_NUMBER_LENGTH,
    OVERSIZE,
    TOTAL_MISMATCH,
    UNREADABLE,
    Feed,
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
    verdict = Validator(feed).validate(raw, size)
    if verdict.reason != reason:
        now = f"reject it as {verdict.reason}" if verdict.reason else "accept it"
        return Explanation(f"the rules of this version {now}")
    total = feed.total.field if feed.total and reason == TOTAL_MISMATCH else None
    name = total or next((f.name for f in feed.fields if reason in (f.missing, f.bad)), None)
    if name is None:
        return Explanation(verdict.rule)
    member = {member.name: member for member in parsed}.get(name)
    if member is not None:
        rule = _advice(str(member.value)) if reason == "bad_ts" else ""
        return Explanation(rule or verdict.rule, name, _cut(member.text), member.position)
    if verdict.reason.startswith("missing_"):
        return Explanation(f"{name} is required, and the line has none", name)
    return Explanation(f"{name} is computed: {verdict.rule}", name)


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


def _advice(time: str) -> str:
    """Say what is wrong with a time in epoch seconds or without offset; empty for others."""
    if re.fullmatch(r"\d{9,11}", time):
        return "it must have milliseconds, and these look like epoch seconds"
    if re.match(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}", time) and not re.search(
        r"[Zz]|\d[-+]", time[16:]
    ):
        return "it must say its offset from UTC, such as 2026-03-01T10:00:00Z or +02:00"
    return ""


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
