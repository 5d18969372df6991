"""The erasure of an id from the objects of a lake: raw, bronze, quarantine and receipts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from medallion.contract import MAX_LINE_BYTES, feed_of
from medallion.lake.codecs import StoredBytes, codec_of_file, create_packed
from medallion.lake.raw import raw_objects
from medallion.lake.receipts import QUARANTINES, RECEIPTS, is_stem, receipt_key, stem
from medallion.operations.erasure.pseudonym import Replacement
from medallion.operations.erasure.raw_lines import READ_ERRORS, lines
from medallion.platforms.lake import Lake, LakeObject, batches
from medallion.platforms.warehouse import literal


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
    """A raw object before its erasure: the checksum of its stored bytes, and its arrival."""

    checksum: str
    arrived: datetime


class LakeEraser:
    """The erasure of one id from a lake, in steps that may be repeated; each object is replaced."""

    def __init__(self, lake: Lake, replacement: Replacement) -> None:
        self._lake, self._by = lake, replacement
        self._scratch = lake.scratch()
        self.done = Rewritten()

    def find_raw(self) -> dict[str, Before]:
        """Return the raw objects that hold the id, by key."""
        affected = {}
        for raw, path in self._fetched(raw_objects(self._lake)):
            try:
                # All lines: an object that cannot be read to its end cannot be rewritten.
                if sum(changed for _, changed in lines(path, raw.key, self._by)):
                    affected[raw.key] = Before(_checksum(path), raw.modified)
            except READ_ERRORS as error:
                self.done.unsearchable[raw.key] = str(error)
        return affected

    def rewrite_raw(self, before: dict[str, Before]) -> None:
        """Rewrite raw objects line by line; each keeps its key and its arrival."""
        affected = (raw for raw in raw_objects(self._lake) if raw.key in before)
        for raw, stored in self._fetched(affected):
            path, count = self._scratch / "raw", 0
            with create_packed(path, codec_of_file(stored, raw.key)) as out:
                for line, changed in lines(stored, raw.key, self._by):
                    out.write(line)
                    count += changed
            arrived = before[raw.key].arrived
            # An interrupted erasure may have rewritten it without its arrival.
            if count or raw.modified != arrived:
                self._lake.replace(path, raw.key, arrived)
                self.done.raw_objects += 1
                self.done.raw_lines += count

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
                    self._lake.replace(target, key)
                    self.done.bronze_objects += 1
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
                self._replace(pa.Table.from_pylist(rows, schema=table.schema), key)
                self.done.bronze_objects += 1
                self.done.quarantined_lines += changed

    def rewrite_receipts(self, before: dict[str, Before]) -> None:
        """Update the receipts of rewritten raw objects to match their new bytes.

        The receipt of a single object gets the name that the cleaner would give it.
        """
        affected = (raw for raw in raw_objects(self._lake) if raw.key in before)
        now = {raw.key: (raw, _checksum(path)) for raw, path in self._fetched(affected)}
        for key, path in self._tables(RECEIPTS):
            table = pq.read_table(path, partitioning=None)
            rows = table.to_pylist()
            changed = [
                row for row in rows if is_receipt_of(row, before) and row["source_file"] in now
            ]
            for row in changed:
                self._update(row, *now[row["source_file"]])
            if changed:
                name = key.removeprefix(RECEIPTS).removesuffix(".parquet")
                raw, _ = now[changed[0]["source_file"]]
                new = receipt_key(stem(raw)) if is_stem(name) else key
                self._replace(pa.Table.from_pylist(rows, schema=table.schema), new)
                if new != key:
                    self._lake.remove(key)

    def _update(self, row: dict[str, Any], raw: LakeObject, checksum: str) -> None:
        names = json.loads(row["unknown_fields"])
        unknown = {self._by.text(name): count for name, count in names.items()}
        row |= {
            "size": raw.size,
            "checksum": checksum,
            "unknown_fields": json.dumps(
                unknown, ensure_ascii=False, sort_keys=True, separators=(",", ":")
            ),
        }

    def _replace(self, table: pa.Table, key: str) -> None:
        pq.write_table(table, path := self._scratch / "table")
        self._lake.replace(path, key)

    def _tables(self, prefix: str) -> Iterator[tuple[str, Path]]:
        """Return the Parquet objects under a prefix: their keys, and local files to read."""
        objects = (o for o in self._lake.list(prefix) if o.key.endswith(".parquet"))
        return ((o.key, path) for o, path in self._fetched(objects))

    def _fetched(self, objects: Iterable[LakeObject]) -> Iterator[tuple[LakeObject, Path]]:
        for batch in batches(objects):
            with self._lake.fetched([o.key for o in batch]) as paths:
                yield from zip(batch, paths, strict=True)


def is_receipt_of(receipt: dict[str, Any], before: dict[str, Before]) -> bool:
    """Return whether a receipt is about bytes that held the id."""
    then = before.get(receipt["source_file"])
    return then is not None and then.checksum == receipt["checksum"]


def _checksum(path: Path) -> str:
    with path.open("rb", buffering=0) as stream:
        return StoredBytes(stream).checksum()
