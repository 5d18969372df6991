"""Every point at which a command can fail: `python -m tests.crashes [SCENARIO ...] [COUNT] [SEED]`.

With a count, so many points of each scenario are drawn at random. All points of a scenario take
hours; `python -m tests.crashes run 2/8` tries the second eighth of them."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from random import Random

from tests.crashes.points import SCENARIOS, Trial, processes, sample


def main() -> int:
    """Try the points; print the violations, and one line for each scenario."""
    names = [a for a in sys.argv[1:] if not a[0].isdecimal()]
    part, parts = map(int, next((a for a in sys.argv[1:] if "/" in a), "1/1").split("/"))
    count, seed = (*(int(a) for a in sys.argv[1:] if a.isdecimal()), 0, 1)[:2]
    violations = 0
    with tempfile.TemporaryDirectory() as folder, processes(Path(folder)) as run:
        for scenario in (s for s in SCENARIOS if not names or s.name in names):
            started = time.monotonic()
            trial = Trial(scenario, Path(folder), run)
            points = [*trial.points()][part - 1 :: parts]
            if count:
                points = sample(points, count, Random(seed))
            wrong = 0
            for point in points:
                if violation := trial.violation(point):
                    wrong += 1
                    print(f"{point}: {violation}\n", flush=True)
            violations += wrong
            seconds = time.monotonic() - started
            print(
                f"{scenario.name:<12} {len(trial.changes):>5} changes {len(points):>6} points "
                f"{wrong:>4} violations {seconds:>6.0f} s",
                flush=True,
            )
    return bool(violations)


if __name__ == "__main__":
    sys.exit(main())
