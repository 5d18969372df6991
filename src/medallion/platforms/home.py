"""The home: its lock for one runner at a time, and the atomic replacement of its parts.

A home is the folder that holds raw/, bronze/, gold/ and the warehouse.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from medallion.errors import HomeBusy, LakeError
from medallion.platforms.local import make_folder, remove_leftovers, sync
from medallion.settings import FILE, with_setting

UNFINISHED_ERASURE = ".forget.json"
"""The file in the home that exists while an erasure is unfinished."""

BESIDE = ".rebuild"
"""The folder of the home in which new parts are built before they replace the old ones."""

REPLACED = "replaced"
"""The folder of the home with replaced parts, in one folder for each replacement."""

NOTE = "swap.json"


@contextmanager
def runner_lock(home: Path, *, erasing: bool = False) -> Iterator[None]:
    """Hold the home for one runner, after finishing a swap that was interrupted.

    Raises:
        HomeBusy: another process holds it, or an erasure was interrupted and this is not `erasing`.
        LakeError: the home cannot be written.
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
        remove_leftovers(home)
        yield
    finally:
        os.close(descriptor)


def swap(home: Path, parts: Sequence[str], kept: Path) -> None:
    """Replace parts of the home with those of the same name in BESIDE.

    Once begun, the swap is completed: by this process or by the next runner.

    Args:
        home: the home.
        parts: names of files and folders in BESIDE.
        kept: the folder of the home that the replaced parts are moved to.
    """
    note = home / BESIDE / NOTE
    temporary = note.with_suffix(".tmp")
    temporary.write_text(json.dumps({"parts": list(parts), "kept": str(kept.relative_to(home))}))
    sync(temporary)
    move(temporary, note)
    finish_swap(home)


def finish_swap(home: Path) -> None:
    """Finish an interrupted swap, or remove new parts whose swap never began."""
    beside = home / BESIDE
    if not (beside / NOTE).exists():
        shutil.rmtree(beside, ignore_errors=True)
        return
    note = json.loads((beside / NOTE).read_text())
    waiting = [part for part in note["parts"] if (beside / part).exists()]
    make_folder(kept := home / note["kept"])
    # The write-ahead log of a database is moved with it.
    for name in [name for part in reversed(waiting) for name in (f"{part}.wal", part)]:
        if (home / name).exists():
            move(home / name, kept / name)
    for part in waiting:
        move(beside / part, home / part)
    shutil.rmtree(beside)


def set_aside(home: Path, name: str) -> Path:
    """Move a file of the home to the replaced parts; return the folder that holds it now.

    The write-ahead log of a database goes with it. If only the log stays behind, because of a kill,
    the next database removes it.
    """
    make_folder(folder := replaced_folder(home))
    for part in (name, f"{name}.wal"):
        if (home / part).exists():
            move(home / part, folder / part)
    return folder


def replaced_folder(home: Path) -> Path:
    """Return the folder for parts that are replaced now."""
    return home / REPLACED / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S.%fZ}"


def keep_settings(home: Path, changes: Mapping[str, str]) -> None:
    """Write settings into the settings file of the home; its other lines stay unchanged."""
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
    """Return the folders of replaced parts, the oldest first, each with its size in bytes."""
    folders = sorted(path for path in (home / REPLACED).glob("*") if path.is_dir())
    return {folder: freed_by_removing(folder) for folder in folders}


def freed_by_removing(folder: Path) -> int:
    """Return the bytes that removing a folder frees; files with another hard link free none."""
    stats = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return sum(stat.st_size for stat in stats if stat.st_nlink == 1)


def remove_replaced(home: Path) -> dict[Path, int]:
    """Remove the folders of replaced parts; return them with their sizes in bytes."""
    copies = replaced_copies(home)
    shutil.rmtree(home / REPLACED, ignore_errors=True)
    return copies
