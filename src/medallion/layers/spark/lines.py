"""Raw objects as a Spark relation of lines.

Spark reads plain text objects in splits, so the memory of a task is bounded by the split and by the
longest line, not by the object. Other objects (compressed ones, JSON documents, and those whose
names Spark would read as a pattern) are first copied to an object of plain lines, as a stream.
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

from medallion.cleaning.documents import HEAD_BYTES as DOCUMENT_HEAD_BYTES
from medallion.cleaning.documents import as_lines, begins_document
from medallion.cleaning.lines import BOM
from medallion.lake.codecs import HEAD_BYTES, ForeignArchive, codec_of, codec_of_bytes

LONGEST_READ = 64 << 20
"""Bytes of the longest line that is read; an object with a longer one is unreadable."""

SPLIT_BYTES = 128 << 20
LEAST_SPLIT_BYTES = 64 << 20
MIN_SPLITS = 256
"""The size of splits. They are large if there are enough of them, because each task costs a Python
worker an eighth of a second before it reads a line."""

_THREADS = 16
_PLAIN_NAME = re.compile(r"[A-Za-z0-9/=+@,._-]*/[A-Za-z0-9][A-Za-z0-9=+@,._-]*")
_FIRST_LOOK = 1 << 12
"""The number of bytes that usually suffice to see that an object is not a JSON document."""
_CHUNK_BYTES = 1 << 20
_FOREIGN = "foreign"
"""The codec of an archive that cannot be read."""


@dataclass(frozen=True)
class RawObject:
    """A raw object of a run: key, full path, bytes, arrival (naive UTC) and listed version."""

    key: str
    path: str
    size: int
    modified: datetime
    version: str


@dataclass(frozen=True)
class Staged:
    """A raw object in a form that Spark can read.

    `path` is its own or that of its plain copy; None if it cannot be decompressed to its end.
    `checksum` is of the stored bytes.
    """

    raw: RawObject
    path: str | None
    size: int
    checksum: str


def stage(spark: SparkSession, objects: Iterable[RawObject], folder: str) -> list[Staged]:
    """Compute the checksums of objects, and write plain copies of those that Spark cannot split.

    Each object is read once, as a stream inside the JVM. Objects that are gone or have changed
    since they were listed are left out: a later listing has them again.

    Args:
        spark: the session.
        objects: raw objects as they were listed.
        folder: the full path for the plain copies.
    """
    numbered = list(enumerate(objects))
    with ThreadPoolExecutor(_THREADS) as pool:
        results = pool.map(lambda item: _stage(spark, item[1], f"{folder}/{item[0]}"), numbered)
        return [staged for staged in results if staged]


def _stage(spark: SparkSession, raw: RawObject, copy: str) -> Staged | None:
    jvm, conf = spark._jvm, spark._jsc.hadoopConfiguration()
    source, target = (jvm.org.apache.hadoop.fs.Path(path) for path in (raw.path, copy))
    files = source.getFileSystem(conf)
    if not _is_as_listed(files, source, raw):
        return None
    plain = source
    digest = jvm.java.security.MessageDigest.getInstance("SHA-256")
    stored = jvm.java.io.BufferedInputStream(
        jvm.java.security.DigestInputStream(files.open(source), digest)
    )
    try:
        codec = _codec(stored, raw)
        if codec == _FOREIGN:
            plain = None
        elif codec or not _PLAIN_NAME.fullmatch(raw.path.partition(":")[2]):
            whole = _write(jvm, conf, codec, stored, files.create(target, True), source)
            plain = target if whole else None
        if plain is not None:
            plain = _as_lines(jvm, files, stored, source, plain, f"{copy}-lines")
        _copy(jvm, stored, jvm.java.io.OutputStream.nullOutputStream())
    finally:
        stored.close()
    checksum = jvm.org.apache.commons.codec.binary.Hex.encodeHexString(digest.digest())
    if plain is None:
        return Staged(raw, None, 0, checksum)
    return Staged(
        raw, files.makeQualified(plain).toString(), files.getFileStatus(plain).getLen(), checksum
    )


def _codec(stored: Any, raw: RawObject) -> str | None:
    """Return the codec of an object by its name or its first bytes, which stay in the stream."""
    if codec := codec_of(raw.key):
        return codec if raw.size else None
    stored.mark(HEAD_BYTES)
    head = bytes(stored.readNBytes(HEAD_BYTES))
    stored.reset()
    try:
        return codec_of_bytes(head)
    except ForeignArchive:
        return _FOREIGN


def _is_as_listed(files: Any, source: Any, raw: RawObject) -> bool:
    try:
        status = files.getFileStatus(source)
    except Py4JJavaError as error:
        if error.java_exception.getClass().getName() != "java.io.FileNotFoundException":
            raise
        return False
    return f"{status.getLen()}-{status.getModificationTime()}" == raw.version


def _write(jvm: Any, conf: Any, codec: str | None, stored: Any, target: Any, source: Any) -> bool:
    """Write the decompressed bytes to `target`; return False if the object is damaged.

    An error may also come from `target`. So the object is read once more without writing: if that
    fails too, the object is damaged.
    """
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


def _as_lines(jvm: Any, files: Any, stored: Any, source: Any, plain: Any, copy: str) -> Any:
    """Return the path of the object's lines: its plain bytes, or a copy if it is a JSON document.

    Args:
        jvm: the JVM.
        files: its file system.
        stored: the stored bytes of the object, from their beginning if they are plain.
        source: the path of the object.
        plain: the path of its plain bytes.
        copy: the path for a copy.
    """
    is_source = plain is source
    stream = stored if is_source else jvm.java.io.BufferedInputStream(files.open(plain))
    try:
        if not _is_document(stream):
            return plain
        lined = jvm.org.apache.hadoop.fs.Path(copy)
        target = files.create(lined, True)
        try:
            chunks = iter(lambda: bytes(stream.readNBytes(_CHUNK_BYTES)), None)
            lines = as_lines(next(chunks).removeprefix(BOM), chunks)
            while piece := next(lines):
                target.write(piece)
        finally:
            target.close()
        return lined
    finally:
        if not is_source:
            stream.close()


def _is_document(stream: Any) -> bool:
    """Return whether a stream begins a JSON document; the stream is not advanced."""
    for size in (_FIRST_LOOK, DOCUMENT_HEAD_BYTES + len(BOM)):
        stream.mark(size)
        head = bytes(stream.readNBytes(size))
        stream.reset()
        verdict = begins_document(head.removeprefix(BOM), is_all=len(head) < size)
        if verdict is not None:
            return verdict
    return False


def _opened(jvm: Any, conf: Any, codec: str | None, stored: Any) -> Any:
    if codec == "gzip":
        gzip = jvm.org.apache.hadoop.io.compress.GzipCodec()
        gzip.setConf(conf)
        return gzip.createInputStream(stored)
    if codec == "zstd":
        # Its finalizer closes the stream below it at any time after its last use.
        shield = jvm.org.apache.commons.io.input.CloseShieldInputStream
        return jvm.com.github.luben.zstd.ZstdInputStream(shield.wrap(stored))
    return stored


def _copy(jvm: Any, source: Any, target: Any) -> None:
    jvm.org.apache.hadoop.io.IOUtils.copyBytes(source, target, 1 << 16, False)


def _is_damage(error: Py4JJavaError) -> bool:
    """Return whether the bytes may be damaged, as opposed to a failure of the file system."""
    name = error.java_exception.getClass().getName()
    damages = ("java.io.IOException", "java.io.EOFException", "java.util.zip.ZipException")
    return name in damages or name.startswith("com.github.luben.zstd.")


def read_text(spark: SparkSession, objects: Collection[Staged]) -> DataFrame:
    """Return the lines of staged objects: path, block (the offset of the split) and line.

    The lines of a split are in one partition, in their order. Lines longer than LONGEST_READ are
    left out.
    """
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
    """Return whether all lines of an object were read.

    Args:
        size: the bytes of the object.
        read: the bytes of its lines, with one line feed each. The object itself may lack the last
            line feed, and may begin with a byte order mark.
    """
    return size + 1 - read in (0, 1, len(BOM), len(BOM) + 1)
