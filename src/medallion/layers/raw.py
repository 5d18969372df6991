"""Raw: immutable objects of newline-delimited JSON, as producers left them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from medallion.platforms.lake import Lake, LakeObject

RAW = "raw/"
SUFFIXES = tuple(
    f"{kind}{packed}" for kind in (".ndjson", ".jsonl", ".json") for packed in ("", ".gz", ".zst")
)


def raw_objects(lake: Lake) -> Iterator[LakeObject]:
    """Every object under raw/ that holds lines of JSON by its name, whoever wrote it."""
    return (o for o in lake.list(RAW) if o.key.lower().endswith(SUFFIXES))


def raw_key(feed: str, arrival: datetime, name: str) -> str:
    """Key of a new raw object, in the folder of the hour of its arrival (UTC)."""
    return f"{RAW}{feed}/{arrival:year=%Y/month=%m/day=%d/hour=%H}/{name}"
