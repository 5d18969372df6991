"""The schedules of a run: events over past days, or now at a steady rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medallion.simulation.world import SLOT_MS, World

BATCH = 8_192
"""Lines that are drawn and rendered at once, so that they stay in the processor's cache."""
FORGIVEN = 10.0
"""The most seconds that a paced run catches up; a computer that slept does not catch up its
night."""

MOST_AT_ONCE = 200_000
"""The most lines in one step of a paced run; a rate that the machine cannot reach is not caught
up."""


@dataclass(frozen=True)
class Piece:
    """A number of lines, and the time in which they happen: [start, end) in ms."""

    start: int
    end: int
    count: int


class Backfill:
    """A schedule of `events` lines over [start, end), in proportion to the trade of each hour."""

    def __init__(self, world: World, start: int, end: int, events: int) -> None:
        inner = np.arange(start // SLOT_MS + 1, -(-end // SLOT_MS)) * SLOT_MS
        self._edges = np.concatenate(([start], inner, [end]))
        slots = self._edges[:-1] // SLOT_MS
        busy = np.array([world.trade(int(s)).sum() for s in slots]) * np.diff(self._edges)
        share = np.cumsum(busy) / busy.sum()
        self._quota = np.floor(share * events).astype(np.int64)
        self._quota[-1] = events
        self._batch = min(BATCH, max(250, events // 16))
        self._slot, self._within, self._made = 0, 0, 0

    def next(self, most: int) -> Piece | None:
        """Return the next lines in the order of time, at most `most`."""
        while not self.done:
            piece = self._next(most)
            if piece.count:
                return piece
        return None

    @property
    def done(self) -> bool:
        """Return whether no lines are left."""
        return self._made >= int(self._quota[-1])

    def _next(self, most: int) -> Piece:
        slot = self._slot
        limit = min(most, self._batch)
        upto = int(np.searchsorted(self._quota, self._made + limit, side="right"))
        start = int(self._edges[slot]) + self._within
        if upto > slot:
            self._slot, self._within = upto, 0
            end, count = int(self._edges[upto]), int(self._quota[upto - 1]) - self._made
        else:  # One slot is more than a batch: take its lines in proportion to its time.
            left = int(self._quota[slot]) - self._made
            until = int(self._edges[slot + 1])
            end = max(start + 1, start + (until - start) * limit // left)
            self._within, count = end - int(self._edges[slot]), limit
            if end >= until:
                self._within = until - 1 - int(self._edges[slot])
                end = until
        self._made += count
        return Piece(start, end, count)


class Paced:
    """A schedule of events that happen now, at a steady rate.

    The lines that are due are counted from the beginning, so the rate does not drift.
    """

    def __init__(
        self,
        rate: float,
        tick: float,
        events: int | None,
        duration: float | None,
        clock: Callable[[], float],
    ) -> None:
        self._rate, self._tick, self._clock = rate, tick, clock
        self._events, self._duration = events, duration
        self._began = self._last = clock()
        self._made = 0
        self._forgiven = 0
        self._end: int | None = None

    @property
    def done(self) -> bool:
        """Return whether the duration or the number of events is reached."""
        elapsed = self._last - self._began
        if self._events is not None and self._made >= self._events:
            return True
        return self._duration is not None and elapsed >= self._duration

    def due(self) -> float:
        """Return the seconds until the next lines are due; 0 when they are."""
        ticks = int((self._last - self._began) / self._tick + 1e-6) + 1
        owed = (self._made + self._forgiven + 1) / self._rate
        at = max(ticks * self._tick, owed)
        if self._duration is not None:
            at = min(at, self._duration)
        return max(0.0, self._began + at - self._clock())

    def next(self, now: int) -> Piece | None:
        """Return the lines that are due; `now` is in ms since 1970."""
        clock, before = self._clock(), self._last
        if self._duration is not None:
            clock = min(clock, self._began + self._duration)
        self._last = clock
        owed = int((clock - self._began) * self._rate + 1e-6) - self._made - self._forgiven
        most = max(1, min(int(FORGIVEN * self._rate), MOST_AT_ONCE))
        if owed > most:
            self._forgiven += owed - most
            owed = most
        if self._events is not None:
            owed = min(owed, self._events - self._made)
        start = now - max(1, int(min(clock - before, FORGIVEN) * 1000))
        if self._end is not None and start < self._end < now:
            start = self._end  # The wall clock and ours differ by a little: do not overlap.
        if owed <= 0:
            return None
        self._made, self._end = self._made + owed, now
        return Piece(start, now, owed)
