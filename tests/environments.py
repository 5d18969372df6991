"""What the tests make once and keep under build/: environments of locked requirements, and other
things that are dear to make. Several test processes may ask for one at the same time, and one that
was killed half way is made again."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

BUILD = Path(__file__).parents[1] / "build"


def made(name: str, sources: bytes, make: Callable[[Path], object]) -> Path:
    """Return the folder of a name, which `make` fills again whenever `sources` change.

    Of several processes one makes it and the others wait; the rest of a killed one is removed.
    """
    digest = hashlib.sha256(sources + sys.version.encode()).hexdigest()[:12]
    folder = BUILD / f"{name}-{digest}"
    ready = folder / ".ready"
    if ready.exists():
        return folder
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            ready.touch()
    return folder


def environment(name: str, lock: Path) -> Path:
    """The folder of a virtual environment of its own with the locked requirements."""

    def make(folder: Path) -> None:
        # In its final place: an environment knows its own path.
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        install(lock, of=("--python", folder / "bin" / "python"))

    return made(name, lock.read_bytes(), make)


def library(name: str, lock: Path) -> Path:
    """A folder of the locked packages, for the path of this interpreter."""
    return made(name, lock.read_bytes(), lambda folder: install(lock, "--target", folder))


def install(lock: Path, *options: str | Path, of: tuple[str | Path, ...] = ()) -> None:
    """Install what a lock file names, and nothing else, with the pip of this interpreter, into the
    environment `of` another one or where the options say. Modules are compiled when they are used.
    """
    quiet = ["--quiet", "--disable-pip-version-check", "--no-compile"]
    exact = ["--no-deps", "--require-hashes", "--requirement", lock]
    command = [sys.executable, "-m", "pip", *of, "install", *quiet, *options, *exact]
    subprocess.run(command, check=True)
