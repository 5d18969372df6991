"""Orphans: bronze rows whose raw objects are missing in raw/ or have other bytes there."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from medallion.contract import FEEDS, LOAD
from medallion.errors import LakeError, LossError, shortened
from medallion.lake.receipts import (
    compactions,
    outputs_of,
    read_receipts,
    receipts_table,
    sealed,
    stamps_of,
    stored_receipts,
    table_of,
)
from medallion.lake.seals import Damaged, Stamp, sealed_text, unsealed
from medallion.platforms.lake import Lake
from medallion.platforms.local import LocalLake, make_folder, sync
from medallion.platforms.warehouse import literal

RETIRED = "bronze/.retired.json"
"""The file that records what was removed with the user's consent: raw objects, of which bronze
holds the rows, and bronze objects, of which the warehouse holds them."""


@dataclass(frozen=True)
class Retired:
    """The raw and bronze objects that were removed with the user's consent.

    Of raw/ these are `objects`, and all that arrived before the time `before`. Of bronze these are
    objects whose raw objects all arrived before `bronze_before`.
    """

    objects: frozenset[str] = frozenset()
    before: datetime | None = None
    bronze_before: datetime | None = None

    def covers(self, key: str, arrived: datetime) -> bool:
        """Return whether a raw object may be gone; its arrival is in UTC, with or without zone."""
        return key in self.objects or _is_before(arrived, self.before)

    def covers_bronze(self, arrived: datetime) -> bool:
        """Return whether a bronze object may be gone whose newest raw object arrived then."""
        return _is_before(arrived, self.bronze_before)


def _is_before(arrived: datetime, before: datetime | None) -> bool:
    return before is not None and arrived.replace(tzinfo=UTC) < before


@dataclass(frozen=True)
class Provenance:
    """The facts of a receipt that identify one version of a raw object and its rows.

    `receipts` is the key of the bronze object that holds the receipt; None when only the warehouse
    has it.
    """

    source_file: str
    checksum: str
    arrived: datetime
    accepted: int
    quarantined: int
    outputs: tuple[str, ...]
    receipts: str | None
    stamps: Mapping[str, Stamp] = field(default_factory=dict, compare=False, hash=False)

    @property
    def version(self) -> tuple[str, str]:
        return self.source_file, self.checksum

    @property
    def rows_of(self) -> tuple[str, datetime]:
        """Return the columns source_file and ingested_at of the rows of the receipt."""
        return self.source_file, self.arrived


def known_receipts(
    lake: Lake, warehouse: duckdb.DuckDBPyConnection | None, damaged: dict[str, str]
) -> list[Provenance]:
    """Return the receipts of bronze, and those that only the warehouse has.

    `damaged` gets the reason, by key, why objects of bronze cannot be read; an object whose
    receipts the warehouse has is left out of it.
    """
    receipts: dict[tuple[str, str], Provenance] = {}
    for key, rows in stored_receipts(lake, damaged):
        for row in rows:
            receipt = _provenance(row, key)
            other = receipts.setdefault(receipt.version, receipt)
            # Bytes that came back after other bytes count as arrived when they came back.
            receipts[receipt.version] = max(other, receipt, key=lambda r: r.arrived)
    for row in _staged(warehouse) if warehouse else ():
        damaged.pop(row["bronze_file"], None)
        receipt = _provenance(row, None)
        receipts.setdefault(receipt.version, receipt)
    return sorted(receipts.values(), key=lambda receipt: (receipt.source_file, receipt.arrived))


def _staged(warehouse: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    try:
        answer = warehouse.execute("FROM staging.receipts")
    except duckdb.CatalogException:
        return []
    names = [column[0] for column in answer.description or ()]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def _provenance(row: dict[str, Any], receipts: str | None) -> Provenance:
    return Provenance(
        row["source_file"],
        row["checksum"],
        row["modified_at"],
        row["accepted"],
        row["quarantined"],
        tuple(outputs_of(row)),
        receipts,
        stamps_of(row),
    )


def retired(lake: Lake) -> Retired:
    """Return which raw objects were removed with the user's consent."""
    try:
        with lake.open(RETIRED) as stream:
            content = unsealed(stream.read(), RETIRED)
        return Retired(
            frozenset(content.get("objects", ())),
            *(content.get(n) and datetime.fromisoformat(content[n]) for n in _TIMES),
        )
    except FileNotFoundError:
        return Retired()
    except Damaged as error:
        raise LakeError(
            f"{error}; bring it back from a backup, or remove it: then the audit names the raw "
            "objects that are gone"
        ) from error


_TIMES = ("before", "bronze_before")


def retire(
    lake: Lake,
    keys: Iterable[str] = (),
    before: datetime | None = None,
    bronze_before: datetime | None = None,
) -> None:
    """Record that objects are removed with the user's consent.

    Args:
        lake: the lake.
        keys: raw objects.
        before: the time of arrival before which all raw objects are.
        bronze_before: the time before which bronze objects are.
    """
    old = retired(lake)
    new = Retired(
        old.objects | set(keys),
        max((time for time in (old.before, before) if time), default=None),
        max((time for time in (old.bronze_before, bronze_before) if time), default=None),
    )
    if new != old:
        times = {name: getattr(new, name) for name in _TIMES}
        content: dict[str, Any] = {"objects": sorted(new.objects)}
        content |= {name: time.isoformat() for name, time in times.items() if time}
        lake.put(RETIRED, sealed_text(content).encode())


