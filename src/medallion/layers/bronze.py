"""Bronze: the accepted rows by day, the rejected lines and the receipt of each raw object.

The receipt is published last. An object without a receipt is cleaned again and gives outputs with
the same names, so the next run completes a run that was killed.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medallion import __version__
from medallion.cleaning import plain
from medallion.cleaning.cleaner import Cleaner, Collected, Rejected
from medallion.cleaning.lines import read_blocks
from medallion.contract import UNREADABLE, feed_of
from medallion.lake.codecs import DamagedArchive, ReadError, StoredBytes, Unpacked
from medallion.lake.raw import RAW, expected_folders, holds_lines
from medallion.lake.receipts import (
    RECEIPTS,
    Receipt,
    accepted_key,
    key_stem,
    named_counts,
    quarantine_key,
    reason,
    receipt_key,
    stem,
    stem_of,
    stored_receipts,
)
from medallion.lake.seals import Stamp
from medallion.layers.parquet import accepted_table, options, rejected_table
from medallion.platforms.lake import Lake, LakeObject, grouped, milliseconds

ROWS_PER_PART = 1 << 16
REJECTED_BYTES_PER_PART = 8 << 20
"""Limits of the rows and rejected lines in memory; at a limit they are written to disk."""

OBJECTS_AT_ONCE = 64
"""How many small objects are published at once: each folder is flushed once for all of them."""

COMPILED_FROM_BYTES = 1 << 18
"""Below this number of bytes, the exact lane takes less time than loading the compiled pass."""
ENGINE = "medallion"
RECEIPT_PARQUET = {"use_dictionary": False, "write_statistics": False, "store_schema": False}

# Arrow's own allocator keeps freed memory: a fifth of the memory of a run.
pa.set_memory_pool(pa.system_memory_pool())


@dataclass
class CleanReport:
    """The result of one pass of the cleaner.

    `receipts` are the keys of published receipts. `failures` are the reasons, by key, why objects
    could not be read; they stay in raw/ and are tried again.
    """

    objects: int = 0
    bytes: int = 0
    lines: int = 0
    blank: int = 0
    accepted: int = 0
    quarantined: int = 0
    receipts: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, raw: LakeObject, receipt: Receipt) -> None:
        """Add one object to the counts."""
        self.receipts.append(receipt_key(stem(raw)))
        self.objects += 1
        self.bytes += receipt.size
        for name in ("lines", "blank", "accepted", "quarantined"):
            setattr(self, name, getattr(self, name) + getattr(receipt, name))


class Unfinished(OSError):
    """The object changed while it was read, or the run was interrupted."""


class Sweep:
    """A search for raw objects whose newest version has no receipt; it remembers all others.

    Only the newest version of an object counts. So each version must arrive after the one before,
    whatever its modification time is.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._watch = lake.watch(RAW)
        self._stems: dict[str, tuple[str, ...]] | None = None
        self._of_many = dict[str, list[_Earlier]]()
        self.failures: dict[str, str] = {}
        """The reasons, by key, why objects could not be compared in the last search."""

    def waiting(self) -> list[LakeObject]:
        """Return the raw objects without a receipt, oldest arrival first."""
        self.failures = {}
        objects = list[LakeObject]()
        for stored in self._watch.look(expected_folders(datetime.now(UTC))):
            if holds_lines(stored.key):
                objects.append(stored)
            else:
                self._watch.settle(stored.key, stored.version)
        if self._stems is None:
            self._stems = self._receipted()
        new = [version for o in objects if (version := self._new_version(o))]
        return sorted(new, key=lambda o: (o.modified, o.key))

    def _receipted(self) -> dict[str, tuple[str, ...]]:
        """Return the stems of the receipts by their first part, which stands for the key.

        A receipt is named after the key and the version of its object. Clusters and compactions
        write many receipts into one object: these objects are read.
        """
        stems, of_many = dict[str, tuple[str, ...]](), list[str]()
        for stored in self._lake.list(RECEIPTS):
            if name := stem_of(stored.key):
                key = name.partition("-")[0]
                stems[key] = (*stems.get(key, ()), name)
            else:
                of_many.append(stored.key)
        for earlier in self._earlier(of_many):
            self._of_many.setdefault(earlier.source_file, []).append(earlier)
        return stems

    def finished(self, raw: LakeObject) -> None:
        """Remember a receipt that was just published."""
        self._watch.settle(raw.key, raw.version)
        if self._stems is not None:
            key = key_stem(raw.key)
            self._stems[key] = (*self._stems.get(key, ()), stem(raw))

    def _new_version(self, raw: LakeObject) -> LakeObject | None:
        """Return an object with its arrival; None if its newest receipt is of the same bytes.

        An object that cannot be compared is recorded as a failure.
        """
        assert self._stems is not None
        stems, of_many = self._stems.get(key_stem(raw.key), ()), self._of_many.get(raw.key)
        if not stems and not of_many:
            return raw
        if stems != (stem(raw),) or of_many:
            earlier = [*(of_many or ()), *self._earlier(map(receipt_key, stems))]
            newest = max(earlier, default=None)
            if newest is None:
                return raw
            if newest.key != receipt_key(stem(raw)) and not newest.has_place_of(raw):
                try:
                    with self._lake.open(raw.key) as stream:
                        checksum = StoredBytes(stream).checksum()
                except OSError as error:
                    self.failures[raw.key] = reason(error)
                    return None
                if checksum != newest.checksum:
                    return _after(raw, newest.arrived)
        self._watch.settle(raw.key, raw.version)
        return None

    def _earlier(self, keys: Iterable[str]) -> Iterator[_Earlier]:
        """Yield the versions that objects of receipts describe; record unreadable objects."""
        for key, rows in stored_receipts(self._lake, self.failures, keys):
            for row in rows:
                arrived = row["modified_at"].replace(tzinfo=UTC)
                yield _Earlier(arrived, row["size"], row["checksum"], row["source_file"], key)


