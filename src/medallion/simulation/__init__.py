"""The simulator: a retailer whose purchases stream into raw/, with faults and an answer key.

`simulate` does a whole run, `Producer` the same run step by step.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from medallion.platforms.lake import Lake
from medallion.simulation.options import SimulationOptions, SimulationReport, calm_tick
from medallion.simulation.producer import Producer, utc_now

__all__ = ["Producer", "SimulationOptions", "SimulationReport", "calm_tick", "simulate"]

NAP = 0.1
"""The longest sleep in seconds, so that a stop takes effect at once."""


def simulate(
    lake: Lake,
    options: SimulationOptions,
    *,
    answers: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[SimulationReport], None] = lambda report: None,
    now: Callable[[], datetime] = utc_now,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    token: str | None = None,
) -> SimulationReport:
    """Write simulated events to raw/ until the options are met or `stop` returns True.

    Args:
        lake: the lake.
        options: the run.
        answers: the folder for the answer key, which always matches what was written.
        stop: called between two objects.
        progress: called with the report so far.
        now: returns the time of day, in UTC.
        clock: a monotonic clock in seconds.
        sleep: waits for seconds.
        token: a unique part of the names of objects; random if None.
    """
    producer = Producer(lake, options, answers=answers, now=now, clock=clock, token=token)
    try:
        while not (producer.done or stop()):
            wait = producer.due()
            if wait > 0:
                sleep(min(wait, NAP))
            elif producer.step():
                progress(producer.report())
        producer.finish()
    finally:
        report = producer.close()
    return report
