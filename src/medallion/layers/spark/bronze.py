"""Bronze on a Spark cluster: many raw objects at once become few large objects.

The counterpart of `bronze` for the Glue job: the same rows, the same receipts, other file bounds.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pyspark.sql import SparkSession

from medallion.contract import RECEIPT
from medallion.lake.raw import RAW, SUFFIXES
from medallion.lake.receipts import RECEIPTS, Receipt
from medallion.layers.spark.cleaning import configure, schema
from medallion.layers.spark.manifest import CURRENT, Current, Manifest, manifest_of
from medallion.layers.spark.run import Run
from medallion.platforms.hadoop import HadoopLake, told
from medallion.platforms.lake import LakeObject
from medallion.platforms.register import register

SHUFFLED_BYTES_PER_FILE = 640 << 20
"""Rows that fill about this much of a shuffle become one file: 100 to 250 MB of Parquet."""

MAX_OBJECTS, MAX_BYTES = 20_000, 256 << 30
"""A run takes no more than this at once; what is left over is the next run's."""


@dataclass
class ClusterReport:
    """What the runs of one job did."""

    runs: int = 0
    objects: int = 0
    lines: int = 0
    accepted: int = 0
    quarantined: int = 0
    published: list[str] = field(default_factory=list)

    def add(self, receipts: Collection[Receipt]) -> None:
        """Counts what became of some raw objects."""
        self.objects += len(receipts)
        for name in ("lines", "accepted", "quarantined"):
            setattr(self, name, getattr(self, name) + sum(getattr(r, name) for r in receipts))


def clean(
    spark: SparkSession,
    url: str,
    keys: Iterable[str] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> ClusterReport:
    """Cleans the raw objects that have no receipt yet, or those of them that are named by `keys`;
    first of all it finishes what is under way. Several jobs may do this at once: it costs their
    time, but each object is published once."""
    configure(spark)
    spark.conf.set("spark.sql.adaptive.enabled", "true")
    spark.conf.set("spark.sql.adaptive.advisoryPartitionSizeInBytes", str(SHUFFLED_BYTES_PER_FILE))
    lake, current = HadoopLake(spark, url), Current(register(url, CURRENT))
    job = _Job(spark, lake, current, progress)
    wanted = None if keys is None else set(keys)
    while job.goes_on(wanted):
        pass
    return job.report


class _Job:
    """A job brings the lake's current run from state to state, whoever else does so, too."""

    def __init__(
        self,
        spark: SparkSession,
        lake: HadoopLake,
        current: Current,
        progress: Callable[[str], None],
    ) -> None:
        self._spark, self._lake, self._current = spark, lake, current
        self._progress = progress
        self._receipts = _Receipts(spark, lake)
        self._tried: set[str] = set()
        self._known: set[str] = set()
        self.report = ClusterReport()

    def goes_on(self, wanted: set[str] | None) -> bool:
        """One step of the current run; False when nothing is under way and nothing waits."""
        manifest = self._current.read()
        if manifest is None:
            return self._begin(wanted)
        if manifest.run not in self._known:
            self._progress(f"takes up {manifest.run} with {len(manifest.objects)} raw objects")
            self._known.add(manifest.run)
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
        if self._current.follows(manifest):
            self._progress(f"begins {manifest.run} with {len(manifest.objects)} raw objects")
            self._known.add(manifest.run)
            self._tried.update(o.key for o in manifest.objects)
        return True

    def _waiting(self, wanted: set[str] | None) -> list[LakeObject]:
        """Raw objects without a receipt."""
        done = self._receipts.told()
        return [
            o
            for o in self._lake.list(RAW)
            if o.key.lower().endswith(SUFFIXES)
            and (o.key, o.size, o.modified) not in done
            and (wanted is None or o.key in wanted)
        ]

    def _prepare(self, manifest: Manifest) -> None:
        """Finds out what is to be published. The receipts are looked at once more: as long as this
        run is under way no other one publishes, but one may have done so after its objects were
        listed and before it began."""
        done = self._receipts.told()
        objects = [o for o in manifest.objects if (o.key, o.size, o.modified) not in done]
        folder = f"{manifest.folder}/{uuid.uuid4().hex}"
        run = Run(self._spark, self._lake, manifest.run, folder)
        try:
            with told(f"work in {self._lake.path(folder)}"):
                planned = manifest.planned(run.prepare(objects))
        except Exception:
            # Whoever ends a run clears it away, under the hands of those who still compute.
            if self._current.read() == manifest:
                raise
            self._lake.delete(folder)
            return
        if run.hindrance:
            self._progress(
                f"WARNING: cleaned line by line, for want of the compiled pass: {run.hindrance}; "
                "the rows are the same, but they take some ten times as long"
            )
        # When only the answer to the change got lost, the change is there.
        if self._current.follows(planned) or self._current.read() == planned:
            self.report.add(run.receipts)
        else:
            self._lake.delete(folder)

    def _publish(self, manifest: Manifest, moves: Sequence[tuple[str, str]]) -> None:
        self._lake.move(moves[:-1])
        self._lake.move(moves[-1:])  # the receipts say that all the others are there
        self._lake.delete(manifest.folder)
        if self._current.follows(None):
            self.report.published += [target for _, target in moves]
            self.report.runs += 1


class _Receipts:
    """Which versions of raw objects have a receipt; each object of receipts is read once."""

    def __init__(self, spark: SparkSession, lake: HadoopLake) -> None:
        self._spark, self._lake = spark, lake
        self._read: set[str] = set()
        self._told: set[tuple[str, int, datetime]] = set()

    def told(self) -> set[tuple[str, int, datetime]]:
        """Key, size and time of all that is told of by now."""
        new = {o.key for o in self._lake.list(RECEIPTS) if o.key.endswith(".parquet")} - self._read
        if new:
            paths = [self._lake.path(key) for key in sorted(new)]
            table = self._spark.read.schema(schema(RECEIPT)).parquet(*paths)
            for key, size, modified in table.select("source_file", "size", "modified_at").collect():
                self._told.add((key, size, modified.replace(tzinfo=UTC)))
            self._read |= new
        return self._told


def _first(waiting: list[LakeObject]) -> list[LakeObject]:
    """As many objects as a run may take, oldest arrival first."""
    taken: list[LakeObject] = []
    size = 0
    for found in sorted(waiting, key=lambda o: (o.modified, o.key))[:MAX_OBJECTS]:
        size += found.size
        if taken and size > MAX_BYTES:
            break
        taken.append(found)
    return taken