@dataclass(frozen=True, order=True)
class _Earlier:
    """An earlier version of a raw object, from its receipt; `key` is that of the receipt."""

    arrived: datetime
    size: int
    checksum: str
    source_file: str
    key: str

    def has_place_of(self, raw: LakeObject) -> bool:
        """Return whether a receipt among many, which is not named after its object, is of `raw`."""
        return not stem_of(self.key) and (self.size, self.arrived) == (raw.size, raw.modified)


def _after(raw: LakeObject, arrived: datetime) -> LakeObject:
    """Return a version with an arrival after that of another, if necessary a millisecond later.

    A file that is restored from a backup, or written twice in S3 within the same second, has an
    older or the same modification time.
    """
    if raw.modified > arrived:
        return raw
    later = arrived + timedelta(milliseconds=1)
    return replace(raw, modified=later, version=f"{raw.version} after {milliseconds(arrived)}")


def clean(
    lake: Lake,
    sweep: Sweep | None = None,
    *,
    workers: int | None = None,
    progress: Callable[[Receipt], None] = lambda _: None,
    notice: Callable[[str], None] = lambda _: None,
) -> CleanReport:
    """Clean every raw object without a receipt; only one runner at a time may do this.

    Args:
        lake: the lake with raw/ and bronze/.
        sweep: the memory of earlier passes.
        workers: how many objects are cleaned at once; None for the number of processors.
        progress: called with each receipt.
        notice: called with a message before a slow step that happens once on each machine.
    """
    sweep = sweep or Sweep(lake)
    waiting, report, scratch = sweep.waiting(), CleanReport(), lake.scratch()
    report.failures |= sweep.failures
    if sum(o.size for o in waiting) >= COMPILED_FROM_BYTES:
        plain.load(notice)
    outcomes = _clean_all(lake, waiting, scratch, workers or os.cpu_count() or 1)
    for group in grouped(outcomes, _rows_of, OBJECTS_AT_ONCE, ROWS_PER_PART):
        cleaned = [(raw, outcome) for raw, outcome in group if isinstance(outcome, _CleanedObject)]
        lake.publish({key: path for _, o in cleaned for key, path in o.outputs.items()})
        receipts = {receipt_key(stem(raw)): outcome.path for raw, outcome in cleaned}
        lake.publish(receipts, keeps_first=True)
        for raw, outcome in group:
            if isinstance(outcome, OSError):
                report.failures[raw.key] = outcome.strerror or str(outcome)
                continue
            sweep.finished(raw)
            report.add(raw, outcome.receipt)
            progress(outcome.receipt)
    return report


@dataclass(frozen=True)
class _CleanedObject:
    """The receipt of an object in a scratch file, and the scratch files of its outputs by key."""

    receipt: Receipt
    path: Path
    outputs: dict[str, Path]


_Outcome = tuple[LakeObject, _CleanedObject | OSError]


def _rows_of(outcome: _Outcome) -> int:
    _, cleaned = outcome
    return sum(cleaned.receipt.outputs.values()) if isinstance(cleaned, _CleanedObject) else 0


def _clean_all(
    lake: Lake, waiting: list[LakeObject], scratch: Path, workers: int
) -> Iterator[_Outcome]:
    if len(waiting) < 2 or workers < 2:
        for raw in waiting:
            yield raw, _attempt(lake, raw, scratch)
        return
    stop = threading.Event()
    # Threads suffice: the compiled pass, Parquet and checksums release the interpreter lock.
    with ThreadPoolExecutor(workers) as pool:
        tasks = {pool.submit(_attempt, lake, raw, scratch, stop): raw for raw in waiting}
        try:
            for task in as_completed(tasks):
                yield tasks[task], task.result()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _attempt(
    lake: Lake, raw: LakeObject, scratch: Path, stop: threading.Event | None = None
) -> _CleanedObject | OSError:
    try:
        stream = lake.open(raw.key)
    except OSError as error:
        return error
    with stream:
        try:
            return ObjectCleaner(raw, scratch, stop).run(StoredBytes(stream))
        except (Unfinished, ReadError) as error:
            return error


