"""The cleaner: each line of a feed becomes a row, a reject with its reason, or blank.

Two lanes do this. The plain lane, compiled, accepts every line that it can prove acceptable. The
exact lane, in Python, reads the others one by one and says why a line is rejected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from medallion.cleaning import plain
from medallion.cleaning.exact import Validator
from medallion.cleaning.lines import Block
from medallion.contract import (
    MAX_NAME_LENGTH,
    MAX_NAMES_HELD,
    OTHER_NAMES,
    QUARANTINE,
    WHITE_SPACE,
    Feed,
)

LINES_AT_ONCE = 1 << 15
"""The number of lines that are read at once, which bounds the memory of their cells."""

FEW_LINES = 8
"""Fewer lines than these take less time in the exact lane."""

_WHITE_SPACE = WHITE_SPACE.encode()
_validator = cache(Validator)


class Rejected(NamedTuple):
    """A rejected line, as the quarantine keeps it.

    `raw` is None for a whole object that cannot be read. An empty value would not do: Snowflake
    cannot load one from Parquet by column name, and would skip the file (a note under
    MATCH_BY_COLUMN_NAME in docs.snowflake.com/en/sql-reference/sql/copy-into-table).
    """

    reason: str
    raw: bytes | None
    raw_size: int
    source_line: int


@dataclass(frozen=True)
class Cleaned:
    """The result of some lines of an object.

    `accepted` has the feed's columns, and `lines` the line number of each row; `rejected` are the
    rejected lines, in order.
    """

    accepted: pa.RecordBatch
    lines: np.ndarray
    rejected: list[Rejected]
    blank: int


class Cleaner:
    """A cleaner of the lines of one object.

    Without the compiled pass the exact lane reads all of them, with the same result.
    """

    def __init__(self, feed: Feed, *, is_compiled: bool | None = None) -> None:
        """Begin an object.

        Args:
            feed: the feed of its lines.
            is_compiled: whether to use the compiled pass; None to use it if it is loaded, for
                more than a few lines.
        """
        self._feed, few = feed, 0
        if is_compiled is None:
            is_compiled, few = plain.is_loaded(), FEW_LINES
        self._plain = plain.PlainLane(feed) if is_compiled else None
        self._few = few
        self._unknown = Counter[str]()

    def clean(self, block: Block) -> Iterator[Cleaned]:
        """Yield the results of the lines of a block, a part of them at a time."""
        for first in range(0, len(block), LINES_AT_ONCE):
            last = min(first + LINES_AT_ONCE, len(block))
            yield from self._clean(block, first, last)

    def unknown_fields(self) -> Counter[str]:
        """Return in how many lines each unknown name has occurred so far."""
        return self._unknown + (self._plain.unknown_fields() if self._plain else Counter())

    def _clean(self, block: Block, first: int, last: int) -> Iterator[Cleaned]:
        if not self._plain or last - first < self._few:
            yield self._exactly(block, np.arange(first, last))
            return
        offsets = block.offsets[first : last + 1]
        rows, lines, left, blank = self._plain.read(block.data, offsets)
        numbers = lines + np.int64(block.first_line + first)
        yield Cleaned(rows, numbers, [], blank)
        if len(left):
            yield self._exactly(block, left + first)

    def _exactly(self, block: Block, indexes: np.ndarray) -> Cleaned:
        numbers, values, rejected, blank = list[int](), [], list[Rejected](), 0
        validator = _validator(self._feed)
        for index in indexes.tolist():
            line, size = block.line(index)
            if size == len(line) and not line.strip(_WHITE_SPACE):
                blank += 1
                continue
            verdict = validator.validate(line, size)
            if verdict.unknown:
                self._count(verdict.unknown)
            if verdict.reason:
                rejected.append(Rejected(verdict.reason, line, size, block.first_line + index))
            else:
                numbers.append(block.first_line + index)
                values.append(verdict.values)
        schema = plain.schema(self._feed)
        columns = zip(*values, strict=True) if values else [()] * len(schema)
        arrays = [pa.array(v, kind) for v, kind in zip(columns, schema.types, strict=True)]
        rows = pa.RecordBatch.from_arrays(arrays, schema=schema)
        return Cleaned(rows, np.array(numbers, np.int64), rejected, blank)

    def _count(self, names: Iterable[str]) -> None:
        for name in names:
            is_held = len(name) <= MAX_NAME_LENGTH and len(self._unknown) < MAX_NAMES_HELD
            self._unknown[name if is_held or name in self._unknown else OTHER_NAMES] += 1


class Collected:
    """The results of some blocks of one object, until they are written.

    `count` is the number of accepted rows; `row_bytes` and `rejected_bytes` say what they hold.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._batches: list[pa.RecordBatch] = []
        self.rejected: list[Rejected] = []
        self.count = self.row_bytes = self.rejected_bytes = 0

    def add(self, cleaned: Cleaned) -> None:
        """Add the results of some lines."""
        if len(cleaned.lines):
            lines = pa.array(cleaned.lines, pa.int64())
            batch = cleaned.accepted.append_column("source_line", lines)
            self._batches.append(batch)
            self.count += len(batch)
            self.row_bytes += batch.nbytes
        self.rejected += cleaned.rejected
        self.rejected_bytes += sum(len(line.raw or b"") + 100 for line in cleaned.rejected)

    def accepted_rows(self) -> Iterator[tuple[date | None, pa.Table]]:
        """Yield the accepted rows of each UTC day, or of None for all days together."""
        if not self._batches:
            return
        rows = pa.Table.from_batches(self._batches)
        if self._feed.by_day:
            yield from by_day(rows)
        else:
            yield None, rows

    def rejected_rows(self) -> pa.Table:
        """Return the rejected lines as a table, in the order of their numbers."""
        columns = zip(*sorted(self.rejected, key=lambda line: line.source_line), strict=True)
        kinds = [plain.arrow_type(QUARANTINE[name]) for name in Rejected._fields]
        arrays = [pa.array(values, kind) for values, kind in zip(columns, kinds, strict=True)]
        return pa.Table.from_arrays(arrays, names=Rejected._fields)


def day_of(rows: pa.Table | pa.RecordBatch) -> pa.Array:
    """Return the UTC date of each row's ts."""
    return rows["ts"].cast(pa.date32(), safe=False)


def by_day(rows: pa.Table) -> Iterator[tuple[date, pa.Table]]:
    """Yield each UTC day with its rows, in their order."""
    days = rows["ts"].to_numpy().astype("datetime64[D]")
    if (days[1:] < days[:-1]).any():
        order = np.argsort(days, kind="stable")
        rows, days = rows.take(order), days[order]
    starts = np.flatnonzero(np.concatenate([[True], days[1:] != days[:-1]])).tolist()
    for start, end in zip(starts, [*starts[1:], len(days)], strict=True):
        yield days[start].item(), rows[start:end]
