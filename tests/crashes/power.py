"""Power cuts: what a disk holds when everything that was not flushed is gone.

While a command runs, the shim asks before each of its changes, and the disk is followed here: the
content of a file is safe as it was when the file was last flushed, a name as it was when its folder
was. Two disks are told apart. The strict one keeps only what was flushed. The other one keeps every
name at once, as file systems with a journal may, and of the contents only what was flushed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from medallion.platforms.home import BESIDE, NOTE


@dataclass(eq=False)
class _File:
    """A file: its content and time of modification (ns) as of its last flush."""

    time: int
    safe: bytes = b""


@dataclass(eq=False)
class _Folder:
    """A folder, and its entries as of its last flush."""

    safe: dict[str, _File | _Folder | str] = field(default_factory=dict)


_Entry = _File | _Folder | str
"""A file, a folder, or the target of a link."""
Content = tuple[bytes, int] | str | None
"""Bytes and time of modification of a file, the target of a link, or None for a folder."""
Tree = dict[str, Content]
"""What paths hold, parents first."""


class Disk:
    """The folder of a home: what of it would survive a power cut before each change."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._known: dict[int, _File | _Folder] = {}
        self._acknowledged = home.with_name(f"{home.name}.acknowledged")
        self.strict: list[Tree] = []
        self.named: list[Tree] = []
        self.acknowledged: list[bytes] = []

    def change(self, kind: str, path: str) -> None:
        """Note what a power cut would leave before a change, then what the change makes safe."""
        names = self._names()
        root = self._known[self._home.stat().st_ino]
        assert isinstance(root, _Folder)
        if not self.strict:  # All that was there before the command is safe.
            for name, entry in {"": root, **names}.items():
                self._flush(self._home / name, entry, names)
        self.strict.append(dict(_walk(root)))
        self.named.append({name: _content(entry) for name, entry in names.items()})
        acknowledged = self._acknowledged
        self.acknowledged.append(acknowledged.read_bytes() if acknowledged.exists() else b"")
        name = path.strip("/")
        if kind == "fsync":
            target = root if not name else names.get(name.removesuffix(" (deleted)"))
            if target:
                self._flush(self._home / name, target, names)
        elif kind in ("unlink", "rename"):
            self._forget(self._home / name)

    def _names(self) -> dict[str, _Entry]:
        """Return all entries by path, parents first; the number of a file that is gone is free."""
        while True:
            # Another thread may be doing the change before.
            with suppress(FileNotFoundError):
                return self._scanned()

    def _scanned(self) -> dict[str, _Entry]:
        names: dict[str, _Entry] = {}
        known = {_number(self._home): self._known.get(_number(self._home), _Folder())}
        folders = [""]
        while folders:
            parent = folders.pop()
            for entry in os.scandir(self._home / parent):
                name = f"{parent}/{entry.name}".lstrip("/")
                if entry.is_symlink():
                    names[name] = str(Path(entry).readlink())
                    continue
                if not entry.is_file() and not entry.is_dir():
                    continue  # A socket means nothing without its process.
                number, item = entry.inode(), known.get(entry.inode())
                item = item or self._known.get(number)
                if entry.is_dir():
                    item = item if isinstance(item, _Folder) else _Folder()
                    folders.append(name)
                elif not isinstance(item, _File):
                    item = _File(entry.stat().st_mtime_ns)
                names[name] = known[number] = item
        self._known = known
        return names

    def _flush(self, path: Path, entry: _Entry, names: dict[str, _Entry]) -> None:
        if isinstance(entry, _File):
            entry.safe, entry.time = path.read_bytes(), path.stat().st_mtime_ns
        elif isinstance(entry, _Folder):
            folder = str(path.relative_to(self._home)) if path != self._home else ""
            entry.safe = {
                name.rpartition("/")[2]: child
                for name, child in names.items()
                if name.rpartition("/")[0] == folder
            }

    def _forget(self, path: Path) -> None:
        """Let a file that loses its last name be another one from now on."""
        if path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1:
            self._known.pop(_number(path), None)


def _number(path: Path) -> int:
    return path.stat().st_ino


def _content(entry: _Entry) -> Content:
    if isinstance(entry, _File):
        return entry.safe, entry.time
    return entry if isinstance(entry, str) else None


def _walk(folder: _Folder, parent: str = "") -> Iterator[tuple[str, Content]]:
    for name, entry in folder.safe.items():
        yield f"{parent}{name}", _content(entry)
        if isinstance(entry, _Folder):
            yield from _walk(entry, f"{parent}{name}/")


def stands(home: Path) -> Tree:
    """Return what the paths of a home hold now, as a process that is killed leaves it."""
    return {str(path.relative_to(home)): _stands(path) for path in sorted(home.rglob("*"))}


def _stands(path: Path) -> Content:
    with suppress(FileNotFoundError):  # Another thread may be doing the change before.
        if path.is_symlink():
            return str(path.readlink())
        if path.is_file():
            return path.read_bytes(), path.stat().st_mtime_ns
    return None


def lasting(tree: Tree) -> bytes:
    """Return a digest of what the next command finds: of scratch, which it must remove unread, the
    names without their numbers.

    What is built beside the home is scratch until a note says that it is swapped in. Only of raw
    objects the time counts.
    """
    digest, is_swapped = hashlib.sha256(), f"{BESIDE}/{NOTE}" in tree
    for name, content in sorted(tree.items(), key=lambda item: item[0]):
        if is_scratch(name) and not (is_swapped and name.startswith(BESIDE)):
            name, content = re.sub(r"\d+", "N", name), "scratch"
        if isinstance(content, tuple):
            data, time = content
            content = f"{hashlib.sha256(data).hexdigest()} {time * name.startswith('raw/')}"
        digest.update(f"{name}\0{content}\n".encode(errors="surrogateescape"))
    return digest.digest()


def is_scratch(name: str) -> bool:
    """Return whether a path is a temporary file, or lies in a folder of such."""
    return name.endswith(".tmp") or name.lstrip("/").startswith((BESIDE, ".forget/", ".scratch"))


def restore(tree: Tree, home: Path) -> None:
    """Write a tree to a new folder."""
    home.mkdir()
    for name, content in tree.items():
        path = home / name
        if content is None:
            path.mkdir()
        elif isinstance(content, str):
            path.symlink_to(content)
        else:
            data, time = content
            path.write_bytes(data)
            os.utime(path, ns=(time, time))
