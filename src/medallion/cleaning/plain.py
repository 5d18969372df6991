"""The plain lane: lines that the compiled pass proves acceptable, as Arrow columns.

`load` brings the compiled pass into this process; the first time on a machine it is compiled.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from functools import cache

import numpy as np
import pyarrow as pa

from medallion.cleaning.compiled import machine_code
from medallion.cleaning.compiled.machine_code import flat
from medallion.cleaning.compiled.tables import VALUE, Cells, cells_for, tables_of, words_for
from medallion.contract import Feed, Type

ROOM = 3
"""Room for rewritten texts, in sizes of the lines: decoded and folded they take less."""

_scan: machine_code.Scan | None = None


def is_loaded() -> bool:
    """Return whether this process has the compiled pass."""
    return _scan is not None


def load(notice: Callable[[str], None] = lambda _: None) -> None:
    """Bring the compiled pass into this process.

    Args:
        notice: is told when it must be compiled first.

    Raises:
        ImportError: it cannot be had; the exact lane does without.
    """
    global _scan
    _scan = _scan or machine_code.load(notice)


class PlainLane:
    """Reads the lines of one object after another. Not for two threads at once."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._tables, self._words = tables_of(feed), words_for(feed)
        self._known = flat((self._tables, self._words))

    def read(
        self, data: bytes | pa.Buffer, offsets: np.ndarray
    ) -> tuple[pa.RecordBatch, np.ndarray, np.ndarray, int]:
        """Read lines.

        Args:
            data: the bytes.
            offsets: int32; line n is data[offsets[n]:offsets[n + 1]].

        Returns:
            The accepted rows, with the feed's columns; the line of each, from 0; the lines that
            the exact lane must read, in order; and how many lines are blank.
        """
        assert _scan, "load() comes first"
        first, size, lines = int(offsets[0]), int(offsets[-1] - offsets[0]), len(offsets) - 1
        room = lines * len(self._tables.texts) + ROOM * size + 16
        bytes_, cells, known_cells = _scratch.of(self._feed, size + room, lines)
        bytes_[:size] = np.frombuffer(data, np.uint8, size, first)
        places = offsets - np.int32(first)
        rows, left, blank = _scan(*flat((bytes_, places, size)), *self._known, *known_cells)
        columns = [
            _column(field.type, cells, number, rows, bytes_)
            for number, field in enumerate(self._feed.fields)
        ]
        batch = pa.RecordBatch.from_arrays(columns, schema=schema(self._feed))
        return batch, cells.lines[:rows].copy(), cells.left[:left].copy(), blank

    def unknown_fields(self) -> Counter[str]:
        """Return in how many of the lines that were accepted each unknown name stood."""
        count = int(self._words.state[0])
        counts = Counter[str]()
        for word in self._words.words[:count][self._words.words["count"][:count] > 0]:
            start, size = int(word["start"]), int(word["size"])
            counts[self._words.text[start : start + size].tobytes().decode()] = int(word["count"])
        return counts


class _Scratch(threading.local):
    """Memory that a thread uses again for every batch of lines."""

    def __init__(self) -> None:
        self._bytes = np.empty(0, np.uint8)
        self._cells: dict[int, tuple[Cells, tuple[int, ...]]] = {}

    def of(self, feed: Feed, size: int, rows: int) -> tuple[np.ndarray, Cells, tuple[int, ...]]:
        """Return at least so many bytes, and cells for at least so many rows of a feed.

        The cells come as arrays and as the compiled pass takes them.
        """
        if len(self._bytes) < size:
            self._bytes = np.empty(size, np.uint8)
        fields = len(feed.fields)
        if fields not in self._cells or len(self._cells[fields][0].lines) < rows:
            cells = cells_for(feed, rows)
            self._cells[fields] = cells, flat(cells)
        return self._bytes, *self._cells[fields]


_scratch = _Scratch()


@cache
def arrow_type(kind: Type) -> pa.DataType:
    """Return the Arrow type of a column."""
    if kind.kind == "decimal":
        return pa.decimal128(kind.precision, kind.scale)
    return {
        "text": pa.string(),
        "integer": pa.int64(),
        "timestamp": pa.timestamp("us"),
        "date": pa.date32(),
        "bytes": pa.binary(),
    }[kind.kind]


@cache
def schema(feed: Feed) -> pa.Schema:
    """Return the schema of a feed's fields."""
    return pa.schema([(field.name, arrow_type(field.type)) for field in feed.fields])


def _column(kind: Type, cells: Cells, field: int, rows: int, data: np.ndarray) -> pa.Array:
    """Return the values of a field; texts are copied together, so that the lines can be let go."""
    given = cells.state[field, :rows] == VALUE
    valid = None if given.all() else pa.py_buffer(np.packbits(given, bitorder="little"))
    if kind.kind == "text":
        buffers = [valid, pa.py_buffer(cells.views[field, :rows]), pa.py_buffer(data)]
        return pa.Array.from_buffers(pa.string_view(), rows, buffers).cast(pa.string())
    numbers = cells.numbers[field, :rows]
    if kind.kind == "decimal":
        numbers = np.stack([numbers, numbers >> 63], axis=1)
    else:
        numbers = numbers.astype(np.int32 if kind.kind == "date" else np.int64)  # a copy
    return pa.Array.from_buffers(arrow_type(kind), rows, [valid, pa.py_buffer(numbers)])
