"""Receipts and keys of bronze.

A receipt says how many lines of a raw object were accepted, rejected and blank, and which bronze
objects hold them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass, fields
from datetime import datetime

import pyarrow as pa

from medallion.contract import MAX_UNKNOWN_NAMES, OTHER_NAMES, RECEIPT
from medallion.platforms.lake import LakeObject

RECEIPTS = "bronze/receipts/"
QUARANTINES = "bronze/quarantine/"

_ARROW = {"text": pa.string(), "integer": pa.int64(), "timestamp": pa.timestamp("us")}
SCHEMA = pa.schema([(name, _ARROW[kind.kind]) for name, kind in RECEIPT.items()])


@dataclass(frozen=True)
class Receipt:
    """The receipt of one raw object: the columns of contract.RECEIPT, with counts as mappings."""

    feed: str
    source_file: str
    size: int
    modified_at: datetime
    checksum: str
    lines: int
    blank: int
    accepted: int
    quarantined: int
    reasons: dict[str, int]
    unknown_fields: dict[str, int]
    outputs: dict[str, int]
    cleaner_version: str
    engine: str
    started_at: datetime
    finished_at: datetime

    def row(self) -> dict[str, object]:
        """Return the stored values by column: counts as JSON, times in naive UTC."""
        return {f.name: _stored(getattr(self, f.name)) for f in fields(self)}

    def table(self) -> pa.Table:
        return pa.Table.from_pylist([self.row()], schema=SCHEMA)


def _stored(value: object) -> object:
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def stem(raw: LakeObject) -> str:
    """Return the prefix of the names of all outputs of one version of a raw object.

    It is a hash of the key and a hash of the version, so the same object always gives the same
    names.
    """
    return f"{key_stem(raw.key)}-{_digest(raw.version, 8)}"


def is_stem(name: str) -> bool:
    """Return whether a name is a stem."""
    return re.fullmatch("[0-9a-f]{16}-[0-9a-f]{8}", name) is not None


def key_stem(key: str) -> str:
    """Return the first part of a stem, which stands for the key."""
    return _digest(key, 16)


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def accepted_key(feed: str, day: str | None, stem: str, part: int) -> str:
    """Return the key of accepted rows, of one UTC day or of all."""
    folder = f"bronze/{feed}/dt={day}" if day else f"bronze/{feed}"
    return f"{folder}/{stem}-{part:04d}.parquet"


def quarantine_key(stem: str, part: int) -> str:
    """Return the key of rejected lines."""
    return f"{QUARANTINES}{stem}-{part:04d}.parquet"


def receipt_key(stem: str) -> str:
    """Return the key of a receipt, which is written last: then all outputs exist."""
    return f"{RECEIPTS}{stem}.parquet"


def named_counts(counts: Counter[str]) -> dict[str, int]:
    """Return the most frequent names, and all others as one, so that a receipt stays small."""
    ranked = sorted(
        (item for item in counts.items() if item[0] != OTHER_NAMES),
        key=lambda item: (-item[1], item[0]),
    )
    others = counts[OTHER_NAMES] + sum(n for _, n in ranked[MAX_UNKNOWN_NAMES:])
    return dict(ranked[:MAX_UNKNOWN_NAMES]) | ({OTHER_NAMES: others} if others else {})
