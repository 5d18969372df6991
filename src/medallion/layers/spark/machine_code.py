"""The compiled pass in a worker of Spark's: compiled once on a machine, whoever else wants it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from pathlib import Path

import medallion.cleaning
from medallion.cleaning import plain

_PASS = "scan.py"


def load() -> str | None:
    """Bring the compiled pass into this process; where its compiler is not installed, return what
    is missing. One process at a time: the others find what it has compiled."""
    if plain.is_loaded():
        return None
    folder = _folder()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _place_pass(folder)
        try:
            plain.load()
        except ImportError as error:
            return str(error)
    return None


def _folder() -> Path:
    """A folder of this user's for this version of the package."""
    folder = Path(tempfile.gettempdir()) / f"medallion-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o22:
        raise PermissionError(f"{folder} belongs to somebody else, or others may write to it")
    folder /= _version()
    folder.mkdir(exist_ok=True)
    return folder


def _archive() -> Path | None:
    """The zip that the package is imported from, if it is."""
    found = getattr(medallion.cleaning.__loader__, "archive", None)
    return Path(found) if found else None


def _version() -> str:
    archive = _archive()
    return hashlib.sha256(archive.read_bytes()).hexdigest()[:16] if archive else "installed"


def _place_pass(folder: Path) -> None:
    """Have the compiled pass imported from the folder: the compiler keeps machine code by the path
    of a module, and each application has its zip elsewhere."""
    if not _archive() or str(folder) in medallion.cleaning.__path__:
        return
    if not (place := folder / _PASS).exists():
        inside = Path(medallion.cleaning.__path__[0]) / _PASS
        new = place.with_suffix(".new")
        new.write_bytes(medallion.cleaning.__loader__.get_data(str(inside)))  # type: ignore
        new.replace(place)
    medallion.cleaning.__path__.insert(0, str(folder))
