"""What a micro-batch of 1,000 events costs beside 0.1, 1 and 10 million events of history:
`python -m benchmarks.increments FOLDER [--history 100000 1000000 10000000]`.

Each batch goes from a new raw object to published gold: clean, load, dbt, publish. The histories
take turns, so that a machine that becomes slower or faster meanwhile does so for all. Prints the
median milliseconds of each stage, and the whole beside that of the smallest history.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from medallion.pipeline import MICRO_BATCH, open_pipeline
from medallion.platforms.platform import Platform
from medallion.settings import Settings
from medallion.simulation import Producer, SimulationOptions

EVENTS, TICK = 1_000, 1.5
ROUNDS, WARM_UP, BATCHES = 4, 4, 10


def main() -> None:
    """Measures each size of history in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--history", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    asked = parser.parse_args()
    homes = {history: asked.folder.absolute() / str(history) for history in asked.history}
    for history, home in homes.items():
        if not home.exists():
            command = [Path(sys.executable).parent / "medallion", "run", "--events", history]
            command += ["--home", home]
            subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    rounds = [{history: measure(home) for history, home in homes.items()} for _ in range(ROUNDS)]
    smallest = None
    for history in homes:
        seconds = {
            stage: statistics.median(value for taken in rounds for value in taken[history][stage])
            for stage in rounds[0][history]
        }
        whole = sum(seconds.values())
        smallest = smallest or whole
        stages = ", ".join(f"{stage} {taken * 1000:.0f}" for stage, taken in seconds.items())
        print(
            f"{history:>12,} events of history: {whole * 1000:.0f} ms ({stages}), "
            f"{whole / smallest:.2f} times the smallest",
            flush=True,
        )


def measure(home: Path) -> dict[str, list[float]]:
    """The seconds of each stage, one for each micro-batch after the first ones."""
    here = Platform.of(Settings(home))
    taken: dict[str, list[float]] = {}
    with open_pipeline(here) as pipeline:
        pipeline.advance(build=MICRO_BATCH)
        producer = Producer(here.lake, SimulationOptions(rate=EVENTS / TICK, tick=TICK))
        for _ in range(WARM_UP + BATCHES):
            while (wait := producer.due()) > 0:
                time.sleep(wait)
            producer.step()
            report = pipeline.advance(build=MICRO_BATCH)
            assert report.loaded.rows, "a batch came to nothing"
            for stage, seconds in report.seconds.items():
                taken.setdefault(stage, []).append(seconds)
    return {stage: values[WARM_UP:] for stage, values in taken.items()}


if __name__ == "__main__":
    main()
