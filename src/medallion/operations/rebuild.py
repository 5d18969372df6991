"""Everything made again from raw/, beside what is there, and swapped in when the audit holds."""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from medallion.audit import AuditReport, audit
from medallion.errors import LakeError, LossError, SettingsError, WarehouseError
from medallion.lake.codecs import Source
from medallion.lake.orphans import (
    Receipt,
    carry_over,
    known_receipts,
    only_in_bronze,
    retire,
    retired,
    some,
)
from medallion.lake.raw import raw_objects
from medallion.layers.bronze import CleanReport, clean
from medallion.layers.snapshots import publish
from medallion.layers.staging import Loader, take_over
from medallion.layers.transform import Transformer
from medallion.platforms.home import BESIDE, REPLACED, swap
from medallion.platforms.lake import Lake, LakeObject
from medallion.platforms.local import LocalLake, make_folder
from medallion.platforms.platform import Platform
from medallion.platforms.warehouse import FILE, literal, open_warehouse, warehouse_path
from medallion.settings import Reporting

_LAYERS = {
    "silver": "SELECT * EXCLUDE (event_key, event_bucket, load_seq, first_load_seq, loaded_at) "
    "FROM {db}.silver.purchases_silver",
    "gold": "SELECT * EXCLUDE (load_seq) FROM {db}.gold.purchases_gold",
    "quarantine": "SELECT feed, reason, raw, source_file, source_line FROM {db}.staging.quarantine",
}
"""What is compared: all but what hangs on the order and the time of loading."""


KEEP, DROP = "keep", "drop"
"""What to do with rows of which raw/ does not hold the lines any more."""


@dataclass
class RebuildReport:
    """What was made. `differences` are rows by layer that only the old or only the new warehouse
    has, `None` where there was nothing to compare with; `carried` and `dropped` the raw objects
    whose rows bronze alone held; `old_copy` is where the old bronze and warehouse lie, which stay
    where anything differs."""

    cleaned: CleanReport
    rows: int
    models: int
    audit: AuditReport
    differences: dict[str, int] | None
    seconds: float
    carried: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    old_copy: Path | None = None


def rebuild(
    here: Platform, missing: str | None = None, progress: Callable[[str], None] = lambda _: None
) -> RebuildReport:
    """Make bronze, warehouse and snapshots from raw/ alone, by the rules of today, and swap them
    in when nothing would be lost and the audit of the new ones holds. Rows whose lines raw/ does
    not hold any more are carried over with KEEP, left out with DROP; those of objects that were
    retired are always carried over. Killed anywhere, the home is the old one, or one that the next
    runner completes.

    Raises SettingsError for a lake that is not in the home; LossError when rows would be lost;
    LakeError when a raw object cannot be read and WarehouseError when a check fails: then
    everything stays as it was.
    """
    if not isinstance(here.lake, LocalLake):
        raise SettingsError(
            "rebuild works on a lake in the home; in S3 bronze is kept, and 'medallion transform "
            "--full-refresh' builds again from staging"
        )
    started, beside = time.monotonic(), here.home / BESIDE
    receipts, consented = _known(here), retired(here.lake)
    there = {found.key for found in raw_objects(here.lake)}
    gone = [r for r in receipts if r.source_file not in there | consented]
    if gone and missing is None:
        raise _refusal(gone, "no longer holds")
    lake = _lake_over_raw(here.home, beside, receipts)
    progress("cleaning raw/")
    cleaned = clean(lake, progress=lambda receipt: progress(f"cleaned {receipt.source_file}"))
    if cleaned.failures:
        key, why = next(iter(cleaned.failures.items()))
        raise LakeError(f"cannot rebuild, and everything stays as it was: {key}: {why}")
    again = {receipt.version for receipt in known_receipts(lake, None)}
    orphans = [r for r in receipts if r.version not in again]
    carried = [r for r in orphans if missing == KEEP or r.source_file in consented - there]
    carry_over(here.lake, lake, carried)
    retire(lake, (r.source_file for r in carried if r.source_file not in there))
    with open_warehouse(beside) as new:
        built = build(lake, beside, new, here.reporting, progress)
        if built.broken:
            raise WarehouseError(
                f"the rebuilt home breaks {', '.join(built.broken)}, so everything stays as it was"
            )
        dropped = [r for r in orphans if r not in carried]
        lost = only_in_bronze(here.lake, dropped, new)
        if lost and missing is None:
            rewritten = [r for r in dropped if r.source_file in lost]
            raise _refusal(rewritten, "holds other bytes by now of", lost.total())
        differences = _differences(new, warehouse_path(here.home))
        # Before the swap, so that no kill leaves the old snapshot over the new warehouse.
        publish(here.home, new, built.relations)
        new.execute("CHECKPOINT")
    old_copy = _swap(here.home)
    report = RebuildReport(
        cleaned, built.rows, built.models, built.audit, differences, time.monotonic() - started
    )
    report.carried = sorted({r.source_file for r in carried})
    report.dropped = sorted(lost)
    if old_copy.exists() and not lost and differences and not any(differences.values()):
        shutil.rmtree(old_copy)
    report.old_copy = old_copy if old_copy.exists() else None
    return report


