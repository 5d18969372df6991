"""The lake in an S3 bucket: one PUT for each object, so that each has one notification.

Endpoint, region and credentials are found as every AWS client finds them (AWS_ENDPOINT_URL,
AWS_PROFILE, the role of the machine, ...). Requests that fail for a passing reason are repeated
with growing pauses; a permanent refusal stops the run and names the action and the key.
"""

from __future__ import annotations

import errno
import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

from medallion.errors import LakeError, SettingsError
from medallion.platforms.arrivals import NOTES, finished, lists_notes, note_key, notes_of
from medallion.platforms.lake import UNFINISHED, Changed, LakeObject, Version, Watch, is_finished
from medallion.platforms.local import emptied_scratch, own_scratch
from medallion.platforms.watch import Objects, Page, PageWatch

_ATTEMPTS = 6
_SECONDS_TO_CONNECT, _SECONDS_TO_ANSWER = 5, 60
_THREADS = 16
_ACTIONS = {
    "ListObjectsV2": "s3:ListBucket",
    "ListObjectVersions": "s3:ListBucketVersions",
    "GetObject": "s3:GetObject",
    "GetObjectVersion": "s3:GetObjectVersion",
    "HeadObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "DeleteObjectVersion": "s3:DeleteObjectVersion",
}
_UNMET = ("PreconditionFailed", "ConditionalRequestConflict")


