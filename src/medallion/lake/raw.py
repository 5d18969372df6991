"""Raw: immutable objects of newline-delimited JSON, as producers left them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from medallion.lake.codecs import SUFFIXES as PACKED
from medallion.platforms.lake import Lake, LakeObject

RAW = "raw/"
SUFFIXES = tuple(
    f"{kind}{packed}"
    for kind in (".ndjson", ".jsonl", ".json")
    for packed in ("", *PACKED.values())
)


def raw_objects(lake: Lake) -> Iterator[LakeObject]:
    """Every object under raw/ that holds lines of JSON by its name, whoever wrote it."""
    return (o for o in lake.list(RAW) if o.key.lower().endswith(SUFFIXES))


_TABLES = (".csv", ".tsv", ".txt", ".psv", ".parquet")
_PACKED = (
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
    """Return what lies under raw/ and is no raw object, by key, with the reason and what helps."""
    others = {o.key: _advice(o.key.lower()) for o in lake.list(RAW) if not _is_raw(o)}
    return dict(sorted((others | dict(lake.unlisted(RAW))).items()))


def _is_raw(found: LakeObject) -> bool:
    return found.key.lower().endswith(SUFFIXES) or (found.key.endswith("/") and not found.size)


def _advice(name: str) -> str:
    if name.endswith(_PACKED):
        return "an archive that is not read: unpack it, or pack each file with gzip or zstd"
    if name.removesuffix(".gz").removesuffix(".zst").endswith(_TABLES):
        return "no lines of JSON by its name: 'medallion import FILE --mapping FILE.toml' takes it"
    return "its name must end in .ndjson, .jsonl or .json (or these with .gz or .zst)"


def raw_key(feed: str, arrival: datetime, name: str) -> str:
    """Key of a new raw object, in the folder of the hour of its arrival (UTC)."""
    return f"{RAW}{feed}/{arrival:year=%Y/month=%m/day=%d/hour=%H}/{name}"