class ObjectCleaner:
    """The cleaning of one raw object in bounded memory: blocks of lines in, parts of rows out."""

    def __init__(self, raw: LakeObject, scratch: Path, stop: threading.Event | None = None) -> None:
        self._raw, self._scratch = raw, scratch
        self._feed = feed_of(raw.key)
        self._stem = stem(raw)
        self._stop = stop

    def run(self, source: StoredBytes) -> _CleanedObject:
        """Write the outputs and the receipt to scratch files."""
        started = datetime.now(UTC)
        try:
            tally = self._clean(source)
        except DamagedArchive:
            tally = self._refuse()
        if source.checksum() and source.size != self._raw.size:
            raise Unfinished(None, "it was still being written; it is taken once it stays as it is")
        receipt = self._receipt(source, tally, started)
        path = self._scratch / f"{self._stem}.parquet"
        _write(receipt.table(), path, **RECEIPT_PARQUET)
        return _CleanedObject(receipt, path, {k: output.path for k, output in tally.files.items()})

    def _clean(self, source: StoredBytes) -> _Tally:
        tally, cleaner = _Tally(), Cleaner(self._feed)
        part = Collected(self._feed)
        for block in read_blocks(Unpacked(source, self._raw.key)):
            if self._stop and self._stop.is_set():
                raise Unfinished(None, "it was interrupted; the next run takes it")
            tally.lines += len(block)
            for cleaned in cleaner.clean(block):
                tally.blank += cleaned.blank
                part.add(cleaned)
                if part.count >= ROWS_PER_PART or part.rejected_bytes >= REJECTED_BYTES_PER_PART:
                    self._write(part, tally)
                    part = Collected(self._feed)
        self._write(part, tally)
        tally.unknown_fields = cleaner.unknown_fields()
        return tally

    def _refuse(self) -> _Tally:
        """Reject an object that cannot be read to its end, as one line.

        Lines that could be read are not accepted, because nobody knows what is missing. The bytes
        stay in raw/.
        """
        part, tally = Collected(self._feed), _Tally(lines=1)
        part.rejected.append(Rejected(UNREADABLE, None, self._raw.size, 1))
        self._write(part, tally)
        return tally

    def _write(self, part: Collected, tally: _Tally) -> None:
        """Write a part to scratch files: rows by UTC day or together, and rejected lines."""
        origin = self._raw.key, self._raw.modified
        for day, rows in part.accepted_rows():
            key = accepted_key(self._feed.name, str(day) if day else None, self._stem, tally.parts)
            self._file(key, accepted_table(self._feed, rows, day, *origin), tally)
        if part.rejected:
            tally.reasons.update(line.reason for line in part.rejected)
            key = quarantine_key(self._stem, tally.parts)
            self._file(key, rejected_table(self._feed, part.rejected_rows(), *origin), tally)
        tally.parts += 1

    def _file(self, key: str, table: pa.Table, tally: _Tally) -> None:
        path = self._scratch / f"{self._stem}-{len(tally.files)}.parquet"
        stamp = _write(table, path, **options(self._feed, table.schema))
        tally.files[key] = _Output(path, table.num_rows, stamp)

    def _receipt(self, source: StoredBytes, tally: _Tally, started: datetime) -> Receipt:
        outputs = {key: output.rows for key, output in tally.files.items()}
        quarantined = tally.reasons.total()
        return Receipt(
            feed=self._feed.name,
            source_file=self._raw.key,
            size=self._raw.size,
            modified_at=self._raw.modified,
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
            stamps={key: output.stamp for key, output in tally.files.items()},
        )


@dataclass(frozen=True)
class _Output:
    """A scratch file that will become a bronze object."""

    path: Path
    rows: int
    stamp: Stamp


@dataclass
class _Tally:
    """The counts of one object, and its scratch files by final key."""

    lines: int = 0
    blank: int = 0
    parts: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    unknown_fields: Counter[str] = field(default_factory=Counter)
    files: dict[str, _Output] = field(default_factory=dict)


def _write(table: pa.Table, path: Path, **options: Any) -> Stamp:
    """Write a Parquet file at once: for a small file, many small writes take twice the time."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    data = sink.getvalue()
    path.write_bytes(data)
    return Stamp(data.size, hashlib.sha256(data).hexdigest())
