"""The lake in a local folder: atomic and durable writes by fsync and rename."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from stat import S_ISDIR as is_folder
from stat import S_ISREG as is_regular
from typing import BinaryIO

from medallion.errors import LakeError
from medallion.platforms.lake import (
    CANNOT_READ,
    UNFINISHED,
    Changed,
    LakeObject,
    Version,
    Watch,
    file_object,
    is_finished,
    milliseconds,
)
from medallion.platforms.watch import Entry, FolderWatch

_NAME_BYTES = 100
"""The number of bytes of a name that its temporary file keeps, to leave room for a number."""

_MORE_ROOM, _LONGEST_WAIT = 1 << 20, 30.0
"""A full disk is tried again when so many more bytes are free, or after so many seconds: where a
quota is full, nobody sees what is free."""


class LocalLake:
    """A lake in a folder."""

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        self.url = self.home.as_uri()

    def list(self, prefix: str) -> Iterator[LakeObject]:
        folder, _, start = prefix.rpartition("/")
        entries = self.walk(folder, start)
        yield from sorted((o for o in entries if isinstance(o, LakeObject)), key=lambda o: o.key)

    def unlisted(self, prefix: str) -> Iterator[tuple[str, str]]:
        yield from (e for e in self.walk(prefix.rstrip("/")) if isinstance(e, tuple))

    def watch(self, prefix: str) -> Watch:
        return FolderWatch(self, prefix)

    def open(self, key: str) -> BinaryIO:
        return self.path(key).open("rb", buffering=0)

    def put(self, key: str, data: bytes) -> None:
        final = self.path(key)
        make_folder(final.parent)
        name = os.fsdecode(os.fsencode(final.name)[-_NAME_BYTES:])
        temporary = final.parent / f".{name}.{os.getpid()}.tmp"
        with suppress(FileNotFoundError):
            temporary.unlink()
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(final)
        except BaseException:
            with suppress(FileNotFoundError):
                temporary.unlink()
            raise
        sync(final.parent)

    def publish(self, files: Mapping[str, Path], *, keeps_first: bool = False) -> None:
        # The home has one runner, so nobody else publishes these keys.
        folders = set[Path]()
        for key, path in files.items():
            sync(path)
            final = self.path(key)
            make_folder(final.parent)
            path.rename(final)
            folders.add(final.parent)
        for folder in folders:
            sync(folder)

    def replace(
        self,
        path: Path,
        key: str,
        arrived: datetime | None = None,
        *,
        instead_of: LakeObject | None = None,
    ) -> None:
        if arrived:
            at = milliseconds(arrived) * 1_000_000
            os.utime(path, ns=(at, at))
        if instead_of is None:
            self.publish({key: path})
            return
        with _guarded(self.path(key), instead_of):
            self.publish({key: path})

    def is_being_written(self, key: str) -> bool:
        with self.path(key).open("rb") as file:
            return _lease(file.fileno()) is False

    def remove(self, *keys: str) -> None:
        paths = [self.path(key) for key in keys]
        for path in paths:
            path.unlink(missing_ok=True)
        for folder in {path.parent for path in paths}:
            sync(folder)
            if "=" in folder.name:  # of a day or an hour that has nothing left
                with suppress(OSError):
                    folder.rmdir()

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
        yield [self.path(key) for key in keys]

    def scratch(self) -> Path:
        return emptied_scratch(self.home)

    def path(self, key: str) -> Path:
        """Return the path of a key."""
        if "%" in key:
            key = re.sub("%([0-9A-F]{2})", lambda m: os.fsdecode(bytes([int(m[1], 16)])), key)
        return self.home / key

    def walk(self, folder: str, start: str = "") -> Iterator[Entry]:
        """Yield everything under a folder, and each folder before its content.

        Args:
            folder: the key of the folder.
            start: the beginning of the names to include in the folder itself.

        Raises:
            LakeError: the folder itself cannot be read.
        """
        folders = [folder]
        while folders:
            parent = folders.pop()
            yield parent
            try:
                with os.scandir(self.path(parent)) as listed:
                    entries = [e for e in listed if e.name.startswith(start)]
            except FileNotFoundError:
                continue
            except OSError as error:
                if parent == folder:
                    raise LakeError(
                        f"cannot read the folder {self.path(folder)}: {error.strerror}"
                    ) from error
                yield parent, f"{CANNOT_READ}: {error.strerror}"
                continue
            start = ""
            for entry in entries:
                item = self._entry(parent, entry)
                if isinstance(item, str):
                    folders.append(item)
                elif item:
                    yield item

    def entry(self, folder: str, name: str) -> Entry | None:
        """Return the entry of a name in a folder; None if it is gone."""
        return self._entry(folder, self.path(folder) / name)

    def _entry(self, parent: str, entry: os.DirEntry[str] | Path) -> Entry | None:
        """Return an entry of a folder: an object, the key of a folder, or a key with a reason.

        None of these if the file is gone by now.
        """
        key = f"{parent}/{_as_key(entry.name)}" if parent else _as_key(entry.name)
        if not is_finished(entry.name):
            return key, UNFINISHED
        try:
            if isinstance(entry, os.DirEntry) and entry.is_dir(follow_symlinks=False):
                return key
            stat = entry.stat()
            if is_folder(stat.st_mode) and not entry.is_symlink():
                return key
            if is_regular(stat.st_mode):
                return self.shown(file_object(key, stat.st_size, stat.st_mtime_ns // 1_000_000))
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not entry.is_symlink():
                return None
            is_lost = error.errno in (errno.ENOENT, errno.ELOOP)
            why = "a link that leads nowhere" if is_lost else f"{CANNOT_READ}: {error.strerror}"
            return key, why
        except OverflowError:
            return key, (
                f"{CANNOT_READ}: its time of modification is outside the years 1 to 9999; 'touch' "
                "gives it another"
            )
        if is_folder(stat.st_mode):
            return key, (
                "a link to a folder is not followed: put the files themselves there, or links to "
                "them"
            )
        return key, "neither a file nor a folder"

    def shown(self, stored: LakeObject) -> LakeObject:
        """Return an object as a listing shows it."""
        return stored


@contextmanager
def _guarded(path: Path, expected: LakeObject) -> Iterator[None]:
    """Protect a file while the block replaces it; restore it if somebody has opened it.

    A lease of the kernel reveals processes that have the file open to write, or open it meanwhile.
    On a file system without leases, only size and time are compared.

    Raises:
        Changed: the file is not the expected object, or another process writes it.
    """
    with path.open("rb") as file:
        number = file.fileno()
        has_lease = _lease(number)
        if has_lease is False or _version(number) != expected.version:
            raise Changed
        kept = path.with_name(f".replaced.{os.getpid()}.tmp")
        with suppress(FileNotFoundError):
            kept.unlink()
        kept.hardlink_to(path)
        try:
            yield
            is_held = not has_lease or fcntl.fcntl(number, fcntl.F_GETLEASE) == fcntl.F_RDLCK
            if not is_held or _version(number) != expected.version:
                kept.rename(path)
                sync(path.parent)
                raise Changed
        finally:
            with suppress(FileNotFoundError):
                kept.unlink()


def _version(descriptor: int) -> str:
    stat = os.fstat(descriptor)
    return file_object("", stat.st_size, stat.st_mtime_ns // 1_000_000).version


def _lease(descriptor: int) -> bool | None:
    """Take a lease on a file; return False if it is open to write, None without leases."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        # A signal that nobody handles: the usual one would end this process.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
    except (OSError, AttributeError) as error:
        return False if getattr(error, "errno", None) == errno.EAGAIN else None
    return True


