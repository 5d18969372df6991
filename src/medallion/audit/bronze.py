"""Comparison of bronze objects, receipts, staged rows and ledger."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from medallion.audit.checks import TWICE, Check, rows
from medallion.contract import FEEDS
from medallion.errors import shortened
from medallion.platforms.lake import Lake
from medallion.platforms.warehouse import Warehouse, total

_LEDGER = f"SELECT bronze_file, {total('row_count')} FROM staging.loads GROUP BY bronze_file"


def bronze_checks(lake: Lake, db: Warehouse, waiting: dict[str, int]) -> Iterator[Check]:
    """Check that each object has the rows of its receipts: in its file, staging and ledger."""
    stored, unreadable = _stored_rows(lake)
    staged, promised = _staged_rows(db), _promised_rows(db)
    ledger = dict(rows(db, _LEDGER))
    wrong = [f"{key}: {why}" for key, why in unreadable.items()]
    for key in sorted(promised.keys() | staged.keys() | ledger.keys()):
        figures = {
            "receipt": promised.get(key),
            "object": stored.get(key),
            "staged": staged.get(key),
            "ledger": ledger.get(key),
        }
        if len(set(figures.values())) > 1 and key not in unreadable:
            wrong.append(f"{key}: rows by " + ", ".join(f"{k} {v}" for k, v in figures.items()))
    waiting["bronze objects not yet loaded"] = len(stored.keys() - ledger.keys())
    figure = f"{sum(staged.values()):,} in {len(staged):,} objects"
    yield Check(TWICE, "staged rows = receipt rows", figure, shortened(wrong))


def _stored_rows(lake: Lake) -> tuple[dict[str, int], dict[str, str]]:
    """Return the rows of every bronze object by its footer, and why others cannot be read."""
    row_counts, unreadable = {}, {}
    for stored in lake.list("bronze/"):
        try:
            with lake.open(stored.key) as stream:
                row_counts[stored.key] = pq.read_metadata(stream).num_rows
        except (OSError, pa.ArrowException) as error:
            unreadable[stored.key] = f"cannot be read: {str(error).splitlines()[0]}"
    return row_counts, unreadable


def _staged_rows(db: Warehouse) -> dict[str, int]:
    tables = (*FEEDS, "quarantine", "receipts")
    union = " UNION ALL ".join(f"SELECT bronze_file FROM staging.{t}" for t in tables)
    return dict(
        rows(db, f"SELECT bronze_file, count(*) FROM ({union}) AS staged GROUP BY bronze_file")
    )


def _promised_rows(db: Warehouse) -> Counter[str]:
    """Return the rows of bronze objects by the loaded receipts, which are rows themselves."""
    promised: Counter[str] = Counter()
    for key, outputs in rows(db, "SELECT bronze_file, outputs FROM staging.receipts"):
        promised[key] += 1
        promised.update(json.loads(outputs))
    return promised
