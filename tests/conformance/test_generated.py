"""Generated lines: every engine must give the same answer for each of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from pyspark.sql import SparkSession

from medallion.contract import FEEDS
from tests.conformance import engines
from tests.conformance.damage import damaged, events
from tests.conformance.engines import Answer, Objects

BATCHES = {"purchases": 4, "products": 1, "stores": 1, "fx_rates": 1, "targets": 1}
EVENTS_PER_BATCH = 500
DAMAGED_PER_EVENT = 4


@pytest.mark.parametrize("feed", FEEDS)
def test_engines_agree_on_generated_lines(
    feed: str, session: SparkSession, tmp_path: Path, record_property: Callable[[str, int], None]
) -> None:
    """Random events with random damage: the three engines give the same outcome, values and raw
    bytes included, and count the same unknown fields."""
    objects = {
        f"raw/{feed}/{number}.ndjson": _generate(feed, number) for number in range(BATCHES[feed])
    }
    reference = engines.exact(objects)
    by_engine = {
        "laptop": engines.laptop(objects),
        "spark": engines.spark(session, tmp_path, objects),
    }
    reports = [
        report
        for name, answers in by_engine.items()
        for key, answer in answers.items()
        for report in _differences(name, key, objects, reference[key], answer)
    ]
    outcomes = [o for answer in reference.values() for o in answer.lines.values()]
    record_property("generated lines compared on three engines", len(outcomes))
    record_property("of these accepted", sum("accepted" in outcome for outcome in outcomes))
    record_property("differences between the engines", len(reports))
    assert not reports, f"{len(reports)} differences\n" + "\n\n".join(reports[:10])


def _generate(feed: str, number: int) -> bytes:
    """A raw object of events, each followed by damaged versions of it: the same ones for the same
    number."""
    lines, chance = [], Random(number)

    @seed(number)
    @settings(
        max_examples=EVENTS_PER_BATCH,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(event=events(FEEDS[feed]))
    def collect(event: str) -> None:
        line = event.encode().replace(b"\n", b" ")
        lines.extend([line, *(damaged(chance, line) for _ in range(DAMAGED_PER_EVENT))])

    collect()
    return b"\n".join(lines) + b"\n"


def _differences(
    engine: str, key: str, objects: Objects, reference: Answer, answer: Answer
) -> list[str]:
    """A report for each line on which an engine differs from the reference."""
    raw = dict(enumerate(objects[key].removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1))
    reports = [
        f"{key}:{number} {raw.get(number, b'')!r}\n  exact: {reference.lines.get(number)}"
        f"\n  {engine}: {answer.lines.get(number)}"
        for number in sorted(reference.lines.keys() | answer.lines.keys())
        if reference.lines.get(number) != answer.lines.get(number)
    ]
    if reference.unknown != answer.unknown:
        reports.append(f"{key} unknown: {reference.unknown}\n  {engine}: {answer.unknown}")
    return reports
