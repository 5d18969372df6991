"""The lake in a local folder: atomic and durable writes by fsync and rename."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from medallion.platforms.lake import (
    UNFINISHED,
    LakeObject,
    Version,
    file_object,
    is_finished,
    milliseconds,
)


class LocalLake:
    """A lake in a folder."""

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        self.url = self.home.as_uri()

    def list(self, prefix: str) -> Iterator[LakeObject]:
        folder, _, start = prefix.rpartition("/")
        objects = (o for o in self._walk(folder) if o.key.startswith(prefix) or not start)
        yield from sorted(objects, key=lambda o: o.key)

    def unlisted(self, prefix: str) -> Iterator[tuple[str, str]]:
        for folder, folders, files in os.walk(self._path(prefix.rstrip("/"))):
            for path in (Path(folder, name) for name in (*folders, *files)):
                if why := _why_unlisted(path):
                    names = path.relative_to(self.home).parts
                    yield "/".join(map(_as_key, names)), why
            folders[:] = filter(is_finished, folders)

    def open(self, key: str) -> BinaryIO:
        return self._path(key).open("rb", buffering=0)

    def put(self, key: str, data: bytes) -> None:
        with self._finishing(key) as temporary, temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def publish(self, path: Path, key: str, *, keeps_first: bool = False) -> None:
        # The home has one runner, so nobody else publishes the key.
        sync(path)
        with self._finishing(key) as temporary:
            path.rename(temporary)

    def replace(self, path: Path, key: str, arrived: datetime | None = None) -> None:
        if arrived:
            at = milliseconds(arrived) * 1_000_000
            os.utime(path, ns=(at, at))
        self.publish(path, key)

    def remove(self, key: str) -> None:
        path = self._path(key)
        path.unlink()
        sync(path.parent)

    def versions(self, prefix: str) -> Iterator[Version]:
        return iter(())

    def fetched_versions(
        self, versions: Sequence[Version]
    ) -> AbstractContextManager[Sequence[Path]]:
        return self.fetched([version.key for version in versions])

    def destroy(self, version: Version) -> None:
        self.remove(version.key)

    @contextmanager
    def fetched(self, keys: Sequence[str]) -> Iterator[Sequence[Path]]:
        yield [self._path(key) for key in keys]

    def scratch(self) -> Path:
        return emptied_scratch(self.home)

    def _path(self, key: str) -> Path:
        name = re.sub("%([0-9A-F]{2})", lambda m: os.fsdecode(bytes([int(m[1], 16)])), key)
        return self.home / name

    @contextmanager
    def _finishing(self, key: str) -> Iterator[Path]:
        """Provide a temporary path that is renamed to the final one, durably, after the block."""
        final = self._path(key)
        make_folder(final.parent)
        temporary = final.parent / f".{final.name[-100:]}.{os.getpid()}.tmp"
        with suppress(FileNotFoundError):
            temporary.unlink()
        try:
            yield temporary
            temporary.rename(final)
        except BaseException:
            with suppress(FileNotFoundError):
                temporary.unlink()
            raise
        sync(final.parent)

    def _walk(self, folder: str) -> Iterator[LakeObject]:
        folders = [(self._path(folder), f"{folder}/" if folder else "")]
        while folders:
            path, prefix = folders.pop()
            try:
                entries = os.scandir(path)
            except FileNotFoundError:
                continue
            with entries:
                for entry in entries:
                    if not is_finished(entry.name):
                        continue
                    key = prefix + _as_key(entry.name)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append((Path(entry.path), f"{key}/"))
                    elif entry.is_file():
                        try:
                            stat = entry.stat()
                        except FileNotFoundError:
                            continue
                        yield file_object(key, stat.st_size, stat.st_mtime_ns // 1_000_000)


def _why_unlisted(path: Path) -> str:
    """Return why a listing leaves a path out; an empty text when it does not."""
    if not is_finished(path.name):
        return UNFINISHED
    if not path.is_symlink():
        return "" if path.is_dir() or path.is_file() else "neither a file nor a folder"
    if path.is_dir():
        return (
            "a link to a folder is not followed: put the files themselves there, or links to them"
        )
    return "" if path.is_file() else "a link that leads nowhere"


def own_scratch(home: Path) -> Path:
    """Return the folder for scratch files of this process, `home`/.scratch/<process>."""
    make_folder(folder := home / ".scratch" / str(os.getpid()))
    return folder


def emptied_scratch(home: Path) -> Path:
    """Return the same folder, emptied, and remove those of processes that have ended."""
    for old in (home / ".scratch").glob("*"):
        if old.name == str(os.getpid()) or not is_running(old.name):
            shutil.rmtree(old, ignore_errors=True)
    return own_scratch(home)


def is_running(process: str) -> bool:
    """Return whether there is a process of this number."""
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def _as_key(name: str) -> str:
    """Return a file name as valid text: percent signs, and bytes that are not UTF-8, as %XX."""
    if name.isascii() and "%" not in name:
        return name
    return "".join(
        f"%{ord(c) & 0xFF:02X}" if c == "%" or "\udc80" <= c <= "\udcff" else c for c in name
    )


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, durably."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync(folder.parent)


def append(path: Path, data: bytes) -> None:
    """Add bytes to the end of a file, durably; the folder is there."""
    is_new = not path.exists()
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        sync(path.parent)


def sync(path: Path) -> None:
    """Flush the content of a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
