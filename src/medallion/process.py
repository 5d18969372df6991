"""Helpers of commands: memory and imports of the process, durations, a clean end by a signal."""

from __future__ import annotations

import gc
import multiprocessing
import os
import re
import resource
import shutil
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, NoReturn

import click

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_ENDING = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 1.5
"""Seconds after a signal in which work may end cleanly."""
NOTHING_LOST = "nothing is lost, and the next start goes on from here"
STOPPED = f"stopped; {NOTHING_LOST}"


class Duration(click.ParamType[float]):
    """A command line type for seconds, or a number with s, m or h."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Return the seconds of a duration."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(value).strip())
        if not match:
            self.fail(f"{value!r} is no duration: write 90, 90s, 15m or 2h", param, ctx)
        return float(match[1]) * _SECONDS[match[2]]


_ARENA_MAX = -8
"""The number of this parameter in malloc.h of the GNU C library."""


def share_heap() -> None:
    """Let all threads use one heap where the address space is limited.

    The GNU C library would reserve 64 MiB for each thread, whatever it needs.
    """
    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        return
    import ctypes  # which nobody else needs

    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_ARENA_MAX, 1)


def collect_seldom() -> None:
    """Let Python look for unreachable objects less often.

    The hundred thousands of objects of dbt and its project stay until the end; looking through them
    again and again takes a tenth of a run.
    """
    gc.set_threshold(100_000, 50, 10)


class _Absent:
    """A finder of modules that finds no module of a package, although it is installed."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Raise ModuleNotFoundError for the package; know no other module."""
        if name == self._package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@contextmanager
def without_pandas() -> Iterator[None]:
    """Import no pandas while the block lasts, unless it is imported already.

    The dashboard's libraries bring it along, and pyarrow imports it when it first converts a
    Python value, which takes up to a second. Nothing that a verb does needs it.
    """
    finder = _Absent("pandas")
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class Ending:
    """The end of this process after Ctrl-C or SIGTERM.

    By default the process exits at once: every stage may be killed anywhere, and the next start
    completes it. Work that wants to end cleanly calls `stop`, and has PATIENCE seconds.
    """

    def __init__(self) -> None:
        self.message = STOPPED
        self.leftovers: list[Path] = []
        """Temporary folders outside of a home, which are removed at the end."""
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
        """Return 128 + the signal, 0 where SIGTERM is the regular end, or None without a signal."""
        if self._signal is None:
            return None
        is_usual = self._stop is not None and self._signal == signal.SIGTERM
        return 0 if is_usual else 128 + self._signal

    def handle(self, number: int) -> None:
        """Handle a signal."""
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
            # Other threads may still write into it.
            for _ in range(100):
                shutil.rmtree(folder, ignore_errors=True)
                if not folder.exists():
                    break
        # The tracker would warn about semaphores that the kernel frees anyway.
        if tracker := getattr(resource_tracker._resource_tracker, "_pid", None):
            os.kill(tracker, signal.SIGKILL)
        clear = "\r\x1b[K\x1b[?25h" if os.isatty(2) else ""
        os.write(2, f"{clear}{self.message}\n".encode())
        os._exit(self.exit_code or 0)


_ending: Ending | None = None


@contextmanager
def ending_on_signals() -> Iterator[Ending]:
    """Let Ctrl-C and SIGTERM end this process by an Ending while the block lasts.

    A separate thread handles the signals, because the main thread may be in a query that takes
    minutes. Child processes do not get Ctrl-C, so none of them prints a traceback.
    """
    global _ending
    outer, ending = _ending, Ending()
    if outer or threading.current_thread() is not threading.main_thread():
        yield outer or ending
        return
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    handlers = {number: signal.signal(number, lambda *_: None) for number in _ENDING}
    wakeup = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=(receiver, ending), daemon=True).start()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    # A signal to the whole process group may end it too; it is started anew when it is needed.
    warnings.filterwarnings("ignore", "resource_tracker: process died", UserWarning)
    # Otherwise multiprocessing would unblock SIGINT when it starts its first process.
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
        sender.close()


def _listen(receiver: socket.socket, ending: Ending) -> None:
    while received := receiver.recv(1):
        if received[0] in _ENDING:
            ending.handle(received[0])
    receiver.close()


def current_ending() -> Ending:
    """Return the ending that `ending_on_signals` has set up, or a new one."""
    return _ending or Ending()


def exit_when_stopped() -> None:
    """Exit with one line if a signal has stopped the work."""
    if current_ending().exit_code is not None:
        sys.stdout.flush()
        current_ending().leave()
