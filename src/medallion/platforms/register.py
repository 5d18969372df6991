"""A register: a small object of a lake that several processes change by compare and swap.

Of all processes that read the same state, one can replace it; the others are told that it has
changed. In S3 this is a conditional PUT (`If-Match`, `If-None-Match`), on a disk a file lock.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from medallion.errors import LakeError
from medallion.platforms.s3 import connect, reason

_MISSING = ("NoSuchKey", "404")
_CHANGED = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")


class Register(Protocol):
    """A stored text; the empty text stands for a register without content."""

    def read(self) -> tuple[str, str]:
        """Return the text, and a tag that changes with it."""
        ...

    def swap(self, text: str, tag: str) -> str | None:
        """Replace the text that has a tag.

        Returns:
            The tag of the new text; None when another text has been stored meanwhile.
        """
        ...


def register(url: str, key: str) -> Register:
    """Return the register under a key of the lake `url`: s3://bucket or file:///home."""
    scheme, _, rest = url.partition("://")
    if scheme in ("s3", "s3a"):
        bucket, _, prefix = rest.strip("/").partition("/")
        return _S3Register(bucket, f"{prefix}/{key}".lstrip("/"))
    if scheme == "file":
        return _FileRegister(Path(rest) / key)
    raise LakeError(f"a cluster's lake is s3://bucket or file:///home, not {url}")


class _S3Register:
    def __init__(self, bucket: str, key: str) -> None:
        self._client, self._object = connect(), {"Bucket": bucket, "Key": key}
        self._url = f"s3://{bucket}/{key}"

    def read(self) -> tuple[str, str]:
        from botocore.exceptions import ClientError

        try:
            with self._explained("read"):
                stored = self._client.get_object(**self._object)
                return stored["Body"].read().decode(), stored["ETag"]
        except ClientError:
            return "", ""

    def swap(self, text: str, tag: str) -> str | None:
        from botocore.exceptions import ClientError

        # As a header, not as a parameter: older clients do not know the parameter.
        condition = ("If-Match", tag) if tag else ("If-None-Match", "*")
        try:
            with self._explained("write", *_CHANGED), self._header(*condition):
                return str(self._client.put_object(**self._object, Body=text.encode())["ETag"])
        except ClientError:
            return None

    @contextmanager
    def _header(self, name: str, value: str) -> Iterator[None]:
        def add(request: Any, **_: Any) -> None:
            request.headers[name] = value

        event = "before-sign.s3.PutObject"
        self._client.meta.events.register(event, add)
        try:
            yield
        finally:
            self._client.meta.events.unregister(event, add)

    @contextmanager
    def _explained(self, action: str, *expected: str) -> Iterator[None]:
        """Raise LakeError in one sentence for every error that is not an expected answer."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            if error.response["Error"]["Code"] in (*_MISSING, *expected):
                raise
            raise LakeError(f"cannot {action} {self._url}: {reason(error)}") from error
        except BotoCoreError as error:
            raise LakeError(f"cannot {action} {self._url}: {error}") from error


class _FileRegister:
    """A register in a file, whose tag is its text."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> tuple[str, str]:
        text = self._path.read_text() if self._path.exists() else ""
        return text, text

    def swap(self, text: str, tag: str) -> str | None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            if self.read()[1] != tag:
                return None
            part = self._path.with_name(f".{self._path.name}")
            part.write_text(text)
            part.replace(self._path)
            os.fsync(folder)
        finally:
            os.close(folder)
        return text
