"""Every engine behind one call: raw objects in, what became of each of their lines out."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyspark.sql import SparkSession

from medallion.cleaning import duckdb_engine, spark_engine, spark_lines
from medallion.cleaning.exact import Decoded, decode_line
from medallion.cleaning.judge import judge
from medallion.cleaning.lines import Source, read_blocks
from medallion.cleaning.receipts import named_counts
from medallion.contract import FEEDS, MAX_LINE_BYTES, OVERSIZE, Feed, Type, feed_of
from medallion.platforms.lake import milliseconds

ARRIVAL = datetime.fromisoformat("2026-03-15T12:00:00+00:00")
BLANK = {"blank": True}


@dataclass
class Answer:
    """What an engine says of one object: per line number the outcome, and the unknown names.

    An outcome is {"accepted": {column: text}}, NULLs left out, or {"reason": ..., "raw": bytes,
    "raw_size": int}, or BLANK.
    """

    lines: dict[int, dict[str, Any]] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)


Objects = Mapping[str, bytes]
Answers = dict[str, Answer]


def exact(objects: Objects) -> Answers:
    """The reference: the strict reader line by line, then the judge in DuckDB."""
    answers = {key: Answer() for key in objects}
    for feed in FEEDS.values():
        read: list[tuple[str, int, bytes, Decoded]] = []
        for key in (k for k in objects if feed_of(k) == feed):
            names: Counter[str] = Counter()
            for number, line in enumerate(_lines(objects[key]), 1):
                if len(line) > MAX_LINE_BYTES:
                    read.append((key, number, line, Decoded(OVERSIZE)))
                elif not line.strip(b" \t\r"):
                    answers[key].lines[number] = BLANK
                else:
                    decoded = decode_line(line, feed)
                    read.append((key, number, line, decoded))
                    names.update(set(decoded.names) - set(feed.names))
            answers[key].unknown = named_counts(names)
        _judge_exactly(feed, read, answers)
    return answers


def _lines(data: bytes) -> list[bytes]:
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return lines if lines[-1] else lines[:-1]


def _judge_exactly(
    feed: Feed, read: list[tuple[str, int, bytes, Decoded]], answers: Answers
) -> None:
    decoded = {"line_no": pa.array(range(len(read)), pa.int64())}
    decoded["damage"] = pa.array([d.damage for *_, d in read], pa.string())
    for name in feed.names:
        decoded[name] = pa.array([d.texts.get(name) for *_, d in read], pa.string())
    with duckdb_engine.connect() as connection:
        connection.register("decoded", pa.table(decoded))
        query = connection.execute(judge(feed, "decoded", duckdb_engine.DIALECT))
        for row in _rows(query):
            key, number, line, _ = read[row["line_no"]]
            answers[key].lines[number] = _outcome(feed, row, line[:MAX_LINE_BYTES], len(line))


def fast(objects: Objects) -> Answers:
    """The cleaner of the laptop: DuckDB's own decoder where it is sure, the strict reader else."""
    cleaners = {feed: duckdb_engine.Cleaner(feed) for feed in FEEDS.values()}
    answers = {key: _clean_fast(cleaners[feed_of(key)], key, objects[key]) for key in objects}
    for cleaner in cleaners.values():
        cleaner.db.close()
    return answers


def _clean_fast(cleaner: duckdb_engine.Cleaner, key: str, data: bytes) -> Answer:
    feed, tally, answer = feed_of(key), duckdb_engine.Tally(), Answer()
    cleaner.clear()
    for block in read_blocks(Source(io.BytesIO(data)), key):
        cleaner.add(block, tally)
    answer.lines = dict.fromkeys(range(1, tally.lines + 1), BLANK)
    for row in _rows(cleaner.db.execute("FROM accepted")):
        answer.lines[row["source_line"]] = _outcome(feed, row | {"reason": None}, b"", 0)
    for row in _rows(cleaner.db.execute("FROM rejected")):
        answer.lines[row["source_line"]] = _outcome(feed, row, row["raw"], row["raw_size"])
    answer.unknown = named_counts(tally.unknown_fields)
    blank = sum(outcome is BLANK for outcome in answer.lines.values())
    assert blank == tally.blank, f"{key}: {tally.blank} blank lines counted, {blank} found"
    return answer


