"""The case files: one raw object each, and what must become of its lines.

{"says": "The rule in one sentence.",
 "feed": "purchases",                      when it is another
 "line": "...",                            one line; or
 "line_base64": "...",                     its bytes; or
 "line_parts": ["text", ["x", 1000]],      texts and repeated texts; or
 "object": "...", "object_base64": "...",  a whole object with several lines
 "expect": {"accepted": {column: text}},   NULLs left out; or {"reason": ...}, {"blank": true};
                                           for an object a list, one for each line
 "unknown_fields": {name: count}}          when there are any
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "cases"


@dataclass(frozen=True)
class Case:
    """A case file, read: its lines are those of the object `key` from number `first` on.

    Cases of one line without unknown fields share an object; the others have their own.
    """

    name: str
    feed: str
    key: str
    first: int
    data: bytes
    expect: list[dict[str, Any]]
    unknown: dict[str, int]


def read_cases() -> list[Case]:
    """Every case, by name."""
    cases, shared = [], Counter[str]()
    for path in sorted(FOLDER.glob("*.json")):
        case = json.loads(path.read_text())
        feed, expect = case.get("feed", "purchases"), case["expect"]
        unknown = case.get("unknown_fields", {})
        alone = isinstance(expect, list) or unknown
        key = f"raw/{feed}/{path.stem if alone else 'shared'}.ndjson"
        shared[key] += 1
        expect = expect if isinstance(expect, list) else [expect]
        cases.append(Case(path.stem, feed, key, shared[key], _data(case), expect, unknown))
    return cases


def objects(cases: list[Case]) -> dict[str, bytes]:
    """The raw objects that hold the cases, by key."""
    found: dict[str, bytes] = {}
    for case in cases:
        found[case.key] = found.get(case.key, b"") + case.data
    return found


def _data(case: dict[str, Any]) -> bytes:
    if "object" in case:
        return case["object"].encode()
    if "object_base64" in case:
        return base64.b64decode(case["object_base64"])
    if "line_base64" in case:
        return base64.b64decode(case["line_base64"]) + b"\n"
    if "line_parts" in case:
        parts = (p if isinstance(p, str) else p[0] * p[1] for p in case["line_parts"])
        return "".join(parts).encode() + b"\n"
    return case["line"].encode() + b"\n"
