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
    """The folder of a name that `make` fills, anew whenever `sources` change. Who comes second
    waits for the first one; what a killed one left is thrown away."""
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
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        install(folder / "bin" / "python", lock)

    return made(name, lock.read_bytes(), make)


def library(name: str, lock: Path) -> Path:
    """A folder of the locked packages, for the path of this interpreter."""
    return made(
        name, lock.read_bytes(), lambda folder: install(sys.executable, lock, "--target", folder)
    )


def install(python: str | Path, lock: Path, *options: str | Path) -> None:
    """What a lock file names, and nothing else."""
    quiet = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    command = [python, "-m", "pip", "install", *quiet, *options, "--requirement", lock]
    subprocess.run(command, check=True)
