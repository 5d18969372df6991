"""The writer of raw objects, which are named by a hash of their source."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from medallion.contract import Feed
from medallion.errors import LakeError
from medallion.importing.report import FeedReport
from medallion.lake.codecs import create_packed
from medallion.lake.raw import RAW, raw_key
from medallion.platforms.lake import Lake

Progress = Callable[[str], None]

MAX_ROWS = 250_000
MAX_BYTES = 64_000_000
"""The limits of an object: lines, and bytes before compression (one longer line is kept)."""


@dataclass(frozen=True)
class Part:
    """An object to publish; `path` is None when the lake has it already."""

    name: str
    rows: int
    path: Path | None


class RawWriter:
    """A writer of the lines of one source, as numbered objects of a feed.

    `source` is a hash of the source: equal ones must give equal lines. An object that is anywhere
    in the feed already is not written again, so an interrupted import can be repeated.
    """

    def __init__(
        self, lake: Lake, feed: Feed, source: str, scratch: Path, max_rows: int = MAX_ROWS
    ) -> None:
        self.lake, self.feed, self.source = lake, feed, source
        self.scratch, self.max_rows = scratch, max_rows
        self.present = {o.key.rpartition("/")[2] for o in lake.list(f"{RAW}{feed.name}/")}

    def stage(
        self, batches: Iterable[pa.RecordBatch], progress: Callable[[int], None]
    ) -> list[Part]:
        """Compress lines into scratch files.

        Args:
            batches: one column of strings that end in a line feed.
            progress: called with the number of rows so far.
        """
        parts: list[Part] = []
        rows = 0
        for count, chunks in _cut(batches, self.max_rows):
            name = f"import-{self.source}-{len(parts) + 1:05d}.ndjson.zst"
            path = None if name in self.present else self.scratch / name
            _fill(path, chunks)
            parts.append(Part(name, count[0], path))
            rows += count[0]
            progress(rows)
        return parts

    def publish(self, parts: list[Part], now: datetime) -> FeedReport:
        """Move staged parts into the lake, one after the other."""
        report = FeedReport()
        for part in parts:
            if part.path is None:
                report += FeedReport(present_rows=part.rows, present_objects=1)
                continue
            size = part.path.stat().st_size
            self.lake.publish({raw_key(self.feed.name, now, part.name): part.path})
            report += FeedReport(rows=part.rows, objects=1, bytes=size)
        return report


@contextmanager
def scratch_folder(lake: Lake) -> Iterator[Path]:
    """Provide a temporary local folder; raise LakeError when the disk is full or read-only."""
    try:
        folder = lake.scratch()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise LakeError(f"the import cannot write to the lake: {error}") from error


def _fill(path: Path | None, chunks: Iterator[memoryview]) -> None:
    if path is None:
        for _ in chunks:
            pass
        return
    with create_packed(path) as out:
        for chunk in chunks:
            out.write(chunk)


def _cut(
    batches: Iterable[pa.RecordBatch], max_rows: int
) -> Iterator[tuple[list[int], Iterator[memoryview]]]:
    """Yield parts: a list whose only number becomes the count of lines, and the bytes.

    The bytes must be read before the next part. Where a part ends depends only on the lines, not on
    the batches.
    """
    slices = _slices(batches)
    waiting = next(slices, None)

    def part(count: list[int]) -> Iterator[memoryview]:
        nonlocal waiting
        room = MAX_BYTES
        while waiting is not None and count[0] < max_rows:
            data, ends = waiting
            taken = min(int(np.searchsorted(ends, room, "right")), max_rows - count[0])
            if taken == 0 and count[0] == 0:
                taken = 1
            if taken == 0:
                return
            size = int(ends[taken - 1])
            yield data[:size]
            count[0] += taken
            room -= size
            rest = ends[taken:] - size
            waiting = (data[size:], rest) if len(rest) else next(slices, None)

    while waiting is not None:
        count = [0]
        yield count, part(count)


def _slices(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[memoryview, Any]]:
    """Yield the bytes of each batch, and the end of each line in them."""
    for batch in batches:
        lines = batch.column(0)
        if not len(lines):
            continue
        width = np.int64 if pa.types.is_large_string(lines.type) else np.int32
        offsets = np.frombuffer(lines.buffers()[1], width)[lines.offset :][: len(lines) + 1]
        start, end = int(offsets[0]), int(offsets[-1])
        yield memoryview(lines.buffers()[2])[start:end], offsets[1:].astype(np.int64) - start
