"""What commands that run for long share: how durations are written, how to
show progress, and how to stop cleanly."""

from __future__ import annotations

import re
import signal
import sys
import threading
from typing import Any

import click

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


class Duration(click.ParamType[float]):
    """Seconds, or a number with s, m or h."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """The seconds; refuses what is no duration."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(value).strip())
        if not found:
            self.fail(f"{value!r} is no duration: write 90, 90s, 15m or 2h", param, ctx)
        return float(found[1]) * _SECONDS[found[2]]


def show_progress(message: str) -> None:
    """Keeps one line of progress on a terminal; says nothing elsewhere."""
    if sys.stderr.isatty():
        click.echo(f"\r{message}\x1b[K", nl=False, err=True)


def stop_on_signals() -> threading.Event:
    """An event that the first Ctrl-C or SIGTERM sets: the work then ends cleanly."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
