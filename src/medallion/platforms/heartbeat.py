"""A runner's sign of life: a small file beside the lock of the home, by which others see what the
holder of the lock is at."""

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

FILE = ".lock.json"
EVERY = 1.0
"""Seconds between two signs of life."""


@dataclass(frozen=True)
class Runner:
    """What a runner was at when it last gave a sign of life (UTC). `stage` is empty between two
    batches; `ended` is set when it ended as it should, `error` when it did not."""

    process: int
    beat_at: datetime
    stage_since: datetime
    stage: str = ""
    ended: bool = False
    error: str = ""


def read_runner(home: Path) -> Runner | None:
    """Return what the last runner of a home was at; None when there was none."""
    try:
        fields = json.loads((home / FILE).read_text(encoding="utf-8"))
        for name in ("beat_at", "stage_since"):
            fields[name] = datetime.fromisoformat(fields[name])
        return Runner(**fields)
    except (OSError, ValueError, TypeError, KeyError):
        return None


class Heartbeat:
    """Writes the file every second while the block lasts, from a thread of its own: a stage that
    takes long shows life, a process that is frozen or killed does not."""

    def __init__(self, home: Path) -> None:
        self._path, self._writing = home / FILE, threading.Lock()
        self._stop, self._asked = threading.Event(), threading.Event()
        now = datetime.now(UTC)
        self._runner = Runner(os.getpid(), now, now, "work")
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def at(self, stage: str) -> None:
        """Say what the runner is at from now on; nothing, between two batches."""
        with self._writing:
            self._runner = replace(self._runner, stage=stage, stage_since=datetime.now(UTC))

    def ends_with(self, asked: threading.Event) -> None:
        """Say that the runner has ended as soon as it is asked to, even if it is then cut short."""
        self._asked = asked

    def end(self, error: str = "") -> None:
        """Say that the runner has ended, as it should or by an error."""
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
        # Who was refused as asked for something that cannot be has broken nothing.
        failed = isinstance(error, Exception) and not isinstance(error, SettingsError)
        self.end(str(error).splitlines()[0] if failed and str(error) else "an error" * failed)

    def _beat(self) -> None:
        while not self._stop.wait(EVERY):
            self._write(ended=self._asked.is_set())

    def _write(self, *, ended: bool = False, error: str = "") -> None:
        with self._writing:
            if self._runner.ended or self._runner.error:
                return
            beat = replace(self._runner, beat_at=datetime.now(UTC), ended=ended, error=error)
            self._runner = beat
            # A full disk stops the pipeline with an error of its own.
            with suppress(OSError):
                _overwrite(self._path, json.dumps(asdict(beat), default=datetime.isoformat))


def _overwrite(path: Path, text: str) -> None:
    """Write a text over the one before, padded to its length: a reader finds one of both whole, and
    no second file comes and goes every second under the eyes of who searches the home."""
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0) as file:
        file.write(text.encode().ljust(os.fstat(file.fileno()).st_size))
