"""One run on a cluster: the outputs of raw objects, written under temporary keys."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime

from pyspark.sql import SparkSession

from medallion import __version__
from medallion.contract import FEEDS, Feed, feed_of
from medallion.errors import LakeError
from medallion.lake.receipts import COLUMNS, Receipt, accepted_key, quarantine_key, receipt_key
from medallion.lake.seals import Stamp
from medallion.layers.spark.cleaning import COMPILED_FROM_BYTES, Counts, clean_feed, schema
from medallion.layers.spark.files import Output
from medallion.layers.spark.lines import RawObject, Staged, stage
from medallion.layers.spark.packets import ACCEPTED
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
        self._files: dict[str, Output] = {}

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
        self._require_as_computed()
        self._place()
        self.receipts = [self._receipt(s, counts[s.raw.key]) for s in staged]
        self._write_receipts()
        return self._moves

    def _write_feed(self, feed: Feed, staged: list[Staged], is_compiled: bool) -> dict[str, Counts]:
        """Write the files of a feed under temporary keys; return the counts by object."""
        cleaned = clean_feed(self._spark, feed, staged, is_compiled)
        folder = f"{self._out}/{feed.name}"
        outputs = {output.file: output for output in cleaned.outputs()}
        cleaned.write(self._lake.path(folder))
        number = re.compile(f"{re.escape(folder)}/file=([0-9]+)/part-.*")
        keys = [o.key for o in self._lake.list(folder)]
        stored = {int(match[1]): key for key in keys if (match := number.fullmatch(key))}
        if stored.keys() != outputs.keys():
            raise LakeError(f"of {len(outputs)} files of {feed.name} {len(stored)} were written")
        self._files |= {stored[file]: output for file, output in outputs.items()}
        cleaned.release()
        self._unknown |= cleaned.unknown_fields
        self.hindrance = self.hindrance or cleaned.hindrance
        return cleaned.counts

    def _require_as_computed(self) -> None:
        """Read all files once more; raise LakeError if one is not what a worker computed."""
        if not self._files:
            return
        files = self._spark.read.format("binaryFile").option("recursiveFileLookup", "true")
        content = files.load([self._lake.path(key) for key in self._files])
        stored = content.selectExpr("path", "length", "sha2(content, 256)").collect()
        stamps = {path[path.index(self._out) :]: Stamp(*stamp) for path, *stamp in stored}
        for key, output in self._files.items():
            if stamps.get(key) != output.stamp:
                raise LakeError(
                    f"{key} was stored with other bytes: nothing of this run is published"
                )

    def _place(self) -> None:
        """Choose the final keys of all files, and add up their rows by object."""
        parts: Counter[str] = Counter()
        for key, output in sorted(self._files.items(), key=lambda item: item[1].file):
            if output.kind == ACCEPTED:
                folder = f"{output.feed}/{output.day}"
                final = accepted_key(output.feed, output.day, self._name, parts[folder])
            else:
                folder = output.kind
                final = quarantine_key(self._name, parts[folder])
            parts[folder] += 1
            self._moves.append((key, final))
            self._stamps[final] = output.stamp
            for source, reason, rows in output.rows:
                self._outputs[source][final] = self._outputs[source].get(final, 0) + rows
                if output.kind == ACCEPTED:
                    self._accepted[source] += rows
                else:
                    self._reasons[source][reason] += rows

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
        (written,) = (o.key for o in self._lake.list(folder) if o.key.endswith(".parquet"))
        self._moves.append((written, receipt_key(self._name)))
