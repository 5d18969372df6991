"""The spoiler, which puts faults into rendered lines and repeats events later."""

from __future__ import annotations

from collections import deque
from random import Random

import numpy as np
import numpy.typing as npt

from medallion.simulation.answer_key import Tally
from medallion.simulation.columns import ReceiptLines
from medallion.simulation.events import FUTURE_MS, LATE_MS
from medallion.simulation.faults import FAULTS
from medallion.simulation.prices import DAY_MS, Ints

NAMES = [f.name for f in FAULTS]
REJECTS = np.array([f.reason is not None for f in FAULTS])
LATE, FUTURE = NAMES.index("late_event"), NAMES.index("future_event")
NONE = -1
LINE_FEED = ord("\n")
MOST_WAITING = 10_000
"""The number of second copies that may wait for their day; beyond it, the oldest are written
early."""


class Spoiler:
    """The faults of one run: the random choice of lines, and the changes to them."""

    def __init__(self, share: float, seed: int) -> None:
        self._share = share
        self._rng = np.random.Generator(np.random.SFC64(seed))
        self._chance = Random(seed)
        self._in_file: list[bytes] = []
        self._next: list[bytes] = []
        self._later: deque[tuple[int, bytes]] = deque()

    def kinds(self, count: int) -> npt.NDArray[np.int64] | None:
        """Return the faults of `count` lines, NONE for most; None in a run without faults."""
        if not self._share:
            return None
        drawn = self._rng.integers(0, len(FAULTS), count)
        return np.where(self._rng.random(count) < self._share, drawn, NONE)

    def shift(self, kinds: npt.NDArray[np.int64] | None) -> Ints | None:
        """Return by how much each line is moved in time, in ms."""
        if kinds is None:
            return None
        return np.where(kinds == LATE, LATE_MS, np.where(kinds == FUTURE, FUTURE_MS, 0))

    def spoil(
        self,
        lines: ReceiptLines,
        kinds: npt.NDArray[np.int64],
        text: memoryview,
        tally: Tally,
    ) -> bytes:
        """Return the NDJSON with its faults, and count them in the tally."""
        rows = np.flatnonzero(kinds != NONE)
        ends = np.flatnonzero(np.asarray(text) == LINE_FEED)
        starts = np.concatenate(([0], ends + 1))
        spans = rows.tolist(), starts[rows].tolist(), ends[rows].tolist()
        chunks, done = list[bytes | memoryview](), 0
        for row, start, end in zip(*spans, strict=True):
            fault, line = FAULTS[kinds[row]], bytes(text[start:end])
            tally.kinds[fault.name] += 1
            spoiled = fault.spoil(line, self._chance)
            if fault.name.startswith("repeat"):
                self._keep(fault.name, spoiled, int(lines.ts[row]))
            else:
                chunks += text[done:start], spoiled
                done = end
            if fault.reason is not None:
                tally.quarantined[fault.reason] += 1
        return b"".join([*chunks, text[done:]])

    def _keep(self, name: str, line: bytes, ts: int) -> None:
        if name == "repeat_in_file":
            self._in_file.append(line)
        elif name == "repeat_days_later":
            self._later.append((ts + self._chance.randrange(1, 4) * DAY_MS, line))
        else:
            self._next.append(line)

    def repeats(self, until: int, tally: Tally) -> bytes:
        """Return the second copies for the end of the object whose time ends at `until`."""
        due = self._in_file
        self._in_file = []
        while self._later and (self._later[0][0] <= until or len(self._later) > MOST_WAITING):
            due.append(self._later.popleft()[1])
        return _repeated(due, tally)

    def turn(self, tally: Tally) -> bytes:
        """Return the second copies of the previous object, for the beginning of this one."""
        due, self._next = self._next, []
        return _repeated(due, tally)

    def rest(self, tally: Tally) -> bytes:
        """Return all second copies that still wait, at the end of a run."""
        due = [*self._next, *(line for _, line in self._later)]
        self._next = []
        self._later.clear()
        return _repeated(due, tally)


def usable(kinds: npt.NDArray[np.int64] | None) -> npt.NDArray[np.bool_] | None:
    """Return which lines have no fault, and so may be returned later."""
    return None if kinds is None else kinds == NONE


def accepted(kinds: npt.NDArray[np.int64] | None) -> npt.NDArray[np.bool_] | None:
    """Return which lines must be accepted."""
    return None if kinds is None else (kinds == NONE) | ~REJECTS[kinds]


def _repeated(lines: list[bytes], tally: Tally) -> bytes:
    tally.lines += len(lines)
    tally.repeats += len(lines)
    return b"".join(line + b"\n" for line in lines)
