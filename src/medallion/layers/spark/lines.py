"""Raw objects as a Spark relation of lines.

Spark reads plain text objects in splits, so the memory of a task is bounded by the split and by the
longest line, not by the object. What Spark cannot read so (an archive, a name with characters that
it takes for a pattern) is first written to a plain object under `staging`, as a stream.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession

from medallion.lake.codecs import codec_of

LONGEST_READ = 64 << 20
"""A line of more bytes than this is never held in memory: its object counts as unreadable."""

SPLIT_BYTES = 128 << 20
LEAST_SPLIT_BYTES = 64 << 20
MIN_SPLITS = 256
"""A Python worker needs an eighth of a second for each task before it reads a line, so splits are
large where there are enough of them."""

_THREADS = 16
_PLAIN_NAME = re.compile(r"[A-Za-z0-9/=+@,._-]*/[A-Za-z0-9][A-Za-z0-9=+@,._-]*")
_BOM_BYTES = 3


@dataclass(frozen=True)
class RawObject:
    """A raw object of a run: its key, its whole path, when it arrived (naive UTC), and the version
    that a listing showed."""

    key: str
    path: str
    size: int
    modified: datetime
    version: str


@dataclass(frozen=True)
class Staged:
    """A raw object as Spark can read it: `path` is its own or the plain copy's, None when the
    bytes cannot be read to their end; `checksum` is of the stored bytes."""

    raw: RawObject
    path: str | None
    size: int
    checksum: str


def stage(spark: SparkSession, objects: Iterable[RawObject], folder: str) -> list[Staged]:
    """Reads each object once, for its checksum, and writes what Spark cannot split as plain text
    under `folder`. The bytes stay in the JVM and flow through a buffer. Objects that are gone, or
    not what the listing showed, are left out: a later listing shows them anew."""
    numbered = list(enumerate(objects))
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda item: _stage(spark, item[1], f"{folder}/{item[0]}"), numbered)
        return [staged for staged in found if staged]


def _stage(spark: SparkSession, raw: RawObject, copy: str) -> Staged | None:
    jvm, conf = spark._jvm, spark._jsc.hadoopConfiguration()
    source, target = (jvm.org.apache.hadoop.fs.Path(path) for path in (raw.path, copy))
    files = source.getFileSystem(conf)
    if not _is_as_listed(files, source, raw):
        return None
    codec = codec_of(raw.key) if raw.size else None
    plain = source
    digest = jvm.java.security.MessageDigest.getInstance("SHA-256")
    stored = jvm.java.security.DigestInputStream(files.open(source), digest)
    try:
        if codec or not _PLAIN_NAME.fullmatch(raw.path.partition(":")[2]):
            whole = _write(jvm, conf, codec, stored, files.create(target, True), source)
            plain = target if whole else None
        _copy(jvm, stored, jvm.java.io.OutputStream.nullOutputStream())
    finally:
        stored.close()
    checksum = jvm.org.apache.commons.codec.binary.Hex.encodeHexString(digest.digest())
    if plain is None:
        return Staged(raw, None, 0, checksum)
    return Staged(
        raw, files.makeQualified(plain).toString(), files.getFileStatus(plain).getLen(), checksum
    )


def _is_as_listed(files: Any, source: Any, raw: RawObject) -> bool:
    try:
        status = files.getFileStatus(source)
    except Py4JJavaError as error:
        if error.java_exception.getClass().getName() != "java.io.FileNotFoundException":
            raise
        return False
    return f"{status.getLen()}-{status.getModificationTime()}" == raw.version


def _write(jvm: Any, conf: Any, codec: str | None, stored: Any, target: Any, source: Any) -> bool:
    """Writes the plain bytes to `target`; False when the archive is damaged or cut: when it cannot
    be read to its end without writing either."""
    try:
        _copy(jvm, _opened(jvm, conf, codec, stored), target)
    except Py4JJavaError as error:
        if not codec or not _is_damage(error):
            raise
        again = source.getFileSystem(conf).open(source)
        try:
            _copy(
                jvm,
                _opened(jvm, conf, codec, again),
                jvm.java.io.OutputStream.nullOutputStream(),
            )
        except Py4JJavaError:
            return False
        finally:
            again.close()
        raise
    finally:
        target.close()
    return True


def _opened(jvm: Any, conf: Any, codec: str | None, stored: Any) -> Any:
    if codec == "gzip":
        gzip = jvm.org.apache.hadoop.io.compress.GzipCodec()
        gzip.setConf(conf)
        return gzip.createInputStream(stored)
    if codec == "zstd":
        # Its finalizer closes what it reads from, at any moment once nobody holds it any more.
        shield = jvm.org.apache.commons.io.input.CloseShieldInputStream
        return jvm.com.github.luben.zstd.ZstdInputStream(shield.wrap(stored))
    return stored


def _copy(jvm: Any, source: Any, target: Any) -> None:
    jvm.org.apache.hadoop.io.IOUtils.copyBytes(source, target, 1 << 16, False)


def _is_damage(error: Py4JJavaError) -> bool:
    """Whether the bytes may be at fault, and not the file system."""
    name = error.java_exception.getClass().getName()
    damages = ("java.io.IOException", "java.io.EOFException", "java.util.zip.ZipException")
    return name in damages or name.startswith("com.github.luben.zstd.")


def read_text(spark: SparkSession, objects: Collection[Staged]) -> DataFrame:
    """The lines of staged objects: path, block (where the split begins) and line. The lines of a
    split stand together in a partition, in their order; those beyond LONGEST_READ are left out."""
    size = sum(s.size for s in objects)
    least = max(2, min(MIN_SPLITS, size // LEAST_SPLIT_BYTES))
    spark.conf.set("spark.sql.files.maxPartitionBytes", str(SPLIT_BYTES))
    spark.conf.set("spark.sql.files.minPartitionNum", str(least))
    spark.conf.set("spark.sql.files.openCostInBytes", str(1 << 20))
    reader = (
        spark.read.format("text")
        .option("lineSep", "\n")
        .option("recursiveFileLookup", "true")
        .option("mapreduce.input.linerecordreader.line.maxlength", str(LONGEST_READ))
    )
    return reader.load([s.path for s in objects if s.path and s.size]).selectExpr(
        "_metadata.file_path AS path", "_metadata.file_block_start AS block", "value AS line"
    )


def is_whole(size: int, read: int) -> bool:
    """Whether lines are all that an object holds: `read` is their bytes with a line feed each, so
    one may be missing at the end, and a byte order mark at the start."""
    return size + 1 - read in (0, 1, _BOM_BYTES, _BOM_BYTES + 1)
