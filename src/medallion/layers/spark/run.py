"""One run on a cluster: the outputs of raw objects, written under temporary keys."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import SparkSession

from medallion import __version__
from medallion.contract import FEEDS, QUARANTINE, Feed, feed_of
from medallion.errors import LakeError
from medallion.lake.receipts import COLUMNS, Receipt, accepted_key, quarantine_key, receipt_key
from medallion.lake.seals import Stamp
from medallion.layers.spark.cleaning import COMPILED_FROM_BYTES, Counts, clean_feed, schema
from medallion.layers.spark.lines import RawObject, Staged, stage
from medallion.platforms.hadoop import HadoopLake
from medallion.platforms.lake import LakeObject


class Run:
    """A run up to its publication.

    After `prepare`, `receipts` holds the receipts, and `hindrance` says why workers could not use
    the compiled pass.
    """

    def __init__(self, spark: SparkSession, lake: HadoopLake, name: str, folder: str) -> None:
        self._spark, self._lake, self._name = spark, lake, name
        self._out = f"{folder}/out"
        self._started = datetime.now(UTC).replace(tzinfo=None)
        self.receipts: list[Receipt] = []
        self.hindrance: str | None = None
        self._moves: list[tuple[str, str]] = []
        self._accepted: Counter[str] = Counter()
        self._reasons: dict[str, Counter[str]] = defaultdict(Counter)
        self._unknown: dict[str, dict[str, int]] = {}
        self._outputs: dict[str, dict[str, int]] = defaultdict(dict)
        self._stamps: dict[str, Stamp] = {}

    def prepare(self, objects: Iterable[LakeObject]) -> list[tuple[str, str]]:
        """Write all outputs; return pairs of a temporary and a final key, the receipts last.

        Raises:
            LakeError: the counts do not add up.
        """
        raw = [
            RawObject(
                o.key,
                self._lake.path(o.key),
                o.size,
                o.modified.replace(tzinfo=None),
                o.version,
            )
            for o in objects
        ]
        staged = stage(self._spark, raw, self._lake.path(f"{self._out}/lines"))
        if not staged:
            return []
        is_compiled = sum(s.size for s in staged) >= COMPILED_FROM_BYTES
        counts: dict[str, Counts] = {}
        for feed in FEEDS.values():
            if of_feed := [s for s in staged if feed_of(s.raw.key) == feed]:
                counts |= self._write_feed(feed, of_feed, is_compiled)
        self._place_quarantine()
        self._stamps = self._stamped()
        self.receipts = [self._receipt(s, counts[s.raw.key]) for s in staged]
        self._write_receipts()
        return self._moves

    def _write_feed(self, feed: Feed, staged: list[Staged], is_compiled: bool) -> dict[str, Counts]:
        """Write the accepted and rejected lines of a feed; return the counts by object."""
        cleaned = clean_feed(self._spark, feed, staged, is_compiled)
        folder = f"{self._out}/{feed.name}"
        folders = ["day"] if feed.by_day else []
        cleaned.accepted.write.partitionBy(*folders).parquet(self._lake.path(folder))
        cleaned.rejected.write.parquet(self._lake.path(f"{self._out}/quarantine/{feed.name}"))
        cleaned.packets.unpersist()
        self._unknown |= cleaned.unknown_fields
        self.hindrance = self.hindrance or cleaned.hindrance
        self._place_accepted(feed, folder)
        return cleaned.counts

    def _place_accepted(self, feed: Feed, folder: str) -> None:
        """Choose the final keys of the files of a feed, and count their rows."""
        parts: Counter[str | None] = Counter()
        finals = {}
        for key in self._written(folder):
            day = key.removeprefix(f"{folder}/day=").partition("/")[0] if feed.by_day else None
            finals[key] = accepted_key(feed.name, day, self._name, parts[day])
            parts[day] += 1
        for key, source, rows in self._count(finals, schema(feed.columns), ["source_file"]):
            self._accepted[source] += rows
            self._outputs[source][finals[key]] = rows
        self._moves += finals.items()

    def _place_quarantine(self) -> None:
        written = self._written(f"{self._out}/quarantine")
        counted = self._count(written, schema(QUARANTINE), ["source_file", "reason"])
        filled = sorted({key for key, *_ in counted})
        finals = {key: quarantine_key(self._name, i) for i, key in enumerate(filled)}
        for key, source, reason, rows in counted:
            self._reasons[source][reason] += rows
            outputs = self._outputs[source]
            outputs[finals[key]] = outputs.get(finals[key], 0) + rows
        self._moves += finals.items()

    def _written(self, folder: str) -> list[str]:
        return [o.key for o in self._lake.list(folder) if o.key.endswith(".parquet")]

    def _count(self, keys: Iterable[str], schema: str, by: list[str]) -> list[tuple[Any, ...]]:
        """Count the rows of written files, by key and columns."""
        paths = [self._lake.path(key) for key in keys]
        if not paths:
            return []
        reader = self._spark.read.schema(schema).option("recursiveFileLookup", "true")
        counts = reader.parquet(*paths).groupBy("_metadata.file_path", *by).count().collect()
        return [(row[0][row[0].index(self._out) :], *row[1:]) for row in counts]

    def _stamped(self) -> dict[str, Stamp]:
        """Return the stamps of all outputs by final key, computed by the workers."""
        finals = dict(self._moves)
        if not finals:
            return {}
        files = self._spark.read.format("binaryFile").option("recursiveFileLookup", "true")
        content = files.load([self._lake.path(key) for key in finals])
        stamps = content.selectExpr("path", "length", "sha2(content, 256)").collect()
        return {
            finals[path[path.index(self._out) :]]: Stamp(size, sha256)
            for path, size, sha256 in stamps
        }

    def _receipt(self, staged: Staged, counts: Counts) -> Receipt:
        raw, reasons = staged.raw, dict(self._reasons[staged.raw.key])
        accepted, quarantined = self._accepted[raw.key], sum(reasons.values())
        lines, blank = counts.lines, counts.blank
        if accepted + quarantined + blank != lines:
            raise LakeError(
                f"{raw.key} has {lines} lines, but {accepted} accepted, {quarantined} quarantined "
                f"and {blank} blank ones: nothing of this run is published"
            )
        return Receipt(
            feed=feed_of(raw.key).name,
            source_file=raw.key,
            size=raw.size,
            modified_at=raw.modified,
            checksum=staged.checksum,
            lines=lines,
            blank=blank,
            accepted=accepted,
            quarantined=quarantined,
            reasons=reasons,
            unknown_fields=self._unknown.get(raw.key, {}),
            outputs=self._outputs[raw.key],
            cleaner_version=__version__,
            engine=f"spark {self._spark.version}",
            started_at=self._started,
            finished_at=datetime.now(UTC).replace(tzinfo=None),
            stamps={key: self._stamps[key] for key in self._outputs[raw.key]},
        )

    def _write_receipts(self) -> None:
        """Write all receipts into one object: one for each would take too long."""
        folder = f"{self._out}/receipts"
        rows = [tuple(receipt.row().values()) for receipt in self.receipts]
        table = self._spark.createDataFrame(rows, schema(COLUMNS))
        table.coalesce(1).write.parquet(self._lake.path(folder))
        (written,) = self._written(folder)
        self._moves.append((written, receipt_key(self._name)))
