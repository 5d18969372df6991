"""The id taken out of the objects of a lake in a home: raw/, bronze/, quarantine and receipts."""

from __future__ import annotations

import gzip
import io
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import IO, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from medallion.cleaning.lines import BOM, Source
from medallion.cleaning.receipts import QUARANTINES, RECEIPTS, is_stem, receipt_key, stem
from medallion.contract import MAX_LINE_BYTES, feed_of
from medallion.erasure.pseudonym import Replacement
from medallion.layers.raw import raw_objects
from medallion.platforms.lake import LakeObject
from medallion.platforms.local import LocalLake


@dataclass
class Rewritten:
    """What was rewritten, and the objects that cannot be searched, by key with the reason."""

    raw_objects: int = 0
    raw_lines: int = 0
    bronze_objects: int = 0
    bronze_rows: int = 0
    quarantined_lines: int = 0
    unsearchable: dict[str, str] = field(default_factory=dict)


class LakeEraser:
    """Takes one id out of a lake. Every step may be repeated; each object is replaced whole."""

    def __init__(self, lake: LocalLake, replacement: Replacement) -> None:
        self._lake, self._by = lake, replacement
        self._scratch = lake.scratch()
        self.done = Rewritten()

    def find_raw(self) -> dict[str, str]:
        """The raw objects that hold the id: key, and checksum of the stored bytes."""
        found = {}
        for raw in raw_objects(self._lake):
            try:
                if sum(changed for _, changed in self._lines(raw)):
                    found[raw.key] = self._checksum(raw.key)
            except (OSError, EOFError, zlib.error) as error:
                self.done.unsearchable[raw.key] = str(error)
        return found

    def rewrite_raw(self, keys: dict[str, str]) -> None:
        """Rewrites raw objects, line by line; each keeps its key and its time of arrival."""
        for raw in [o for o in raw_objects(self._lake) if o.key in keys]:
            path = self._scratch / "raw"
            lines = 0
            with _writer(path, raw.key) as out:
                for line, changed in self._lines(raw):
                    out.write(line)
                    lines += changed
            if lines:
                status = (self._lake.home / raw.key).stat()
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
                self._lake.publish(path, raw.key)
                self.done.raw_objects += 1
                self.done.raw_lines += lines

    def _lines(self, raw: LakeObject) -> Iterator[tuple[bytes, bool]]:
        """The lines of an object without the id, and whether each was changed."""
        feed = feed_of(raw.key)
        with _reader(self._lake.home / raw.key) as stream:
            for number, line in enumerate(stream):
                mark = BOM if number == 0 and line.startswith(BOM) else b""
                end = b"\n" if line.endswith(b"\n") else b""
                body = line[len(mark) : len(line) - len(end)]
                new = self._by.line(body, feed)
                yield mark + new + end, new != body

    def rewrite_bronze(self) -> None:
        """Rewrites the accepted rows of the customer."""
        for key in self._keys("bronze/purchases/"):
            with duckdb.connect() as db:
                path = str(self._lake.home / key)
                rows = "FROM read_parquet($path, hive_partitioning = false)"
                held = f"SELECT count(*) {rows} WHERE customer_id = $id"
                given = {"path": path, "id": self._by.customer}
                (count,) = db.execute(held, given).fetchall()[0]
                if count:
                    db.execute(
                        "CREATE TABLE kept AS SELECT * REPLACE (CASE WHEN customer_id = $id "
                        f"THEN $name ELSE customer_id END AS customer_id) {rows}",
                        given | {"name": self._by.pseudonym},
                    )
                    target = self._scratch / "bronze"
                    db.execute(f"COPY kept TO '{_escaped(target)}' (FORMAT parquet)")
                    self._lake.publish(target, key)
                    self.done.bronze_objects += 1
                    self.done.bronze_rows += count

    def rewrite_quarantine(self) -> None:
        """Rewrites the kept text of rejected lines."""
        for key in self._keys(QUARANTINES):
            table = pq.read_table(self._lake.home / key)
            rows = table.to_pylist()
            changed = 0
            for row in rows:
                new = self._by.line(row["raw"], feed_of(row["source_file"]))
                if new != row["raw"]:
                    row["raw_size"] += len(new) - len(row["raw"])
                    row["raw"] = new[:MAX_LINE_BYTES]
                    changed += 1
            if changed:
                self._replace(pa.Table.from_pylist(rows, schema=table.schema), key)
                self.done.bronze_objects += 1
                self.done.quarantined_lines += changed

    def rewrite_receipts(self, keys: dict[str, str]) -> None:
        """Lets the receipts of rewritten raw objects, which `keys` gives with the checksums of
        before, speak of the bytes that are there now."""
        there = {o.key: o for o in raw_objects(self._lake) if o.key in keys}
        for key in self._keys(RECEIPTS):
            table = pq.read_table(self._lake.home / key)
            rows = table.to_pylist()
            changed = [r for r in rows if keys.get(r["source_file"]) == r["checksum"]]
            for row in changed:
                self._retell(row, there[row["source_file"]])
            if changed:
                name = key.removeprefix(RECEIPTS).removesuffix(".parquet")
                new = receipt_key(stem(there[rows[0]["source_file"]])) if is_stem(name) else key
                self._replace(pa.Table.from_pylist(rows, schema=table.schema), new)
                if new != key:
                    (self._lake.home / key).unlink()

    def _retell(self, row: dict[str, Any], raw: LakeObject) -> None:
        names = json.loads(row["unknown_fields"])
        told = {self._by.text(name): count for name, count in names.items()}
        row |= {
            "size": raw.size,
            "modified_at": raw.modified.astimezone(UTC).replace(tzinfo=None),
            "checksum": self._checksum(raw.key),
            "unknown_fields": json.dumps(
                told, ensure_ascii=False, sort_keys=True, separators=(",", ":")
            ),
        }

    def _replace(self, table: pa.Table, key: str) -> None:
        pq.write_table(table, path := self._scratch / "table")
        self._lake.publish(path, key)

    def _keys(self, prefix: str) -> list[str]:
        return [o.key for o in self._lake.list(prefix) if o.key.endswith(".parquet")]

    def _checksum(self, key: str) -> str:
        with self._lake.open(key) as stream:
            return Source(stream).checksum()


@contextmanager
def _reader(path: Path) -> Iterator[IO[bytes]]:
    """The plain bytes of a raw object, line by line."""
    with path.open("rb") as stored:
        if path.name.endswith(".gz"):
            yield gzip.GzipFile(fileobj=stored)  # type: ignore[misc]
        elif path.name.endswith(".zst") and path.stat().st_size:
            yield io.BufferedReader(pa.CompressedInputStream(stored, "zstd"))
        else:
            yield stored


@contextmanager
def _writer(path: Path, key: str) -> Iterator[IO[bytes]]:
    """Takes the plain bytes of a raw object and packs them as its key says."""
    if key.endswith(".gz"):
        with gzip.GzipFile(path, "wb", mtime=0) as packed:
            yield packed  # type: ignore[misc]
    elif key.endswith(".zst"):
        with pa.CompressedOutputStream(str(path), "zstd") as squeezed:
            yield squeezed
    else:
        with path.open("wb") as plain:
            yield plain


def _escaped(path: Path) -> str:
    return str(path).replace("'", "''")
