"""The newest board of a source, and its pages, each drawn once for all visitors."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from medallion.audit.last import LastAudit
from medallion.errors import DashboardError
from medallion.outputs.dashboard import page, views
from medallion.outputs.dashboard.choice import Choice
from medallion.outputs.dashboard.periods import TODAY
from medallion.outputs.dashboard.snapshot import Board
from medallion.outputs.dashboard.sources import PublishedSnapshots, Source
from medallion.outputs.dashboard.targets import OF_TODAY, against_targets


class Boards:
    """A source, and its newest board once a visitor has asked for it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._lock = threading.Lock()
        self._newest: Board | None = None

    def newest(self) -> Board:
        """Return the board of the newest version; raise NothingYet when it holds no sale."""
        version = self.source.version()
        with self._lock:
            if self._newest is None or self._newest.relations.version != version:
                self._newest = Board(self.source.read(), self._newest)
            board = self._newest
        board.newest_sale()
        return board


@cache
def boards_of(home: Path) -> Boards:
    """Return the boards of a home; every call returns the same ones."""
    return Boards(PublishedSnapshots(home))


def prepare(home: Path) -> None:
    """Draw the page that a visitor without a link sees first; do nothing without sales."""
    with suppress(DashboardError):
        board, now = boards_of(home).newest(), datetime.now(UTC)
        draw(board, Choice(period=board.choices.default_period(now)), now, None)


def draw(board: Board, choice: Choice, now: datetime, audit: LastAudit | None) -> views.View:
    """Return the view of a choice; `audit` is the last audit of the home."""
    if choice.view == "sales" and choice.period == TODAY:
        return board.kept((choice, board.choices.is_today(now)), lambda: _live(board, choice, now))
    return board.kept((choice, audit), lambda: views.view_of(board, choice, audit))


def _live(board: Board, choice: Choice, now: datetime) -> views.View:
    targets = against_targets(board, choice, board.today, board.today, OF_TODAY)
    return page.live(board.snapshot(choice), choice, now, targets)
