"""The first work of Spark's Python workers: lines become packets.

A packet is one row of Spark that holds many rows of bronze in the Arrow format: storing and
shuffling single rows would cost Spark more than the cleaning. The lines of a split are numbered
from 1, because the number of lines before it is known only when all splits are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medallion.cleaning import plain
from medallion.cleaning.cleaner import Cleaner, Collected
from medallion.cleaning.lines import BLOCK_BYTES, Block
from medallion.contract import MAX_LINE_BYTES, Feed

ACCEPTED, REJECTED, SPLIT = "accepted", "rejected", "split"
"""Kinds of packets: accepted rows (of one day, if the feed is by day), rejected lines, and the
summary of a split: its lines, how many are blank, their bytes with a line feed each, the number of
lines of each unknown field, and why the worker could not use the compiled pass."""

PACKET = pa.schema(
    [
        ("kind", pa.string()),
        ("path", pa.string()),
        ("block", pa.int64()),
        ("day", pa.date32()),
        ("line", pa.int64()),
        ("rows", pa.binary()),
        ("lines", pa.int64()),
        ("blank", pa.int64()),
        ("bytes", pa.int64()),
        ("unknown", pa.map_(pa.string(), pa.int64())),
        ("hindrance", pa.string()),
    ]
)
PACKET_COLUMNS = (
    "kind STRING, path STRING, block BIGINT, day DATE, line BIGINT, rows BINARY, lines BIGINT, "
    "blank BIGINT, bytes BIGINT, unknown MAP<STRING, BIGINT>, hindrance STRING"
)
"""PACKET in the syntax of Spark. `path` and `block` name the split, `line` its first line."""

BYTES_AT_ONCE = 32 << 20
"""Bytes of rows that are collected before they become packets."""


def pack(
    batches: Iterable[pa.RecordBatch], feed: Feed, is_compiled: bool
) -> Iterator[pa.RecordBatch]:
    """Clean the lines of one partition; yield packets.

    Args:
        batches: path, block and line; the lines of a split are together, in their order.
        feed: the feed of the lines.
        is_compiled: whether there is enough work to load the compiled pass.
    """
    packets, held = [], 0
    for packet in _packets(batches, feed, is_compiled):
        packets.append(packet)
        held += len(packet.get("rows", b""))
        if held >= BYTES_AT_ONCE:
            yield pa.RecordBatch.from_pylist(packets, PACKET)
            packets, held = [], 0
    yield pa.RecordBatch.from_pylist(packets, PACKET)


def _load() -> str | None:
    """Load the compiled pass into this worker; return the reason if that is not possible."""
    try:
        plain.load()
    except ImportError as error:
        return str(error)
    return None


def _packets(
    batches: Iterable[pa.RecordBatch], feed: Feed, is_compiled: bool
) -> Iterator[dict[str, Any]]:
    hindrance = _load() if is_compiled else None
    split: _Split | None = None
    for batch in batches:
        for path, block, lines in _runs(batch):
            if split is None or (split.path, split.block) != (path, block):
                if split:
                    yield from split.end()
                split = _Split(path, block, feed, is_compiled and not hindrance, hindrance)
            split.read(lines)
            if split.held >= BYTES_AT_ONCE:
                yield from split.packets()
    if split:
        yield from split.end()


def as_bytes(rows: pa.Table) -> bytes:
    """Return rows in the Arrow format."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue().to_pybytes()


def _runs(batch: pa.RecordBatch) -> Iterator[tuple[str, int, pa.Array]]:
    """Yield path, block and lines of each split in a batch."""
    paths, blocks, lines = (batch[name] for name in ("path", "block", "line"))
    changes = pc.or_(
        pc.not_equal(paths[1:], paths[:-1]), pc.not_equal(blocks[1:], blocks[:-1])
    ).to_numpy(zero_copy_only=False)
    starts = [0, *(np.flatnonzero(changes) + 1).tolist(), len(batch)] if len(batch) else []
    for start, end in pairwise(starts):
        yield paths[start].as_py(), blocks[start].as_py(), lines[start:end]


class _Split:
    """The results of one split, while its lines are read."""

    def __init__(
        self, path: str, block: int, feed: Feed, is_compiled: bool, hindrance: str | None
    ) -> None:
        self.path, self.block = path, block
        self._feed, self._cleaner = feed, Cleaner(feed, is_compiled=is_compiled)
        self._hindrance = hindrance
        self._lines = self._blank = self._bytes = 0
        self._collected = Collected(feed)

    @property
    def held(self) -> int:
        """The bytes of the results that are not packed yet."""
        return self._collected.row_bytes + self._collected.rejected_bytes

    def read(self, lines: pa.Array) -> None:
        """Clean some more lines."""
        for block in _blocks(self._lines + 1, lines):
            for cleaned in self._cleaner.clean(block):
                self._blank += cleaned.blank
                self._collected.add(cleaned)
            self._lines += len(block)
            self._bytes += int(block.sizes.sum(dtype=np.int64)) + len(block)

    def packets(self) -> Iterator[dict[str, Any]]:
        """Yield the collected results as packets, and clear them."""
        for day, rows in self._collected.accepted_rows():
            yield self._packet(ACCEPTED, rows) | {"day": day}
        if self._collected.rejected:
            yield self._packet(REJECTED, self._collected.rejected_rows())
        self._collected = Collected(self._feed)

    def _packet(self, kind: str, rows: pa.Table) -> dict[str, Any]:
        packet = {"kind": kind, "path": self.path, "block": self.block}
        return packet | {"line": rows["source_line"][0].as_py(), "rows": as_bytes(rows)}

    def end(self) -> Iterator[dict[str, Any]]:
        """Yield the last packets, and the summary of the split."""
        yield from self.packets()
        yield {
            "kind": SPLIT,
            "path": self.path,
            "block": self.block,
            "lines": self._lines,
            "blank": self._blank,
            "bytes": self._bytes,
            "unknown": list(self._cleaner.unknown_fields().items()),
            "hindrance": self._hindrance,
        }


def _blocks(first_line: int, lines: pa.Array) -> Iterator[Block]:
    """Yield Arrow lines as blocks for the cleaner, without copying; an oversize line is cut."""
    _, places, data = lines.buffers()
    data = data or pa.py_buffer(b"")
    offsets = np.frombuffer(places, np.int32)[lines.offset : lines.offset + len(lines) + 1]
    sizes = np.diff(offsets)
    long = np.flatnonzero(sizes > MAX_LINE_BYTES).tolist()
    start = 0
    for stop in [*long, len(sizes)]:
        while start < stop:
            full = np.searchsorted(offsets, int(offsets[start]) + BLOCK_BYTES, "right") - 1
            end = min(int(full), stop)
            yield Block(first_line + start, data, offsets[start : end + 1], sizes[start:end])
            start = end
        if stop < len(sizes):
            head = np.array([offsets[stop], offsets[stop] + MAX_LINE_BYTES + 1], np.int32)
            yield Block(first_line + stop, data, head, sizes[stop : stop + 1])
            start = stop + 1
