"""Lines of raw objects on Spark: their numbers, their bytes, their bounds."""

from __future__ import annotations

import gc
import gzip
import hashlib
import os
import time
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from medallion.contract import PURCHASES, UNREADABLE
from medallion.layers.spark import lines as spark_lines
from medallion.layers.spark.cleaning import clean_feed, configure
from medallion.layers.spark.lines import RawObject, Staged, stage
from medallion.layers.spark.packets import ACCEPTED, REJECTED
from medallion.platforms.hadoop import HadoopLake
from tests.glue.lakes import rows_of

BOM = b"\xef\xbb\xbf"


@pytest.fixture
def read(spark_session: SparkSession, tmp_path: Path) -> Reader:
    """Reads raw objects given by name."""
    configure(spark_session)
    return Reader(spark_session, tmp_path)


class Reader:
    """Writes objects, and reads their lines back through Spark."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self._spark, self._folder = spark, folder

    def staged(self, objects: dict[str, bytes]) -> list[Staged]:
        for name, data in objects.items():
            path = self._folder / "raw" / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        lake = HadoopLake(self._spark, self._folder.as_uri())
        raw = [
            RawObject(o.key, lake.path(o.key), o.size, o.modified.replace(tzinfo=None), o.version)
            for o in lake.list("raw/")
        ]
        return stage(self._spark, raw, lake.path("staged"))

    def lines(self, objects: dict[str, bytes]) -> tuple[dict[str, dict[int, bytes]], set[str]]:
        """The lines by object and number, and the unreadable objects. No line is JSON: but for
        blank ones, which are counted, all are rejected as they are."""
        cleaned = clean_feed(self._spark, PURCHASES, self.staged(objects), is_compiled=False)
        lines: dict[str, dict[int, bytes]] = {}
        unreadable = set()
        pieces = [piece.asDict() for piece in cleaned.files.collect()]
        for row in rows_of(pieces, REJECTED):
            name = row["source_file"].removeprefix("raw/")
            if row["reason"] == UNREADABLE:
                unreadable.add(name)
                continue
            assert row["source_line"] not in lines.setdefault(name, {})
            lines[name][row["source_line"]] = row["raw"]
        assert rows_of(pieces, ACCEPTED) == []
        cleaned.release()
        for key, counts in cleaned.counts.items():
            name = key.removeprefix("raw/")
            if name not in unreadable:
                assert counts.lines == len(lines.get(name, {})) + counts.blank
        return lines, unreadable


def numbered(data: bytes) -> dict[int, bytes]:
    """The lines that are not blank, by number."""
    lines = enumerate(data.removeprefix(BOM).split(b"\n"), 1)
    return {number: line for number, line in lines if line.strip(b" \t\r")}


def test_numbers_hold_across_splits(read: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects cut into many splits, small ones packed together: each line has the number and the
    bytes that it has in its object."""
    monkeypatch.setattr(spark_lines, "SPLIT_BYTES", 30_000)
    chance, objects = Random(1), {}
    for number in range(12):
        lines = (
            bytes(chance.choices(b"ab \r\xff\xc3{", k=chance.choice((0, 1, 5, 300))))
            for _ in range(chance.choice((1, 3, 2000)))
        )
        data = b"\n".join(lines) + chance.choice((b"", b"\n"))
        objects[f"{number}.ndjson"] = BOM * (number % 3 == 0) + data
    objects["long.ndjson"] = b"a\n" + b"x" * 200_000 + b"\nb\n"
    by_name, unreadable = read.lines(objects)
    assert by_name == {name: numbered(data) for name, data in objects.items() if numbered(data)}
    assert not unreadable


