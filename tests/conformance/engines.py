"""Every engine behind one function: from raw objects to the result of each of their lines."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from medallion.cleaning import plain
from medallion.cleaning.cleaner import Cleaner
from medallion.cleaning.lines import read_blocks
from medallion.contract import FEEDS, Feed, Type, feed_of
from medallion.lake.codecs import StoredBytes, Unpacked
from medallion.lake.receipts import named_counts
from medallion.layers.spark import cleaning as spark_cleaning
from medallion.layers.spark import lines as spark_lines
from medallion.layers.spark.packets import ACCEPTED, REJECTED
from medallion.platforms.lake import milliseconds
from tests.glue.lakes import rows_of

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
    """The exact lane alone: every line in plain Python."""
    return {key: _clean(key, data, is_compiled=False) for key, data in objects.items()}


def laptop(objects: Objects) -> Answers:
    """The cleaner of the laptop: the compiled pass, and the exact lane for what that leaves."""
    plain.load()
    return {key: _clean(key, data, is_compiled=True) for key, data in objects.items()}


def _clean(key: str, data: bytes, *, is_compiled: bool) -> Answer:
    feed = feed_of(key)
    cleaner, answer, blank = Cleaner(feed, is_compiled=is_compiled), Answer(), 0
    for block in read_blocks(Unpacked(StoredBytes(io.BytesIO(data)), key)):
        numbers = range(block.first_line, block.first_line + len(block))
        answer.lines |= dict.fromkeys(numbers, BLANK)
        for cleaned in cleaner.clean(block):
            cleaned.accepted.validate(full=True)
            blank += cleaned.blank
            for number, row in zip(
                cleaned.lines.tolist(), cleaned.accepted.to_pylist(), strict=True
            ):
                answer.lines[number] = _outcome(feed, row | {"reason": None}, b"", 0)
            for reason, raw, size, number in cleaned.rejected:
                answer.lines[number] = _outcome(feed, {"reason": reason}, raw, size)
    answer.unknown = named_counts(cleaner.unknown_fields())
    blanks = sum(outcome is BLANK for outcome in answer.lines.values())
    assert blank == blanks, f"{key}: {blank} blank lines counted, {blanks} found"
    return answer


def spark(session: SparkSession, folder: Path, objects: Objects) -> Answers:
    """The cleaner of the Glue job, its compiled pass included."""
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
        if of_feed := [o for o in raw if feed_of(o.key) == feed]:
            staged = spark_lines.stage(session, of_feed, (folder / "staged").as_uri())
            _clean_in_spark(session, feed, staged, answers)
    return answers


def _clean_in_spark(
    session: SparkSession, feed: Feed, staged: list[spark_lines.Staged], answers: Answers
) -> None:
    cleaned = spark_cleaning.clean_feed(session, feed, staged, is_compiled=True)
    assert not cleaned.hindrance
    for key, counts in cleaned.counts.items():
        answers[key].lines = dict.fromkeys(range(1, counts.lines + 1), BLANK)
    pieces = [piece.asDict() for piece in cleaned.files.collect()]
    for row in rows_of(pieces, ACCEPTED):
        outcome = _outcome(feed, row | {"reason": None}, b"", 0)
        answers[row["source_file"]].lines[row["source_line"]] = outcome
    for row in rows_of(pieces, REJECTED):
        outcome = _outcome(feed, row, row["raw"], row["raw_size"])
        answers[row["source_file"]].lines[row["source_line"]] = outcome
    cleaned.release()
    for key, counts in cleaned.counts.items():
        answers[key].unknown = cleaned.unknown_fields.get(key, {})
        blank = sum(outcome is BLANK for outcome in answers[key].lines.values())
        assert blank == counts.blank, f"{key}: {counts.blank} blank lines counted, {blank} found"


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
