"""Receipts and keys of bronze.

A receipt says how many lines of a raw object were accepted, rejected and blank, and which bronze
objects hold them. Its seal, a column that no warehouse loads, holds the size and SHA-256 of each of
these objects, and a checksum of the receipt itself. After a compaction, the seals of the receipts
also say what was replaced.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from medallion.contract import MAX_UNKNOWN_NAMES, OTHER_NAMES, RECEIPT, TEXT
from medallion.lake.seals import Damaged, Stamp, seal_of
from medallion.platforms.lake import Lake, LakeObject

RECEIPTS = "bronze/receipts/"
QUARANTINES = "bronze/quarantine/"

PLAIN, COMPACTED = ".parquet", ".parq"
SUFFIXES = (PLAIN, COMPACTED)
"""The suffixes of objects from the cleaner, and of compacted ones. Snowpipe loads only the first
kind: the rows of compacted objects were loaded before."""

SEAL = "seal"
COLUMNS = RECEIPT | {SEAL: TEXT}
"""The columns of a receipt in the lake."""

_ARROW = {"text": pa.string(), "integer": pa.int64(), "timestamp": pa.timestamp("us")}
SCHEMA = pa.schema([(name, _ARROW[kind.kind]) for name, kind in COLUMNS.items()])


@dataclass(frozen=True)
class Receipt:
    """The receipt of one raw object: the columns of contract.RECEIPT, with counts as mappings.

    `stamps` are those of the objects in `outputs`.
    """

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
    stamps: dict[str, Stamp]

    def row(self) -> dict[str, object]:
        """Return the stored values by column: counts as JSON, times in naive UTC, and the seal."""
        return sealed({name: _stored(getattr(self, name)) for name in RECEIPT}, self.stamps)

    def table(self) -> pa.Table:
        return receipts_table([self.row()])


def counts_text(counts: Mapping[str, Any]) -> str:
    """Return counts by name as they are stored."""
    return json.dumps(counts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _stored(value: object) -> object:
    if isinstance(value, dict):
        return counts_text(value)
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def receipts_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return rows of receipts as they are stored."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMA)


def sealed(
    row: Mapping[str, Any], stamps: Mapping[str, Stamp], replaces: Replaced | None = None
) -> dict[str, Any]:
    """Return the row of a receipt with a seal over it and over the stamps of its outputs.

    The seal also covers what the receipt replaces; by default, this stays as it was.
    """
    replaces = replaces or replaced_by(row)
    values = {name: row[name] for name in RECEIPT}
    outputs = {key: [stamp.size, stamp.sha256] for key, stamp in stamps.items()}
    content: dict[str, Any] = {"outputs": outputs}
    if replaces:
        content["replaces"] = [replaces.receipts, replaces.outputs]
    content["receipt"] = seal_of([values, *content.values()])
    return values | {SEAL: _stored(content)}


def stamps_of(row: Mapping[str, Any]) -> dict[str, Stamp]:
    """Return the stamps of the outputs of a receipt; none if an earlier version wrote it."""
    seal = row.get(SEAL)
    return {k: Stamp(*v) for k, v in json.loads(seal)["outputs"].items()} if seal else {}


@dataclass(frozen=True)
class Replaced:
    """The objects that held the rows of a compacted receipt before.

    `receipts` is the key of the object that held the receipt. `outputs` are the objects that held
    its rows, each with the number of rows and the key of the object that holds them now.
    """

    receipts: str
    outputs: dict[str, tuple[int, str]]


def replaced_by(row: Mapping[str, Any]) -> Replaced | None:
    """Return what a receipt replaces; None if it is not compacted."""
    replaces = json.loads(row[SEAL]).get("replaces") if row.get(SEAL) else None
    return replaces and Replaced(replaces[0], {k: (n, new) for k, (n, new) in replaces[1].items()})


@dataclass(frozen=True)
class Compaction:
    """An object of compacted receipts, and what it replaces.

    `outputs` are the keys of the old bronze objects, each with the key of the object that holds its
    rows now.
    """

    key: str
    receipts: frozenset[str]
    outputs: dict[str, str]


def compactions(lake: Lake) -> Iterator[Compaction]:
    """Yield every compaction of a lake; damaged ones are left to the audit."""
    keys = [o.key for o in lake.list(RECEIPTS) if o.key.endswith(COMPACTED)]
    for key, rows in stored_receipts(lake, {}, keys):
        replaced = [replaces for row in rows if (replaces := replaced_by(row))]
        receipts = frozenset(replaces.receipts for replaces in replaced)
        outputs = {old: new for r in replaced for old, (_, new) in r.outputs.items()}
        yield Compaction(key, receipts, outputs)


def outputs_of(row: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of rows of each output of a receipt."""
    return dict(json.loads(row["outputs"]))


