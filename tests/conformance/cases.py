"""The conformance cases, one file for each rule: `cases/RULE.toml`.

    says = "No number above 0, up to 999,999,999." # what stands above the first case holds for all
    reason = "bad_quantity"

    [zero]                                         # this is the case bad_quantity.zero
    line = '{"event_id":"e1",...,"quantity":0}'

Each case has

    says            the rule in one sentence
    feed            the feed, unless it is purchases
    line            one raw line; or
    object          the bytes of a whole raw object

and what must become of it:

    accepted        the columns that differ from the USUAL row of the feed
    reason          why the line is rejected
    blank           true when the line is blank
    lines           for an object: one of the three for each of its lines; a rejected one may say
                    what is `kept` of it, where that is not the line as it stands
    unknown_fields  the names that the contract does not know, with their counts

A text stands as it is. What could not be read there is spelled in double angle brackets:
<<U+00A0>> is a character, <<FF FE>> are bytes, and <<x * 1000>> is a text repeated.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "cases"
KEYS = {
    *("says", "feed", "line", "object"),
    *("accepted", "reason", "blank", "lines", "unknown_fields"),
}

# What becomes of a line that gives no more than its feed requires.
TIME = {"ts": "2026-03-14T15:09:26.535Z", "dt": "2026-03-14"}
USUAL = {
    "purchases": TIME
    | {"event_id": "e1", "event_type": "purchase", "basket_id": "e1", "schema_version": "1"}
    | {"store_id": "S1", "product_id": "P1", "currency": "USD"}
    | {"price": "12.500000", "quantity": "2.00000", "total_amount": "25.0000"}
    | {"discount_amount": "0.0000", "tax_amount": "0.0000"},
    "products": TIME | {"product_id": "P1", "currency": "USD"},
    "stores": TIME | {"store_id": "S1", "currency": "USD"},
    "fx_rates": TIME,
}

SPELLED = re.compile(r"<<(?:U\+(\w+)|([0-9A-F]{2}(?: [0-9A-F]{2})*)|(.+?) \* (\d+))>>")


@dataclass(frozen=True)
class Case:
    """A case, read: its lines are those of the object `key` from number `first` on.

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
    """Return every case, in the order of the files."""
    cases, lines = [], Counter[str]()
    for name, case in _stated():
        feed, unknown = case.get("feed", "purchases"), case.get("unknown_fields", {})
        is_object = "object" in case
        key = f"raw/{feed}/{name if is_object or unknown else 'shared'}.ndjson"
        lines[key] += 1
        data = decode(case["object"]) if is_object else decode(case["line"]) + b"\n"
        expect = [_outcome(feed, line) for line in (case["lines"] if is_object else [case])]
        cases.append(Case(name, feed, key, lines[key], data, expect, unknown))
    return cases


def objects(cases: list[Case]) -> dict[str, bytes]:
    """Return the raw objects that hold the cases, by key."""
    objects_by_key: dict[str, bytes] = {}
    for case in cases:
        objects_by_key[case.key] = objects_by_key.get(case.key, b"") + case.data
    return objects_by_key


def decode(text: str) -> bytes:
    """Return the bytes of a text of a case file."""
    data, end = b"", 0
    for spelled in SPELLED.finditer(text):
        data += text[end : spelled.start()].encode() + _spelled(*spelled.groups())
        end = spelled.end()
    return data + text[end:].encode()


def _spelled(point: str | None, octets: str | None, unit: str, times: str) -> bytes:
    if point:
        return chr(int(point, 16)).encode()
    if octets:
        return bytes.fromhex(octets)
    return (decode(f"<<{unit}>>") if unit.startswith("U+") else unit.encode()) * int(times)


def _stated() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each case's name and what its file states of it."""
    for path in sorted(FOLDER.glob("*.toml")):
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        for_all = {key: value for key, value in tables.items() if not isinstance(value, dict)}
        for name in (name for name in tables if name not in for_all):
            case = for_all | tables[name]
            assert case.keys() <= KEYS, f"{path.stem}.{name}: {case.keys() - KEYS}"
            yield f"{path.stem}.{name}", case


def _outcome(feed: str, stated: dict[str, Any]) -> dict[str, Any]:
    if "accepted" in stated:
        columns = {name: decode(value).decode() for name, value in stated["accepted"].items()}
        return {"accepted": USUAL[feed] | columns}
    if "blank" in stated:
        return {"blank": True}
    kept = {"raw": decode(stated["kept"])} if "kept" in stated else {}
    return {"reason": stated["reason"]} | kept
