"""How a stream looks in a terminal: one calm table on a screen, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table

from medallion.stream import BatchReport

LINE_EVERY, WINDOW = 5.0, 10.0
"""Seconds between two lines; and over which a rate is taken."""


class _Totals:
    """What the batches of a stream come to."""

    def __init__(self) -> None:
        self.accepted = self.quarantined = 0
        self.last: BatchReport | None = None
        self._recent = deque([(time.monotonic(), 0)])

    def add(self, batch: BatchReport) -> None:
        self.accepted += batch.cleaned.accepted
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
        return self.quarantined / max(1, self.accepted + self.quarantined)


@dataclass(frozen=True)
class View:
    """Something to report batches to, and until the first one came what is being done."""

    batch: Callable[[BatchReport], None]
    stage: Callable[[str], None]


@contextmanager
def live_view(console: Console) -> Iterator[View]:
    """A view for as long as the block lasts."""
    totals = _Totals()
    if not console.is_terminal:
        yield View(_lines(console, totals), lambda _: None)
        return
    with Live(console=console, refresh_per_second=8, transient=True) as screen:
        waiting = Spinner("dots", "starting")
        screen.update(waiting)

        def draw(batch: BatchReport) -> None:
            totals.add(batch)
            screen.update(_table(totals))

        def tell(doing: str) -> None:
            if totals.last is None:
                waiting.update(text=doing)

        yield View(draw, tell)


def _lines(console: Console, totals: _Totals) -> Callable[[BatchReport], None]:
    printed = time.monotonic()

    def line(batch: BatchReport) -> None:
        nonlocal printed
        totals.add(batch)
        if time.monotonic() - printed >= LINE_EVERY and totals.last:
            printed = time.monotonic()
            console.print(
                f"{time.strftime('%H:%M:%S')}  {totals.accepted:,} lines accepted since the start, "
                f"{totals.rate:,.0f} lines/s, {totals.quarantined:,} quarantined, last batch "
                f"{totals.last.cleaned.lines:,} lines in {sum(totals.last.seconds.values()):.2f} s"
            )

    return line


def _table(totals: _Totals) -> Table:
    table = Table.grid(padding=(0, 3))
    table.add_row("lines accepted", f"{totals.accepted:,}", f"{totals.rate:,.0f} lines/s")
    rejected = f"{totals.quarantined:,}", f"{totals.share_quarantined:.2%} of all lines"
    table.add_row("quarantined", *rejected)
    if totals.last:
        seconds = totals.last.seconds
        table.add_row("last batch", f"{totals.last.cleaned.lines:,} lines", "lag behind raw")
        passed = 0.0
        reached = {"clean": "bronze", "load": "staging", "transform": "gold", "publish": "snapshot"}
        for stage, layer in reached.items():
            passed += seconds.get(stage, 0.0)
            colour = "green" if passed <= 2 else "yellow" if passed <= 10 else "red"
            table.add_row("", layer, f"[{colour}]●[/] {passed:.2f} s")
    return table
