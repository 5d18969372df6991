"""What commands that run for long share: how durations are written, how to
show progress, and how to stop cleanly."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing import resource_tracker
from typing import Any, NoReturn

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


def stop_on_signals(then: Callable[[], None] = lambda: None) -> threading.Event:
    """An event that the first Ctrl-C or SIGTERM sets, before it calls `then`: the work ends
    cleanly."""
    stop = threading.Event()

    def ask(*_: object) -> None:
        if not stop.is_set():
            stop.set()
            then()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    return stop


def leave_at_once() -> NoReturn:
    """Ends this process and its workers whatever they are at, with exit code 0."""
    for child in multiprocessing.active_children():
        child.kill()
    # The tracker would complain of semaphores that the kernel frees anyway.
    if tracker := getattr(resource_tracker._resource_tracker, "_pid", None):
        os.kill(tracker, signal.SIGKILL)
    os._exit(0)
