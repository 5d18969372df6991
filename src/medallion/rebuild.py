"""Everything made again from raw/, beside what is there, and swapped in when the audit holds."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from medallion.audit import AuditReport, audit
from medallion.errors import LakeError, SettingsError, WarehouseError
from medallion.layers.bronze import CleanReport, clean
from medallion.layers.marts import Transformer, publish
from medallion.layers.staging import Loader
from medallion.platforms.lake import Lake
from medallion.platforms.local import LocalLake, make_folder, sync
from medallion.platforms.platform import Platform
from medallion.platforms.warehouse import FILE, literal, open_warehouse, warehouse_path

BESIDE = ".rebuild"
"""Where in the home the new bronze and warehouse are made, over the same raw/."""

_LAYERS = {
    "silver": "SELECT * EXCLUDE (event_key, event_bucket, load_seq, first_load_seq, loaded_at) "
    "FROM {db}.silver.purchases_silver",
    "gold": "SELECT * EXCLUDE (load_seq) FROM {db}.gold.purchases_gold",
    "quarantine": "SELECT feed, reason, raw, source_file, source_line FROM {db}.staging.quarantine",
}
"""What is compared: all but what hangs on the order and the time of loading."""


@dataclass
class RebuildReport:
    """What was made. `differences` are rows by layer that only the old or only the new warehouse
    has, `None` where there was nothing to compare with."""

    cleaned: CleanReport
    rows: int
    models: int
    audit: AuditReport
    differences: dict[str, int] | None
    seconds: float


def rebuild(here: Platform, progress: Callable[[str], None] = lambda _: None) -> RebuildReport:
    """Makes bronze, warehouse and snapshots from raw/ alone, by the rules of today, and swaps them
    in when the audit of the new ones holds. Killed anywhere, the home is the old one, or one that
    the next run completes from what is there.

    Raises SettingsError for a lake that is not in the home; LakeError when a raw object cannot be
    read and WarehouseError when a check fails: then everything stays as it was.
    """
    if not isinstance(here.lake, LocalLake):
        raise SettingsError(
            "rebuild works on a lake in the home; in S3 bronze is kept, and 'medallion transform "
            "--full-refresh' builds again from staging"
        )
    started, beside = time.monotonic(), here.home / BESIDE
    lake = _lake_over_raw(here.home, beside)
    progress("cleaning raw/")
    cleaned = clean(lake, progress=lambda receipt: progress(f"cleaned {receipt.source_file}"))
    if cleaned.failures:
        key, why = next(iter(cleaned.failures.items()))
        raise LakeError(f"cannot rebuild, and everything stays as it was: {key}: {why}")
    with open_warehouse(beside) as new:
        built = build(lake, beside, new, progress)
        if built.broken:
            raise WarehouseError(
                f"the rebuilt home breaks {', '.join(built.broken)}, so everything stays as it was"
            )
        differences = _differences(new, warehouse_path(here.home))
        new.execute("CHECKPOINT")
    _swap(here.home, beside)
    with open_warehouse(here.home) as warehouse:
        publish(here.home, warehouse, built.relations)
    taken = time.monotonic() - started
    return RebuildReport(cleaned, built.rows, built.models, built.audit, differences, taken)


@dataclass
class Built:
    """What was made of bronze: rows loaded, models built, the relations to publish, and whether
    the promises hold."""

    rows: int
    models: int
    relations: dict[str, bool]
    audit: AuditReport

    @property
    def broken(self) -> list[str]:
        """The checks that do not hold."""
        return [check.name for check in self.audit.checks if not check.holds]


def build(
    lake: Lake,
    beside: Path,
    warehouse: duckdb.DuckDBPyConnection,
    progress: Callable[[str], None] = lambda _: None,
) -> Built:
    """Fills the empty warehouse of the folder `beside` from a lake's bronze, and audits it."""
    progress("loading")
    loaded = Loader(lake, warehouse).load()
    progress("building the models")
    transformer = Transformer(beside)
    models = transformer.run().models
    relations = transformer.published()
    transformer.close()
    progress("auditing")
    found = audit(lake, warehouse, progress=progress)
    return Built(loaded.rows, len(models), relations, found)


def discard(home: Path) -> None:
    """Removes what a rebuild that was killed has left: copies of bronze and of the warehouse."""
    shutil.rmtree(home / BESIDE, ignore_errors=True)


def _lake_over_raw(home: Path, beside: Path) -> LocalLake:
    """An empty lake that has the raw objects of the home."""
    discard(home)
    make_folder(beside)
    make_folder(home / "raw")
    (beside / "raw").symlink_to(Path("..") / "raw", target_is_directory=True)
    return LocalLake(beside)


def _differences(new: duckdb.DuckDBPyConnection, old: Path) -> dict[str, int] | None:
    """Rows that only one of the two warehouses has. None where the old one lacks a layer or has
    other columns: it is of another version, or was never built."""
    if not old.exists():
        return None
    try:
        new.execute(f"ATTACH {literal(old)} AS old (READ_ONLY)")
        return {layer: _rows_of_one(new, sql) for layer, sql in _LAYERS.items()}
    except duckdb.Error:
        return None
    finally:
        new.execute("DETACH DATABASE IF EXISTS old")


def _rows_of_one(new: duckdb.DuckDBPyConnection, sql: str) -> int:
    (mine,) = new.execute("SELECT current_database()").fetchall()[0]
    ours, theirs = sql.format(db=mine), sql.format(db="old")
    counted = new.execute(
        f"SELECT (SELECT count(*) FROM (({ours}) EXCEPT ALL ({theirs}))) "
        f"+ (SELECT count(*) FROM (({theirs}) EXCEPT ALL ({ours})))"
    )
    return int(counted.fetchall()[0][0])


def _swap(home: Path, beside: Path) -> None:
    """Takes the old warehouse and bronze out, then puts the new ones in. After each step the home
    is one that a run completes: without a warehouse it loads bronze, without bronze it cleans
    raw/."""
    warehouse = warehouse_path(home)
    for old, kept in (
        (warehouse.with_name(f"{FILE}.wal"), beside / "old.wal"),
        (warehouse, beside / "old.duckdb"),
        (home / "bronze", beside / "old-bronze"),
        (beside / "bronze", home / "bronze"),
        (warehouse_path(beside), warehouse),
    ):
        if old.exists():
            move(old, kept)
    shutil.rmtree(beside)


def move(old: Path, new: Path) -> None:
    """Renames a file or folder, durably."""
    old.rename(new)
    sync(new.parent)
    sync(old.parent)
