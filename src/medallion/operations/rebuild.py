"""Rebuild: everything is built again from raw/, and swapped in when the audit holds."""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import duckdb

from medallion.audit import AuditReport, audit
from medallion.audit.last import keep_result
from medallion.errors import LakeError, LossError, SettingsError, WarehouseError, shortened
from medallion.lake.codecs import StoredBytes
from medallion.lake.orphans import (
    Provenance,
    Retired,
    carry_over,
    known_receipts,
    only_in_bronze,
    restore,
    retire,
    retired,
)
from medallion.lake.raw import raw_objects
from medallion.lake.receipts import receipt_key, stem
from medallion.layers.bronze import CleanReport, clean
from medallion.layers.snapshots import publish
from medallion.layers.staging import Loader, take_over
from medallion.layers.transform import Transformer
from medallion.platforms.home import BESIDE, replaced_folder, swap
from medallion.platforms.lake import Lake, LakeObject
from medallion.platforms.local import LocalLake, make_folder
from medallion.platforms.platform import Platform
from medallion.platforms.warehouse import (
    WAREHOUSE_FILE,
    keep_memory,
    literal,
    open_warehouse,
    warehouse_path,
)
from medallion.settings import Reporting

_LAYERS = {
    "silver": "SELECT * EXCLUDE (event_key, event_bucket, load_seq, first_load_seq, loaded_at) "
    "FROM {db}.silver.purchases_silver",
    "gold": "SELECT * EXCLUDE (load_seq) FROM {db}.gold.purchases_gold",
    "quarantine": "SELECT feed, reason, raw, source_file, source_line FROM {db}.ops.quarantine",
}
"""The columns to compare: all but those that depend on the order and time of loading."""

KEEP, DROP = "keep", "drop"
"""The treatment of rows whose lines are no longer in raw/."""


@dataclass
class RebuildReport:
    """The result of a rebuild.

    `differences` counts by layer the rows that only the old or only the new warehouse has; None if
    there was nothing to compare with. `carried` and `dropped` are raw objects whose rows only
    bronze had, or only the warehouse. Objects that arrived before `raw_from` were retired.
    `old_copy` is the folder of the old bronze and warehouse, which are kept if anything differs.
    """

    cleaned: CleanReport
    rows: int
    models: int
    audit: AuditReport
    differences: dict[str, int] | None
    seconds: float
    carried: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    raw_from: datetime | None = None
    old_copy: Path | None = None


