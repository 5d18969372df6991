"""Bronze: from each raw object its accepted rows by day, its quarantine and its receipt.

The receipt is published last. An object without one is cleaned again, to the same names, so a run
that was killed anywhere is made good by the next.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medallion import __version__
from medallion.cleaning import plain
from medallion.cleaning.cleaner import Cleaned, Cleaner, Rejected, by_day, table_of
from medallion.cleaning.lines import read_blocks
from medallion.contract import QUARANTINE, TECHNICAL, UNREADABLE, Feed, feed_of
from medallion.lake.codecs import DamagedArchive, ReadError, Source, Unpacked
from medallion.lake.raw import raw_objects
from medallion.lake.receipts import (
    RECEIPTS,
    Receipt,
    accepted_key,
    is_stem,
    key_stem,
    named_counts,
    quarantine_key,
    receipt_key,
    stem,
)
from medallion.platforms.lake import Lake, LakeObject

ROWS_PER_PART = 1 << 16
REJECTED_BYTES_PER_PART = 8 << 20
"""What is kept in memory of an object before it is written."""

COMPILED_FROM_BYTES = 1 << 18
"""Fewer bytes than this are cleaned sooner by the exact lane than the compiled pass is loaded."""
ENGINE = "medallion"
PARQUET = {
    "compression": "snappy",
    "store_schema": False,
    "store_decimal_as_integer": True,
    "write_statistics": ["ts", "source_line"],
}
"""How bronze is written. Statistics of every column cost more than anybody asks of them."""

# Arrow's own allocator keeps what it was given: a fifth of the memory of a whole run.
pa.set_memory_pool(pa.system_memory_pool())


@dataclass
class CleanReport:
    """What one pass of the cleaner did. `receipts` are the keys of those that it published.
    `failures` are objects that could not be opened, by key; they stay in raw/ and are tried
    again."""

    objects: int = 0
    bytes: int = 0
    lines: int = 0
    blank: int = 0
    accepted: int = 0
    quarantined: int = 0
    receipts: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, found: LakeObject, receipt: Receipt) -> None:
        """Counts one more object."""
        self.receipts.append(receipt_key(stem(found)))
        self.objects += 1
        self.bytes += receipt.size
        for name in ("lines", "blank", "accepted", "quarantined"):
            setattr(self, name, getattr(self, name) + getattr(receipt, name))


class Unfinished(OSError):
    """The object changed while it was read."""


class Sweep:
    """Finds the raw objects that have no receipt yet; remembers what it has seen."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._done: set[tuple[str, str]] | None = None
        self._keys = set[str]()

    def waiting(self) -> list[LakeObject]:
        """Raw objects without a receipt, oldest arrival first."""
        found = list(raw_objects(self._lake))
        if self._done is None:
            receipted = self._receipted(found)
            self._done = {(o.key, o.version) for o in found if stem(o) in receipted}
            self._keys = {name.partition("-")[0] for name in receipted}
        found = [o for o in found if (o.key, o.version) not in self._done]
        found = [o for o in found if key_stem(o.key) not in self._keys or not self._only_touched(o)]
        return sorted(found, key=lambda o: (o.modified, o.key))

    def _receipted(self, raw: list[LakeObject]) -> set[str]:
        """The stems of all objects that have a receipt: by the receipt's name or, where a cluster
        wrote many receipts into one object, by what these say."""
        names = [
            o.key.removeprefix(RECEIPTS).removesuffix(".parquet") for o in self._lake.list(RECEIPTS)
        ]
        done = {name for name in names if is_stem(name)}
        told = set()
        for name in set(names) - done:
            with self._lake.open(receipt_key(name)) as stream:
                table = pq.read_table(stream)
            told |= {(r["source_file"], r["size"], r["modified_at"]) for r in table.to_pylist()}
        return done | {
            stem(o) for o in raw if (o.key, o.size, o.modified.replace(tzinfo=None)) in told
        }

    def finished(self, found: LakeObject) -> None:
        """Takes note of a receipt that was just published."""
        if self._done is not None:
            self._done.add((found.key, found.version))
            self._keys.add(key_stem(found.key))

    def _only_touched(self, found: LakeObject) -> bool:
        """Whether an earlier version of the object had the same bytes: copied, not rewritten."""
        prefix = f"{RECEIPTS}{key_stem(found.key)}-"
        with self._lake.open(found.key) as stream:
            checksum = Source(stream).checksum()
        for receipt in self._lake.list(prefix):
            with self._lake.open(receipt.key) as stream:
                if pq.read_table(stream)["checksum"][0].as_py() == checksum:
                    self.finished(found)
                    return True
        return False


