"""The interface of a lake: a flat space of immutable objects under slash-separated keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar


@dataclass(frozen=True, order=True, slots=True)
class LakeObject:
    """An object in a listing.

    `modified` is in UTC, cut to the millisecond. `version` changes whenever the content may have
    changed: the entity tag in S3, size and modification time on a disk.
    """

    key: str
    size: int
    modified: datetime
    version: str


@dataclass(frozen=True)
class Version:
    """A version of an object in a store that keeps versions: its bytes, or a deletion marker."""

    key: str
    id: str
    size: int
    is_current: bool
    is_deletion: bool


Item = TypeVar("Item")
Sized = TypeVar("Sized", LakeObject, Version)
MOST_OBJECTS, MOST_BYTES = 64, 256 << 20


def batches(objects: Iterable[Sized]) -> Iterator[list[Sized]]:
    """Yield objects in groups that can be fetched together and fit on a small disk."""
    return grouped(objects, lambda item: item.size, MOST_OBJECTS, MOST_BYTES)


def grouped(
    items: Iterable[Item], size_of: Callable[[Item], int], most: int, size: int
) -> Iterator[list[Item]]:
    """Yield at most `most` items together, with at most `size` in all; a larger item alone."""
    group, held = list[Item](), 0
    for item in items:
        if group and (len(group) == most or held + size_of(item) > size):
            yield group
            group, held = [], 0
        group.append(item)
        held += size_of(item)
    if group:
        yield group


def is_finished(key: str) -> bool:
    """Return whether an object is complete, judged by its name.

    Producers write under a name that starts with a dot or ends in .tmp, and rename the file when it
    is complete.
    """
    return not key.endswith(".tmp") and not key.startswith(".") and "/." not in key


CANNOT_READ = "cannot be read"
"""The beginning of reasons in `Lake.unlisted` that are errors of the disk or of permissions."""

UNFINISHED = "not finished by its name: rename it when it is whole"


class Changed(Exception):
    """An object that another process is writing, or that has changed since it was listed."""


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def milliseconds(moment: datetime) -> int:
    """Return the milliseconds from 1970 to a time in UTC, exactly."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def moment(milliseconds: int) -> datetime:
    """Return the time in UTC of a number of milliseconds since 1970."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def file_object(key: str, size: int, modified: int) -> LakeObject:
    """Return an object of a store without entity tags: size and time stand for its content.

    Args:
        key: its key.
        size: its bytes.
        modified: when it was modified, in milliseconds since 1970.
    """
    return LakeObject(key, size, moment(modified), f"{size}-{modified}")


class Watch(Protocol):
    """Repeated looks at the objects under a prefix."""

    def look(self, expected: Iterable[str] = ()) -> list[LakeObject]:
        """Return the objects that may be new or changed, except those that are settled.

        Args:
            expected: the folders in which new objects are expected now.
        """
        ...

    def settle(self, key: str, version: str) -> None:
        """Exclude a version of an object from further looks."""
        ...


class Lake(Protocol):
    """The operations of a lake.

    All of them raise LakeError for problems that an operator must fix, and FileNotFoundError for an
    object that does not exist.
    """

    url: str

    def list(self, prefix: str) -> Iterator[LakeObject]:
        """Yield every finished object under a key prefix, in the order of the keys."""
        ...

    def unlisted(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Yield the keys under a prefix that `list` leaves out, each with the reason."""
        ...

    def watch(self, prefix: str) -> Watch:
        """Return a watch on the objects under a folder."""
        ...

    def open(self, key: str) -> BinaryIO:
        """Open an object to read its stored bytes."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Store an object atomically and durably."""
        ...

    def publish(self, files: Mapping[str, Path], *, keeps_first: bool = False) -> None:
        """Move finished local files into the lake, each atomically, all of them durably.

        `files` are by key. After an error, some of them are published.

        Several runners may publish the same key to some stores. With `keeps_first`, such a store
        keeps the object of the first one.
        """
        ...

    def replace(
        self,
        path: Path,
        key: str,
        arrived: datetime | None = None,
        *,
        instead_of: LakeObject | None = None,
    ) -> None:
        """Replace an object with a finished local file.

        Args:
            path: the file.
            key: the object.
            arrived: the time that a listing shows; None for that of the replacement.
            instead_of: the object as it was listed before it was read.

        Raises:
            Changed: the object is no longer `instead_of`, or is being written.
        """
        ...

    def is_being_written(self, key: str) -> bool:
        """Return whether another process has the object open to write, if that can be known."""
        ...

    def remove(self, *keys: str) -> None:
        """Delete objects with all their versions; some of them may be gone already."""
        ...

    def versions(self, prefix: str) -> Iterator[Version]:
        """Yield every version of every object under a key prefix, also of unfinished ones.

        A disk keeps no versions. The versions of a key come together, the oldest first and deletion
        markers last: if they are destroyed in this order, none becomes current again.
        """
        ...

    def fetched_versions(
        self, versions: Sequence[Version]
    ) -> AbstractContextManager[Sequence[Path]]:
        """Provide local files with the content of versions, as `fetched` does for objects."""
        ...

    def destroy(self, version: Version) -> None:
        """Delete a version for good."""
        ...

    def fetched(self, keys: Sequence[str]) -> AbstractContextManager[Sequence[Path]]:
        """Provide local files with the content of objects, to read while the block lasts."""
        ...

    def scratch(self) -> Path:
        """Return an empty local folder for files that `publish` will move."""
        ...
