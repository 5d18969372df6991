"""What Spark's workers do, without Spark: lines in, packets out, files of packets."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from medallion.contract import MAX_LINE_BYTES, OVERSIZE, PURCHASES
from medallion.layers.spark import files, packets
from medallion.layers.spark.files import Place, write_files
from medallion.layers.spark.packets import ACCEPTED, REJECTED, SPLIT, pack
from tests.conftest import event
from tests.glue.lakes import rows_of

ARRIVAL = datetime(2026, 3, 15, tzinfo=UTC).replace(tzinfo=None)


def batches(splits: dict[tuple[str, int], list[bytes]], at_once: int) -> list[pa.RecordBatch]:
    """The lines of splits as Spark hands them to a worker, some at once."""
    lines = [(path, block, line) for (path, block), ls in splits.items() for line in ls]
    batches = []
    for start in range(0, len(lines), at_once):
        path, block, line = zip(*lines[start : start + at_once], strict=True)
        texts = pa.array(line, pa.binary()).view(pa.string())
        arrays = [pa.array(path), pa.array(block, pa.int64()), texts]
        batches.append(pa.RecordBatch.from_arrays(arrays, names=["path", "block", "line"]))
    return batches


def packed(splits: dict[tuple[str, int], list[bytes]], at_once: int) -> list[dict[str, Any]]:
    """The packets of splits."""
    given = batches(splits, at_once)
    return [p for batch in pack(given, PURCHASES, is_compiled=True) for p in batch.to_pylist()]


def rows(packed_rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return the rows of some packets, with ten lines before those of each split."""
    of_rows = [p for p in packed_rows if p["kind"] != SPLIT]
    order = ("kind", "day", "path", "block", "line")
    of_rows.sort(key=lambda p: tuple(str(p[name]) for name in order))
    places = {(p["path"], p["block"]): Place(p["path"], ARRIVAL, 10) for p in of_rows}
    batch = pa.RecordBatch.from_pylist(of_rows, packets.PACKET)
    pieces = [p for made in write_files([batch], PURCHASES, places) for p in made.to_pylist()]
    return rows_of(pieces, kind)


@pytest.mark.parametrize("at_once", [1, 3, 1000])
@pytest.mark.parametrize("held", [1, 32 << 20])
def test_lines_of_many_splits(at_once: int, held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the lines are dealt out: each split is told of once, lines are numbered in it, rows
    of a file are of one day and in order, however it is cut, and nothing is lost."""
    monkeypatch.setattr(packets, "BYTES_AT_ONCE", held)
    monkeypatch.setattr(files, "PIECE_BYTES", held)
    monkeypatch.setattr(files, "GROUP_BYTES", held)
    days = [f"2026-03-0{1 + n % 3}T10:00:00Z" for n in range(7)]
    good = [event(event_id=f"e{n}", ts=ts, odd=n).encode() for n, ts in enumerate(days)]
    splits = {
        ("a", 0): [*good, b"", b"no JSON", b" \t"],
        ("a", 128): [b"\xff"],
        ("b", 0): [b"", b""],
        ("c", 0): good[:2],
    }
    packed_rows = packed(splits, at_once)
    summaries = {(p["path"], p["block"]): p for p in packed_rows if p["kind"] == SPLIT}
    assert len(summaries) == sum(p["kind"] == SPLIT for p in packed_rows)
    counts = {place: (p["lines"], p["blank"], p["bytes"]) for place, p in summaries.items()}
    assert counts == {
        place: (len(lines), sum(not b.strip() for b in lines), sum(len(b) + 1 for b in lines))
        for place, lines in splits.items()
    }
    assert [dict(p["unknown"]) for p in summaries.values()] == [{"odd": 7}, {}, {}, {"odd": 2}]
    accepted = rows(packed_rows, ACCEPTED)
    numbered = sorted((r["source_file"], r["source_line"], r["event_id"]) for r in accepted)
    assert numbered == [("a", 11 + n, f"e{n}") for n in range(7)] + [
        ("c", 11, "e0"),
        ("c", 12, "e1"),
    ]
    assert all(r["dt"] == r["ts"].date() == date(2026, 3, r["ts"].day) for r in accepted)
    rejected = rows(packed_rows, REJECTED)
    assert [(r["source_file"], r["source_line"], r["raw"]) for r in rejected] == [
        ("a", 19, b"no JSON"),
        ("a", 11, b"\xff"),
    ]


def test_a_line_that_is_too_long_is_cut_and_never_taken() -> None:
    """Not even when what is kept of it is a whole event."""
    line = event().encode()
    long = line.ljust(MAX_LINE_BYTES) + b" " * 9
    longest = line.ljust(MAX_LINE_BYTES)
    packed_rows = packed({("a", 0): [line, long, longest, long]}, 10)
    assert [r["source_line"] for r in rows(packed_rows, ACCEPTED)] == [11, 13]
    rejected = rows(packed_rows, REJECTED)
    assert [(r["source_line"], r["reason"], r["raw_size"]) for r in rejected] == [
        (12, OVERSIZE, len(long)),
        (14, OVERSIZE, len(long)),
    ]
    assert all(r["raw"] == longest for r in rejected)