def test_archives(read: Reader) -> None:
    """gzip and zstd, of one and of several members; what is damaged, cut or no archive at all is
    unreadable as a whole, and so is an archive with something behind it."""
    data = b"".join(b"%d\n" % n for n in range(20_000))
    packed, squeezed = gzip.compress(data), pa.compress(data, codec="zstd", asbytes=True)
    damaged = bytearray(packed)
    damaged[len(damaged) // 2] ^= 0xFF
    whole = {
        "one.json.gz": packed,
        "one.json.zst": squeezed,
        "two.json.gz": packed * 2,
        "two.json.zst": squeezed * 2,
        "none.json.gz": gzip.compress(b""),
        "empty.json.gz": b"",
        "empty.json.zst": b"",
        "empty.json": b"",
        "mark.json": BOM,
    }
    broken = {
        "cut.json.gz": packed[:-9],
        "cut.json.zst": squeezed[:-9],
        "damaged.json.gz": bytes(damaged),
        "text.json.gz": data,
        "text.json.zst": data,
        "tail.json.gz": packed + b"tail",
    }
    by_name, unreadable = read.lines(whole | broken)
    once, twice = numbered(data), numbered(data * 2)
    assert by_name == {
        "one.json.gz": once,
        "one.json.zst": once,
        "two.json.gz": twice,
        "two.json.zst": twice,
    }
    assert unreadable == set(broken)


def test_checksums_are_of_the_stored_bytes(read: Reader) -> None:
    """SHA-256 of what lies in the lake, compressed or broken as it is."""
    objects = {"a.json": b"x\n" * 9, "b.json.gz": gzip.compress(b"x\n"), "c.json.gz": b"broken"}
    checksums = {s.raw.key: s.checksum for s in read.staged(objects)}
    assert checksums == {f"raw/{n}": hashlib.sha256(d).hexdigest() for n, d in objects.items()}


def test_an_archive_stays_open_whatever_the_jvm_clears_away(
    read: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decoder is garbage when its lines are read, and its finalizer closes what it reads from;
    the rest of the stored bytes is still to be read for the checksum."""
    copy = spark_lines._copy

    def clear_away_and_copy(jvm: Any, source: Any, target: Any) -> None:
        gc.collect()
        for _ in range(30):  # Python tells the JVM once a second what it has let go of.
            jvm.System.gc()
            jvm.System.runFinalization()
            time.sleep(0.1)
        copy(jvm, source, target)

    monkeypatch.setattr(spark_lines, "_copy", clear_away_and_copy)
    packed = pa.compress(b"x\n" * 1000, codec="zstd", asbytes=True)
    (staged,) = read.staged({"a.ndjson.zst": packed})
    assert staged.checksum == hashlib.sha256(packed).hexdigest()


def test_line_beyond_memory_makes_its_object_unreadable(
    read: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a line is never held; that it is missing is noticed by its bytes."""
    monkeypatch.setattr(spark_lines, "LONGEST_READ", 1 << 20)
    objects = {
        "monster.json": b"a\n" + b"x" * (3 << 20) + b"\nb\n",
        "last.json": b"a\n" + b"x" * (3 << 20),
        "alone.json": b"x" * (3 << 20) + b"\n",
        "fine.json": b"a\nb\n",
    }
    by_name, unreadable = read.lines(objects)
    assert by_name == {"fine.json": {1: b"a", 2: b"b"}}
    assert unreadable == {"monster.json", "last.json", "alone.json"}


def test_objects_that_changed_since_they_were_listed_are_left_out(
    spark_session: SparkSession, tmp_path: Path
) -> None:
    """One that is gone and one that was rewritten: the next listing shows them as they are."""
    lake = HadoopLake(spark_session, tmp_path.as_uri())
    for name in ("gone", "rewritten", "touched", "same"):
        (tmp_path / name).write_bytes(b"x\n")
    raw = [
        RawObject(o.key, lake.path(o.key), o.size, o.modified.replace(tzinfo=None), o.version)
        for o in lake.list("")
    ]
    (tmp_path / "gone").unlink()
    (tmp_path / "rewritten").write_bytes(b"xyz\n")
    os.utime(tmp_path / "touched", (0, 0))
    staged = stage(spark_session, raw, lake.path("staged"))
    assert [s.raw.key for s in staged] == ["same"]
