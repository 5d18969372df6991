"""What every lake can do: a flat space of immutable objects under slash-separated keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol


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


def is_finished(key: str) -> bool:
    """Whether an object is there already: producers write under a name that starts with a dot or
    ends in .tmp, and rename."""
    return not key.endswith(".tmp") and not any(part.startswith(".") for part in key.split("/"))


class Lake(Protocol):
    """A lake that holds raw/ and bronze/. Raises LakeError for what an operator must mend, and
    FileNotFoundError for an object that is gone."""

    url: str

    def list(self, prefix: str) -> Iterator[LakeObject]:
        """Every finished object under a key prefix, in the order of the keys."""
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

    def fetched(self, keys: Sequence[str]) -> AbstractContextManager[Sequence[Path]]:
        """Local files with the content of these objects, to read while the block lasts."""
        ...

    def scratch(self) -> Path:
        """An empty local directory for files on their way to `publish`."""
        ...
