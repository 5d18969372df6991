"""Watches: repeated looks at the objects under a prefix, at a cost that does not grow with them.

The first look lists everything. Each later one looks at the folders where objects are expected or
have arrived lately, at the objects that were not settled so far, and at the next part of
everything. So an object in any other place, and one that was replaced or has grown, is found after
some looks.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from heapq import nlargest
from itertools import islice
from pathlib import Path
from typing import Protocol

from medallion.errors import LakeError
from medallion.platforms.lake import LakeObject, is_finished

SLICE = 500
"""The number of entries that one look at a disk lists of everything."""

_REMEMBERED = 32
"""The number of recently changed folders and objects that each look includes."""

_SETTLING_SECONDS = 2.0
"""How long a folder may change again without a new modification time: the coarsest unit of a file
system."""

_SCANNING_SHARE = 0.1
"""The part of the time that reading the names of one folder may take."""

_RECENT_PREFIXES = 8
"""The number of folders with recent arrivals that each look lists: one request each."""

Objects = list[LakeObject]
Page = tuple[Objects, bool]
Arrivals = Callable[[Sequence[LakeObject]], Objects]
Entry = LakeObject | tuple[str, str] | str
"""An object; the key of something else, with the reason why it is no object; or the key of a
folder."""


class _Memory(ABC):
    """A watch that remembers which objects need no further look."""

    def __init__(self) -> None:
        self._settled: dict[str, str] = {}
        self._unsettled: dict[str, str] = {}

    def settle(self, key: str, version: str) -> None:
        self._settled[key] = version
        if self._unsettled.get(key) == version:
            del self._unsettled[key]

    @abstractmethod
    def look(self, expected: Iterable[str] = ()) -> list[LakeObject]: ...

    def _new(self, objects: Iterable[LakeObject]) -> list[LakeObject]:
        """Return the objects that are not settled, and remember them for the next look."""
        new = [o for o in objects if self._settled.get(o.key) != o.version]
        self._unsettled |= {o.key: o.version for o in new}
        return new


class Folders(Protocol):
    """The part of a lake in a folder that a watch needs."""

    def walk(self, folder: str) -> Iterator[Entry]:
        """Yield everything under a folder, and each folder before its content."""
        ...

    def entry(self, folder: str, name: str) -> Entry | None:
        """Return the entry of a name in a folder; None if it is gone."""
        ...

    def path(self, key: str) -> Path:
        """Return the path of a key."""
        ...


class FolderWatch(_Memory):
    """A watch on a disk, where the modification time of a folder reveals new names in it."""

    def __init__(self, lake: Folders, prefix: str) -> None:
        super().__init__()
        self._lake, self._root = lake, prefix.rstrip("/")
        self._folders: dict[str, _Folder] = {}
        self._recent_folders, self._recent_objects = _Recent(), _Recent()
        self._everything: Iterator[Entry] = iter(())

    def look(self, expected: Iterable[str] = ()) -> list[LakeObject]:
        if not self._folders:
            return self._first_look()
        objects = dict[str, LakeObject]()
        for folder in self._with_parents([*self._recent_folders, *expected]):
            objects |= {o.key: o for o in self._arrived(folder)}
        for key in {**self._recent_objects, **self._unsettled}:
            parent, _, name = key.rpartition("/")
            if isinstance(entry := self._lake.entry(parent, name), LakeObject):
                objects[key] = entry
            else:
                self._unsettled.pop(key, None)
        objects |= {o.key: o for o in self._next_slice()}
        new = self._new(objects.values())
        for stored in new:
            self._recent_objects.add(stored.key)
            self._recent_folders.add(stored.key.rpartition("/")[0])
        return new

    def _first_look(self) -> list[LakeObject]:
        new = self._new(self._under(self._root))
        newest = nlargest(_REMEMBERED, self._folders.items(), key=lambda item: item[1].modified)
        for folder, _ in reversed(newest):
            self._recent_folders.add(folder)
        self._everything = self._lake.walk(self._root)
        return new

    def _under(self, folder: str) -> Iterator[LakeObject]:
        """Yield the objects under a folder, and remember the folders."""
        for entry in self._lake.walk(folder):
            if isinstance(entry, str):
                self._note(entry)
            elif isinstance(entry, LakeObject):
                yield entry

    def _next_slice(self) -> Iterator[LakeObject]:
        entries = [*islice(self._everything, SLICE)]
        if len(entries) < SLICE:
            self._everything = self._lake.walk(self._root)
        for entry in entries:
            if isinstance(entry, LakeObject):
                yield entry
            elif isinstance(entry, str) and entry not in self._folders:
                self._note(entry)
                self._recent_folders.add(entry)

    def _note(self, folder: str) -> None:
        self._folders.setdefault(folder, _Folder(self._modified(folder), time.monotonic()))

    def _with_parents(self, folders: Iterable[str]) -> Iterable[str]:
        """Return folders and those above them up to the root, each once."""
        chosen = dict[str, None]()
        for folder in folders:
            key = folder.rstrip("/")
            while key not in chosen and key.startswith(self._root):
                chosen[key] = None
                key = key.rpartition("/")[0]
        return chosen

    def _arrived(self, key: str) -> Iterator[LakeObject]:
        """Yield the objects of a folder that are new, if its names may have changed."""
        if not (folder := self._folders.get(key)):
            return
        modified, now = self._modified(key), time.monotonic()
        if not folder.may_have_changed(modified, now):
            return
        try:
            with os.scandir(self._lake.path(key)) as listed:
                names = {entry.name for entry in listed}
        except OSError:
            self._folders.pop(key)  # it is gone, or the next slice finds it again
            self._recent_folders.pop(key, None)
            return
        if modified != folder.modified:
            self._recent_folders.add(key)
        for name in names - folder.names:
            entry = self._lake.entry(key, name)
            if isinstance(entry, LakeObject):
                yield entry
            elif isinstance(entry, str) and entry not in self._folders:
                with suppress(LakeError):  # the slices come to it again
                    yield from self._under(entry)
        folder.scanned(names, modified, now)

    def _modified(self, folder: str) -> int:
        """Return when the names in a folder changed last, in ns; 0 if the folder is gone."""
        try:
            return self._lake.path(folder).stat().st_mtime_ns
        except OSError:
            return 0


class _Recent(dict[str, None]):
    """The keys that were added last, the newest at the end."""

    def add(self, key: str) -> None:
        self.pop(key, None)
        self[key] = None
        if len(self) > _REMEMBERED:
            del self[next(iter(self))]


class _Folder:
    """The names in a folder when it was last read, and its modification time then."""

    def __init__(self, modified: int, now: float) -> None:
        self.modified, self.names = modified, set[str]()
        self._since, self._rest_until, self._is_settled = now, 0.0, False

    def may_have_changed(self, modified: int, now: float) -> bool:
        """Return whether the folder may hold names that were not read."""
        return (modified != self.modified or not self._is_settled) and now >= self._rest_until

    def scanned(self, names: set[str], modified: int, now: float) -> None:
        """Record that the names were read at a time; a very large folder is not read all the time.

        The next scan reads again what has changed within the unit of the modification time.
        """
        if modified != self.modified:
            self.modified, self._since = modified, now
        self._is_settled = now - self._since >= _SETTLING_SECONDS
        self.names = names
        self._rest_until = now + (time.monotonic() - now) / _SCANNING_SHARE


class PageWatch(_Memory):
    """A watch on a store that lists pages of keys in their order."""

    def __init__(self, prefix: str, page: Callable[[str, str], Page], arrivals: Arrivals) -> None:
        """Begin to watch.

        Args:
            prefix: the prefix of all keys.
            page: returns the page of objects under a prefix after a key, and whether it is the
                last one.
            arrivals: returns objects with the arrivals from their notes.
        """
        super().__init__()
        self._prefix, self._page, self._arrivals = prefix, page, arrivals
        self._recent_folders = _Recent()
        self._places: dict[str, str] = {}
        self._newest: dict[str, str] = {}
        self._is_first = True

    def look(self, expected: Iterable[str] = ()) -> list[LakeObject]:
        objects = self._first_look() if self._is_first else self._later_look(expected)
        new = self._arrivals([*objects.values()])
        if not self._is_first:
            for stored in new:
                self._recent_folders.add(stored.key.rpartition("/")[0] + "/")
        self._is_first = False
        return new

    def _first_look(self) -> dict[str, LakeObject]:
        self._places[self._prefix] = ""
        objects = self._next_page(self._prefix)
        while self._places[self._prefix]:
            objects |= self._next_page(self._prefix)
        return objects

    def _later_look(self, expected: Iterable[str]) -> dict[str, LakeObject]:
        unsettled, objects = [*self._unsettled], self._next_page(self._prefix)
        for folder in dict.fromkeys([*expected, *[*self._recent_folders][-_RECENT_PREFIXES:]]):
            objects |= self._next_page(folder)
            if self._places[folder]:  # what comes after the greatest key so far
                objects |= self._chosen(self._page(folder, self._newest[folder])[0])
        for key in unsettled:
            if key not in objects:
                del self._unsettled[key]
                objects |= self._chosen(o for o in self._page(key, "")[0] if o.key == key)
        return objects

    def _next_page(self, prefix: str) -> dict[str, LakeObject]:
        """Return what is new on the next page of a prefix; after the last page comes the first."""
        objects, is_last = self._page(prefix, self._places.get(prefix, ""))
        self._places[prefix] = "" if is_last else objects[-1].key
        if objects:
            self._newest[prefix] = max(self._newest.get(prefix, ""), objects[-1].key)
        return self._chosen(objects)

    def _chosen(self, objects: Iterable[LakeObject]) -> dict[str, LakeObject]:
        return {o.key: o for o in self._new(o for o in objects if is_finished(o.key))}
