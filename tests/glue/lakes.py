"""Raw lakes for the Glue job, and what the laptop makes of the same bytes."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from medallion.contract import FEEDS
from medallion.layers.bronze import clean
from medallion.layers.spark.cleaning import COMPILED_FROM_BYTES
from medallion.layers.spark.files import END, Output
from medallion.layers.spark.packets import ACCEPTED
from medallion.platforms.local import LocalLake
from tests.conformance.cases import objects, read_cases
from tests.conftest import event

TABLES = (*FEEDS, "quarantine")
RECEIPT_COLUMNS = (
    "feed, source_file, size, modified_at, checksum, lines, blank, accepted, quarantined, reasons, "
    "unknown_fields"
)


def hostile_objects() -> dict[str, bytes]:
    """Raw objects by key: all conformance cases; archives, whole and broken; names that a glob or
    a listing might trip over."""
    lines = "\n".join(event(event_id=f"e{n}", note=n) for n in range(500)).encode() + b"\n"
    packed, squeezed = gzip.compress(lines), pa.compress(lines, codec="zstd", asbytes=True)
    damaged = bytearray(packed)
    damaged[len(damaged) // 2] ^= 0xFF
    names = {
        "raw/purchases/plain.ndjson": lines,
        "raw/purchases/year=2026/month=03/day=14/hour=15/one.jsonl": lines,
        "raw/purchases/year=2026/packed.ndjson.gz": packed,
        "raw/purchases/two members.json.gz": packed + packed,
        "raw/purchases/squeezed.json.zst": squeezed,
        "raw/purchases/two frames.json.zst": squeezed + squeezed,
        "raw/purchases/cut.ndjson.gz": packed[:-20],
        "raw/purchases/cut.ndjson.zst": squeezed[:-20],
        "raw/purchases/damaged.ndjson.gz": bytes(damaged),
        "raw/purchases/no archive.ndjson.gz": lines,
        "raw/purchases/tail.ndjson.gz": packed + b"tail",
        "raw/purchases/packed by content.json": packed,
        "raw/purchases/squeezed by content.json": squeezed,
        "raw/purchases/packed.json.gzip": packed,
        "raw/purchases/bzip2.json": bz2.compress(lines),
        "raw/purchases/empty.ndjson": b"",
        "raw/purchases/empty.ndjson.gz": b"",
        "raw/purchases/packed nothing.ndjson.gz": gzip.compress(b""),
        "raw/purchases/_underscore.json": lines,
        "raw/purchases/a [b] {c,d} *?.json": lines,
        "raw/purchases/e\u0301 \u00e9 \U0001f600 #&+=;,@!$'\".json": lines,
        "raw/elsewhere.json": lines,
        "raw/some/other/folder/x.ndjson": lines,
        "raw/purchases/not taken.txt": lines,
        "raw/purchases/.hidden.json": lines,
        "raw/purchases/unfinished.json.tmp": lines,
    }
    return objects(read_cases()) | names


def large_object() -> bytes:
    """So many lines that a run is worth its compiled pass; long ones, so that they are few."""
    note = "x" * 400_000
    count = 1 + COMPILED_FROM_BYTES // len(note)
    lines = (
        event(event_id=f"l{n}", ts=f"2026-03-{1 + n % 9:02}T10:00:00Z", note=note)
        for n in range(count)
    )
    return "\n".join(lines).encode()


def write_lake(home: Path, raw: dict[str, bytes], modified: dict[str, datetime]) -> None:
    """Puts raw objects into a local home, and sets the times at which objects arrived."""
    for key, data in raw.items():
        path = home / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for key, moment in modified.items():
        seconds = moment.timestamp()
        os.utime(home / key, (seconds, seconds))


def clean_here(home: Path) -> None:
    """The laptop's cleaner."""
    report = clean(LocalLake(home))
    assert not report.failures


def rows_of(pieces: Iterable[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The rows of the files of a kind, which Spark has in pieces; each file is what it says."""
    rows = []
    ordered = sorted(pieces, key=lambda piece: (piece["file"], piece["piece"]))
    for _, group in groupby(ordered, key=lambda piece: piece["file"]):
        parts = list(group)
        output = Output.read(parts[-1]["output"])
        content = b"".join(bytes(piece["content"]) + END for piece in parts)
        assert (output.size, output.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        table = pq.read_table(io.BytesIO(content))
        reasons = table["reason"] if output.kind != ACCEPTED else [""] * len(table)
        counts = Counter(zip(table["source_file"].to_pylist(), map(str, reasons), strict=True))
        assert counts == {(source, reason): count for source, reason, count in output.rows}
        if output.day:
            assert {str(day) for day in table["dt"].to_pylist()} == {output.day}
        if output.kind == kind:
            rows += table.to_pylist()
    return rows


def differences(laptop: Path, cluster: Path) -> list[str]:
    """How the bronze of two lakes differs: columns, rows, receipts, rows by bronze object."""
    unlike = []
    tables = [
        t for t in TABLES if any((home / "bronze" / t).exists() for home in (laptop, cluster))
    ]
    with duckdb.connect() as db:
        db.execute("SET preserve_insertion_order = false")
        for table in [*tables, "receipts"]:
            for name, home in (("here", laptop), ("there", cluster)):
                db.execute(
                    f"CREATE OR REPLACE VIEW {name} AS FROM read_parquet("
                    f"'{home}/bronze/{table}/**/*.parquet', hive_partitioning = false)"
                )
            unlike += _unequal(db, table, RECEIPT_COLUMNS if table == "receipts" else "*")
        unlike += _outputs(db, cluster, tables)
    return unlike


def _unequal(db: duckdb.DuckDBPyConnection, table: str, columns: str) -> Iterable[str]:
    if db.execute("DESCRIBE here").fetchall() != db.execute("DESCRIBE there").fetchall():
        yield f"{table}: other columns"
    for one, other in (("here", "there"), ("there", "here")):
        rows = db.execute(
            f"SELECT {columns} FROM {one} EXCEPT ALL SELECT {columns} FROM {other}"
        ).fetchall()
        if rows:
            yield f"{table}: {len(rows)} rows only {one}: {str(rows[0])[:1000]}"


def _outputs(db: duckdb.DuckDBPyConnection, cluster: Path, tables: Iterable[str]) -> Iterable[str]:
    """Rows of each bronze object against what the receipts say."""
    promised = dict(
        db.execute(
            "SELECT output, sum(json_extract_string(outputs, '$.\"' || output || '\"')::BIGINT) "
            "FROM (SELECT outputs, unnest(json_keys(outputs)) AS output FROM there) GROUP BY ALL"
        ).fetchall()
    )
    held = {}
    for table in tables:
        files = f"{cluster}/bronze/{table}/**/*.parquet"
        query = (
            f"SELECT filename, count(*) FROM read_parquet('{files}', filename = true) GROUP BY ALL"
        )
        held |= {str(Path(n).relative_to(cluster)): c for n, c in db.execute(query).fetchall()}
    if promised != held:
        yield f"outputs: {sorted(promised.items() ^ held.items())[:4]}"
