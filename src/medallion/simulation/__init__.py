"""The simulator: a retailer whose purchases stream into raw/, with faults and an answer key.

`simulate` runs it to its end; `Producer` is the same run step by step.
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
"""Longest sleep in one go, in seconds, so that a stop is heard at once."""


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
    """Fills raw/ as the options say, until they are met or `stop` says so between two objects.

    The answer key in the directory `answers` is then true for all that was put.
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
