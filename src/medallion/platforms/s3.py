"""The lake as an S3 bucket: whole objects by one PUT each, so that each is announced once.

Endpoint, region and credentials are found as every AWS client finds them (AWS_ENDPOINT_URL,
AWS_PROFILE, the role of the machine, ...). Requests that fail for a passing reason are repeated
with growing pauses; what is refused for good stops the run and names the action and the key.
"""

from __future__ import annotations

import errno
import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, timedelta
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from medallion.errors import LakeError, SettingsError
from medallion.platforms.lake import LakeObject, is_finished
from medallion.platforms.local import emptied_scratch, own_scratch

_ATTEMPTS = 6
_SECONDS_TO_CONNECT, _SECONDS_TO_ANSWER = 5, 60
_THREADS = 16
_ACTIONS = {
    "ListObjectsV2": "s3:ListBucket",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
}
_TAKEN = ("PreconditionFailed", "ConditionalRequestConflict")


class S3Lake:
    """A lake in a bucket; `home` is a local directory for files on their way."""

    def __init__(self, bucket: str, home: Path) -> None:
        self.bucket, self.url = bucket, f"s3://{bucket}"
        self._home = home.absolute()

    def list(self, prefix: str) -> Iterator[LakeObject]:
        found: Any = _client().get_paginator("list_objects_v2")
        with self._explained("ListObjectsV2", prefix):
            for page in found.paginate(Bucket=self.bucket, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    if is_finished(entry["Key"]):
                        yield _object(entry)

    def open(self, key: str) -> BinaryIO:
        # A download can be resumed when the connection breaks, a stream that is read cannot.
        file = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
        try:
            with self._explained("GetObject", key):
                _client().download_fileobj(self.bucket, key, file)
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return file

    def put(self, key: str, data: bytes) -> None:
        with self._explained("PutObject", key):
            _client().put_object(Bucket=self.bucket, Key=key, Body=data)

    def publish(self, path: Path, key: str) -> None:
        """Stores the file where nothing is stored yet: a repeated run finds its own object and
        announces nothing a second time. Of two receipts for one object the first stays."""
        with self._explained("PutObject", key), path.open("rb") as body:
            checksum = hashlib.file_digest(body, "sha256").hexdigest()
            if not self._put_new(body, key, checksum) and not self._may_stay(key, checksum):
                self._put(body, key, checksum)
        path.unlink()

    def _put(self, body: BinaryIO, key: str, checksum: str, **conditions: str) -> None:
        body.seek(0)
        told = {"sha256": checksum}
        _client().put_object(Bucket=self.bucket, Key=key, Body=body, Metadata=told, **conditions)

    def _put_new(self, body: BinaryIO, key: str, checksum: str) -> bool:
        from botocore.exceptions import ClientError

        try:
            self._put(body, key, checksum, IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] in _TAKEN:
                return False
            raise
        return True

    def _may_stay(self, key: str, checksum: str) -> bool:
        """Whether what is stored under a key already may stay in place of the file."""
        if key.startswith("bronze/receipts/"):
            return True
        stored = _client().head_object(Bucket=self.bucket, Key=key)
        return bool(stored["Metadata"].get("sha256") == checksum)

    @contextmanager
    def fetched(self, keys: Sequence[str]) -> Iterator[Sequence[Path]]:
        with tempfile.TemporaryDirectory(dir=own_scratch(self._home)) as folder:
            paths = [Path(folder) / str(number) for number in range(len(keys))]
            with ThreadPoolExecutor(_THREADS) as pool:
                list(pool.map(self._download, keys, paths))
            yield paths

    def _download(self, key: str, path: Path) -> None:
        with self._explained("GetObject", key):
            _client().download_file(self.bucket, key, str(path))

    def scratch(self) -> Path:
        return emptied_scratch(self._home)

    @contextmanager
    def _explained(self, operation: str, key: str) -> Iterator[None]:
        """Turns what the client raises into one sentence with the action and the key."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        action, where = _ACTIONS[operation], f"{self.url}/{key}"
        try:
            yield
        except ClientError as error:
            code = str(error.response["Error"]["Code"])
            if code in ("NoSuchKey", "404"):
                raise FileNotFoundError(errno.ENOENT, "there is no such object", where) from error
            if code in ("AccessDenied", "403"):
                raise LakeError(f"{action} on {where} is not allowed: {_told(error)}") from error
            raise LakeError(f"{action} on {where} failed: {_told(error)}") from error
        except (BotoCoreError, Boto3Error) as error:
            raise LakeError(f"{action} on {where} failed: {error}") from error


def _told(error: Any) -> str:
    answer = error.response["Error"]
    return f"{answer['Code']}, {answer.get('Message') or 'the service gives no reason'}"


def _object(entry: dict[str, Any]) -> LakeObject:
    modified = entry["LastModified"].astimezone(UTC)
    cut = modified - timedelta(microseconds=modified.microsecond % 1000)
    return LakeObject(entry["Key"], entry["Size"], cut, entry["ETag"].strip('"'))


@cache
def _client() -> Any:
    """One client for a process; its connections are shared by the threads."""
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise SettingsError(
            "a lake in s3:// needs the AWS client: pip install boto3, or make setup"
        ) from error
    config = Config(
        retries={"mode": "standard", "max_attempts": _ATTEMPTS},
        connect_timeout=_SECONDS_TO_CONNECT,
        read_timeout=_SECONDS_TO_ANSWER,
        max_pool_connections=_THREADS,
    )
    return boto3.client("s3", config=config)
