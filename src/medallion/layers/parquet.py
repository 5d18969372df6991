"""Bronze as Parquet: the columns and encodings that the laptop and the cluster write alike."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from medallion.cleaning import plain
from medallion.cleaning.cleaner import day_of
from medallion.contract import QUARANTINE, TECHNICAL, Feed

PARQUET = {
    "compression": "snappy",
    "store_schema": False,
    "store_decimal_as_integer": True,
    "write_statistics": ["ts", "source_line"],
}
"""Parquet options. Statistics of every column would cost more time than they save."""


def accepted_table(
    feed: Feed, rows: pa.Table, day: date | None, source_file: str, ingested_at: datetime
) -> pa.Table:
    """Return accepted rows of one object with all columns of their feed.

    Args:
        feed: the feed.
        rows: the cleaned fields and `source_line`.
        day: the UTC day of all rows; None if they are of many days.
        source_file: the key of the object.
        ingested_at: its arrival (UTC, with or without a zone).
    """
    rows = rows.append_column("dt", day_of(rows)) if day is None else _with(rows, "dt", day)
    return _with_origin(rows, source_file, ingested_at).select(list(feed.columns))


def rejected_table(feed: Feed, rows: pa.Table, source_file: str, ingested_at: datetime) -> pa.Table:
    """Return rejected lines of one object with all columns of the quarantine."""
    rows = _with(rows, "feed", feed.name)
    return _with_origin(rows, source_file, ingested_at).select(list(QUARANTINE))


def options(feed: Feed, schema: pa.Schema) -> dict[str, Any]:
    """Return the options with which a table of bronze is written."""
    return PARQUET | {"use_dictionary": _repeating(feed, schema)}


def _with_origin(rows: pa.Table, source_file: str, ingested_at: datetime) -> pa.Table:
    rows = _with(rows, "source_file", source_file)
    return _with(rows, "ingested_at", ingested_at.replace(tzinfo=None))


def _with(table: pa.Table, name: str, value: object) -> pa.Table:
    """Return a table with a further column of one value, which is stored once."""
    values = pa.array([value], plain.arrow_type((TECHNICAL | QUARANTINE)[name]))
    places = pa.array(np.zeros(table.num_rows, np.int32))
    return table.append_column(name, pa.DictionaryArray.from_arrays(places, values))


def _repeating(feed: Feed, schema: pa.Schema) -> list[str]:
    """Return the columns whose values repeat, so that a dictionary saves space.

    These are the constant columns and all texts except the key, fields that default to it, and
    references to it.
    """
    return [
        column.name
        for column in schema
        if pa.types.is_dictionary(column.type)
        or (
            pa.types.is_string(column.type)
            and feed.key not in column.name
            and column.name not in (f.name for f in feed.fields if f.default == feed.key)
        )
    ]
