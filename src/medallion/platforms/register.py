"""A register of a lake: one small object that several processes change by compare and swap.

Of all who saw the same state one may replace it, the others learn that it is no longer what they
saw. In S3 that is a PUT under a condition (`If-Match`, `If-None-Match`), on a disk a lock.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from medallion.errors import LakeError
from medallion.platforms.s3 import connect

_NOT_THERE = ("NoSuchKey", "404")
_NOT_AS_SEEN = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")


class Register(Protocol):
    """What is stored is a text; the empty one stands for nothing."""

    def read(self) -> tuple[str, str]:
        """The text, and a tag that changes with it."""
        ...

    def swap(self, text: str, tag: str) -> str | None:
        """Stores a text in place of the one that had this tag: its own tag, or None when another
        one is there by now."""
        ...


def register(url: str, key: str) -> Register:
    """The register under a key of the lake `url`, which is s3://bucket or file:///home."""
    scheme, _, rest = url.partition("://")
    if scheme in ("s3", "s3a"):
        bucket, _, prefix = rest.strip("/").partition("/")
        return _S3Register(bucket, f"{prefix}/{key}".lstrip("/"))
    if scheme == "file":
        return _FileRegister(Path(rest) / key)
    raise LakeError(f"a cluster's lake is s3://bucket or file:///home, not {url}")


class _S3Register:
    def __init__(self, bucket: str, key: str) -> None:
        self._client, self._told = connect(), {"Bucket": bucket, "Key": key}
        self._url = f"s3://{bucket}/{key}"

    def read(self) -> tuple[str, str]:
        from botocore.exceptions import ClientError

        try:
            with self._explained("read"):
                found = self._client.get_object(**self._told)
                return found["Body"].read().decode(), found["ETag"]
        except ClientError:
            return "", ""

    def swap(self, text: str, tag: str) -> str | None:
        from botocore.exceptions import ClientError

        # As a header, not as a parameter: older clients do not know the parameter.
        condition = ("If-Match", tag) if tag else ("If-None-Match", "*")
        try:
            with self._explained("write", *_NOT_AS_SEEN), self._header(*condition):
                return str(self._client.put_object(**self._told, Body=text.encode())["ETag"])
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
    def _explained(self, doing: str, *expected: str) -> Iterator[None]:
        """Lets through what is an answer; what is refused or fails becomes one sentence."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            answer = error.response["Error"]
            if answer["Code"] in (*_NOT_THERE, *expected):
                raise
            told = f"{answer['Code']}, {answer.get('Message') or 'the service gives no reason'}"
            raise LakeError(f"cannot {doing} {self._url}: {told}") from error
        except BotoCoreError as error:
            raise LakeError(f"cannot {doing} {self._url}: {error}") from error


class _FileRegister:
    """The tag is the text itself."""

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
