"""The erasure of an id from the objects of a lake: raw, bronze, quarantine and receipts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from medallion.contract import MAX_LINE_BYTES, feed_of
from medallion.errors import LakeError
from medallion.lake.codecs import codec_of_file, create_packed
from medallion.lake.raw import raw_objects
from medallion.lake.receipts import (
    QUARANTINES,
    RECEIPTS,
    SUFFIXES,
    read_receipts,
    receipt_key,
    receipts_table,
    sealed,
    stamps_of,
    stem,
    stem_of,
)
from medallion.lake.seals import Stamp
from medallion.operations.erasure.pseudonym import Replacement
from medallion.operations.erasure.raw_lines import READ_ERRORS, lines
from medallion.platforms.lake import Changed, Lake, LakeObject, batches
from medallion.platforms.warehouse import literal

TRIES = 5
"""The number of times that an object is rewritten again because it changed meanwhile."""


@dataclass
class Rewritten:
    """Counts of rewritten objects, rows and deleted versions.

    `unsearchable` gives the reason, by key, why objects cannot be searched.
    """

    raw_objects: int = 0
    raw_lines: int = 0
    bronze_objects: int = 0
    bronze_rows: int = 0
    quarantined_lines: int = 0
    old_versions: int = 0
    unsearchable: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Before:
    """A raw object before its erasure: the stamp of its stored bytes, and its arrival."""

    stamp: Stamp
    arrived: datetime


class LakeEraser:
    """The erasure of one id from a lake, in steps that may be repeated.

    Each object is replaced as a whole.
    """

    def __init__(
        self,
        lake: Lake,
        replacement: Replacement,
        stamps: dict[str, Stamp] | None = None,
        note: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin an erasure, or continue one.

        Args:
            lake: the lake.
            replacement: the id and its pseudonym.
            stamps: receives the stamps of rewritten bronze objects, for their receipts.
            note: stores these stamps; called before each object is replaced.
        """
        self._lake, self._by = lake, replacement
        self._stamps, self._note = {} if stamps is None else stamps, note
        self._scratch = lake.scratch()
        self.done = Rewritten()

    def find_raw(self) -> dict[str, Before]:
        """Return the raw objects that hold the id, by key."""
        affected = {}
        for raw, path in self._fetched(raw_objects(self._lake)):
            try:
                # All lines: an object that cannot be read to its end cannot be rewritten.
                if sum(changed for _, changed in lines(path, raw.key, self._by)):
                    affected[raw.key] = Before(Stamp.of_file(path), raw.modified)
            except READ_ERRORS as error:
                self.done.unsearchable[raw.key] = str(error)
        return affected

    def rewrite_raw(self, before: dict[str, Before]) -> None:
        """Rewrite raw objects line by line; each keeps its key and its arrival.

        Lines that a producer appends meanwhile are kept.

        Raises:
            LakeError: a producer keeps writing an object.
        """
        for key in before:
            for _ in range(TRIES):
                try:
                    self._rewrite(key, before[key])
                    break
                except Changed:
                    continue
            else:
                raise LakeError(
                    f"{key} is being written by another process: stop that, and 'medallion forget "
                    "--resume' goes on"
                )

    def _rewrite(self, key: str, before: Before) -> None:
        for raw, stored in self._fetched(o for o in self._lake.list(key) if o.key == key):
            path = self._scratch / "raw"
            count = self._copy(stored, key, path)
            # An interrupted erasure may have rewritten it without its arrival. What has grown since
            # is another version, which must have another arrival.
            is_old = Stamp.of_file(stored) in (before.stamp, self._stamps.get(key))
            arrived = before.arrived if is_old else raw.modified
            if not count and raw.modified == arrived:
                return
            if stamp := self._new_stamp(stored, key, path, before):
                self._stamps[key] = stamp
                self._note()
            self._lake.replace(path, key, arrived, instead_of=raw)
            self.done.raw_objects += 1
            self.done.raw_lines += count

    def _copy(self, stored: Path, key: str, path: Path) -> int:
        """Write a raw object without the id; return the number of changed lines."""
        count = 0
        with create_packed(path, codec_of_file(stored, key)) as out:
            for line, changed in lines(stored, key, self._by):
                out.write(line)
                count += changed
        return count

    def _new_stamp(self, stored: Path, key: str, path: Path, before: Before) -> Stamp | None:
        """Return the stamp of the bytes that were searched, for the receipt.

        If the object has grown since, this is the stamp of the rewritten old part; the whole object
        is a new version, which the next run cleans. None if the object has other content by now, or
        was rewritten before.
        """
        if Stamp.of_file(stored) == before.stamp:
            return Stamp.of_file(path)
        part, rewritten = self._scratch / "part", self._scratch / "part-rewritten"
        with stored.open("rb") as file:
            part.write_bytes(file.read(before.stamp.size))
        try:
            if Stamp.of_file(part) != before.stamp:
                return None
            self._copy(part, key, rewritten)
            return Stamp.of_file(rewritten)
        finally:
            part.unlink()
            rewritten.unlink(missing_ok=True)

    def rewrite_bronze(self) -> None:
        """Rewrite the accepted rows of the customer."""
        for key, path in self._tables("bronze/purchases/"):
            with duckdb.connect() as db:
                rows = "FROM read_parquet($path, hive_partitioning = false)"
                held = f"SELECT count(*) {rows} WHERE customer_id = $id"
                parameters = {"path": str(path), "id": self._by.customer}
                (count,) = db.execute(held, parameters).fetchall()[0]
                if count:
                    db.execute(
                        "CREATE TABLE kept AS SELECT * REPLACE (CASE WHEN customer_id = $id "
                        f"THEN $name ELSE customer_id END AS customer_id) {rows}",
                        parameters | {"name": self._by.pseudonym},
                    )
                    target = self._scratch / "bronze"
                    db.execute(f"COPY kept TO {literal(target)} (FORMAT parquet)")
                    self._replace_output(target, key)
                    self.done.bronze_rows += count

    def rewrite_quarantine(self) -> None:
        """Rewrite the text of rejected lines."""
        for key, path in self._tables(QUARANTINES):
            table = pq.read_table(path, partitioning=None)
            rows = table.to_pylist()
            changed = 0
            for row in rows:
                if row["raw"] is None:  # an object that cannot be read: its bytes are in raw/ only
                    continue
                new = self._by.line(row["raw"], feed_of(row["source_file"]))
                if new != row["raw"]:
                    row["raw_size"] += len(new) - len(row["raw"])
                    row["raw"] = new[:MAX_LINE_BYTES]
                    changed += 1
            if changed:
                pq.write_table(
                    pa.Table.from_pylist(rows, schema=table.schema),
                    target := self._scratch / "table",
                )
                self._replace_output(target, key)
                self.done.quarantined_lines += changed

    def _replace_output(self, path: Path, key: str) -> None:
        self._stamps[key] = Stamp.of_file(path)
        self._note()
        self._lake.replace(path, key)
        self.done.bronze_objects += 1

    def rewrite_receipts(self, before: dict[str, Before]) -> None:
        """Update the receipts of rewritten objects to match their new bytes.

        The receipt of a single object gets the name that the cleaner would give it.
        """
        affected = (raw for raw in raw_objects(self._lake) if raw.key in before)
        now = {raw.key: (raw, Stamp.of_file(path)) for raw, path in self._fetched(affected)}
        for key, path in self._tables(RECEIPTS):
            with path.open("rb") as stream:
                rows = read_receipts(stream, key)
            changed = [
                row
                for row in rows
                if is_receipt_of(row, before) and row["source_file"] in self._stamps
            ]
            for row in changed:
                self._update(row)
            again = [self._resealed(row) for row in rows]
            if again != rows or changed:
                new = key
                # Of an object that has grown since, the name stays that of the old version.
                if changed and stem_of(key) and (current := now.get(changed[0]["source_file"])):
                    raw, stamp = current
                    new = receipt_key(stem(raw)) if stamp == self._stamps[raw.key] else key
                pq.write_table(receipts_table(again), path := self._scratch / "table")
                self._lake.replace(path, new)
                if new != key:
                    self._lake.remove(key)

    def _resealed(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return a receipt with a new seal over its values and the stamps of rewritten outputs."""
        stamps = stamps_of(row)
        if not stamps:
            return row
        return sealed(row, {key: self._stamps.get(key, stamp) for key, stamp in stamps.items()})

    def _update(self, row: dict[str, Any]) -> None:
        stamp = self._stamps[row["source_file"]]
        names = json.loads(row["unknown_fields"])
        unknown = {self._by.text(name): count for name, count in names.items()}
        row |= {
            "size": stamp.size,
            "checksum": stamp.sha256,
            "unknown_fields": json.dumps(
                unknown, ensure_ascii=False, sort_keys=True, separators=(",", ":")
            ),
        }

    def _tables(self, prefix: str) -> Iterator[tuple[str, Path]]:
        """Return the Parquet objects under a prefix: their keys, and local files to read."""
        objects = (o for o in self._lake.list(prefix) if o.key.endswith(SUFFIXES))
        return ((o.key, path) for o, path in self._fetched(objects))

    def _fetched(self, objects: Iterable[LakeObject]) -> Iterator[tuple[LakeObject, Path]]:
        for batch in batches(objects):
            with self._lake.fetched([o.key for o in batch]) as paths:
                yield from zip(batch, paths, strict=True)


def is_receipt_of(receipt: dict[str, Any], before: dict[str, Before]) -> bool:
    """Return whether a receipt is about bytes that held the id."""
    then = before.get(receipt["source_file"])
    return then is not None and then.stamp.sha256 == receipt["checksum"]
