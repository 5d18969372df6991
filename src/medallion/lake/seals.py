"""Checksums by which a reader notices that stored bytes have changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from medallion.lake.codecs import StoredBytes


class Damaged(Exception):
    """Stored content that differs from what was written."""


@dataclass(frozen=True)
class Stamp:
    """The size in bytes and the SHA-256 of an object, in hexadecimal."""

    size: int
    sha256: str

    @classmethod
    def of(cls, stream: BinaryIO) -> Stamp:
        """Read a stream to its end; return its stamp."""
        stored = StoredBytes(stream)
        checksum = stored.checksum()
        return cls(stored.size, checksum)

    @classmethod
    def of_file(cls, path: Path) -> Stamp:
        with path.open("rb", buffering=0) as stream:
            return cls.of(stream)

    def require(self, name: str, actual: Stamp) -> None:
        """Raise Damaged when an object has another stamp."""
        if actual != self:
            raise Damaged(
                f"{name} is damaged: its {actual.size:,} bytes are not the {self.size:,} that "
                "were written (SHA-256)"
            )


def seal_of(content: Any) -> str:
    """Return the SHA-256 of a value of JSON; times without a zone count as UTC."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=_time)
    return hashlib.sha256(text.encode()).hexdigest()


def _time(value: datetime) -> str:
    return value.replace(tzinfo=None).isoformat()


def sealed_text(content: Mapping[str, Any]) -> str:
    """Return a JSON object with its seal, which `unsealed` checks."""
    return json.dumps({**content, "sha256": seal_of(content)}, indent=0)


def unsealed(text: str | bytes, name: str) -> dict[str, Any]:
    """Return the JSON object in a text that `sealed_text` made.

    A text without a seal was written by an earlier version, and is accepted.

    Raises:
        Damaged: the text is no JSON object, or its seal is broken.
    """
    try:
        content = dict(json.loads(text))
    except (ValueError, TypeError) as error:
        raise Damaged(f"{name} is damaged: it is no JSON object") from error
    seal = content.pop("sha256", None)
    if seal is not None and seal != seal_of(content):
        raise Damaged(f"{name} is damaged: its checksum is of another content")
    return content
