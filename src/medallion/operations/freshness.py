"""The freshness of a home: one definition and one set of thresholds, wherever it is shown.

Two ages count, both measured now: that of the newest event (by its own time) and that of the last
batch (since it was loaded into staging). Whether an age is healthy depends on the runner: no new
batch is normal if nothing arrives, but not if a runner is stuck.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import pyarrow.parquet as pq

from medallion.platforms.heartbeat import WAITS_FOR_ROOM, Runner, read_runner

QUIET = 60.0
"""Seconds after which a stream without a new batch is idle."""
BUSY, BRIEF = 10.0, 1.0
"""Seconds in one stage after which a stream counts as catching up. If nothing is new, it also
counts as catching up after BRIEF seconds of something other than a look at raw/."""
SILENT = 10.0
"""Seconds without a heartbeat after which a runner counts as stalled."""
STUCK = 300.0
"""Seconds in one stage after which a runner counts as stalled, even if its heartbeat goes on."""
GONE = 8.0
"""Seconds without an answer after which the browser shows that the dashboard's server is gone."""


class State(StrEnum):
    """The freshness of a home in one word."""

    STREAMING = "streaming"
    CATCHING_UP = "catching up"
    IDLE = "idle"
    STALLED = "stalled"
    GONE = "server gone"

    @property
    def lamp(self) -> str:
        """The colour of the lamp: good, late or bad; empty for a home that is healthy and idle."""
        return {"streaming": "good", "catching up": "late", "idle": ""}.get(self.value, "bad")


@dataclass(frozen=True)
class Clock:
    """The UTC times that ages are counted from; None where there is no sale, or no batch."""

    newest_event: datetime | None = None
    last_batch: datetime | None = None


@dataclass(frozen=True)
class Freshness:
    """A state with its reason, and the two ages in seconds; None where nothing has come yet."""

    state: State
    reason: str
    newest_event: float | None
    last_batch: float | None

    @property
    def ages(self) -> str:
        """Both ages in words."""
        return f"newest event {ago(self.newest_event)}, last batch {ago(self.last_batch)}"

    def __str__(self) -> str:
        return f"{self.state}: {self.reason}; {self.ages}"


def freshness(clock: Clock, runner: Runner | None, now: datetime) -> Freshness:
    """Return the freshness of a home.

    Args:
        clock: the times of the newest data.
        runner: the last heartbeat of the runner, if there is one.
        now: the time.
    """
    newest_event, last_batch = _age(clock.newest_event, now), _age(clock.last_batch, now)
    state, reason = _state(last_batch, runner, now)
    return Freshness(state, reason, newest_event, last_batch)


def freshness_of_home(home: Path, now: datetime) -> Freshness:
    """Return how fresh the published snapshot of a home is."""
    return freshness(published_clock(home), read_runner(home), now)


def published_clock(home: Path) -> Clock:
    """Return the clock of the published snapshot; an empty one if there is no snapshot."""
    gold = home / "gold"
    try:
        version = (gold / "CURRENT").read_text(encoding="utf-8").strip()
        table = pq.read_table(gold / version / "live_clock.parquet", partitioning=None)
    except OSError:
        return Clock()
    (row,) = table.select(["as_of", "staged_at"]).to_pylist()
    return Clock(utc(row["as_of"]), utc(row["staged_at"]))


def utc(moment: datetime | None) -> datetime | None:
    """Return a UTC time from the warehouse, where it has no zone, with its zone."""
    return moment.replace(tzinfo=UTC) if moment else None


def duration(seconds: float) -> str:
    """Return seconds in words: 0.4 s, 12 s, 5 min, 3 h, 2 d."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    for size, unit, length in ((172_800, "d", 86_400), (7_200, "h", 3_600), (120, "min", 60)):
        if seconds >= size:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def ago(seconds: float | None) -> str:
    """Return an age in words, such as 5 min ago; – for None."""
    return "–" if seconds is None else f"{duration(seconds)} ago"


def _age(moment: datetime | None, now: datetime) -> float | None:
    return max(0.0, (now - moment).total_seconds()) if moment else None


def _state(last_batch: float | None, runner: Runner | None, now: datetime) -> tuple[State, str]:
    if runner is None:
        if last_batch is not None and last_batch <= QUIET:
            return State.STREAMING, "a batch came within the last minute"
        return State.IDLE, "no runner is at work"
    if runner.error:
        return State.STALLED, f"the runner stopped: {runner.error}"
    if runner.ended:
        return State.IDLE, "the last run ended, and no runner is at work"
    # A heartbeat from the future is not a current one either: the clock was set back since.
    silent = abs((now - runner.beat_at).total_seconds())
    if silent > SILENT:
        return State.STALLED, f"no sign of life from the runner for {duration(silent)}"
    at_it = (now - runner.stage_since).total_seconds()
    if runner.stage == WAITS_FOR_ROOM:
        full = f"the disk is full, for {duration(at_it)}"
        return State.STALLED, f"{full}; the runner goes on when there is room"
    if runner.stage and at_it > BUSY:
        state = State.STALLED if at_it > STUCK else State.CATCHING_UP
        return state, f"at {runner.stage} for {duration(at_it)}"
    if last_batch is not None and last_batch <= QUIET:
        return State.STREAMING, "a batch came within the last minute"
    if runner.stage and at_it > BRIEF:
        return State.CATCHING_UP, f"at {runner.stage} for {duration(at_it)}"
    return State.IDLE, "the runner waits, and nothing new comes"