def _known(here: Platform) -> list[Receipt]:
    """The receipts of the home, as bronze and the warehouse know them. A warehouse that cannot be
    opened is a reason to rebuild, and no source."""
    try:
        with open_warehouse(here.home, read_only=True) as warehouse:
            return known_receipts(here.lake, warehouse)
    except WarehouseError:
        return known_receipts(here.lake, None)


def _refusal(orphans: Sequence[Receipt], why: str, rows: int | None = None) -> LossError:
    accepted, rejected = (sum(getattr(r, n) for r in orphans) for n in ("accepted", "quarantined"))
    what = f"{accepted:,} accepted rows and {rejected:,} rejected lines"
    names = sorted({r.source_file for r in orphans})
    behind = what if rows is None else f"{rows:,} of {what}"
    return LossError(
        f"rebuild would lose {behind}, so everything stays as it was: raw/ {why} {len(names):,} "
        "objects that bronze was made of; put them back, or say --keep-missing to carry over what "
        "bronze holds of them, or --drop-missing to leave it out and keep the old copy:",
        some(names),
    )


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
    reporting: Reporting,
    progress: Callable[[str], None] = lambda _: None,
) -> Built:
    """Fills the empty warehouse of the folder `beside` from a lake's bronze, and audits it."""
    take_over(warehouse, reporting)
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


class RawAsReceived(LocalLake):
    """A lake whose raw objects have the arrival that receipts know of their bytes: to copy or
    restore a home gives every file a new time of modification, and changes no row."""

    def __init__(self, home: Path, receipts: Iterable[Receipt]) -> None:
        super().__init__(home)
        self._seen: dict[LakeObject, datetime] = {}
        self._arrivals: dict[str, dict[str, datetime]] = defaultdict(dict)
        for receipt in receipts:
            arrived = receipt.arrived.replace(tzinfo=UTC)
            self._arrivals[receipt.source_file][receipt.checksum] = arrived

    def list(self, prefix: str) -> Iterator[LakeObject]:
        for found in super().list(prefix):
            known = self._arrivals.get(found.key)
            yield replace(found, modified=self._arrival(found, known)) if known else found

    def _arrival(self, found: LakeObject, known: dict[str, datetime]) -> datetime:
        if found.modified in known.values():
            return found.modified
        if found not in self._seen:
            self._seen[found] = found.modified
            with suppress(OSError), self.open(found.key) as stream:
                self._seen[found] = known.get(Source(stream).checksum(), found.modified)
        return self._seen[found]


def _lake_over_raw(home: Path, beside: Path, receipts: Iterable[Receipt]) -> LocalLake:
    """An empty lake that has the raw objects of the home."""
    shutil.rmtree(beside, ignore_errors=True)
    make_folder(beside)
    make_folder(home / "raw")
    (beside / "raw").symlink_to(Path("..") / "raw", target_is_directory=True)
    return RawAsReceived(beside, receipts)


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


def _swap(home: Path) -> Path:
    """Swap the new bronze and warehouse in; return where the old ones are."""
    folder = home / REPLACED / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S.%fZ}"
    swap(home, ("bronze", FILE), folder)
    return folder
