"""Comparison of the published snapshot with the checksums that were published with it."""

from __future__ import annotations

from pathlib import Path

from medallion.audit.checks import LOST, Check
from medallion.errors import shortened
from medallion.lake.receipts import reason
from medallion.lake.seals import Damaged
from medallion.layers.snapshots import POINTER, read_checksums, require_sound, versions

LOOKS = 5
"""The number of times that the check starts again because a runner has published a newer
snapshot."""


def snapshot_check(home: Path, waiting: dict[str, int]) -> Check | None:
    """Check every file of the published snapshot; return None if nothing was published."""
    gold = home.absolute() / "gold"
    if not (gold / POINTER).exists():
        return None
    for _ in range(LOOKS):
        name = (gold / POINTER).read_text(encoding="utf-8", errors="replace").strip()
        figure, wrong = _compared(gold, name, waiting)
        # A runner removes old snapshots, also while they are read.
        if (gold / name).exists():
            break
    return Check(LOST, "published files = their checksums", figure, shortened(wrong))


def _compared(gold: Path, name: str, waiting: dict[str, int]) -> tuple[str, list[str]]:
    """Return what was compared of a snapshot, and the violations."""
    try:
        published = versions(gold)
        if name not in {f"v{number}" for number in published}:
            raise Damaged(f"gold/{POINTER} names {name!r}, which is no snapshot")
        waiting["snapshots not yet current"] = sum(v > int(name[1:]) for v in published)
        checksums = read_checksums(gold / name)
        wrong = [flaw for file in checksums for flaw in _flaws(gold / name, file, checksums[file])]
        if not checksums:
            return f"{name} is of an earlier version and has none", wrong
        return f"{len(checksums):,} files of {name}", wrong
    except (Damaged, OSError) as error:
        return "unreadable", [reason(error)]


def _flaws(folder: Path, file: str, checksum: str) -> list[str]:
    try:
        require_sound(folder, file, checksum)
    except (Damaged, OSError) as error:
        return [reason(error)]
    return []
