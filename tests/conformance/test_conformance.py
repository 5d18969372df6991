"""One corpus of cases, one answer, whatever the engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pyspark.sql import SparkSession

from medallion.contract import FEEDS, MALFORMED, MAX_LINE_BYTES, OVERSIZE, UNREADABLE
from tests.conformance import engines
from tests.conformance.cases import Case, objects, read_cases
from tests.conformance.engines import Answers

CASES = read_cases()
ENGINES = ("exact", "laptop", "spark")


@pytest.fixture(scope="module")
def answers(session: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answers]:
    """What each engine says of all cases at once."""
    by_key = objects(CASES)
    folder = tmp_path_factory.mktemp("objects")
    return {
        "exact": engines.exact(by_key),
        "laptop": engines.laptop(by_key),
        "spark": engines.spark(session, folder, by_key),
    }


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, engine: str, answers: dict[str, Answers]) -> None:
    """The engine gives the outcome that the case states, value by value; a rejected line is kept
    byte by byte, up to the limit, and its whole size is told."""
    answer = answers[engine][case.key]
    raw = case.data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for place, expected in enumerate(case.expect):
        if "reason" in expected:
            kept = expected.get("raw") or raw[place]
            expected = expected | {"raw": kept[:MAX_LINE_BYTES], "raw_size": len(kept)}
        assert answer.lines[case.first + place] == expected
    assert answer.unknown == case.unknown


@pytest.mark.parametrize("engine", ENGINES)
def test_every_line_has_one_number(
    engine: str, answers: dict[str, Answers], record_property: Callable[[str, int], None]
) -> None:
    """The lines of each object are numbered from 1 without a gap, as many as the cases state."""
    record_property(f"cases answered by {engine}", len(CASES))
    for key in objects(CASES):
        stated = sum(len(case.expect) for case in CASES if case.key == key)
        assert sorted(answers[engine][key].lines) == list(range(1, stated + 1)), key


def test_every_reason_has_a_case() -> None:
    """Each reject reason of each feed is what some case expects; those that hang on the line
    alone, in any feed."""
    tried = {(case.feed, e.get("reason")) for case in CASES for e in case.expect}
    alone = {OVERSIZE, MALFORMED}
    wanted = {(f.name, r) for f in FEEDS.values() for r in f.reasons if r != UNREADABLE}
    assert {(f, r) for f, r in wanted if r not in alone} - tried == set()
    assert alone <= {reason for _, reason in tried}


def test_every_field_is_accepted_somewhere() -> None:
    """Each field of each feed has a value in some accepted case."""
    accepted = {
        (case.feed, name) for case in CASES for e in case.expect for name in e.get("accepted", ())
    }
    wanted = {(feed.name, name) for feed in FEEDS.values() for name in feed.names}
    assert wanted - accepted == set()
