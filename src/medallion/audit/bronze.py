"""Comparison of bronze objects, receipts, staged rows and ledger."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medallion.audit.checks import LOST, TWICE, Check, rows
from medallion.contract import FEEDS, RECEIPT
from medallion.errors import LakeError, shortened
from medallion.lake.orphans import retired
from medallion.lake.receipts import (
    RECEIPTS,
    SUFFIXES,
    Compaction,
    compactions,
    counts_text,
    outputs_of,
    reason,
    replaced_by,
    stamps_of,
    stored_receipts,
)
from medallion.lake.seals import Damaged, Stamp
from medallion.layers.staging import loaded_objects
from medallion.platforms.lake import Lake
from medallion.platforms.warehouse import Warehouse, total

_LEDGER = (
    f"SELECT bronze_file, {total('row_count')} FROM staging.loads "
    "WHERE kind <> 'compacted' GROUP BY bronze_file"
)

_FACTS = [name for name in RECEIPT if name not in ("started_at", "finished_at")]
"""The columns of a receipt that describe its object. A receipt that was lost is written again, with
another time."""


@dataclass
class StoredBronze:
    """The content of bronze: the rows of objects, the loaded receipts, and what is damaged.

    `retired` counts by key the rows of objects that were removed with the user's consent.
    """

    rows: dict[str, int] = field(default_factory=dict)
    retired: dict[str, int] = field(default_factory=dict)
    receipts: dict[str, set[tuple[object, ...]]] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    compared: int = 0
    size: int = 0
    unsealed: int = 0


def _facts(row: dict[str, Any]) -> Iterator[tuple[object, ...]]:
    """Yield the facts of a receipt, and those of the receipt before its compaction."""
    yield tuple(row[name] for name in _FACTS)
    if replaces := replaced_by(row):
        before = {old: count for old, (count, _) in replaces.outputs.items()}
        yield tuple((row | {"outputs": counts_text(before)})[name] for name in _FACTS)


def read_bronze(lake: Lake) -> StoredBronze:
    """Read every object of bronze, and compare it with the checksum in its receipt.

    An object that a receipt names and that is missing counts as damaged, unless it was retired.
    """
    bronze, promised, stamps = StoredBronze(), Counter[str](), dict[str, Stamp]()
    removed, arrived = retired(lake), dict[str, datetime]()
    for key, receipts in stored_receipts(lake, bronze.damaged):
        bronze.rows[key] = len(receipts)
        bronze.receipts[key] = {facts for row in receipts for facts in _facts(row)}
        for receipt in receipts:
            own = stamps_of(receipt)
            stamps |= own
            promised.update(outputs_of(receipt))
            at = receipt["modified_at"]
            arrived |= {key: max(at, arrived.get(key, at)) for key in outputs_of(receipt)}
            bronze.unsealed += len(outputs_of(receipt)) - len(own)
    for stored in lake.list("bronze/"):
        if stored.key.startswith(RECEIPTS) or not stored.key.endswith(SUFFIXES):
            continue
        try:
            with lake.open(stored.key) as stream:
                actual = Stamp.of(stream)
                if stored.key in stamps:
                    stamps[stored.key].require(stored.key, actual)
                    bronze.compared, bronze.size = bronze.compared + 1, bronze.size + actual.size
                stream.seek(0)
                bronze.rows[stored.key] = pq.read_metadata(stream).num_rows
        except (Damaged, OSError, pa.ArrowException) as error:
            bronze.damaged[stored.key] = reason(error)
    for key in promised.keys() - bronze.rows.keys() - bronze.damaged.keys():
        if removed.covers_bronze(arrived[key]):
            bronze.retired[key] = promised[key]
        else:
            bronze.damaged[key] = "its receipt is there, the object is gone"
    return bronze


def bronze_checks(lake: Lake, db: Warehouse, waiting: dict[str, int]) -> Iterator[Check]:
    """Check that objects are what was written, and that each has the rows of its receipts.

    The rows are those in its file, in staging and in the ledger.
    """
    bronze = read_bronze(lake)
    damaged = [_sentence(key, why) for key, why in sorted(bronze.damaged.items())]
    figure = f"{bronze.compared:,} objects, {bronze.size / 1e6:,.1f} MB"
    if bronze.unsealed:
        figure += f"; {bronze.unsealed:,} of an earlier version have none"
    if bronze.retired:
        figure += f", {len(bronze.retired):,} retired ones in the warehouse alone"
    yield Check(LOST, "bronze objects = checksums of receipts", figure, shortened(damaged))
    compacted = [*compactions(lake)]
    yield _rows_check(bronze, db, compacted)
    sound = bronze.rows.keys() - bronze.damaged.keys()
    waiting["bronze objects not yet loaded"] = len(sound - loaded_objects(db, compacted))


def require_sound_bronze(lake: Lake, then: str) -> None:
    """Raise LakeError when an object of bronze is damaged; the message ends with `then`."""
    if damaged := read_bronze(lake).damaged:
        key, why = next(iter(sorted(damaged.items())))
        raise LakeError(f"{_sentence(key, why)}; 'medallion rebuild' mends bronze, {then}")


def _sentence(key: str, why: str) -> str:
    return why if why.startswith(key) else f"{key}: {why}"


def _rows_check(bronze: StoredBronze, db: Warehouse, compacted: list[Compaction]) -> Check:
    now = {old: new for c in compacted for old, new in c.outputs.items()}
    now |= {old: c.key for c in compacted for old in c.receipts}
    staged, promised, ledger = (
        _summed(counts, now)
        for counts in (_staged_rows(db), _promised_rows(db), dict(rows(db, _LEDGER)))
    )
    wrong = []
    for key in sorted(promised.keys() | staged.keys() | ledger.keys()):
        figures = {
            "receipt": promised.get(key),
            "object": bronze.rows.get(key, bronze.retired.get(key)),
            "staged": staged.get(key),
            "ledger": ledger.get(key),
        }
        if len(set(figures.values())) > 1 and key not in bronze.damaged:
            wrong.append(f"{key}: rows by " + ", ".join(f"{k} {v}" for k, v in figures.items()))
    names = ", ".join(_FACTS)
    for key, *values in rows(db, f"SELECT bronze_file, {names} FROM staging.receipts"):
        key = now.get(key, key)
        if key in bronze.receipts and tuple(values) not in bronze.receipts[key]:
            wrong.append(f"{key}: the staged receipt of {values[1]} is not the one in bronze")
    figure = f"{sum(staged.values()):,} in {len(staged):,} objects"
    return Check(TWICE, "staged rows = receipt rows", figure, shortened(wrong))


def _summed(counts: Mapping[str, int], now: Mapping[str, str]) -> Counter[str]:
    """Return the number of rows by the object that holds them now."""
    summed: Counter[str] = Counter()
    for key, count in counts.items():
        summed[now.get(key, key)] += count
    return summed


def _staged_rows(db: Warehouse) -> dict[str, int]:
    tables = (*FEEDS, "quarantine", "receipts")
    union = " UNION ALL ".join(f"SELECT bronze_file FROM staging.{t}" for t in tables)
    return dict(
        rows(db, f"SELECT bronze_file, count(*) FROM ({union}) AS staged GROUP BY bronze_file")
    )


def _promised_rows(db: Warehouse) -> Counter[str]:
    """Return the number of rows of bronze objects according to the loaded receipts.

    Receipts are rows of an object too.
    """
    promised: Counter[str] = Counter()
    for key, outputs in rows(db, "SELECT bronze_file, outputs FROM staging.receipts"):
        promised[key] += 1
        promised.update(json.loads(outputs))
    return promised
