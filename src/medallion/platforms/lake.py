"""What every lake can do: a flat space of immutable objects under slash-separated keys."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar


@dataclass(frozen=True, order=True)
class LakeObject:
    """An object as a listing shows it.

    `modified` is in UTC, cut to the millisecond; `version` changes whenever the content may have:
    the entity tag in S3, size and modification time on a disk.
    """

    key: str
    size: int
    modified: datetime
    version: str


@dataclass(frozen=True)
class Version:
    """One of the contents that a store keeps under a key: the current one or one of before, or the
    mark that the object was deleted."""

    key: str
    id: str
    size: int
    is_current: bool
    is_deletion: bool


Sized = TypeVar("Sized", LakeObject, Version)
MOST_OBJECTS, MOST_BYTES = 64, 256 << 20


def batches(objects: Iterable[Sized]) -> Iterator[list[Sized]]:
    """As many at a time as fit on a small disk, and can be fetched together."""
    batch: list[Sized] = []
    size = 0
    for found in objects:
        if batch and (len(batch) == MOST_OBJECTS or size + found.size > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(found)
        size += found.size
    if batch:
        yield batch


def is_finished(key: str) -> bool:
    """Whether an object is there already: producers write under a name that starts with a dot or
    ends in .tmp, and rename."""
    return not key.endswith(".tmp") and not key.startswith(".") and "/." not in key


UNFINISHED = "not finished by its name: rename it when it is whole"

ARRIVALS = "raw/.arrivals/"
"""Where a store that stamps every object with its own clock keeps the arrival of raw objects that
were rewritten: an empty object each, whose name says of which key, written when, arrived when."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def milliseconds(moment: datetime) -> int:
    """The moment as a number, without a detour over floats."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def moment(milliseconds: int) -> datetime:
    """The same number as a moment in UTC."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def arrivals_of(key: str) -> str:
    """What the names of all that is noted of the arrival of a raw object begin with."""
    return f"{ARRIVALS}{hashlib.sha256(key.encode()).hexdigest()[:16]}-"


def arrival_key(found: LakeObject, arrived: datetime) -> str:
    """The name that says of an object, as the store shows it, when it really arrived."""
    return f"{arrivals_of(found.key)}{milliseconds(found.modified)}-{milliseconds(arrived)}"


def finished(listed: Iterable[LakeObject], notes: Iterable[str]) -> Iterator[LakeObject]:
    """The finished ones of listed objects, each with the arrival that the keys `notes` tell, or
    else its own. A note is of one writing: what a producer writes under the key later is new."""
    told = (re.fullmatch(rf"({re.escape(ARRIVALS)}[0-9a-f]+-\d+)-(\d+)", key) for key in notes)
    known = {match[1]: int(match[2]) for match in told if match}
    for found in listed:
        if is_finished(found.key):
            name = f"{arrivals_of(found.key)}{milliseconds(found.modified)}" if known else ""
            at = known.get(name)
            yield found if at is None else replace(found, modified=moment(at))


def file_object(key: str, size: int, modified: int) -> LakeObject:
    """An object of a store that has no entity tags: its size and the moment of its modification, in
    milliseconds since 1970, stand for its content."""
    return LakeObject(key, size, moment(modified), f"{size}-{modified}")


class Lake(Protocol):
    """A lake that holds raw/ and bronze/. Raises LakeError for what an operator must mend, and
    FileNotFoundError for an object that is gone."""

    url: str

    def list(self, prefix: str) -> Iterator[LakeObject]:
        """Every finished object under a key prefix, in the order of the keys."""
        ...

    def unlisted(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Keys under a prefix that no listing has, each with the reason."""
        ...

    def open(self, key: str) -> BinaryIO:
        """The stored bytes of an object."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Stores an object whole and durably, or not at all."""
        ...

    def publish(self, path: Path, key: str) -> None:
        """Moves a finished local file into the lake, whole and durably, or not at all."""
        ...

    def replace(self, path: Path, key: str, arrived: datetime | None = None) -> None:
        """Moves a finished local file into the place of an object. With `arrived` a listing shows
        that moment, and not the one of the replacement, as the time of the object."""
        ...

    def remove(self, key: str) -> None:
        """Deletes an object with all its versions."""
        ...

    def versions(self, prefix: str) -> Iterator[Version]:
        """Every version of every object under a key prefix, unfinished ones too, where the store
        keeps versions; a disk has none. The versions of a key follow each other, the oldest first
        and its marks of deletion last: destroyed in this order, none becomes current again."""
        ...

    def fetched_versions(
        self, versions: Sequence[Version]
    ) -> AbstractContextManager[Sequence[Path]]:
        """The same as `fetched`, for versions."""
        ...

    def destroy(self, version: Version) -> None:
        """Deletes a version for good."""
        ...

    def fetched(self, keys: Sequence[str]) -> AbstractContextManager[Sequence[Path]]:
        """Local files with the content of these objects, to read while the block lasts."""
        ...

    def scratch(self) -> Path:
        """An empty local directory for files on their way to `publish`."""
        ...
