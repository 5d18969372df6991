"""Bronze on a Spark cluster: many raw objects at once become few large objects.

This is `layers.bronze` for the Glue job: the same rows and receipts, in larger files.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pyspark.sql import SparkSession

from medallion.errors import LakeError
from medallion.lake.raw import RAW, holds_lines
from medallion.lake.receipts import COLUMNS, RECEIPTS, SUFFIXES, Receipt, require_whole
from medallion.lake.seals import Damaged
from medallion.layers.spark.cleaning import configure, schema
from medallion.layers.spark.manifest import RUN_UNDER_WAY, Manifest, RunUnderWay, manifest_of
from medallion.layers.spark.run import Run
from medallion.platforms.hadoop import HadoopLake, explained
from medallion.platforms.lake import LakeObject
from medallion.platforms.register import register

SHUFFLED_BYTES_PER_FILE = 640 << 20
"""Bytes of shuffled data whose rows become one file: 100 to 250 MB of Parquet."""

MAX_OBJECTS, MAX_BYTES = 20_000, 256 << 30
"""Limits of one run; the next run takes the rest."""


@dataclass
class ClusterReport:
    """The results of the runs of one job."""

    runs: int = 0
    objects: int = 0
    lines: int = 0
    accepted: int = 0
    quarantined: int = 0
    published: list[str] = field(default_factory=list)

    def add(self, receipts: Collection[Receipt]) -> None:
        """Add the receipts of some raw objects to the counts."""
        self.objects += len(receipts)
        for name in ("lines", "accepted", "quarantined"):
            setattr(self, name, getattr(self, name) + sum(getattr(r, name) for r in receipts))


def clean(
    spark: SparkSession,
    url: str,
    keys: Iterable[str] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> ClusterReport:
    """Clean the raw objects without a receipt, after finishing the run under way.

    Several jobs may do this at once: that costs time, but each object is published once.

    Args:
        spark: the session, whose settings are changed.
        url: the lake, s3://bucket or file:///home.
        keys: the raw objects to clean; None for all.
        progress: called with a message at each step.
    """
    configure(spark)
    spark.conf.set("spark.sql.adaptive.enabled", "true")
    spark.conf.set("spark.sql.adaptive.advisoryPartitionSizeInBytes", str(SHUFFLED_BYTES_PER_FILE))
    lake, under_way = HadoopLake(spark, url), RunUnderWay(register(url, RUN_UNDER_WAY))
    job = _Job(spark, lake, under_way, progress)
    wanted = None if keys is None else set(keys)
    while job.step(wanted):
        pass
    return job.report


class _Job:
    """A job that advances the run under way, possibly at the same time as other jobs."""

    def __init__(
        self,
        spark: SparkSession,
        lake: HadoopLake,
        under_way: RunUnderWay,
        progress: Callable[[str], None],
    ) -> None:
        self._spark, self._lake, self._under_way = spark, lake, under_way
        self._progress = progress
        self._receipts = _Receipts(spark, lake)
        self._tried: set[str] = set()
        self._announced: set[str] = set()
        self.report = ClusterReport()

    def step(self, wanted: set[str] | None) -> bool:
        """Do one step of the run under way; return False when there is no run and no object."""
        manifest = self._under_way.read()
        if manifest is None:
            return self._begin(wanted)
        if manifest.run not in self._announced:
            self._progress(f"takes up {manifest.run} with {len(manifest.objects)} raw objects")
            self._announced.add(manifest.run)
        if manifest.moves is None:
            self._prepare(manifest)
        else:
            self._publish(manifest, manifest.moves)
        return True

    def _begin(self, wanted: set[str] | None) -> bool:
        waiting = [o for o in self._waiting(wanted) if o.key not in self._tried]
        if not waiting:
            return False
        manifest = manifest_of(_first(waiting))
        if self._under_way.replace(manifest):
            self._progress(f"begins {manifest.run} with {len(manifest.objects)} raw objects")
            self._announced.add(manifest.run)
            self._tried.update(o.key for o in manifest.objects)
        return True

    def _waiting(self, wanted: set[str] | None) -> list[LakeObject]:
        """Return the raw objects without a receipt."""
        done = self._receipts.versions()
        return [
            o
            for o in self._lake.list(RAW)
            if holds_lines(o.key)
            and (o.key, o.size, o.modified) not in done
            and (wanted is None or o.key in wanted)
        ]

    def _prepare(self, manifest: Manifest) -> None:
        """Compute the outputs, and write the moves that publish them into the manifest.

        The receipts are read once more: no other run can publish while this one is under way, but
        one may have published between the listing of the objects and the beginning of this run.
        """
        done = self._receipts.versions()
        objects = [o for o in manifest.objects if (o.key, o.size, o.modified) not in done]
        folder = f"{manifest.folder}/{uuid.uuid4().hex}"
        run = Run(self._spark, self._lake, manifest.run, folder)
        try:
            with explained(f"work in {self._lake.path(folder)}"):
                planned = manifest.planned(run.prepare(objects))
        except Exception:
            # A job that ends the run deletes its folder while others may still compute.
            if self._under_way.read() == manifest:
                raise
            self._lake.delete(folder)
            return
        if run.hindrance:
            self._progress(
                f"WARNING: cleaned line by line, for want of the compiled pass: {run.hindrance}; "
                "the rows are the same, but they take some ten times as long"
            )
        # The change may be stored although its answer was lost.
        if self._under_way.replace(planned) or self._under_way.read() == planned:
            self.report.add(run.receipts)
        else:
            self._lake.delete(folder)

    def _publish(self, manifest: Manifest, moves: Sequence[tuple[str, str]]) -> None:
        self._lake.move(moves[:-1])
        self._lake.move(moves[-1:])  # the receipts, when all other objects exist
        self._lake.delete(manifest.folder)
        if self._under_way.replace(None):
            self.report.published += [target for _, target in moves]
            self.report.runs += 1


class _Receipts:
    """The receipts of the lake; each object of receipts is read once."""

    def __init__(self, spark: SparkSession, lake: HadoopLake) -> None:
        self._spark, self._lake = spark, lake
        self._read: set[str] = set()
        self._versions: set[tuple[str, int, datetime]] = set()

    def versions(self) -> set[tuple[str, int, datetime]]:
        """Return key, size and arrival (UTC) of every raw object that has a receipt by now."""
        new = {o.key for o in self._lake.list(RECEIPTS) if o.key.endswith(SUFFIXES)} - self._read
        if new:
            paths = [self._lake.path(key) for key in sorted(new)]
            for row in self._spark.read.schema(schema(COLUMNS)).parquet(*paths).collect():
                try:
                    require_whole(receipt := row.asDict())
                except Damaged as error:
                    raise LakeError(f"a receipt under {RECEIPTS} is damaged: {error}") from error
                arrived = receipt["modified_at"].replace(tzinfo=UTC)
                self._versions.add((receipt["source_file"], receipt["size"], arrived))
            self._read |= new
        return self._versions


def _first(waiting: list[LakeObject]) -> list[LakeObject]:
    """Return as many objects as a run may take, oldest arrival first."""
    taken: list[LakeObject] = []
    size = 0
    for raw in sorted(waiting, key=lambda o: (o.modified, o.key))[:MAX_OBJECTS]:
        size += raw.size
        if taken and size > MAX_BYTES:
            break
        taken.append(raw)
    return taken