class S3Lake:
    """A lake in a bucket; `home` is a local folder for scratch files."""

    def __init__(self, bucket: str, home: Path) -> None:
        self.bucket, self.url = bucket, f"s3://{bucket}"
        self._home = home.absolute()

    def list(self, prefix: str) -> Iterator[LakeObject]:
        # The whole listing is needed first: the arrival notes stand in the middle of it.
        listed = [*self._listed(prefix)]
        notes = listed if lists_notes(prefix) else self._listed(NOTES)
        yield from finished(listed, (note.key for note in notes))

    def unlisted(self, prefix: str) -> Iterator[tuple[str, str]]:
        for stored in self._listed(prefix):
            is_folder = stored.key.endswith("/") and not stored.size
            if not (is_finished(stored.key) or is_folder or stored.key.startswith(NOTES)):
                yield stored.key, UNFINISHED

    def _listed(self, prefix: str) -> Iterator[LakeObject]:
        """Yield every object in the form in which the store lists it."""
        pages: Any = _client().get_paginator("list_objects_v2")
        with self._explained("ListObjectsV2", prefix):
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
                yield from map(_object, page.get("Contents", ()))

    def watch(self, prefix: str) -> Watch:
        return PageWatch(prefix, self._page, self._with_arrivals)

    def _page(self, prefix: str, after: str) -> Page:
        """Return the page of a listing after a key, and whether it is the last one."""
        with self._explained("ListObjectsV2", prefix):
            answer = _client().list_objects_v2(Bucket=self.bucket, Prefix=prefix, StartAfter=after)
        return [_object(entry) for entry in answer.get("Contents", ())], not answer["IsTruncated"]

    def _with_arrivals(self, listed: Sequence[LakeObject]) -> Objects:
        """Return the finished objects of a listing, with the arrivals from their notes."""
        notes = self._listed(NOTES) if listed else ()
        return [*finished(listed, (note.key for note in notes))]

    def open(self, key: str) -> BinaryIO:
        # A download can be resumed when the connection breaks, a stream cannot.
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

    def publish(self, files: Mapping[str, Path], *, keeps_first: bool = False) -> None:
        with ThreadPoolExecutor(_THREADS) as pool:
            for _ in pool.map(partial(self._publish, keeps_first), files.keys(), files.values()):
                pass  # An error of one of them is raised here.

    def _publish(self, keeps_first: bool, key: str, path: Path) -> None:
        """Store a file unless the same bytes are stored: a repeated run causes no notification."""
        with self._explained("PutObject", key), path.open("rb") as body:
            checksum = hashlib.file_digest(body, "sha256").hexdigest()
            is_stored = self._put_if(body, key, checksum, IfNoneMatch="*") or keeps_first
            if not is_stored and self._checksum(key) != checksum:
                self._put(body, key, checksum)
        path.unlink()

    def _put(self, body: BinaryIO, key: str, checksum: str, **conditions: str) -> None:
        body.seek(0)
        sums = {"sha256": checksum}
        _client().put_object(Bucket=self.bucket, Key=key, Body=body, Metadata=sums, **conditions)

    def is_being_written(self, key: str) -> bool:
        return False  # An object is there when its PUT has ended.

    def _put_if(self, body: BinaryIO, key: str, checksum: str, **conditions: str) -> bool:
        """Store an object; return False when a condition is not met."""
        from botocore.exceptions import ClientError

        try:
            self._put(body, key, checksum, **conditions)
        except ClientError as error:
            if error.response["Error"]["Code"] in _UNMET:
                return False
            raise
        return True

    def _checksum(self, key: str) -> str | None:
        stored = _client().head_object(Bucket=self.bucket, Key=key)
        checksum: str | None = stored["Metadata"].get("sha256")
        return checksum

    def replace(
        self,
        path: Path,
        key: str,
        arrived: datetime | None = None,
        *,
        instead_of: LakeObject | None = None,
    ) -> None:
        conditions = {"IfMatch": instead_of.version} if instead_of else {}
        with self._explained("PutObject", key), path.open("rb") as body:
            checksum = hashlib.file_digest(body, "sha256").hexdigest()
            if not self._put_if(body, key, checksum, **conditions):
                raise Changed
        if arrived:
            self._note_arrival(key, arrived)
        path.unlink()

    def _note_arrival(self, key: str, arrived: datetime) -> None:
        (rewritten,) = (o for o in self._listed(key) if o.key == key)
        self.put(note := note_key(rewritten, arrived), b"")
        for old in self._listed(notes_of(key)):
            if old.key != note:
                self.remove(old.key)

    def remove(self, *keys: str) -> None:
        for key in keys:
            for version in self.versions(key):
                if version.key == key:
                    self.destroy(version)

    def versions(self, prefix: str) -> Iterator[Version]:
        for _, versions in groupby(self._newest_first(prefix), key=lambda version: version.key):
            oldest_first = [*versions][::-1]
            yield from sorted(oldest_first, key=lambda version: version.is_deletion)

    def _newest_first(self, prefix: str) -> Iterator[Version]:
        """Yield all versions in the order of the keys, and for each key the newest first."""
        pages: Any = _client().get_paginator("list_object_versions")
        with self._explained("ListObjectVersions", prefix):
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
                versions = [_version(v) for v in page.get("Versions", ())]
                versions += [_version(v, is_deletion=True) for v in page.get("DeleteMarkers", ())]
                yield from sorted(versions, key=lambda version: version.key)

    def destroy(self, version: Version) -> None:
        with self._explained("DeleteObjectVersion", version.key):
            _client().delete_object(Bucket=self.bucket, Key=version.key, VersionId=version.id)

    def fetched(self, keys: Sequence[str]) -> AbstractContextManager[Sequence[Path]]:
        return self._downloaded([(key, "") for key in keys])

    def fetched_versions(
        self, versions: Sequence[Version]
    ) -> AbstractContextManager[Sequence[Path]]:
        return self._downloaded([(version.key, version.id) for version in versions])

    @contextmanager
    def _downloaded(self, copies: Sequence[tuple[str, str]]) -> Iterator[Sequence[Path]]:
        """Provide local copies of objects, by key and version; an empty one is the current one."""
        with tempfile.TemporaryDirectory(dir=own_scratch(self._home)) as folder:
            paths = [Path(folder) / str(number) for number in range(len(copies))]
            with ThreadPoolExecutor(_THREADS) as pool:
                list(pool.map(self._download, copies, paths))
            yield paths

    def _download(self, copies: tuple[str, str], path: Path) -> None:
        key, version = copies
        only = {"VersionId": version} if version else {}
        with self._explained("GetObjectVersion" if version else "GetObject", key):
            _client().download_file(self.bucket, key, str(path), ExtraArgs=only)

    def scratch(self) -> Path:
        return emptied_scratch(self._home)

    @contextmanager
    def _explained(self, operation: str, key: str) -> Iterator[None]:
        """Turn an error of the client into one sentence with the action and the key."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        action, where = _ACTIONS[operation], f"{self.url}/{key}"
        try:
            yield
        except ClientError as error:
            code = str(error.response["Error"]["Code"])
            if code in ("NoSuchKey", "NoSuchVersion", "404"):
                raise FileNotFoundError(errno.ENOENT, "there is no such object", where) from error
            if code in ("AccessDenied", "403"):
                raise LakeError(f"{action} on {where} is not allowed: {reason(error)}") from error
            raise LakeError(f"{action} on {where} failed: {reason(error)}") from error
        except (BotoCoreError, Boto3Error) as error:
            raise LakeError(f"{action} on {where} failed: {error}") from error


def reason(error: Any) -> str:
    """Return the code and the message of a ClientError."""
    answer = error.response["Error"]
    return f"{answer['Code']}, {answer.get('Message') or 'the service gives no reason'}"


def _object(entry: dict[str, Any]) -> LakeObject:
    modified = entry["LastModified"].astimezone(UTC)
    cut = modified - timedelta(microseconds=modified.microsecond % 1000)
    return LakeObject(entry["Key"], entry["Size"], cut, entry["ETag"].strip('"'))


def _version(entry: dict[str, Any], *, is_deletion: bool = False) -> Version:
    size = entry.get("Size", 0)
    return Version(entry["Key"], entry["VersionId"], size, entry["IsLatest"], is_deletion)


@cache
def _client() -> Any:
    """Return the client of this process, whose connections are shared by all threads."""
    return connect()


def connect() -> Any:
    """Return a client of S3 that repeats requests that fail for a passing reason.

    Raises:
        SettingsError: the client library is not installed.
    """
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
