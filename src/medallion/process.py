"""What commands that run for long share: how durations are written, and how Ctrl-C ends them."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, NoReturn

import click

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_ENDING = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 1.5
"""Seconds that a signal leaves to work that wants to end cleanly."""
KEPT = "nothing is lost, and the next start goes on from here"
GOES_ON = f"stopped; {KEPT}"


class Duration(click.ParamType[float]):
    """Seconds, or a number with s, m or h."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """The seconds; refuses what is no duration."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(value).strip())
        if not found:
            self.fail(f"{value!r} is no duration: write 90, 90s, 15m or 2h", param, ctx)
        return float(found[1]) * _SECONDS[found[2]]


class Ending:
    """How this process ends when it is told to by Ctrl-C or SIGTERM.

    It leaves at once, whatever it is at: every stage may be killed anywhere, and the next start
    makes it good. Work that wants to end cleanly asks for `stop`, and has PATIENCE seconds.
    """

    def __init__(self) -> None:
        self.message = GOES_ON
        self.leftovers: list[Path] = []
        """Folders outside of a home, where nobody else would remove them."""
        self._stop: threading.Event | None = None
        self._then: Callable[[], None] = lambda: None
        self._signal: int | None = None

    def stop(self, then: Callable[[], None] = lambda: None) -> threading.Event:
        """Return an event that the first signal sets, before it calls `then`."""
        self._then = then
        self._stop = self._stop or threading.Event()
        return self._stop

    @property
    def exit_code(self) -> int | None:
        """128 + the signal, and 0 for work that SIGTERM is the usual way to end; None without a
        signal."""
        if self._signal is None:
            return None
        is_usual = self._stop is not None and self._signal == signal.SIGTERM
        return 0 if is_usual else 128 + self._signal

    def hear(self, number: int) -> None:
        """Act on a signal."""
        is_second, self._signal = self._signal is not None, number
        if self._stop is None or is_second:
            self.leave()
        patience = threading.Timer(PATIENCE, self.leave)
        patience.daemon = True
        patience.start()
        self._stop.set()
        self._then()

    def leave(self) -> NoReturn:
        """End this process and its workers at once, with one line."""
        for child in multiprocessing.active_children():
            child.kill()
        for folder in self.leftovers:
            # Other threads still write: what they make while it is removed goes, too.
            for _ in range(100):
                shutil.rmtree(folder, ignore_errors=True)
                if not folder.exists():
                    break
        # The tracker would complain of semaphores that the kernel frees anyway.
        if tracker := getattr(resource_tracker._resource_tracker, "_pid", None):
            os.kill(tracker, signal.SIGKILL)
        clear = "\r\x1b[K\x1b[?25h" if os.isatty(2) else ""
        os.write(2, f"{clear}{self.message}\n".encode())
        os._exit(self.exit_code or 0)


_ending: Ending | None = None


@contextmanager
def ending_on_signals() -> Iterator[Ending]:
    """Let Ctrl-C and SIGTERM end this process, as Ending says, while the block lasts.

    A thread of its own hears them: the main thread may be in a query that takes minutes. The
    processes that the main thread starts do not hear Ctrl-C, so none of them prints a traceback.
    """
    global _ending
    outer, ending = _ending, Ending()
    if outer or threading.current_thread() is not threading.main_thread():
        yield outer or ending
        return
    heard, hearing = socket.socketpair()
    hearing.setblocking(False)
    handlers = {number: signal.signal(number, lambda *_: None) for number in _ENDING}
    wakeup = signal.set_wakeup_fd(hearing.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=(heard, ending), daemon=True).start()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    # Or else multiprocessing would unblock SIGINT here when it starts its first process.
    unblocks, resource_tracker._HAVE_SIGMASK = resource_tracker._HAVE_SIGMASK, False  # type: ignore[attr-defined]
    _ending = ending
    try:
        yield ending
    finally:
        _ending = None
        resource_tracker._HAVE_SIGMASK = unblocks  # type: ignore[attr-defined]
        signal.set_wakeup_fd(wakeup)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        hearing.close()


def _listen(heard: socket.socket, ending: Ending) -> None:
    while received := heard.recv(1):
        if received[0] in _ENDING:
            ending.hear(received[0])
    heard.close()


def current_ending() -> Ending:
    """Return how this process ends, inside `ending_on_signals`."""
    return _ending or Ending()


def exit_when_stopped() -> None:
    """End with one line when a signal has stopped the work."""
    if current_ending().exit_code is not None:
        sys.stdout.flush()
        current_ending().leave()
