"""Raw objects: immutable files of newline-delimited JSON, as producers wrote them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from medallion.contract import FEEDS
from medallion.lake import codecs
from medallion.platforms.lake import CANNOT_READ, Lake, LakeObject

RAW = "raw/"
DECISIONS = f"{RAW}decisions/"
"""The prefix of the decisions about rejected lines."""
SUFFIXES = tuple(
    f"{kind}{packed}" for kind in (".ndjson", ".jsonl", ".json") for packed in ("", *codecs.NAMES)
)


def raw_objects(lake: Lake) -> Iterator[LakeObject]:
    """Yield every object under raw/ whose name says that it holds lines of JSON."""
    return (o for o in lake.list(RAW) if holds_lines(o.key))


def holds_lines(key: str) -> bool:
    """Return whether the name of an object says that it holds lines of JSON."""
    return key.lower().endswith(SUFFIXES)


def expected_folders(now: datetime) -> list[str]:
    """Return the folders in which producers put new objects at a time; their clocks may differ."""
    times = (now - CLOCKS_DIFFER, now + CLOCKS_DIFFER)
    return list(dict.fromkeys(raw_key(feed, at, "") for at in times for feed in FEEDS))


_TABLES = (".csv", ".tsv", ".txt", ".psv", ".parquet")
_ARCHIVES = (
    ".zip",
    ".tar",
    ".tgz",
    ".bz2",
    ".xz",
    ".7z",
    ".rar",
    ".lz4",
    ".br",
    ".tar.gz",
    ".tar.zst",
)


def not_taken(lake: Lake) -> dict[str, str]:
    """Return the keys under raw/ that are not read, each with the reason and advice.

    They are not raw objects, or archives of 0 bytes.
    """
    others = {
        o.key: _EMPTY if _is_raw(o) else _advice(o.key.lower())
        for o in lake.list(RAW)
        if not _is_raw(o) or _is_empty_archive(o)
    }
    return dict(sorted((others | dict(lake.unlisted(RAW))).items()))


def unreadable(lake: Lake) -> dict[str, str]:
    """Return the keys under raw/ that cannot be read because of the disk or missing permissions."""
    return {key: why for key, why in lake.unlisted(RAW) if why.startswith(CANNOT_READ)}


def _is_raw(stored: LakeObject) -> bool:
    is_folder = stored.key.endswith("/") and not stored.size
    return is_folder or stored.key.lower().endswith(SUFFIXES) or stored.key.startswith(DECISIONS)


def _is_empty_archive(stored: LakeObject) -> bool:
    return not stored.size and codecs.codec_of(stored.key) is not None


_EMPTY = "it has 0 bytes, and even an archive of nothing has more: its producer was cut off"


def _advice(name: str) -> str:
    if name.endswith(_ARCHIVES):
        return "an archive that is not read: unpack it, or pack each file with gzip or zstd"
    unpacked = name.rpartition(".")[0] if codecs.codec_of(name) else name
    if unpacked.endswith(_TABLES):
        return "no lines of JSON by its name: 'medallion import FILE --mapping FILE.toml' takes it"
    return "its name must end in .ndjson, .jsonl or .json (or these with .gz or .zst)"


CLOCKS_DIFFER = timedelta(minutes=2)


def raw_key(feed: str, arrival: datetime, name: str) -> str:
    """Return the key of a new raw object, in the folder of the hour of its arrival (UTC)."""
    return f"{RAW}{feed}/{arrival:year=%Y/month=%m/day=%d/hour=%H}/{name}"