def spark(session: SparkSession, folder: Path, objects: Objects) -> Answers:
    """The cleaner of the Glue job."""
    raw = []
    for number, (key, data) in enumerate(objects.items()):
        path = folder / f"{number}.ndjson"
        path.write_bytes(data)
        os.utime(path, (ARRIVAL.timestamp(), ARRIVAL.timestamp()))
        arrival = ARRIVAL.replace(tzinfo=None)
        version = f"{len(data)}-{milliseconds(ARRIVAL)}"
        raw.append(spark_lines.RawObject(key, path.as_uri(), len(data), arrival, version))
    answers = {key: Answer() for key in objects}
    for feed in FEEDS.values():
        mine = [o for o in raw if feed_of(o.key) == feed]
        if mine:
            _clean_in_spark(session, feed, mine, folder, answers)
    return answers


def _clean_in_spark(
    session: SparkSession,
    feed: Feed,
    raw: list[spark_lines.RawObject],
    folder: Path,
    answers: Answers,
) -> None:
    staged = spark_lines.stage(session, raw, (folder / "staged").as_uri())
    lines = spark_lines.read_lines(session, staged)
    assert not lines.unreadable
    for key, counts in lines.counts.items():
        answers[key].lines = dict.fromkeys(range(1, counts.lines + 1), BLANK)
    judged = spark_engine.clean(lines.relation, feed).judged.persist()
    cleaned = spark_engine.Cleaned(feed, judged)
    for row in (r.asDict() for r in cleaned.accepted.collect()):
        outcome = _outcome(feed, row | {"reason": None}, b"", 0)
        answers[row["source_file"]].lines[row["source_line"]] = outcome
    for row in (r.asDict() for r in cleaned.rejected.collect()):
        outcome = _outcome(feed, row, bytes(row["raw"]), row["raw_size"])
        answers[row["source_file"]].lines[row["source_line"]] = outcome
    for key, name, count in cleaned.unknown_fields.collect():
        answers[key].unknown[name] = count
    judged.unpersist()
    for key, counts in lines.counts.items():
        blank = sum(outcome is BLANK for outcome in answers[key].lines.values())
        assert blank == counts.blank, f"{key}: {counts.blank} blank lines counted, {blank} found"


def _rows(query: duckdb.DuckDBPyConnection) -> Iterator[dict[str, Any]]:
    names = [column[0] for column in query.description]
    return (dict(zip(names, row, strict=True)) for row in query.fetchall())


def _outcome(feed: Feed, row: dict[str, Any], raw: bytes, size: int) -> dict[str, Any]:
    if row["reason"] is not None:
        return {"reason": row["reason"], "raw": raw, "raw_size": size}
    day = row.get("dt") or row["ts"].date()
    values = {name: row[name] for name in feed.names} | {"dt": day}
    kinds = feed.columns
    return {"accepted": {n: _text(v, kinds[n]) for n, v in values.items() if v is not None}}


def _text(value: Any, kind: Type) -> str:
    """A value as text that shows all of it: scale, milliseconds, zone."""
    if isinstance(value, Decimal):
        scaled = value.quantize(Decimal(1).scaleb(-int(kind.duckdb.rstrip(")").rpartition(",")[2])))
        assert scaled == value, f"{value} has more decimals than {kind.duckdb}"
        return format(scaled, "f")
    if isinstance(value, datetime):
        assert value.microsecond % 1000 == 0, f"{value} is not cut to the millisecond"
        return value.replace(tzinfo=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else str(value)
