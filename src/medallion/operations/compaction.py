"""Compaction: the many small bronze objects of past days become a few large ones.

It takes everything that the cleaner published before today and that is loaded, in groups. The rows
of a group are written to new objects. Its receipts are written to one object, which is published
last: from then on it replaces the group, whose old objects are removed. A killed compaction has
either published nothing that counts, or is finished by the next one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medallion.lake.receipts import (
    COMPACTED,
    RECEIPTS,
    Replaced,
    compactions,
    counts_text,
    outputs_of,
    reason,
    receipts_table,
    sealed,
    stamps_of,
    stem_of,
    stored_receipts,
)
from medallion.lake.seals import Damaged, Stamp
from medallion.layers.parquet import PARQUET
from medallion.layers.staging import Loader, loaded_objects
from medallion.platforms.lake import Lake, LakeObject, batches
from medallion.platforms.platform import Platform

GROUP_RECEIPTS, PART_BYTES, ROWS_AT_A_TIME = 20_000, 256 << 20, 1 << 18
"""The most receipts of a group, the bytes of old objects after which a new one begins, and the
number of rows that are written at once."""


@dataclass
class CompactionReport:
    """The result of a compaction.

    `not_loaded` counts receipts of past days that are not loaded yet and stay unchanged. `failures`
    says by key why a group stays unchanged.
    """

    receipts: int = 0
    objects_before: int = 0
    objects_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    not_loaded: int = 0
    failures: dict[str, str] = field(default_factory=dict)


def compact(
    platform: Platform,
    *,
    now: datetime | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> CompactionReport:
    """Write the bronze objects that were published before today (UTC) to a few larger ones.

    Rows, their provenance and their receipts stay the same. The checksums of the old objects are
    checked first.

    Args:
        platform: the platform.
        now: the time.
        progress: called with a message at each step.
    """
    lake, report = platform.lake, CompactionReport()
    today = (now or datetime.now(UTC)).date()
    progress("looking for what was compacted before")
    _finish(lake)
    with platform.reader() as warehouse:
        loaded = loaded_objects(warehouse, ())
    past = [o for o in lake.list(RECEIPTS) if stem_of(o.key) and o.modified.date() < today]
    ready = [o for o in past if o.key in loaded]
    report.not_loaded = len(past) - len(ready)
    for group in _groups(ready):
        progress(f"compacting {report.receipts:,} of {len(ready):,} receipts")
        try:
            _Group(lake, group, report).compact()
        except (Damaged, OSError, pa.ArrowException) as error:
            report.failures[group[0].key] = reason(error)
    if report.receipts and not platform.snowflake:
        with platform.warehouse() as warehouse:
            Loader(lake, warehouse)
    return report


def _finish(lake: Lake) -> None:
    """Remove old objects that an interrupted compaction has replaced but not removed."""
    stored = {o.key for o in lake.list("bronze/")}
    for compaction in compactions(lake):
        _remove(lake, compaction.receipts & stored, compaction.outputs.keys() & stored)


def _remove(lake: Lake, receipts: Iterable[str], outputs: Iterable[str]) -> None:
    """Remove objects, receipts first: no receipt may name an object that is gone."""
    lake.remove(*sorted(receipts))
    lake.remove(*sorted(outputs))


def _groups(receipts: Iterable[LakeObject]) -> Iterator[list[LakeObject]]:
    """Yield groups of receipts to compact together: each of one day, the oldest first."""
    in_order = sorted(receipts, key=lambda o: (o.modified, o.key))
    for _, day in groupby(in_order, key=lambda o: o.modified.date()):
        of_day = [*day]
        for first in range(0, len(of_day), GROUP_RECEIPTS):
            if len(group := of_day[first : first + GROUP_RECEIPTS]) > 1:
                yield group


class _Group:
    """The compaction of some receipts and their outputs."""

    def __init__(self, lake: Lake, group: list[LakeObject], report: CompactionReport) -> None:
        self._lake, self._report = lake, report
        self._scratch = lake.scratch()
        names = "\n".join(sorted(o.key for o in group))
        self._name = f"compact-{hashlib.sha256(names.encode()).hexdigest()[:16]}"
        self._keys = [o.key for o in group]
        self._size = sum(o.size for o in group)
        self._written: dict[str, tuple[Path, Stamp]] = {}
        self._now: dict[str, str] = {}

    def compact(self) -> None:
        """Publish the new objects, the receipts last, and remove the old ones.

        Raises:
            Damaged: an old object is not what was written. Everything stays as it is.
        """
        receipts = self._receipts()
        by_folder: dict[str, dict[str, Stamp]] = {}
        for _, row in receipts:
            for key, stamp in stamps_of(row).items():
                by_folder.setdefault(key.rpartition("/")[0], {})[key] = stamp
        for folder, stamps in sorted(by_folder.items()):
            self._write(folder, stamps)
        table = receipts_table(self._compacted(key, row) for key, row in receipts)
        self._lake.publish({key: path for key, (path, _) in self._written.items()})
        pq.write_table(table, path := self._scratch / "receipts", compression="zstd")
        size = path.stat().st_size + sum(stamp.size for _, stamp in self._written.values())
        self._lake.publish({f"{RECEIPTS}{self._name}{COMPACTED}": path}, keeps_first=True)
        _remove(self._lake, self._keys, self._now)
        self._report.receipts += len(receipts)
        self._report.objects_before += len(self._keys) + len(self._now)
        self._report.objects_after += len(self._written) + 1
        self._report.bytes_before += self._size
        self._report.bytes_after += size

    def _receipts(self) -> list[tuple[str, dict[str, Any]]]:
        damaged: dict[str, str] = {}
        rows = [
            (key, row)
            for key, rows in stored_receipts(self._lake, damaged, self._keys)
            for row in rows
        ]
        unsealed = [key for key, row in rows if outputs_of(row) and not stamps_of(row)]
        for key in unsealed:
            damaged[key] = "an earlier version wrote it, without checksums"
        if damaged:
            key, why = next(iter(damaged.items()))
            raise Damaged(f"{key}: {why}; 'medallion rebuild' makes it again")
        return rows

    def _write(self, folder: str, stamps: dict[str, Stamp]) -> None:
        """Write the rows of the old objects in a folder, in their order, to few new ones."""
        part: list[str] = []
        size = 0
        for key, stamp in stamps.items():
            if part and size + stamp.size > PART_BYTES:
                self._write_part(folder, part, stamps)
                part, size = [], 0
            part.append(key)
            size += stamp.size
        self._write_part(folder, part, stamps)
        self._size += sum(stamp.size for stamp in stamps.values())

    def _write_part(self, folder: str, keys: list[str], stamps: dict[str, Stamp]) -> None:
        number = sum(written.startswith(f"{folder}/") for written in self._written)
        new = f"{folder}/{self._name}-{number:04d}{COMPACTED}"
        path, writer, waiting = self._scratch / f"{len(self._written)}", None, list[pa.Table]()
        for table in self._tables(keys, stamps):
            writer = writer or pq.ParquetWriter(path, table.schema, **_options(table.schema))
            waiting.append(table)
            if sum(t.num_rows for t in waiting) >= ROWS_AT_A_TIME:
                writer.write_table(pa.concat_tables(waiting), ROWS_AT_A_TIME)
                waiting = []
        assert writer
        if waiting:
            writer.write_table(pa.concat_tables(waiting), ROWS_AT_A_TIME)
        writer.close()
        self._written[new] = path, Stamp.of_file(path)
        self._now |= dict.fromkeys(keys, new)

    def _tables(self, keys: Iterable[str], stamps: dict[str, Stamp]) -> Iterator[pa.Table]:
        """Yield the rows of old objects, after comparing their checksums."""
        objects = [LakeObject(key, stamps[key].size, datetime.now(UTC), "") for key in keys]
        for batch in batches(objects):
            with self._lake.fetched([o.key for o in batch]) as paths:
                for stored, path in zip(batch, paths, strict=True):
                    stamps[stored.key].require(stored.key, Stamp.of_file(path))
                    yield pq.ParquetFile(path).read(use_threads=False)

    def _compacted(self, key: str, row: dict[str, Any]) -> dict[str, Any]:
        """Return a receipt that names the new objects, and what they replace."""
        outputs: dict[str, int] = {}
        replaced: dict[str, tuple[int, str]] = {}
        for old, count in outputs_of(row).items():
            new = self._now[old]
            outputs[new] = outputs.get(new, 0) + count
            replaced[old] = count, new
        stamps = {new: self._written[new][1] for new in outputs}
        return sealed(row | {"outputs": counts_text(outputs)}, stamps, Replaced(key, replaced))


def _options(schema: pa.Schema) -> dict[str, Any]:
    return PARQUET | {
        "compression": "zstd",
        "write_statistics": [n for n in PARQUET["write_statistics"] if n in schema.names],
    }
