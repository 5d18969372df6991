"""Other ways to bring purchase events from JSON to Parquet, to measure ours beside.

`floor`: DuckDB's typed reader and one flat Parquet file; no rule is applied. `python`: the usual
script, a line at a time, with Decimal. `polars`: the usual data frame, money in floats. None keeps
rejects or receipts. Each returns how many rows it wrote.

    python -m benchmarks.peers {python,polars} RAW FOLDER     # purchases; Python in two processes
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from medallion.cleaning.plain import schema
from medallion.contract import PURCHASES, WHOLE_CURRENCIES


def floor(files: list[Path], folder: Path) -> int:
    """Read typed and write; dies on what does not fit the types."""
    kinds = {"timestamp": "TIMESTAMP", "text": "VARCHAR", "integer": "BIGINT"}
    columns = {f.name: kinds.get(f.type.kind, f.type.duckdb) for f in PURCHASES.fields}
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("SET enable_progress_bar = false")
        reader = "read_json(?, format = 'newline_delimited', ignore_errors = true, columns = ?)"
        connection.execute(
            f"CREATE TABLE events AS SELECT * FROM {reader}", [list(map(str, files)), columns]
        )
        target = folder / "floor.parquet"
        (rows,) = connection.execute(
            f"COPY events TO '{target}' (FORMAT parquet, COMPRESSION snappy)"
        ).fetchone() or (0,)
    return int(rows)


def python(files: list[Path], folder: Path) -> int:
    """Read, check and write line by line, as a function on a queue does."""
    rows = 0
    for file in files:
        with file.open("rb") as lines:
            events = [event for line in lines if (event := _event(line))]
        columns = zip(*events, strict=True) if events else ()
        arrays = [pa.array(c, t) for c, t in zip(columns, schema(PURCHASES).types, strict=True)]
        table = pa.Table.from_arrays(arrays, schema=schema(PURCHASES))
        pq.write_table(table, folder / f"python-{file.stem}.parquet")
        rows += len(events)
    return rows


def _event(line: bytes) -> tuple[Any, ...] | None:
    try:
        event = json.loads(line, parse_float=Decimal)
        if any(not event.get(name) for name in ("event_id", "ts", "store_id", "product_id")):
            return None
        ts, corrected_at = (
            text and datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)
            for text in (event["ts"], event.get("corrected_at"))
        )
        price, quantity = Decimal(event["price"]), Decimal(event["quantity"])
        discount = Decimal(event.get("discount_amount") or 0)
        tax = Decimal(event.get("tax_amount") or 0)
        expected = price * quantity - discount
        tolerance = 1 if event.get("currency") in WHOLE_CURRENCIES else Decimal("0.01")
        total = Decimal(event["total_amount"]) if event.get("total_amount") else expected
        if price < 0 or quantity <= 0 or abs(total - expected) > tolerance:
            return None
        amounts = [amount.quantize(Decimal("0.0001")) for amount in (discount, tax, total)]
        price, quantity = price.quantize(Decimal("0.000001")), quantity.quantize(Decimal("0.00001"))
    except (ValueError, TypeError, KeyError, AttributeError, InvalidOperation):
        return None

    def text(name: str) -> str | None:
        return (event.get(name) or "").strip().lower() or None

    return (
        event["event_id"],
        text("event_type") or "purchase",
        ts,
        event["store_id"],
        event["product_id"],
        event.get("customer_id"),
        event.get("basket_id") or event["event_id"],
        text("category"),
        text("payment_method"),
        text("channel"),
        (event.get("currency") or "USD").upper(),
        price,
        quantity,
        *amounts,
        event.get("original_event_id"),
        event.get("schema_version") or 1,
        corrected_at,
        event.get("return_reason"),
    )


def polars(files: list[Path], folder: Path) -> int:
    """Read, check and write as columns; dies on the first line that is no JSON."""
    import polars as pl

    kinds = {"decimal": pl.Float64, "integer": pl.Float64}
    columns = {f.name: kinds.get(f.type.kind, pl.String) for f in PURCHASES.fields}
    amounts = [f for f in PURCHASES.fields if f.type.kind == "decimal"]
    lower = [f.name for f in PURCHASES.fields if f.fold == "lower"]
    rows = 0
    for file in files:
        frame = pl.read_ndjson(file, schema=columns, ignore_errors=True)
        expected = pl.col("price") * pl.col("quantity") - pl.col("discount_amount")
        frame = frame.with_columns(
            pl.col("ts").str.to_datetime("%+", strict=False, time_zone="UTC"),
            pl.col(lower).str.strip_chars().str.to_lowercase(),
            pl.col("currency").str.to_uppercase().fill_null("USD"),
            pl.coalesce("total_amount", expected).alias("total_amount"),
        )
        good = pl.all_horizontal(
            pl.col("event_id", "ts", "store_id", "product_id").is_not_null(),
            pl.col("price") >= 0,
            pl.col("quantity") > 0,
            (pl.col("total_amount") - expected).abs()
            <= pl.when(pl.col("currency").is_in(WHOLE_CURRENCIES))
            .then(1.000001)
            .otherwise(0.010001),
        )
        decimals = [pl.col(f.name).cast(pl.Decimal(18, f.type.scale)) for f in amounts]
        frame = frame.filter(good).with_columns(decimals)
        frame.write_parquet(folder / f"polars-{file.stem}.parquet", compression="snappy")
        rows += frame.height
    return rows


def main() -> None:
    """Clean the purchases of a lake."""
    way, raw, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    files = sorted((raw / "purchases").rglob("*.ndjson"))
    if way == "polars":
        polars(files, folder)
        return
    with ProcessPoolExecutor(2) as processes:
        list(processes.map(python, ([file] for file in files), [folder] * len(files)))


if __name__ == "__main__":
    main()
