"""Comparison of the published snapshot with the checksums that were published with it."""

from __future__ import annotations

from pathlib import Path

from medallion.audit.checks import LOST, Check
from medallion.errors import shortened
from medallion.lake.receipts import reason
from medallion.lake.seals import Damaged
from medallion.layers.snapshots import POINTER, read_checksums, require_sound, versions


def snapshot_check(home: Path, waiting: dict[str, int]) -> Check | None:
    """Check every file of the published snapshot; None where nothing was published."""
    gold = home.absolute() / "gold"
    if not (gold / POINTER).exists():
        return None
    wrong, figure = list[str](), "unreadable"
    try:
        name = (gold / POINTER).read_text(encoding="utf-8").strip()
        published = versions(gold)
        if name not in {f"v{number}" for number in published}:
            raise Damaged(f"gold/{POINTER} names {name!r}, which is no snapshot")
        waiting["snapshots not yet current"] = sum(v > int(name[1:]) for v in published)
        checksums = read_checksums(gold / name)
        figure = f"{len(checksums):,} files of {name}"
        if not checksums:
            figure = f"{name} is of an earlier version and has none"
        for file in checksums:
            wrong += _flaws(gold / name, file, checksums[file])
    except (Damaged, OSError, UnicodeDecodeError) as error:
        wrong.append(reason(error))
    return Check(LOST, "published files = their checksums", figure, shortened(wrong))


def _flaws(folder: Path, file: str, checksum: str) -> list[str]:
    try:
        require_sound(folder, file, checksum)
    except (Damaged, OSError) as error:
        return [reason(error)]
    return []
