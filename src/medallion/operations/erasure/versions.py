"""Old versions: what a store keeps of objects that were replaced or deleted, and how it goes."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pyarrow.parquet as pq

from medallion.lake.receipts import RECEIPTS
from medallion.operations.erasure.lake import Before, tells_of
from medallion.operations.erasure.pseudonym import Replacement
from medallion.operations.erasure.search import PREFIXES, Searcher, Unsearchable, contents
from medallion.platforms.lake import Lake, Version


def purge(lake: Lake, by: Replacement, before: dict[str, Before]) -> int:
    """Deletes for good every old version that holds the id, and the marks of deletion of objects
    of which nothing else is left; returns how many versions those were. May be repeated. What
    cannot be read stays, for nobody knows what it holds."""
    searcher = Searcher(by)
    old = ((version, path) for version, path in contents(lake) if not version.is_current)
    doomed = [v for v, path in old if _holds(searcher, v, path) or _tells(v, path, before)]
    for version in doomed:
        lake.destroy(version)
    for prefix in PREFIXES:
        for _, kept in groupby(lake.versions(prefix), key=lambda version: version.key):
            rest = [*kept]
            if all(version.is_deletion for version in rest):
                for mark in rest:
                    lake.destroy(mark)
    return len(doomed)


def _holds(searcher: Searcher, version: Version, path: Path) -> bool:
    try:
        return bool(searcher.places(path, version.key))
    except Unsearchable:
        return False


def _tells(version: Version, path: Path, before: dict[str, Before]) -> bool:
    """Whether an old receipt gives the checksum of bytes that held the id: with those of now, and
    that, somebody could try ids until one fits."""
    if not (version.key.startswith(RECEIPTS) and version.key.endswith(".parquet")):
        return False
    receipts = pq.read_table(path, columns=["source_file", "checksum"], partitioning=None)
    return any(tells_of(receipt, before) for receipt in receipts.to_pylist())
