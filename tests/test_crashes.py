"""Commands that are stopped before one of their changes, or meet a faulty disk: a sample of what
`make chaos` tries whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from tests.crashes.points import SCENARIOS, Processes, Scenario, Trial, compiler, processes, sample

Record = Callable[[str, object], None]
SEED = 20261126
COUNTS = {"clean": 12, "load": 12, "micro-batch": 2, "collect": 6, "compact": 6}
"""How many points of each scenario are tried here; of the others, whose commands build a whole
warehouse, one."""

pytestmark = pytest.mark.skipif(not compiler(), reason="the faulty disk needs a C compiler (cc)")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Starts commands on a disk that fails as asked."""
    with processes(tmp_path_factory.mktemp("crashes")) as started:
        yield started


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_wherever_a_command_stops_the_next_ones_make_it_good(
    scenario: Scenario, run: Processes, tmp_path: Path, record_property: Record
) -> None:
    """Killed before or within a change, an I/O error, a disk that is full from then on, a power cut
    that takes what was not flushed: an error is one line, the next commands end well, the audit
    holds, every relation is what it is without the failure, and nothing is left behind."""
    trial = Trial(scenario, tmp_path, run)
    chance = Random(f"{SEED} {scenario.name}")
    points = sample([*trial.points()], COUNTS.get(scenario.name, 1), chance)
    assert points
    violations = {
        str(point): violation for point in points if (violation := trial.violation(point))
    }
    assert violations == {}
    record_property("crash points", len(points))
