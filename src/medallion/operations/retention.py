"""Retention: old objects are removed, and the next layer alone holds their rows.

For raw objects this is bronze, for bronze objects the warehouse. Receipts always stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

from medallion.audit.bronze import bronze_checks, require_sound_bronze
from medallion.errors import LakeError, SettingsError
from medallion.lake.codecs import StoredBytes
from medallion.lake.orphans import retire
from medallion.lake.raw import raw_objects
from medallion.lake.receipts import compactions, outputs_of, reason, stem_of, stored_receipts
from medallion.layers.staging import loaded_objects
from medallion.platforms.lake import LakeObject
from medallion.platforms.local import LocalLake
from medallion.platforms.platform import Platform
from medallion.platforms.warehouse import Warehouse

AT_A_TIME = 1_000

_NEWEST = """
SELECT source_file, max(modified_at), max_by(size, modified_at), max_by(checksum, modified_at)
FROM staging.receipts GROUP BY source_file"""


@dataclass
class RetentionReport:
    """The result of a retention: what was removed, and why other old objects were kept.

    `before` is the time of arrival (UTC) before which objects are retired. `not_compacted` counts
    old bronze objects that were kept because they are not compacted yet.
    """

    before: datetime
    objects: int = 0
    bytes: int = 0
    kept: dict[str, str] = field(default_factory=dict)
    not_compacted: int = 0


@dataclass(frozen=True)
class _Loaded:
    """The arrival, size and checksum of the newest loaded version of a raw object."""

    arrived: datetime
    size: int
    checksum: str


def retained(
    platform: Platform,
    raw_days: int | None,
    bronze_days: int | None,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, RetentionReport]:
    """Retire raw and bronze objects by their ages in days; return a report of each asked layer."""
    reports = {}
    if raw_days is not None:
        reports["raw"] = retain(platform, raw_days, progress=progress)
    if bronze_days is not None:
        reports["bronze"] = retain_bronze(platform, bronze_days, progress=progress)
    return reports


def retain(
    platform: Platform,
    days: int,
    *,
    now: datetime | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> RetentionReport:
    """Remove raw objects older than some days, if all of their rows are in bronze.

    Days are counted back from the newest arrival, or from now if that is earlier: a clock that runs
    ahead must not remove anything. The time of retirement is recorded before anything is removed.

    Args:
        platform: the platform.
        days: how many days of raw objects stay.
        now: the time.
        progress: called with a message at each step.

    Raises:
        SettingsError: nothing is loaded.
        LakeError: bronze is damaged; nothing was removed.
    """
    lake = platform.lake
    with platform.reader() as warehouse:
        loaded = _loaded(warehouse)
    report = RetentionReport(_before(days, loaded, now))
    # By the arrival in the receipt, which the audit and a rebuild go by: a restored object has
    # another modification time.
    arrived = {key: version.arrived for key, version in loaded.items()}
    objects = raw_objects(lake)
    old = [raw for raw in objects if arrived.get(raw.key, raw.modified) < report.before]
    if old:
        progress("comparing bronze with its checksums")
        require_sound_bronze(lake, "then retire raw objects")
        retire(lake, before=report.before)
    removed = list[LakeObject]()
    for raw in old:
        if why := _reason_to_keep(platform, raw, loaded.get(raw.key)):
            report.kept[raw.key] = why
            continue
        removed.append(raw)
    _remove(platform, removed, report, progress)
    return report


def retain_bronze(
    platform: Platform,
    days: int,
    *,
    now: datetime | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> RetentionReport:
    """Remove bronze objects whose raw objects all arrived more than some days ago.

    Days are counted as in `retain`. All rows of bronze must be in the warehouse. Objects that are
    not compacted yet stay, because a compaction reads all that it replaces.

    Args:
        platform: the platform.
        days: how many days of bronze stay.
        now: the time.
        progress: called with a message at each step.

    Raises:
        SettingsError: nothing is loaded, or the lake or the warehouse is not in the home.
        LakeError: bronze is damaged, or the warehouse lacks a part of it; nothing was removed.
    """
    lake = platform.lake
    if platform.snowflake or not isinstance(lake, LocalLake):
        raise SettingsError(
            "bronze is retired only where the lake and the warehouse are in the home, since "
            "'medallion rebuild' brings it back only there"
        )
    with platform.reader() as warehouse:
        report = RetentionReport(_before(days, _loaded(warehouse), now))
        old = _old_bronze(lake, warehouse, report)
        if old:
            progress("comparing bronze with its checksums and with the warehouse")
            for check in bronze_checks(lake, warehouse, {}):
                if not check.holds:
                    raise LakeError(
                        f"{check.name}: {check.offenders[0]}; 'medallion rebuild' mends it, then "
                        "retire bronze objects"
                    )
    if old:
        retire(lake, bronze_before=report.before)
        _remove(platform, old, report, progress)
    return report


def _old_bronze(lake: LocalLake, warehouse: Warehouse, report: RetentionReport) -> list[LakeObject]:
    """Return the objects of bronze to remove; count in the report those that are kept."""
    newest: dict[str, datetime] = {}
    staying, single = set[str](), set[str]()
    loaded = loaded_objects(warehouse, compactions(lake))
    for key, receipts in stored_receipts(lake, {}):
        for receipt in receipts:
            arrived = receipt["modified_at"].replace(tzinfo=UTC)
            for output in outputs_of(receipt):
                newest[output] = max(arrived, newest.get(output, arrived))
                if stem_of(key):
                    single.add(output)
                if key not in loaded:
                    staying.add(output)
    old = {key for key, arrived in newest.items() if arrived < report.before}
    objects = [o for o in lake.list("bronze/") if o.key in old]
    for stored in objects:
        if stored.key in staying:
            report.kept[stored.key] = "it is not loaded yet: 'medallion run --events 0' takes it"
    report.not_compacted = sum(o.key in single - staying for o in objects)
    return [o for o in objects if o.key not in staying | single]


def _loaded(warehouse: Warehouse) -> dict[str, _Loaded]:
    """Return the newest loaded version of each raw object, by key."""
    return {
        key: _Loaded(arrived.replace(tzinfo=UTC), size, checksum)
        for key, arrived, size, checksum in warehouse.execute(_NEWEST).fetchall()
    }


def _before(days: int, loaded: Mapping[str, _Loaded], now: datetime | None) -> datetime:
    """Return the time before which objects are old: midnight (UTC), some days back."""
    if not loaded:
        raise SettingsError("nothing is loaded yet: 'medallion run --events 0' comes first")
    newest = min(now or datetime.now(UTC), max(version.arrived for version in loaded.values()))
    return datetime.combine(newest.date() - timedelta(days=days), time.min, UTC)


def _remove(
    platform: Platform,
    objects: Sequence[LakeObject],
    report: RetentionReport,
    progress: Callable[[str], None],
) -> None:
    for start in range(0, len(objects), AT_A_TIME):
        batch = objects[start : start + AT_A_TIME]
        progress(f"removing objects: {report.objects:,} of {len(objects):,}")
        platform.lake.remove(*(stored.key for stored in batch))
        report.objects += len(batch)
        report.bytes += sum(stored.size for stored in batch)


def _reason_to_keep(platform: Platform, raw: LakeObject, loaded: _Loaded | None) -> str | None:
    if loaded is None:
        return "it is not loaded yet: 'medallion run --events 0' takes it"
    if (loaded.arrived, loaded.size) == (raw.modified, raw.size):
        return None
    try:
        with platform.lake.open(raw.key) as stream:
            is_same = StoredBytes(stream).checksum() == loaded.checksum
    except OSError as error:
        return f"cannot be read: {reason(error)}"
    return None if is_same else "its newest version is not loaded: 'medallion run --events 0'"
