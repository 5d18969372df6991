"""The home as a whole: one runner at a time, and parts of it replaced as one act."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from medallion.errors import HomeBusy, LakeError
from medallion.platforms.local import make_folder, sync
from medallion.settings import FILE, with_setting

UNFINISHED_ERASURE = ".forget.json"
"""What an erasure leaves in the home until it has ended."""

BESIDE = ".rebuild"
"""Where in the home new parts are made before they take the place of the old ones."""

REPLACED = "replaced"
"""The folder of the home that keeps the parts that were replaced, by the time of the act."""

NOTE = "swap.json"


@contextmanager
def runner_lock(home: Path, *, erasing: bool = False) -> Iterator[None]:
    """Hold the home for one runner; a swap that was cut short is finished first.

    Raises HomeBusy when another process holds it or, unless `erasing`, when an erasure was cut
    short; LakeError when the home cannot be written.
    """
    try:
        make_folder(home.absolute())
        descriptor = os.open(home / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise LakeError(
            f"cannot write to the home {home}: {error.strerror}; choose another with --home"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode() or "unknown"
        os.close(descriptor)
        raise HomeBusy(
            f"another runner (process {holder}) works on {home}; wait for it or stop it"
        ) from None
    try:
        if not erasing and (home / UNFINISHED_ERASURE).exists():
            raise HomeBusy("an erasure was interrupted; 'medallion forget --resume' finishes it")
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        finish_swap(home.absolute())
        yield
    finally:
        os.close(descriptor)


def swap(home: Path, parts: Sequence[str], kept: Path) -> None:
    """Put files and folders of BESIDE, by their names, in the place of those of the home, which go
    into the folder `kept`. Once begun it is finished: by this process, or by the next runner."""
    note = home / BESIDE / NOTE
    temporary = note.with_suffix(".tmp")
    temporary.write_text(json.dumps({"parts": list(parts), "kept": str(kept.relative_to(home))}))
    sync(temporary)
    move(temporary, note)
    finish_swap(home)


def finish_swap(home: Path) -> None:
    """Finish a swap that was begun, wherever it was cut short. Parts that were not finished before
    it are of no use to anybody, and go."""
    beside = home / BESIDE
    if not (beside / NOTE).exists():
        shutil.rmtree(beside, ignore_errors=True)
        return
    note = json.loads((beside / NOTE).read_text())
    waiting = [part for part in note["parts"] if (beside / part).exists()]
    make_folder(kept := home / note["kept"])
    # The log of a database belongs to it: both go, or none.
    for name in [name for part in reversed(waiting) for name in (f"{part}.wal", part)]:
        if (home / name).exists():
            move(home / name, kept / name)
    for part in waiting:
        move(beside / part, home / part)
    shutil.rmtree(beside)


def keep_settings(home: Path, changes: Mapping[str, str]) -> None:
    """Write settings into the file of the home; its other lines stay as they are."""
    path = home / FILE
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    for name, value in changes.items():
        text = with_setting(text, name, value)
    temporary = path.with_name(f".{FILE}.tmp")
    temporary.write_text(text, encoding="utf-8")
    sync(temporary)
    move(temporary, path)


def move(old: Path, new: Path) -> None:
    """Rename a file or folder, durably."""
    old.rename(new)
    sync(new.parent)
    sync(old.parent)


def replaced_copies(home: Path) -> dict[Path, int]:
    """Return the folders of parts that were replaced, the oldest first, with their bytes."""
    folders = sorted(path for path in (home / REPLACED).glob("*") if path.is_dir())
    return {folder: freed_by_removing(folder) for folder in folders}


def freed_by_removing(folder: Path) -> int:
    """Return the bytes that removing a folder frees: a file with a second name elsewhere stays."""
    stats = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return sum(stat.st_size for stat in stats if stat.st_nlink == 1)


def remove_replaced(home: Path) -> dict[Path, int]:
    """Remove the folders of parts that were replaced; return them with the bytes they took."""
    copies = replaced_copies(home)
    shutil.rmtree(home / REPLACED, ignore_errors=True)
    return copies
