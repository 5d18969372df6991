"""Load purchases from NDJSON into DuckDB by dlt: its own reader of lines, or Arrow tables.

    python load_by_dlt.py RAW WAREHOUSE {lines,arrow}

Amounts and times stay as they came; dbt casts them. Normalising uses two processes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import dlt
import pyarrow as pa
import pyarrow.json
from dlt.sources.filesystem import FileItemDict, filesystem, read_jsonl

TEXTS = [
    "event_id",
    "event_type",
    "ts",
    "store_id",
    "product_id",
    "customer_id",
    "basket_id",
    "category",
    "payment_method",
    "channel",
    "currency",
    "original_event_id",
]
AMOUNTS = ["price", "quantity", "discount_amount", "tax_amount", "total_amount"]
SCHEMA = pa.schema([(n, pa.string()) for n in TEXTS] + [(n, pa.float64()) for n in AMOUNTS])
COLUMNS = {name: {"data_type": "text"} for name in TEXTS} | {
    name: {"data_type": "double"} for name in AMOUNTS
}


@dlt.transformer
def read_arrow(files: Iterator[FileItemDict]) -> Iterator[pa.Table]:
    """Yield each file as one table, which dlt writes without touching its rows."""
    options = pyarrow.json.ParseOptions(explicit_schema=SCHEMA)
    for file in files:
        with file.open() as lines:
            yield pyarrow.json.read_json(lines, parse_options=options)


def main() -> None:
    """Run the pipeline."""
    raw, warehouse, reader = sys.argv[1:]
    os.environ |= {
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "NORMALIZE__WORKERS": "2",
        "DATA_WRITER__FILE_MAX_ITEMS": "100000",
        "DATA_WRITER__BUFFER_MAX_ITEMS": "20000",
    }
    files = filesystem(bucket_url=raw, file_glob="purchases/**/*.ndjson")
    rows = files | (read_arrow() if reader == "arrow" else read_jsonl(chunksize=5_000))
    pipeline = dlt.pipeline(
        "shop",
        pipelines_dir=f"{warehouse}.dlt",
        destination=dlt.destinations.duckdb(warehouse),
        dataset_name="raw",
    )
    resource = rows.with_name("purchases")
    resource.apply_hints(columns=COLUMNS)
    pipeline.run(resource, loader_file_format="parquet", write_disposition="append")


if __name__ == "__main__":
    main()