def rebuild(
    platform: Platform,
    missing: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> RebuildReport:
    """Build bronze, warehouse and snapshots from raw/ by the current rules, and swap them in.

    A killed rebuild leaves the old home, or one that the next runner completes.

    Args:
        platform: the platform.
        missing: what to do with rows of raw objects that are no longer in raw/: keep them (KEEP),
            leave them out (DROP), or refuse to lose them (None). Rows of retired objects are always
            kept; those of retired bronze objects are taken from the warehouse. Rows of earlier
            versions of a rewritten object do not count, and are left out unless KEEP.
        progress: called with a message at each step.

    Raises:
        SettingsError: the lake is not in the home.
        LossError: rows would be lost. Everything stays as it was, as after the next two.
        LakeError: a raw object cannot be read.
        WarehouseError: a check of the audit fails.
    """
    if not isinstance(platform.lake, LocalLake):
        raise SettingsError(
            "rebuild works on a lake in the home; in S3 bronze is kept, and 'medallion transform "
            "--full-refresh' builds again from staging"
        )
    started, beside = time.monotonic(), platform.home / BESIDE
    damaged = dict[str, str]()
    receipts, removed = _all_receipts(platform, damaged), retired(platform.lake)
    objects = list(raw_objects(platform.lake))
    existing = {raw.key for raw in objects}
    made_again = {receipt_key(stem(raw)) for raw in objects} | {r.receipts for r in receipts}
    unknown = sorted(damaged.keys() - made_again)
    if unknown and missing != DROP:
        raise LossError(
            "nobody knows which rows these damaged receipts name, so everything stays as it was: "
            "bring them back from a backup, or leave out what only they name by --drop-missing:",
            shortened(unknown),
        )
    absent = {r for r in receipts if r.source_file not in existing}
    gone = {r for r in absent if not removed.covers(r.source_file, r.arrived)}
    if gone and missing is None:
        raise _refusal([*gone])
    lake = _lake_over_raw(platform.home, beside, receipts)
    progress("cleaning raw/")
    cleaned = clean(lake, progress=lambda receipt: progress(f"cleaned {receipt.source_file}"))
    if cleaned.failures:
        key, why = next(iter(cleaned.failures.items()))
        raise LakeError(f"cannot rebuild, and everything stays as it was: {key}: {why}")
    again = {receipt.version for receipt in known_receipts(lake, None, {})}
    orphans = [r for r in receipts if r.version not in again]
    carried = [r for r in orphans if missing == KEEP or (r in absent and r not in gone)]
    restored = _restored(platform, removed, carried, beside / "restored")
    if missing == DROP:
        carried = [r for r in carried if not _away(platform.lake, removed, r) - restored.keys()]
    carry_over(platform.lake, lake, carried, restored)
    listed = {r.source_file for r in carried if r in gone or r.source_file in removed.objects}
    retire(lake, listed, removed.before)
    with open_warehouse(beside) as new:
        built = build(lake, beside, new, platform.reporting, progress)
        if built.broken:
            raise WarehouseError(
                f"the rebuilt home breaks {', '.join(built.broken)}, so everything stays as it was"
            )
        dropped = [r for r in absent if r not in carried]
        lost = only_in_bronze(platform.lake, dropped, new)
        differences = _differences(new, warehouse_path(platform.home))
        # Before the swap: a kill must not leave the old snapshot with the new warehouse.
        publish(platform.home, new, built.relations)
        new.execute("CHECKPOINT")
    old_copy = _swap(platform.home)
    keep_result(platform.home, built.audit.checks, datetime.now(UTC))
    report = RebuildReport(
        cleaned, built.rows, built.models, built.audit, differences, time.monotonic() - started
    )
    report.carried = sorted({r.source_file for r in carried})
    report.dropped = sorted(lost)
    report.raw_from = removed.before
    if old_copy.exists() and not lost and differences and not any(differences.values()):
        shutil.rmtree(old_copy)
    report.old_copy = old_copy if old_copy.exists() else None
    return report


def _all_receipts(platform: Platform, damaged: dict[str, str]) -> list[Provenance]:
    """Return the receipts of bronze and, if it can be opened, of the warehouse."""
    try:
        with open_warehouse(platform.home, read_only=True) as warehouse:
            return known_receipts(platform.lake, warehouse, damaged)
    except WarehouseError:
        return known_receipts(platform.lake, None, damaged)


def _away(lake: LocalLake, removed: Retired, receipt: Provenance) -> set[str]:
    """Return the outputs of a receipt that were retired."""
    if not removed.covers_bronze(receipt.arrived):
        return set()
    return {key for key in receipt.outputs if not (lake.home / key).exists()}


def _restored(
    platform: Platform, removed: Retired, receipts: Iterable[Provenance], folder: Path
) -> dict[str, Path]:
    """Write the retired outputs of receipts to files; none if the warehouse cannot be opened."""
    assert isinstance(platform.lake, LocalLake)
    away = {key for r in receipts for key in _away(platform.lake, removed, r)}
    if not away:
        return {}
    try:
        with open_warehouse(platform.home, read_only=True) as warehouse:
            return restore(platform.lake, warehouse, away, folder)
    except (WarehouseError, duckdb.Error):
        return {}


def _refusal(orphans: Sequence[Provenance]) -> LossError:
    accepted, rejected = (sum(getattr(r, n) for r in orphans) for n in ("accepted", "quarantined"))
    names = sorted({r.source_file for r in orphans})
    return LossError(
        f"rebuild would lose {accepted:,} accepted rows and {rejected:,} rejected lines, so "
        f"everything stays as it was: raw/ no longer holds {len(names):,} objects that bronze was "
        "made of; put them back, or say --keep-missing to carry over what bronze holds of them, or "
        "--drop-missing to leave it out and keep the old copy:",
        shortened(names),
    )


@dataclass
class Built:
    """A warehouse built from bronze: loaded rows, models, relations to publish, and its audit."""

    rows: int
    models: int
    relations: dict[str, bool]
    audit: AuditReport

    @property
    def broken(self) -> list[str]:
        """Return the names of the checks that fail."""
        return [check.name for check in self.audit.checks if not check.holds]


def build(
    lake: Lake,
    beside: Path,
    warehouse: duckdb.DuckDBPyConnection,
    reporting: Reporting,
    progress: Callable[[str], None] = lambda _: None,
) -> Built:
    """Fill the empty warehouse in the folder `beside` from bronze, and audit it."""
    keep_memory(warehouse)
    take_over(warehouse, reporting)
    progress("loading")
    loaded = Loader(lake, warehouse).load()
    if loaded.failures:
        key, why = next(iter(loaded.failures.items()))
        raise LakeError(f"bronze cannot be loaded, and everything stays as it was: {key}: {why}")
    progress("building the models")
    transformer = Transformer(beside, warehouse)
    models = transformer.run().models
    relations = transformer.published()
    transformer.close()
    progress("auditing")
    report = audit(lake, warehouse, chance=Random(), progress=progress)
    return Built(loaded.rows, len(models), relations, report)


class RawAsReceived(LocalLake):
    """A lake whose raw objects have the arrival times of their receipts.

    A copied or restored home has new modification times, which must not change any row.
    """

    def __init__(self, home: Path, receipts: Iterable[Provenance]) -> None:
        super().__init__(home)
        self._corrected: dict[LakeObject, datetime] = {}
        self._arrivals: dict[str, dict[str, datetime]] = defaultdict(dict)
        for receipt in receipts:
            arrived = receipt.arrived.replace(tzinfo=UTC)
            self._arrivals[receipt.source_file][receipt.checksum] = arrived

    def shown(self, stored: LakeObject) -> LakeObject:
        arrivals = self._arrivals.get(stored.key)
        return replace(stored, modified=self._arrival(stored, arrivals)) if arrivals else stored

    def _arrival(self, raw: LakeObject, arrivals: dict[str, datetime]) -> datetime:
        if raw.modified in arrivals.values():
            return raw.modified
        if raw not in self._corrected:
            self._corrected[raw] = raw.modified
            with suppress(OSError), self.open(raw.key) as stream:
                self._corrected[raw] = arrivals.get(StoredBytes(stream).checksum(), raw.modified)
        return self._corrected[raw]


def _lake_over_raw(home: Path, beside: Path, receipts: Iterable[Provenance]) -> LocalLake:
    """Return a new lake with the raw objects of the home and an empty bronze."""
    shutil.rmtree(beside, ignore_errors=True)
    make_folder(beside)
    make_folder(home / "raw")
    (beside / "raw").symlink_to(Path("..") / "raw", target_is_directory=True)
    return RawAsReceived(beside, receipts)


def _differences(new: duckdb.DuckDBPyConnection, old: Path) -> dict[str, int] | None:
    """Count by layer the rows that only one of the two warehouses has.

    Returns:
        None if they cannot be compared: the old one is of another version, or was never built.
    """
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
    (name,) = new.execute("SELECT current_database()").fetchall()[0]
    new_rows, old_rows = sql.format(db=name), sql.format(db="old")
    counted = new.execute(
        f"SELECT (SELECT count(*) FROM (({new_rows}) EXCEPT ALL ({old_rows}))) "
        f"+ (SELECT count(*) FROM (({old_rows}) EXCEPT ALL ({new_rows})))"
    )
    return int(counted.fetchall()[0][0])


def _swap(home: Path) -> Path:
    """Swap in the new bronze and warehouse; return the folder of the old ones."""
    folder = replaced_folder(home)
    swap(home, ("bronze", WAREHOUSE_FILE), folder)
    return folder
