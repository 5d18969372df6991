"""The options and the report of a run of the simulator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from medallion.errors import SettingsError
from medallion.lake.codecs import SUFFIXES

HISTORY_DAYS, EVENTS_A_DAY = 15, 20_000
"""The smallest number of days of a history, which then has two whole weeks; and the events per day
above which a history has more days."""
AT_ONCE, LONGEST_TICK = 8, 4.0
"""The number of lines that a slow stream collects for an object, and the most seconds that it waits
for them."""


def calm_tick(rate: float) -> float:
    """Return the tick of a live stream with a rate.

    A slow stream collects lines, because otherwise each basket would be cut to a single line.
    """
    return min(max(0.5, AT_ONCE / rate), LONGEST_TICK)


@dataclass(frozen=True)
class SimulationOptions:
    """The options of a run.

    With a `rate` (events per second) events happen now, until there are `events` of them, for
    `duration` seconds, or until a stop. Without a rate, `events` are spread over the days before
    now, or from `start` to now, and written as fast as possible. These are 15 days, so that each of
    the last seven days has a whole day a week before; more than 300,000 events cover up to 30.
    `faults` is the share of events with a fault. `tick` is the number of seconds of a paced run in
    one object. With `targets` stores have a target of net sales for each day.
    """

    events: int | None = None
    duration: float | None = None
    rate: float | None = None
    seed: int = 7
    faults: float = 0.0
    start: datetime | None = None
    tick: float = 0.5
    compression: str = "zstd"
    lines_per_object: int = 50_000
    targets: bool = False

    def __post_init__(self) -> None:
        if self.rate is None and self.events is None:
            raise SettingsError("give the simulator --events, or --rate for a paced stream")
        if self.rate is None and self.duration is not None:
            raise SettingsError("--duration needs --rate: only a paced stream lasts")
        if self.rate is not None and self.start is not None:
            raise SettingsError("a paced stream starts now: give either a rate or a start")
        if self.rate is not None and not 0 < self.rate <= 10_000_000:
            raise SettingsError(f"--rate must be above 0 and at most 10000000, not {self.rate}")
        if self.events is not None and not 0 <= self.events < 1 << 40:
            raise SettingsError(f"--events must be 0 or more, not {self.events}")
        if self.duration is not None and not 0 < self.duration < 1e9:
            raise SettingsError(f"--duration must be above 0 seconds, not {self.duration}")
        if not 0 <= self.faults <= 1:
            raise SettingsError(f"--faults must be a share from 0 to 1, not {self.faults}")
        if not 0 <= self.seed < 1 << 63:
            raise SettingsError(f"--seed must be a whole number from 0, not {self.seed}")
        if self.compression not in (*SUFFIXES, "none"):
            raise SettingsError(f"--compression must be one of {', '.join(SUFFIXES)}, none")
        if not 0 < self.tick <= 60 or self.lines_per_object < 1:
            raise SettingsError("tick must be above 0 to 60 seconds, lines_per_object 1 or more")
        if self.start is not None and self.start.tzinfo is None:
            raise SettingsError("start needs a time zone")

    def begins(self, now: datetime) -> datetime:
        """Return the earliest time of an event."""
        if self.rate is not None:
            return now
        if self.start is not None:
            if self.start >= now:
                raise SettingsError("start must lie before now")
            return self.start
        days = min(30, max(HISTORY_DAYS, (self.events or 0) // EVENTS_A_DAY))
        return now - timedelta(days=days)

    def daily_lines(self, begin: datetime, now: datetime) -> float:
        """Return the lines of a usual day of a run that begins at a time."""
        if self.rate is not None:
            return self.rate * 86_400
        return (self.events or 0) / ((now - begin) / timedelta(days=1))

    @property
    def object_lines(self) -> int:
        """Return the most lines of an object of a history: those of about half a day."""
        return max(1, min(self.lines_per_object, (self.events or 0) // (2 * HISTORY_DAYS)))


@dataclass(frozen=True)
class SimulationReport:
    """The counts of a run so far.

    `lines` are the lines of purchases, including repeated ones, which `events` does not count.
    `reference_rows` are the lines of all other feeds.
    """

    run: str
    events: int
    lines: int
    faults: int
    objects: int
    bytes: int
    reference_rows: int
    seconds: float
    answer_key: Path | None

    def __str__(self) -> str:
        pace = f" ({self.events / self.seconds:,.0f}/s)" if self.seconds > 0 else ""
        return (
            f"{self.events:,} events in {self.seconds:.1f} s{pace}: "
            f"{self.lines + self.reference_rows:,} lines in {self.objects:,} objects "
            f"({self.lines:,} of purchases, {self.reference_rows:,} of reference feeds), "
            f"{self.faults:,} faults, {self.bytes / 1e6:,.1f} MB"
        )
