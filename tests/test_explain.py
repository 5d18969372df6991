"""Why a line was rejected: the value to blame, its place, and the rule that it breaks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medallion.cleaning.explain import LONGEST, explain
from medallion.contract import FEEDS
from tests.conformance.cases import Case, read_cases
from tests.conftest import Cli, drop, event

REJECTED = [c for c in read_cases() if len(c.expect) == 1 and "reason" in c.expect[0]]


@pytest.mark.parametrize("case", REJECTED, ids=lambda case: case.name)
def test_every_rejected_case_is_explained(case: Case) -> None:
    """The field is that of the reason, and the value stands where it is said to."""
    raw, reason = case.data.removesuffix(b"\n"), case.expect[0]["reason"]
    explanation = explain(FEEDS[case.feed], reason, raw, len(raw))
    assert explanation.why and "\n" not in str(explanation)
    kind, _, name = reason.partition("_")
    if kind in ("bad", "missing") and name in FEEDS[case.feed].names:
        assert explanation.field == name
        assert (explanation.value is None) == (explanation.position is None)
        assert explanation.value is not None or kind == "missing" or name == "total_amount"
    if explanation.position is not None:
        text = raw.decode("utf-8", "replace")
        assert 1 <= explanation.position <= len(text) + 1
        if explanation.value is not None:
            shown = (
                explanation.value if len(explanation.value) < LONGEST else explanation.value[:-1]
            )
            assert text[explanation.position - 1 :].startswith(shown)


@pytest.mark.parametrize(
    ("line", "reason", "wanted"),
    [
        (event(price=-1, total_amount=...), "bad_price", "is -1: it must be at least 0"),
        (event(quantity=0), "bad_quantity", "is 0: it must be at least 0.00001"),
        (event(quantity=10**9), "bad_quantity", "it must be at most 999,999,999"),
        (event(quantity="two"), "bad_quantity", "it must be a number from 0.00001 to 999,999,999"),
        (event(schema_version=1.5), "bad_schema_version", "is 1.5: it must be a whole number"),
        (event(price="1e99"), "bad_price", "at most 12 digits before the point"),
        (event(ts="2026-03-01T10:00:00"), "bad_ts", "it must say its offset from UTC"),
        (event(ts=1772359200), "bad_ts", "look like epoch seconds"),
        (event(ts="1969-12-31T23:59:59Z"), "bad_ts", "from 1970-01-01 and before 2200-01-01"),
        (event(ts="01.03.2026"), "bad_ts", "RFC 3339"),
        (event(currency="DOGE"), "bad_currency", 'is "DOGE": it must be a code of ISO 4217'),
        (event(event_type="sale"), "bad_event_type", "it must be purchase or return"),
        (event(store_id=True), "bad_store_id", "is true: it must be a text"),
        (
            event(store_id=" "),
            "missing_store_id",
            'store_id at character 66 is " ": it is required',
        ),
        (
            event(quantity=0.345, price=1234, currency="jpy", total_amount=9),
            "total_mismatch",
            "is 425.73, from which it may differ by 1.0000001725",
        ),
        (event(store_id=...), "missing_store_id", "store_id is required, and the line has none"),
        (
            event(total_amount=9),
            "total_mismatch",
            "is 9: price x quantity - discount_amount is 5, from which it may differ by 0.010001",
        ),
        (
            '{"event_id": "e1",}',
            "malformed_json",
            "a name in double quotes is missing at character",
        ),
        ('{"event_id": "e1"', "malformed_json", "a comma is missing at character 18"),
        ('{"price": NaN}', "malformed_json", "NaN is no number of JSON at character 11"),
        ('{"a": 1, "a": 2}', "malformed_json", "the name a comes twice"),
        ('["e1"]', "malformed_json", "a line must be one object in braces at character 1"),
        ('{"a": "\\ud800"}', "malformed_json", "no text can hold \\ud800 at character 8"),
        ('{"a": 1} x', "malformed_json", "there is more after the object at character 10"),
        ('{"ä": "\udcff"}', "malformed_json", "byte 0xff is no UTF-8 at character 8"),
    ],
    ids=lambda value: value[:40] if " " in value else "",
)
def test_the_rule_that_is_broken_is_named(line: str, reason: str, wanted: str) -> None:
    """With its bound."""
    raw = line.encode("utf-8", "surrogateescape")
    assert wanted in str(explain(FEEDS["purchases"], reason, raw, len(raw)))


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (event(), "the rules of this version accept it"),
        (event(quantity=-1), "the rules of this version reject it as bad_quantity"),
    ],
    ids=["accepted", "rejected"],
)
def test_a_reason_of_older_rules_is_not_explained_by_newer_ones(line: str, wanted: str) -> None:
    """A line stays in the quarantine when the rules change; what it is today is said instead."""
    raw = line.encode()
    assert str(explain(FEEDS["purchases"], "bad_price", raw, len(raw))) == wanted


def test_the_quarantine_shows_it(tmp_path: Path, cli: Cli) -> None:
    """With file and line in one piece, and in JSON as columns; a cut archive, a line too long."""
    folder = f"{'deep/' * 30}year=2026"
    drop(tmp_path, f"{folder}/till.json", event(), event(price=-1, total_amount=...))
    drop(tmp_path, "long.json", event(note="x" * (1 << 20)))
    drop(tmp_path, "cut.json.gz", b"\x1f\x8b")
    assert cli(tmp_path, "clean").exit_code == 1
    assert cli(tmp_path, "load").exit_code == 0
    shown = cli(tmp_path, "quarantine", "show").stdout
    line = event(price=-1, total_amount=...)
    place = line.index("-1") + 1
    assert f"raw/{folder}/till.json:2  bad_price\n" in shown
    assert f"  price at character {place} is -1: it must be at least 0\n  {line}\n" in shown
    assert "the archive is damaged or cut" in shown and "at most 1,048,576 are read" in shown
    rows = json.loads(cli(tmp_path, "quarantine", "show", "--json").stdout)
    (row,) = [row for row in rows if row["reason"] == "bad_price"]
    assert (row["field"], row["value"], row["position"]) == ("price", "-1", place)
    assert f"raw/{folder}/till.json:2\n" in cli(tmp_path, "quarantine", "list").stdout
