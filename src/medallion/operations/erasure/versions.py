"""The removal of old versions of objects that were replaced or deleted."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pyarrow.parquet as pq

from medallion.lake.receipts import RECEIPTS, SUFFIXES
from medallion.operations.erasure.lake import Before, is_receipt_of
from medallion.operations.erasure.pseudonym import Replacement
from medallion.operations.erasure.search import PREFIXES, Searcher, Unsearchable, contents
from medallion.platforms.lake import Lake, Version


def purge(lake: Lake, by: Replacement, before: dict[str, Before]) -> int:
    """Delete every old version that holds the id; return how many.

    Deletion markers of objects without any other version are deleted too. Versions that cannot be
    read stay. The call may be repeated.
    """
    searcher = Searcher(by)
    old = ((version, path) for version, path in contents(lake) if not version.is_current)
    doomed = [v for v, path in old if _holds(searcher, v, path) or _is_old_receipt(v, path, before)]
    for version in doomed:
        lake.destroy(version)
    for prefix in PREFIXES:
        for _, versions in groupby(lake.versions(prefix), key=lambda version: version.key):
            rest = [*versions]
            if all(version.is_deletion for version in rest):
                for marker in rest:
                    lake.destroy(marker)
    return len(doomed)


def _holds(searcher: Searcher, version: Version, path: Path) -> bool:
    try:
        return bool(searcher.places(path, version.key))
    except Unsearchable:
        return False


def _is_old_receipt(version: Version, path: Path, before: dict[str, Before]) -> bool:
    """Return whether a version is a receipt with the checksum of bytes that held the id.

    From the new bytes and the old checksum, somebody could find the id by trying.
    """
    if not (version.key.startswith(RECEIPTS) and version.key.endswith(SUFFIXES)):
        return False
    receipts = pq.read_table(path, columns=["source_file", "checksum"], partitioning=None)
    return any(is_receipt_of(receipt, before) for receipt in receipts.to_pylist())
