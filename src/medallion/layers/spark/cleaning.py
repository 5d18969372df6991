"""The cleaner on Spark: its lanes run in Python workers, and Spark moves their packets.

Spark reads lines, stores and shuffles packets, and writes files; it knows no rule of the contract.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import groupby

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession

from medallion.cleaning.cleaner import Collected, Rejected
from medallion.contract import UNREADABLE, Feed, Type
from medallion.lake.receipts import named_counts
from medallion.layers.spark.files import END, PIECE_COLUMNS, Output, Place, Places, write_files
from medallion.layers.spark.lines import Staged, is_whole, read_text
from medallion.layers.spark.packets import PACKET_COLUMNS, REJECTED, SPLIT, as_bytes, pack

COMPILED_FROM_BYTES = 64 << 20
"""Below this number of bytes, the exact lane takes less time than compiling the plain lane, which
every new machine of a cluster must do first."""

LINES_AT_ONCE, PACKETS_AT_ONCE = 10_000, 4
"""The number of rows that Spark passes to a worker at once; a packet may have about 32 MiB."""

_AT_ONCE = "spark.sql.execution.arrow.maxRecordsPerBatch"

_WHOLE = -1
"""The block of an object that is rejected as a whole."""


@dataclass(frozen=True)
class Counts:
    """The lines of an object, and how many of them are blank."""

    lines: int
    blank: int


@dataclass(frozen=True)
class CleanedFeed:
    """The result of some objects of one feed.

    `files` has the pieces of all Parquet files (PIECE_COLUMNS). `counts` and `unknown_fields` are
    by key. An object with a line that is too long to read is rejected as a whole and counts as one
    line. `hindrance` says why workers could not use the compiled pass.
    """

    packets: DataFrame
    files: DataFrame
    counts: dict[str, Counts]
    unknown_fields: dict[str, dict[str, int]]
    hindrance: str | None

    def outputs(self) -> list[Output]:
        """Return what each file is; the first call makes all of them."""
        rows = self.files.where("output IS NOT NULL").select("output").collect()
        return [Output.read(row.output) for row in rows]

    def write(self, path: str) -> None:
        """Write each file as the only one of a folder `file=<number>` under a path."""
        pieces = self.files.sortWithinPartitions("file", "piece")
        text = pieces.selectExpr("file", "CAST(content AS STRING) AS content").write
        text = text.partitionBy("file").option("lineSep", END.decode())
        text.options(compression="none", maxRecordsPerFile=0).text(path)

    def release(self) -> None:
        """Remove what Spark keeps of them on its disks."""
        self.files.unpersist()
        self.packets.unpersist()


def configure(spark: SparkSession) -> None:
    """Set the session to UTC and to timestamps without a zone."""
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    spark.conf.set("spark.sql.timestampType", "TIMESTAMP_NTZ")
    spark.conf.set("spark.sql.ansi.enabled", "false")


def clean_feed(
    spark: SparkSession, feed: Feed, objects: Collection[Staged], is_compiled: bool
) -> CleanedFeed:
    """Clean staged objects of one feed.

    Spark keeps packets and files on its disks: release them after the last use.
    """
    packets = _packets(spark, feed, objects, is_compiled)
    measured = _measure(packets, objects)
    spark.conf.set(_AT_ONCE, str(PACKETS_AT_ONCE))
    return CleanedFeed(
        packets,
        _files(packets, feed, measured),
        measured.counts,
        _unknown_fields(packets, measured.places) if measured.has_unknown else {},
        measured.hindrance,
    )


def schema(columns: dict[str, Type]) -> str:
    """Return the schema of columns in the syntax of Spark; timestamps have no zone."""
    kinds = {"timestamp": "TIMESTAMP_NTZ", "bytes": "BINARY"}
    return ", ".join(f"{n} {kinds.get(t.kind, t.spark)}" for n, t in columns.items())


def _packets(
    spark: SparkSession, feed: Feed, objects: Collection[Staged], is_compiled: bool
) -> DataFrame:
    if not any(s.path and s.size for s in objects):
        return spark.createDataFrame([], PACKET_COLUMNS)
    spark.conf.set(_AT_ONCE, str(LINES_AT_ONCE))
    packed = read_text(spark, objects).mapInArrow(
        lambda batches: pack(batches, feed, is_compiled), PACKET_COLUMNS
    )
    return packed.persist(StorageLevel.DISK_ONLY)


@dataclass
class _Measured:
    """The position of each split, the counts by key, and the objects that cannot be read."""

    has_unknown: bool
    hindrance: str | None
    places: Places = field(default_factory=dict)
    counts: dict[str, Counts] = field(default_factory=dict)
    unreadable: list[Staged] = field(default_factory=list)


def _measure(packets: DataFrame, objects: Collection[Staged]) -> _Measured:
    """Read all lines; return their counts and the positions of their splits."""
    summaries = packets.where(f"kind = '{SPLIT}'").selectExpr(
        "path", "block", "lines", "blank", "bytes", "size(unknown) AS names", "hindrance"
    )
    splits = sorted(summaries.collect(), key=lambda row: (row.path, row.block))
    by_path = {path: list(group) for path, group in groupby(splits, key=lambda row: row.path)}
    measured = _Measured(
        has_unknown=any(s.names for s in splits),
        hindrance=next((s.hindrance for s in splits if s.hindrance), None),
    )
    for staged in objects:
        key, before, blank = staged.raw.key, 0, 0
        own = by_path.get(staged.path, [])
        if not staged.path or not is_whole(staged.size, sum(s.bytes for s in own)):
            measured.unreadable.append(staged)
            measured.counts[key] = Counts(1, 0)
            continue
        for split in own:
            place = Place(key, staged.raw.modified, before)
            measured.places[split.path, split.block] = place
            before += split.lines
            blank += split.blank
        measured.counts[key] = Counts(before, blank)
    return measured


def _files(packets: DataFrame, feed: Feed, measured: _Measured) -> DataFrame:
    """Return the pieces of the files; accepted rows of a day are in few files."""
    spark, places = packets.sparkSession, dict(measured.places)
    columns = ["kind", "day", "path", "block", "line", "rows"]
    rows = packets.where(f"kind <> '{SPLIT}'").select(columns)
    if measured.unreadable:
        whole = []
        for raw in (staged.raw for staged in measured.unreadable):
            places[raw.key, _WHOLE] = Place(raw.key, raw.modified, 0)
            collected = Collected(feed)
            collected.rejected.append(Rejected(UNREADABLE, None, raw.size, 1))
            whole.append((REJECTED, None, raw.key, _WHOLE, 1, as_bytes(collected.rejected_rows())))
        rows = rows.union(spark.createDataFrame(whole, rows.schema))
    rows.createOrReplaceTempView("packets")
    by_day = spark.sql("SELECT /*+ REBALANCE(kind, day) */ * FROM packets")
    return (
        by_day.sortWithinPartitions("kind", "day", "path", "block", "line")
        .mapInArrow(lambda batches: write_files(batches, feed, places), PIECE_COLUMNS)
        .persist(StorageLevel.DISK_ONLY)
    )


def _unknown_fields(packets: DataFrame, places: Places) -> dict[str, dict[str, int]]:
    names = packets.selectExpr("path", "explode(unknown) AS (name, count)")
    keys = {path: place.source_file for (path, _), place in places.items()}
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for path, name, count in names.groupBy("path", "name").sum("count").collect():
        if path in keys:
            counts[keys[path]][name] = count
    return {source: named_counts(names) for source, names in counts.items()}