_LEFT_OVER = re.compile(r"\..*\.(\d+)\.tmp", re.DOTALL)


def remove_leftovers(home: Path) -> None:
    """Remove the temporary files that killed processes have left in the folders of the lake."""
    for name in ("raw", "bronze"):
        for folder, _, files in os.walk(home / name):
            for file in files:
                match = _LEFT_OVER.fullmatch(file)
                if match and (match[1] == str(os.getpid()) or not is_running(match[1])):
                    with suppress(OSError):
                        Path(folder, file).unlink()


def own_scratch(home: Path) -> Path:
    """Return the folder for scratch files of this process, `home`/.scratch/<process>."""
    make_folder(folder := home / ".scratch" / str(os.getpid()))
    return folder


def emptied_scratch(home: Path) -> Path:
    """Return the scratch folder of this process, emptied; remove those of ended processes."""
    for old in (home / ".scratch").glob("*"):
        if old.name == str(os.getpid()) or not is_running(old.name):
            shutil.rmtree(old, ignore_errors=True)
    return own_scratch(home)


def is_running(process: str) -> bool:
    """Return whether a process with this number exists."""
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
    """Append bytes to a file durably; its folder exists."""
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


def wait_for_room(folder: Path, ended: Callable[[], bool]) -> None:
    """Wait until the full disk of a folder is worth another try, or until `ended`."""
    free, deadline = shutil.disk_usage(folder).free, time.monotonic() + _LONGEST_WAIT
    while time.monotonic() < deadline and not ended():
        time.sleep(0.2)
        if shutil.disk_usage(folder).free >= free + _MORE_ROOM:
            return
