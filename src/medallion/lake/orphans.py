"""Orphans: what bronze holds of raw objects that raw/ no longer has, or has with other bytes."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from medallion.contract import FEEDS
from medallion.errors import LossError
from medallion.lake.receipts import RECEIPTS
from medallion.platforms.lake import Lake
from medallion.platforms.local import LocalLake, make_folder, sync

RETIRED = "bronze/.retired.json"
"""The keys of raw objects that are gone with somebody's consent: bronze alone holds their rows. It
lies in bronze, so that it comes and goes with those rows."""


@dataclass(frozen=True)
class Receipt:
    """What is known of one version of a raw object: its key, checksum and arrival, its rows, and
    the object of bronze that says so, `None` where only the warehouse does."""

    source_file: str
    checksum: str
    arrived: datetime
    accepted: int
    quarantined: int
    outputs: tuple[str, ...]
    told_by: str | None

    @property
    def version(self) -> tuple[str, str]:
        return self.source_file, self.checksum

    @property
    def rows_of(self) -> tuple[str, datetime]:
        """What its rows are found by."""
        return self.source_file, self.arrived


def known_receipts(lake: Lake, warehouse: duckdb.DuckDBPyConnection | None) -> list[Receipt]:
    """Every receipt, by the object of bronze that holds it or else by the warehouse."""
    found = {}
    for stored in lake.list(RECEIPTS):
        with suppress(OSError, pa.ArrowException), lake.open(stored.key) as stream:
            for row in pq.read_table(stream).to_pylist():
                receipt = _receipt(row, stored.key)
                found[receipt.version] = receipt
    for row in _staged(warehouse) if warehouse else ():
        receipt = _receipt(row, None)
        found.setdefault(receipt.version, receipt)
    return sorted(found.values(), key=lambda receipt: (receipt.source_file, receipt.arrived))


def _staged(warehouse: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    try:
        answer = warehouse.execute("FROM staging.receipts")
    except duckdb.CatalogException:
        return []
    names = [column[0] for column in answer.description or ()]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def _receipt(row: dict[str, Any], told_by: str | None) -> Receipt:
    return Receipt(
        row["source_file"],
        row["checksum"],
        row["modified_at"],
        row["accepted"],
        row["quarantined"],
        tuple(json.loads(row["outputs"])),
        told_by,
    )


def retired(lake: Lake) -> set[str]:
    """The keys of raw objects that are gone with somebody's consent."""
    try:
        with lake.open(RETIRED) as stream:
            return set(json.loads(stream.read())["objects"])
    except FileNotFoundError:
        return set()


def retire(lake: Lake, keys: Iterable[str]) -> None:
    """Take note that raw objects are gone with somebody's consent."""
    if both := retired(lake) | set(keys):
        lake.put(RETIRED, json.dumps({"objects": sorted(both)}, indent=0).encode())


def carry_over(old: LocalLake, new: LocalLake, orphans: Sequence[Receipt]) -> None:
    """Bring the rows, rejected lines and receipts of orphans from one bronze into another,
    unchanged.

    Raises LossError when the old bronze lacks some of them, or the new one has others by the same
    name.
    """
    wanted = {orphan.rows_of for orphan in orphans}
    lost = [o.source_file for o in orphans if not o.told_by or _outputs(old, [o]) is None]
    if lost:
        raise LossError(
            f"bronze does not hold all rows of {len(lost)} objects that raw/ lacks, so they cannot "
            "be carried over, and everything stays as it was:",
            some(lost),
        )
    keys = {key for o in orphans for key in o.outputs}
    for key in sorted(keys | {o.told_by for o in orphans if o.told_by}):
        arrived = "modified_at" if key.startswith(RECEIPTS) else "ingested_at"
        _carry(old.home / key, new.home / key, wanted, arrived)


def _outputs(lake: LocalLake, orphans: Iterable[Receipt]) -> list[str] | None:
    """The paths of all outputs; None when one is missing or cannot be read."""
    paths = []
    for key in sorted({key for orphan in orphans for key in orphan.outputs}):
        try:
            pq.read_metadata(lake.home / key)
        except (OSError, pa.ArrowException):
            return None
        paths.append(str(lake.home / key))
    return paths


def _carry(old: Path, new: Path, wanted: set[tuple[str, datetime]], arrived: str) -> None:
    """Bring one object over: as it is, or only the rows that are wanted where it has others too."""
    if new.exists():
        raise LossError(
            f"{new.name} would hold other rows than bronze has, so everything stays as it was: "
            "restore the raw object from a backup"
        )
    make_folder(new.parent)
    table = pq.ParquetFile(old).read()
    rows = zip(table["source_file"].to_pylist(), table[arrived].to_pylist(), strict=True)
    chosen = [row in wanted for row in rows]
    if all(chosen):
        try:
            os.link(old, new)
        except OSError:
            shutil.copy2(old, new)
    else:
        pq.write_table(table.filter(pa.array(chosen)), new, compression="snappy")
    sync(new)
    sync(new.parent)


def only_in_bronze(
    lake: LocalLake, orphans: Sequence[Receipt], new: duckdb.DuckDBPyConnection
) -> Counter[str]:
    """Count, by raw object, the rows and rejected lines of orphans that a warehouse does not have:
    purchases by their event_id, all else by its content."""
    lost: Counter[str] = Counter()
    for orphan in orphans:
        paths = _outputs(lake, [orphan])
        if paths is None:
            lost[orphan.source_file] += orphan.accepted + orphan.quarantined
            continue
        for path in paths:
            lost[orphan.source_file] += _absent(new, lake, Path(path), orphan)
    return +lost


def _absent(new: duckdb.DuckDBPyConnection, lake: LocalLake, path: Path, orphan: Receipt) -> int:
    folder = path.relative_to(lake.home).parts[1]
    if folder in FEEDS:
        names = "event_id" if folder == "purchases" else ", ".join(FEEDS[folder].names)
    else:
        names = "feed, source_file, raw"
    ((count,),) = new.execute(
        f"SELECT count(*) FROM (SELECT {names} FROM read_parquet(?, hive_partitioning = false) "
        f"WHERE source_file = ? AND ingested_at = ? EXCEPT SELECT {names} FROM staging.{folder})",
        [str(path), orphan.source_file, orphan.arrived],
    ).fetchall()
    return int(count)


SHOWN = 20


def some(names: Sequence[str]) -> list[str]:
    """The first names, and how many more there are."""
    left = len(names) - SHOWN
    return [*names[:SHOWN], *([f"... and {left:,} more"] if left > 0 else [])]
