"""Bronze: from each raw object its accepted rows by day, its quarantine and its receipt.

The receipt is published last. An object without one is cleaned again, to the same names, so a run
that was killed anywhere is made good by the next.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import pyarrow.parquet as pq

from medallion import __version__
from medallion.cleaning.duckdb_engine import ENGINE, Tally, cleaner
from medallion.cleaning.lines import BLOCK_BYTES, Source, Unreadable, read_blocks
from medallion.cleaning.receipts import (
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
from medallion.contract import UNREADABLE, feed_of
from medallion.layers.raw import raw_objects
from medallion.platforms.lake import Lake, LakeObject
from medallion.platforms.warehouse import literal

ROWS_PER_PART = 200_000
REJECTED_BYTES_PER_PART = 32 << 20
PARALLEL_FROM_BYTES = 32 << 20
"""Fewer bytes than this are cleaned sooner by one process than two can be started."""


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
) -> CleanReport:
    """Cleans every raw object that waits. One runner at a time may do this."""
    sweep = sweep or Sweep(lake)
    waiting, report, scratch = sweep.waiting(), CleanReport(), lake.scratch()
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
    if len(waiting) < 2 or workers < 2 or sum(o.size for o in waiting) < PARALLEL_FROM_BYTES:
        for found in waiting:
            yield found, _attempt(lake, found, scratch)
        return
    # Not forked: a copy of a process with threads and an open database may hang.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        tasks = {pool.submit(_attempt, lake, found, scratch): found for found in waiting}
        for task in as_completed(tasks):
            yield tasks[task], task.result()


def _attempt(lake: Lake, found: LakeObject, scratch: Path) -> Receipt | OSError:
    try:
        stream = lake.open(found.key)
    except OSError as error:
        return error
    with stream:
        try:
            return ObjectCleaner(lake, found, scratch).run(Source(stream))
        except Unfinished as error:
            return error


class ObjectCleaner:
    """Cleans one raw object in bounded memory: a block of lines at a time, a part of rows at a
    time."""

    def __init__(self, lake: Lake, found: LakeObject, scratch: Path) -> None:
        self._lake, self._found, self._scratch = lake, found, scratch
        self._feed = feed_of(found.key)
        self._stem = stem(found)
        self._cleaner = cleaner(self._feed)
        self._db = self._cleaner.db

    def run(self, source: Source) -> Receipt:
        """Publishes what the object became, the receipt last, and returns the receipt."""
        started = datetime.now(UTC)
        try:
            tally, parts = self._clean(source)
        except Unreadable:
            tally, parts = self._refuse()
        if source.checksum() and source.size != self._found.size:
            raise Unfinished(None, "it was still being written; it is taken once it stays as it is")
        outputs = {key: rows for part in parts for key, rows in self._publish(part).items()}
        receipt = self._receipt(source, tally, parts, outputs, started)
        pq.write_table(receipt.table(), path := self._scratch / f"{self._stem}.parquet")
        self._lake.publish(path, receipt_key(self._stem))
        return receipt

    def _clean(self, source: Source) -> tuple[Tally, list[_Part]]:
        tally, parts = Tally(), list[_Part]()
        self._cleaner.clear()
        for block in read_blocks(source, self._found.key, BLOCK_BYTES):
            self._cleaner.add(block, tally)
            if self._is_full():
                parts.append(self._write(len(parts)))
                self._cleaner.clear()
        if not parts or any(self._sizes()):
            parts.append(self._write(len(parts)))
        return tally, parts

    def _refuse(self) -> tuple[Tally, list[_Part]]:
        """An object that cannot be read to its end counts as one line, rejected whole; what was
        read of it is not taken, because nobody knows what is missing. Its text stays in raw/."""
        self._cleaner.clear()
        self._db.execute(
            "INSERT INTO rejected VALUES (1, ?, ''::BLOB, ?)", [UNREADABLE, self._found.size]
        )
        return Tally(lines=1), [self._write(0)]

    def _sizes(self) -> tuple[int, int]:
        """Rows in `accepted`, bytes in `rejected`."""
        (rows,) = self._db.execute("SELECT count(*) FROM accepted").fetchall()[0]
        size = "SELECT coalesce(sum(octet_length(raw) + 100), 0) FROM rejected"
        return rows, int(self._db.execute(size).fetchall()[0][0])

    def _is_full(self) -> bool:
        rows, size = self._sizes()
        return rows >= ROWS_PER_PART or size >= REJECTED_BYTES_PER_PART

    def _write(self, number: int) -> _Part:
        """Writes `accepted` and `rejected` to scratch files, one for each day and one."""
        part = _Part()
        technical = (
            f"{literal(self._found.key)} AS source_file, source_line, "
            f"TIMESTAMP '{self._found.modified:%Y-%m-%d %H:%M:%S.%f}' AS ingested_at"
        )
        days = self._db.execute(
            "SELECT ts::DATE::VARCHAR, count(*) FROM accepted GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        for day, rows in days:
            key = accepted_key(self._feed.name, day, self._stem, number)
            only = f"WHERE ts::DATE = DATE '{day}'" if len(days) > 1 else ""
            names = ", ".join(self._feed.names)
            query = f"SELECT {names}, {technical}, ts::DATE AS dt FROM accepted {only}"
            self._copy(part, f"{number}-{day}", query, key, rows)
        reasons = self._db.execute("SELECT reason, count(*) FROM rejected GROUP BY ALL").fetchall()
        part.reasons = dict(reasons)
        if reasons:
            query = (
                f"SELECT '{self._feed.name}' AS feed, reason, raw, raw_size, {technical} "
                "FROM rejected ORDER BY source_line"
            )
            key = quarantine_key(self._stem, number)
            self._copy(part, f"{number}-quarantine", query, key, sum(part.reasons.values()))
        return part

    def _copy(self, part: _Part, name: str, query: str, key: str, rows: int) -> None:
        path = self._scratch / f"{self._stem}-{name}.parquet"
        self._db.execute(
            f"COPY ({query}) TO {literal(path)} "
            "(FORMAT parquet, COMPRESSION snappy, WRITE_BLOOM_FILTER false)"
        )
        part.files[key] = (path, rows)

    def _publish(self, part: _Part) -> dict[str, int]:
        for key, (path, _) in part.files.items():
            self._lake.publish(path, key)
        return {key: rows for key, (_, rows) in part.files.items()}

    def _receipt(
        self,
        source: Source,
        tally: Tally,
        parts: Iterable[_Part],
        outputs: dict[str, int],
        started: datetime,
    ) -> Receipt:
        reasons: dict[str, int] = {}
        for part in parts:
            for reason, count in part.reasons.items():
                reasons[reason] = reasons.get(reason, 0) + count
        quarantined = sum(reasons.values())
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
            reasons=reasons,
            unknown_fields=named_counts(tally.unknown_fields),
            outputs=outputs,
            cleaner_version=__version__,
            engine=ENGINE,
            started_at=started,
            finished_at=datetime.now(UTC),
        )


@dataclass
class _Part:
    """Files on their way: by final key the scratch file and its rows; rejects by reason."""

    files: dict[str, tuple[Path, int]] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
