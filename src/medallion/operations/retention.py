"""Retention: old raw objects are removed, and from then on only bronze holds their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

from medallion.audit.bronze import require_sound_bronze
from medallion.errors import SettingsError
from medallion.lake.codecs import StoredBytes
from medallion.lake.orphans import retire
from medallion.lake.raw import raw_objects
from medallion.lake.receipts import reason
from medallion.platforms.lake import LakeObject
from medallion.platforms.platform import Platform

AT_A_TIME = 1_000

_NEWEST = """
SELECT source_file, max(modified_at), max_by(size, modified_at), max_by(checksum, modified_at)
FROM staging.receipts GROUP BY source_file"""


@dataclass
class RetentionReport:
    """The result of a retention: what was removed, and why other old objects were kept.

    `before` is the time of arrival (UTC) before which objects are retired.
    """

    before: datetime
    objects: int = 0
    bytes: int = 0
    kept: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Loaded:
    """The arrival, size and checksum of the newest loaded version of a raw object."""

    arrived: datetime
    size: int
    checksum: str


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
        loaded = {
            key: _Loaded(arrived.replace(tzinfo=UTC), size, checksum)
            for key, arrived, size, checksum in warehouse.execute(_NEWEST).fetchall()
        }
    if not loaded:
        raise SettingsError("nothing is loaded yet: 'medallion run --events 0' comes first")
    newest = min(now or datetime.now(UTC), max(version.arrived for version in loaded.values()))
    before = datetime.combine(newest.date() - timedelta(days=days), time.min, UTC)
    report = RetentionReport(before)
    old = [raw for raw in raw_objects(lake) if raw.modified < before]
    if old:
        progress("comparing bronze with its checksums")
        require_sound_bronze(lake, "then retire raw objects")
        retire(lake, before=before)
    removed = list[LakeObject]()
    for raw in old:
        if why := _reason_to_keep(platform, raw, loaded.get(raw.key)):
            report.kept[raw.key] = why
            continue
        removed.append(raw)
    for batch in _batches(removed):
        progress(f"removing raw objects: {report.objects:,} of {len(removed):,}")
        lake.remove(*(raw.key for raw in batch))
        report.objects += len(batch)
        report.bytes += sum(raw.size for raw in batch)
    return report


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


def _batches(objects: list[LakeObject]) -> Iterator[list[LakeObject]]:
    return (objects[n : n + AT_A_TIME] for n in range(0, len(objects), AT_A_TIME))
