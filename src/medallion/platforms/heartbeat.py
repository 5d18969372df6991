"""The heartbeat of a runner: a small file in the home that says what the lock holder is doing."""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from medallion.errors import SettingsError

HEARTBEAT_FILE = ".lock.json"
EVERY = 1.0
"""Seconds between two heartbeats."""
WAITS_FOR_ROOM = "a full disk"
"""The stage of a runner that waits until there is room on the disk again."""


@dataclass(frozen=True)
class Runner:
    """The state of a runner at its last heartbeat, with times in UTC.

    `stage` is empty between two batches. `ended` is set after a regular end, `error` after an
    error.
    """

    process: int
    beat_at: datetime
    stage_since: datetime
    stage: str = ""
    ended: bool = False
    error: str = ""


def read_runner(home: Path) -> Runner | None:
    """Return the last heartbeat in a home; None when there is none."""
    try:
        fields = json.loads((home / HEARTBEAT_FILE).read_text(encoding="utf-8"))
        for name in ("beat_at", "stage_since"):
            fields[name] = datetime.fromisoformat(fields[name])
        return Runner(**fields)
    except (OSError, ValueError, TypeError, KeyError):
        return None


class Heartbeat:
    """A thread that writes the file every second while the block lasts.

    A process in a long stage has a heartbeat; one that is frozen or killed has none.
    """

    def __init__(self, home: Path) -> None:
        self._path, self._writing = home / HEARTBEAT_FILE, threading.Lock()
        self._stop, self._stop_requested = threading.Event(), threading.Event()
        now = datetime.now(UTC)
        self._runner = Runner(os.getpid(), now, now, "work")
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def at(self, stage: str) -> None:
        """Record the stage that begins now; an empty one between two batches."""
        with self._writing:
            self._runner = replace(self._runner, stage=stage, stage_since=datetime.now(UTC))

    def ends_with(self, stop: threading.Event) -> None:
        """Report a regular end as soon as `stop` is set, even if the process is then killed."""
        self._stop_requested = stop

    def end(self, error: str = "") -> None:
        """Report that the runner has ended, regularly or with an error."""
        self._stop.set()
        self._write(ended=not error, error=error)

    def __enter__(self) -> Heartbeat:
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A command with unusable options is not a failed runner.
        failed = isinstance(error, Exception) and not isinstance(error, SettingsError)
        self.end(str(error).splitlines()[0] if failed and str(error) else "an error" * failed)

    def _beat(self) -> None:
        while not self._stop.wait(EVERY):
            self._write(ended=self._stop_requested.is_set())

    def _write(self, *, ended: bool = False, error: str = "") -> None:
        with self._writing:
            if self._runner.ended or self._runner.error:
                return
            beat = replace(self._runner, beat_at=datetime.now(UTC), ended=ended, error=error)
            self._runner = beat
            # If the disk is full, the pipeline itself fails with an error.
            with suppress(OSError):
                _overwrite(self._path, json.dumps(asdict(beat), default=datetime.isoformat))


def _overwrite(path: Path, text: str) -> None:
    """Overwrite a text in place, padded to the length of the file.

    A reader gets the old or the new text. A temporary file would appear and disappear every second,
    and disturb everything that walks through the home.
    """
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0) as file:
        file.write(text.encode().ljust(os.fstat(file.fileno()).st_size))
