"""Files that are made once on a machine and kept for later processes of this user.

They are stored beside the package's bytecode or, if that folder is read-only, in a folder of this
user for temporary files. Each begins with a checksum of the rest, so that a damaged file is made
again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

_CHECKSUM = 32
_NEWEST = 16
"""The number of files of a kind that are kept: those used last. A change of the sources gives a new
file."""


def kept(name: str) -> bytes | None:
    """Return the file that is kept under a name; None if there is none, or if it is damaged."""
    for folder in _folders():
        try:
            stored = (folder / name).read_bytes()
        except OSError:
            continue
        if hashlib.sha256(stored[_CHECKSUM:]).digest() == stored[:_CHECKSUM]:
            with suppress(OSError):
                os.utime(folder / name)
            return stored[_CHECKSUM:]
    return None


def kept_or_made(name: str, make: Callable[[], bytes]) -> bytes:
    """Return the file that is kept under a name, or make it and keep it.

    Of several processes one makes it, and the others wait for it.

    Args:
        name: the kind of the file, a hyphen, a digest of everything that it is made from, a suffix.
        make: returns the content.
    """
    if data := kept(name):
        return data
    kind = name.partition("-")[0]
    for folder in _folders():
        try:
            folder.mkdir(exist_ok=True)
            lock = (folder / f"{kind}.lock").open("w")
        except OSError:
            continue
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if data := kept(name):
                return data
            data = make()
            _write(folder, name, data)
            return data
    return make()


def keep(name: str, data: bytes) -> None:
    """Keep a file, if there is a folder for it.

    Args:
        name: as of `kept_or_made`.
        data: the content.
    """
    for folder in _folders():
        with suppress(OSError):
            folder.mkdir(exist_ok=True)
            _write(folder, name, data)
            return


def _write(folder: Path, name: str, data: bytes) -> None:
    """Write a file, and remove those of its kind that were not used for longest."""
    new = folder / f"{name}.{os.getpid()}.new"
    new.write_bytes(hashlib.sha256(data).digest() + data)
    new.replace(folder / name)
    kind, suffix = name.partition("-")[0], Path(name).suffix
    files = sorted(folder.glob(f"{kind}-*{suffix}"), key=lambda path: path.stat().st_mtime)
    for path in files[:-_NEWEST]:
        path.unlink(missing_ok=True)


def _folders() -> Iterator[Path]:
    """Yield the folders where files may be kept: those in which nobody else can write."""
    yield Path(__file__).parents[1] / "__pycache__"
    folder = Path(tempfile.gettempdir()) / f"medallion-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        return
    status = folder.lstat()
    if status.st_uid == os.getuid() and not status.st_mode & 0o22:
        yield folder