def read_receipts(stream: BinaryIO, key: str) -> list[dict[str, Any]]:
    """Return the rows of an object of receipts, in the order of their columns.

    Raises:
        Damaged: they are not what was written.
        OSError: the disk or the network failed.
    """
    data = b"".join(iter(lambda: stream.read(1 << 20), b""))
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        _require_few_rows(file.metadata, len(data))
        rows: list[dict[str, Any]] = file.read(use_threads=False).to_pylist()
        for row in rows:
            require_whole(row)
    except Exception as error:  # Damaged Parquet makes Arrow raise nearly anything.
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Damaged(f"{key} is damaged, a receipt that cannot be read: {why}") from error
    return rows


def _require_few_rows(metadata: pq.FileMetaData, size: int) -> None:
    """Raise Damaged when a file of `size` bytes cannot have as many rows as it says.

    Arrow would ask for memory for all of them.
    """
    groups = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    if sum(groups) != metadata.num_rows or not all(0 <= rows <= size for rows in groups):
        raise Damaged("its numbers of rows cannot be")


def require_whole(row: Mapping[str, Any]) -> None:
    """Raise Damaged when a receipt is not what was written."""
    if lacking := RECEIPT.keys() - row.keys():
        raise Damaged(
            f"another version has made it, 'medallion rebuild' makes it again: it has no "
            f"{', '.join(sorted(lacking))}"
        )
    if strange := row.keys() - COLUMNS.keys():
        raise Damaged(f"it has {', '.join(sorted(strange))}")
    outputs, stamps = outputs_of(row), stamps_of(row)
    if not all(isinstance(rows, int) for rows in outputs.values()):
        raise Damaged("its outputs have no numbers of rows")
    if row.get(SEAL) is None:
        return
    if stamps.keys() != outputs.keys() or sealed(row, stamps)[SEAL] != row[SEAL]:
        raise Damaged("its checksum is of another content")


def stored_receipts(
    lake: Lake, damaged: dict[str, str], keys: Iterable[str] | None = None
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the key and the rows of every object of receipts.

    Args:
        lake: the lake.
        damaged: receives the reason, by key, why other objects cannot be read.
        keys: the objects to read; None for all of the lake.
    """
    for key in (o.key for o in lake.list(RECEIPTS)) if keys is None else keys:
        try:
            with lake.open(key) as stream:
                yield key, read_receipts(stream, key)
        except (Damaged, OSError) as error:
            damaged[key] = reason(error)


def reason(error: Exception) -> str:
    """Return why an object could not be read, on one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())


def stem(raw: LakeObject) -> str:
    """Return the prefix of the names of all outputs of one version of a raw object.

    It is a hash of the key and a hash of the version, so the same object always gives the same
    names.
    """
    return f"{key_stem(raw.key)}-{_digest(raw.version, 8)}"


def stem_of(key: str) -> str | None:
    """Return the stem in the key of a receipt; None for an object of many receipts."""
    name = key.removeprefix(RECEIPTS).removesuffix(PLAIN)
    return name if is_stem(name) else None


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
    return f"{folder}/{stem}-{part:04d}{PLAIN}"


def quarantine_key(stem: str, part: int) -> str:
    """Return the key of rejected lines."""
    return f"{QUARANTINES}{stem}-{part:04d}{PLAIN}"


def receipt_key(stem: str) -> str:
    """Return the key of a receipt, which is written last: then all outputs exist."""
    return f"{RECEIPTS}{stem}{PLAIN}"


def table_of(key: str) -> str:
    """Return the table of staging to which an object of bronze belongs: the name of its folder."""
    return key.split("/")[1]


def named_counts(counts: Counter[str]) -> dict[str, int]:
    """Return the counts of the most frequent names, and one sum of all others.

    So a receipt stays small.
    """
    ranked = sorted(
        (item for item in counts.items() if item[0] != OTHER_NAMES),
        key=lambda item: (-item[1], item[0]),
    )
    others = counts[OTHER_NAMES] + sum(n for _, n in ranked[MAX_UNKNOWN_NAMES:])
    return dict(ranked[:MAX_UNKNOWN_NAMES]) | ({OTHER_NAMES: others} if others else {})
