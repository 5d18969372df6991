"""The view of a stream in a terminal: a table on a screen, or else a line at intervals.

A *line* is a line of a raw object of any feed; an *event* is an accepted line of purchases. Both
are counted since this start; `medallion status` counts everything.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from medallion.operations.freshness import freshness_of_home
from medallion.pipeline import BatchReport

LINE_EVERY, WINDOW = 5.0, 10.0
"""Seconds between two lines; rates are also taken over this time."""
LAYERS = {"clean": "bronze", "load": "staging", "transform": "gold", "publish": "snapshot"}
_COLOURS = {"good": "green", "late": "yellow", "bad": "red", "": "dim"}


class _Totals:
    """The sums of the batches of a stream."""

    def __init__(self) -> None:
        self.events = self.lines = self.quarantined = 0
        self.last: BatchReport | None = None
        self._recent = deque([(time.monotonic(), 0)])

    def add(self, batch: BatchReport) -> None:
        self.events += batch.events
        self.lines += batch.cleaned.lines
        self.quarantined += batch.cleaned.quarantined
        if batch.rows:
            self.last = batch
        now = time.monotonic()
        self._recent.append((now, batch.cleaned.lines))
        while self._recent[1][0] < now - WINDOW:
            self._recent.popleft()

    @property
    def rate(self) -> float:
        """Lines a second, over the last seconds."""
        (since, _), *batches = self._recent
        return sum(lines for _, lines in batches) / max(time.monotonic() - since, 1e-3)

    @property
    def share_quarantined(self) -> float:
        return self.quarantined / max(1, self.lines)


@contextmanager
def live_view(console: Console, home: Path) -> Iterator[Callable[[BatchReport], None]]:
    """Yield a function that shows a batch, while the block lasts.

    The view says at once that the stream starts, and shows how fresh the home is while a batch
    takes long.
    """
    totals = _Totals()
    if not console.is_terminal:
        console.print(f"{_clock()}  starting; every model is built once")
        yield _lines(console, totals, home)
        return
    started = time.monotonic()

    def draw() -> Table:
        return _table(totals, home, time.monotonic() - started)

    live = Live(get_renderable=draw, console=console, refresh_per_second=4, transient=True)
    with live:
        live.refresh()
        yield totals.add


def _clock() -> str:
    return f"{datetime.now(UTC):%H:%M:%S} UTC"


def _lines(console: Console, totals: _Totals, home: Path) -> Callable[[BatchReport], None]:
    printed = time.monotonic()

    def line(batch: BatchReport) -> None:
        nonlocal printed
        totals.add(batch)
        if time.monotonic() - printed < LINE_EVERY or not totals.last:
            return
        printed = time.monotonic()
        fresh = freshness_of_home(home, datetime.now(UTC))
        last = totals.last
        console.print(
            f"{_clock()}  {fresh.state}; {fresh.ages}; since the start {totals.events:,} events "
            f"in {totals.lines:,} lines, {totals.quarantined:,} quarantined; "
            f"{totals.rate:,.0f} lines/s; last batch {last.cleaned.lines:,} lines in "
            f"{sum(last.seconds.values()):.2f} s",
            markup=False,
        )

    return line


def _table(totals: _Totals, home: Path, running: float) -> Table:
    fresh = freshness_of_home(home, datetime.now(UTC))
    table = Table.grid(padding=(0, 3))
    lamp = Text("● ", _COLOURS[fresh.state.lamp]).append(fresh.state.value, "bold default")
    table.add_row(lamp, fresh.ages)
    if fresh.state.lamp in ("late", "bad"):
        table.add_row("", fresh.reason)
    if not totals.last:
        table.add_row("starting", f"for {running:.0f} s; every model is built once")
        return table
    lines = f"{totals.lines:,} lines of all feeds, {totals.rate:,.0f} lines/s"
    table.add_row("since the start", f"{totals.events:,} events in {lines}")
    share = f"{totals.share_quarantined:.2%} of these lines"
    table.add_row("quarantined", f"{totals.quarantined:,} lines, {share}")
    table.add_row("last batch", f"{totals.last.cleaned.lines:,} lines; {_course(totals.last)}")
    return table


def _course(batch: BatchReport) -> str:
    """When a batch reached each layer, in seconds since it was taken from raw/."""
    passed, reached = 0.0, []
    for stage, layer in LAYERS.items():
        passed += batch.seconds.get(stage, 0.0)
        reached.append(f"{layer} {passed:.2f} s")
    return ", ".join(reached)