def clean(
    lake: Lake,
    sweep: Sweep | None = None,
    *,
    workers: int | None = None,
    progress: Callable[[Receipt], None] = lambda _: None,
    notice: Callable[[str], None] = lambda _: None,
) -> CleanReport:
    """Clean every raw object that waits. One runner at a time may do this.

    Args:
        lake: where raw/ and bronze/ are.
        sweep: what was seen by earlier passes.
        workers: how many objects are cleaned at once; as many as there are processors if None.
        progress: is told of each receipt.
        notice: is told when something takes its time that is done once on a machine.
    """
    sweep = sweep or Sweep(lake)
    waiting, report, scratch = sweep.waiting(), CleanReport(), lake.scratch()
    if sum(o.size for o in waiting) >= COMPILED_FROM_BYTES:
        plain.load(notice)
    for found, outcome in _clean_all(lake, waiting, scratch, workers or os.cpu_count() or 1):
        if isinstance(outcome, OSError):
            report.failures[found.key] = outcome.strerror or str(outcome)
            continue
        sweep.finished(found)
        report.add(found, outcome)
        progress(outcome)
    return report


def _clean_all(
    lake: Lake, waiting: list[LakeObject], scratch: Path, workers: int
) -> Iterator[tuple[LakeObject, Receipt | OSError]]:
    if len(waiting) < 2 or workers < 2:
        for found in waiting:
            yield found, _attempt(lake, found, scratch)
        return
    stop = threading.Event()
    # Threads are enough: the compiled pass, Parquet and checksums hold no lock of the interpreter.
    with ThreadPoolExecutor(workers) as pool:
        tasks = {pool.submit(_attempt, lake, found, scratch, stop): found for found in waiting}
        try:
            for task in as_completed(tasks):
                yield tasks[task], task.result()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _attempt(
    lake: Lake, found: LakeObject, scratch: Path, stop: threading.Event | None = None
) -> Receipt | OSError:
    try:
        stream = lake.open(found.key)
    except OSError as error:
        return error
    with stream:
        try:
            return ObjectCleaner(lake, found, scratch, stop).run(Source(stream))
        except (Unfinished, ReadError) as error:
            return error


class ObjectCleaner:
    """Cleans one raw object in bounded memory: a block of lines at a time, a part of rows at a
    time."""

    def __init__(
        self, lake: Lake, found: LakeObject, scratch: Path, stop: threading.Event | None = None
    ) -> None:
        self._lake, self._found, self._scratch = lake, found, scratch
        self._feed = feed_of(found.key)
        self._stem = stem(found)
        self._stop = stop

    def run(self, source: Source) -> Receipt:
        """Publish what the object became, the receipt last, and return the receipt."""
        started = datetime.now(UTC)
        try:
            tally = self._clean(source)
        except DamagedArchive:
            tally = self._refuse()
        if source.checksum() and source.size != self._found.size:
            raise Unfinished(None, "it was still being written; it is taken once it stays as it is")
        for key, (path, _) in tally.files.items():
            self._lake.publish(path, key)
        receipt = self._receipt(source, tally, started)
        _write(receipt.table(), path := self._scratch / f"{self._stem}.parquet")
        self._lake.publish(path, receipt_key(self._stem))
        return receipt

    def _clean(self, source: Source) -> _Tally:
        tally, cleaner = _Tally(), Cleaner(self._feed)
        part = _Part(self._feed, self._found)
        for block in read_blocks(Unpacked(source, self._found.key)):
            if self._stop and self._stop.is_set():
                raise Unfinished(None, "it was interrupted; the next run takes it")
            tally.lines += len(block)
            for cleaned in cleaner.clean(block):
                tally.blank += cleaned.blank
                part.add(cleaned)
                if part.is_full():
                    self._write(part, tally)
                    part = _Part(self._feed, self._found)
        self._write(part, tally)
        tally.unknown_fields = cleaner.unknown_fields()
        return tally

    def _refuse(self) -> _Tally:
        """An object that cannot be read to its end counts as one line, rejected whole; what was
        read of it is not taken, because nobody knows what is missing. Its text stays in raw/."""
        part, tally = _Part(self._feed, self._found), _Tally(lines=1)
        part.rejected.append(Rejected(UNREADABLE, b"", self._found.size, 1))
        self._write(part, tally)
        return tally

    def _write(self, part: _Part, tally: _Tally) -> None:
        """Write a part to scratch files: one for each UTC day, and one of its rejects."""
        for day, table in part.days():
            self._file(accepted_key(self._feed.name, day, self._stem, tally.parts), table, tally)
        if part.rejected:
            tally.reasons.update(line.reason for line in part.rejected)
            self._file(quarantine_key(self._stem, tally.parts), part.quarantine(), tally)
        tally.parts += 1

    def _file(self, key: str, table: pa.Table, tally: _Tally) -> None:
        path = self._scratch / f"{self._stem}-{len(tally.files)}.parquet"
        _write(table, path, use_dictionary=_repeating(self._feed, table), **PARQUET)
        tally.files[key] = path, table.num_rows

    def _receipt(self, source: Source, tally: _Tally, started: datetime) -> Receipt:
        outputs = {key: rows for key, (_, rows) in tally.files.items()}
        quarantined = tally.reasons.total()
        return Receipt(
            feed=self._feed.name,
            source_file=self._found.key,
            size=self._found.size,
            modified_at=self._found.modified,
            checksum=source.checksum(),
            lines=tally.lines,
            blank=tally.blank,
            accepted=sum(outputs.values()) - quarantined,
            quarantined=quarantined,
            reasons=dict(tally.reasons),
            unknown_fields=named_counts(tally.unknown_fields),
            outputs=outputs,
            cleaner_version=__version__,
            engine=ENGINE,
            started_at=started,
            finished_at=datetime.now(UTC),
        )