def restore(
    lake: LocalLake, warehouse: duckdb.DuckDBPyConnection, keys: Iterable[str], folder: Path
) -> dict[str, Path]:
    """Write retired bronze objects again, from the rows that the warehouse holds of them.

    Args:
        lake: the lake.
        warehouse: the warehouse that loaded the objects.
        keys: the retired objects.
        folder: where their files are written.

    Returns:
        the file of each object of which the warehouse holds rows, by key.
    """
    loaded_as: dict[str, list[str]] = {key: [key] for key in keys}
    for compaction in compactions(lake):
        for before, now in compaction.outputs.items():
            if now in loaded_as:
                loaded_as[now].append(before)
    files = {}
    make_folder(folder)
    for number, (key, names) in enumerate(loaded_as.items()):
        path = folder / f"{number}"
        ((rows,),) = warehouse.execute(
            f"COPY (SELECT * EXCLUDE ({', '.join(LOAD)}) FROM staging.{table_of(key)} "
            "WHERE bronze_file IN (SELECT unnest(?)) ORDER BY source_file, ingested_at, "
            f"source_line) TO {literal(path)} (FORMAT parquet, COMPRESSION zstd)",
            [names],
        ).fetchall()
        if rows:
            files[key] = path
    return files


def carry_over(
    old: LocalLake,
    new: LocalLake,
    orphans: Sequence[Provenance],
    restored: Mapping[str, Path],
) -> None:
    """Copy the rows, rejected lines and receipts of orphans to another bronze, unchanged.

    Args:
        old: the lake whose bronze holds them.
        new: the lake that gets them.
        orphans: the versions of raw objects.
        restored: files to take instead of objects of the old bronze, by key.

    Raises:
        LossError: the old bronze lacks some of them, or the new one has others of the same name.
    """
    wanted = {orphan.rows_of for orphan in orphans}
    lost = [
        o.source_file
        for o in orphans
        if not o.receipts or not all(k in restored or _is_sound(old, o, k) for k in o.outputs)
    ]
    if lost:
        raise LossError(
            f"neither bronze nor the warehouse holds all rows of {len(lost)} objects that raw/ "
            "lacks, so they cannot be carried over, and everything stays as it was:",
            shortened(lost),
        )
    stamps = {
        key: _carry(restored.get(key, old.home / key), new.home / key, wanted)
        for key in sorted({key for o in orphans for key in o.outputs})
    }
    for key in sorted({o.receipts for o in orphans if o.receipts}):
        _carry_receipts(old, new.home / key, key, wanted, stamps)


def _is_sound(lake: LocalLake, orphan: Provenance, key: str) -> bool:
    """Return whether an output is there and undamaged."""
    try:
        if key in orphan.stamps:
            orphan.stamps[key].require(key, Stamp.of_file(lake.home / key))
        pq.read_metadata(lake.home / key)
    except (OSError, pa.ArrowException, Damaged):
        return False
    return True


def _begin(new: Path) -> None:
    if new.exists():
        raise LossError(
            f"{new.name} would hold other rows than bronze has, so everything stays as it was: "
            "restore the raw object from a backup"
        )
    make_folder(new.parent)


def _carry_receipts(
    old: LocalLake,
    new: Path,
    key: str,
    wanted: set[tuple[str, datetime]],
    stamps: Mapping[str, Stamp],
) -> None:
    """Write the wanted receipts, with the stamps of the objects as they were carried."""
    _begin(new)
    with old.open(key) as stream:
        rows = read_receipts(stream, key)
    carried = [
        sealed(row, {output: stamps[output] for output in outputs_of(row)})
        for row in rows
        if (row["source_file"], row["modified_at"]) in wanted
    ]
    pq.write_table(receipts_table(carried), new)
    sync(new)
    sync(new.parent)


def _carry(old: Path, new: Path, wanted: set[tuple[str, datetime]]) -> Stamp:
    """Link or copy an object; if it also has other rows, write only the wanted ones."""
    _begin(new)
    table = pq.ParquetFile(old).read()
    origins = table.select(["source_file", "ingested_at"])
    distinct = origins.group_by(origins.column_names).aggregate([]).to_pylist()
    if {tuple(row.values()) for row in distinct} <= wanted:
        try:
            os.link(old, new)
        except OSError:
            shutil.copy2(old, new)
    else:
        chosen = [tuple(row.values()) in wanted for row in origins.to_pylist()]
        pq.write_table(table.filter(pa.array(chosen)), new, compression="snappy")
    sync(new)
    sync(new.parent)
    return Stamp.of_file(new)


def only_in_bronze(
    lake: LocalLake, orphans: Sequence[Provenance], new: duckdb.DuckDBPyConnection
) -> Counter[str]:
    """Count by raw object the rows and rejected lines of orphans that a warehouse lacks.

    Purchases are compared by event_id, everything else by its content.
    """
    lost: Counter[str] = Counter()
    for orphan in orphans:
        if not all(_is_sound(lake, orphan, key) for key in orphan.outputs):
            lost[orphan.source_file] += orphan.accepted + orphan.quarantined
            continue
        for key in orphan.outputs:
            lost[orphan.source_file] += _absent(new, lake, key, orphan)
    return +lost


def _absent(new: duckdb.DuckDBPyConnection, lake: LocalLake, key: str, orphan: Provenance) -> int:
    table = table_of(key)
    if table in FEEDS:
        names = "event_id" if table == "purchases" else ", ".join(FEEDS[table].names)
    else:
        names = "feed, source_file, raw"
    ((count,),) = new.execute(
        f"SELECT count(*) FROM (SELECT {names} FROM read_parquet(?, hive_partitioning = false) "
        f"WHERE source_file = ? AND ingested_at = ? EXCEPT SELECT {names} FROM staging.{table})",
        [str(lake.home / key), orphan.source_file, orphan.arrived],
    ).fetchall()
    return int(count)
