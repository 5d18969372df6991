"""A preview of an import: its first events and rejects, without writing anything."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from medallion.cleaning.exact import Validator
from medallion.cleaning.explain import explain
from medallion.contract import Feed
from medallion.importing.files import FAILURES, Import, opened_import, scanned
from medallion.importing.report import Failure

SHOWN = 5
"""Events of each kind, and rejects of each reason, that are shown."""

MAX_LINES = 20_000
"""The number of lines of a kind in a file that are validated."""


@dataclass(frozen=True)
class Reject:
    """A line that the contract rejects, the reason, and the sentence that explains it."""

    reason: str
    why: str
    line: str


@dataclass
class Preview:
    """The first lines of an import with the verdict of the cleaner.

    `events` has them by kind. `accepted` and `rejected` count the validated lines, the latter by
    reason; `is_whole` says that these are all lines of the files. `left_out` counts, by reason,
    rows and elements that give no event.
    """

    events: dict[str, list[str]] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    accepted: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    is_whole: bool = True

    def add(self, other: Preview) -> None:
        """Add the preview of the next file."""
        for kind, lines in other.events.items():
            self.events[kind] = [*self.events.get(kind, ()), *lines][:SHOWN]
        self.rejects += other.rejects
        self.accepted += other.accepted
        self.rejected = dict(Counter(self.rejected) + Counter(other.rejected))
        self.left_out = dict(Counter(self.left_out) + Counter(other.left_out))
        self.is_whole &= other.is_whole


def preview_files(paths: Sequence[str | Path], mapping_file: Path) -> Preview:
    """Return the first events and rejects of an import.

    Raises:
        SettingsError: the mapping is wrong, or a path names no file.
    """
    preview = Preview()
    with (
        tempfile.TemporaryDirectory() as folder,
        opened_import(paths, mapping_file, Path(folder)) as (work, files),
    ):
        for file, source in files:
            try:
                part, counts = scanned(work, file, source, lambda lines: _judged(work, lines))
            except FAILURES as error:
                work.fail(file, error)
            else:
                part.left_out = dict(counts.left_out)
                preview.add(part)
        preview.failures = tuple(work.failures)
    return preview


def _judged(work: Import, batches: Iterator[pa.RecordBatch]) -> Preview:
    preview, feed = Preview(), work.mapping.feed
    validator = Validator(feed)
    judged: Counter[str] = Counter()
    for batch in batches:
        room = MAX_LINES - judged[work.kind]
        preview.is_whole &= len(batch) <= room
        for line in batch.column(0).slice(0, room).to_pylist():
            _judge(preview, validator, feed, work.kind, line.rstrip("\n"))
        judged[work.kind] += min(len(batch), room)
    return preview


def _judge(preview: Preview, validator: Validator, feed: Feed, kind: str, line: str) -> None:
    raw = line.encode()
    reason = validator.validate(raw, len(raw)).reason
    if reason is None:
        preview.accepted += 1
        events = preview.events.setdefault(kind, [])
        if len(events) < SHOWN:
            events.append(line)
        return
    preview.rejected[reason] = preview.rejected.get(reason, 0) + 1
    if preview.rejected[reason] <= SHOWN:
        why = str(explain(feed, reason, raw, len(raw)))
        preview.rejects.append(Reject(reason, why, line))