@dataclass
class _Tally:
    """What was counted and written of one object: its files by final key, each with its rows."""

    lines: int = 0
    blank: int = 0
    parts: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    unknown_fields: Counter[str] = field(default_factory=Counter)
    files: dict[str, tuple[Path, int]] = field(default_factory=dict)


class _Part:
    """Rows and rejects on their way to files."""

    def __init__(self, feed: Feed, found: LakeObject) -> None:
        self._feed, self._found = feed, found
        self._rows: list[Cleaned] = []
        self._count = self._rejected_bytes = 0
        self.rejected: list[Rejected] = []

    def add(self, cleaned: Cleaned) -> None:
        """Add what became of some lines."""
        if len(cleaned.lines):
            self._rows.append(cleaned)
            self._count += len(cleaned.lines)
        self.rejected += cleaned.rejected
        self._rejected_bytes += sum(len(line.raw) + 100 for line in cleaned.rejected)

    def is_full(self) -> bool:
        """Return whether a part should be as large as this."""
        return self._count >= ROWS_PER_PART or self._rejected_bytes >= REJECTED_BYTES_PER_PART

    def days(self) -> Iterator[tuple[str, pa.Table]]:
        """Yield each UTC day with its accepted rows."""
        if not self._rows:
            return
        fields = pa.Table.from_batches([c.accepted for c in self._rows])
        lines = pa.array(np.concatenate([c.lines for c in self._rows]), pa.int64())
        table = self._with_origin(fields.append_column("source_line", lines))
        for day, rows in by_day(table):
            yield str(day), _with(rows, "dt", day).select([*self._feed.names, *TECHNICAL])

    def quarantine(self) -> pa.Table:
        """Return the rejected lines."""
        table = _with(table_of(self.rejected), "feed", self._feed.name)
        return self._with_origin(table).select(list(QUARANTINE))

    def _with_origin(self, table: pa.Table) -> pa.Table:
        table = _with(table, "source_file", self._found.key)
        return _with(table, "ingested_at", self._found.modified.replace(tzinfo=None))


def _write(table: pa.Table, path: Path, **options: Any) -> None:
    """Write a Parquet file in one go: a small one takes half the time of many small writes."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    path.write_bytes(sink.getvalue())


def _with(table: pa.Table, name: str, value: object) -> pa.Table:
    """The table with a column of one value, which is kept once."""
    values = pa.array([value], plain.arrow_type((TECHNICAL | QUARANTINE)[name]))
    places = pa.array(np.zeros(table.num_rows, np.int8))
    return table.append_column(name, pa.DictionaryArray.from_arrays(places, values))


def _repeating(feed: Feed, table: pa.Table) -> list[str]:
    """The texts whose values repeat, so that a dictionary of them is worth its time: not the key,
    nor what takes its value or refers to it."""
    return [
        column.name
        for column in table.schema
        if pa.types.is_string(column.type)
        and feed.key not in column.name
        and column.name not in (f.name for f in feed.fields if f.default == feed.key)
    ]
