"""The lake of a Spark cluster, through the Hadoop file systems of the driver.

Every URL that the cluster can open is a lake: `s3://bucket`, `file:///home`. Bytes never pass
through Python. A rename is atomic on a disk. In S3 the server copies the object and deletes the old
key, so that the new key appears once and complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from medallion.errors import LakeError
from medallion.platforms.arrivals import finished
from medallion.platforms.lake import LakeObject, file_object

_THREADS = 16


class HadoopLake:
    """A lake under a URL."""

    def __init__(self, spark: SparkSession, url: str) -> None:
        self.url = url.rstrip("/")
        self._jvm: Any = spark._jvm
        self._conf = spark._jsc.hadoopConfiguration()
        with explained(f"open the lake {url}"):
            self._files = self._path("").getFileSystem(self._conf)
        # In S3 a folder would be an object of its own, with a notification of its own.
        self._has_folders = not self.url.startswith(("s3:", "s3a:"))

    def path(self, key: str) -> str:
        """Return the full path of a key, for the readers and writers of Spark."""
        return f"{self.url}/{key}" if key else self.url

    def list(self, prefix: str) -> Iterator[LakeObject]:
        """Yield every finished object under a folder, in the order of the keys."""
        listed = sorted(self._walk(prefix))
        yield from finished(listed, (stored.key for stored in listed))

    def _walk(self, prefix: str) -> Iterator[LakeObject]:
        root = self._files.makeQualified(self._path("")).toString().rstrip("/") + "/"
        try:
            files = self._files.listFiles(self._path(prefix), True)
        except Py4JJavaError as error:
            if _is_missing(error):
                return
            raise LakeError(f"cannot list {self.path(prefix)}: {_message(error)}") from error
        while files.hasNext():
            status = files.next()
            key = status.getPath().toString().removeprefix(root)
            yield file_object(key, status.getLen(), status.getModificationTime())

    def move(self, moves: Iterable[tuple[str, str]]) -> None:
        """Rename objects to their final keys, several at a time.

        A key that exists already stays as it is. So a repeated call completes an interrupted one,
        and two processes may call this at once.
        """
        with ThreadPoolExecutor(_THREADS) as pool:
            for _ in pool.map(lambda move: self._move(*move), moves):
                pass

    def _move(self, source: str, target: str) -> None:
        origin, final = self._path(source), self._path(target)
        with explained(f"publish {source} as {self.path(target)}"):
            if self._files.exists(final):
                self._files.delete(origin, False)
                return
            if self._has_folders:
                self._files.mkdirs(final.getParent())
            try:
                moved = self._files.rename(origin, final)
            except Py4JJavaError:
                if not self._files.exists(final):
                    raise
                return
            if not moved and not self._files.exists(final):
                raise LakeError(f"cannot publish {source} as {self.path(target)}")

    def delete(self, prefix: str) -> None:
        """Delete a folder and its content."""
        with explained(f"delete {self.path(prefix)}"):
            self._files.delete(self._path(prefix), True)

    def _path(self, key: str) -> Any:
        return self._jvm.org.apache.hadoop.fs.Path(self.path(key) or "/")


@contextmanager
def explained(action: str) -> Iterator[None]:
    """Raise LakeError with one sentence when the file system refuses, also in a Spark task."""
    try:
        yield
    except Py4JJavaError as error:
        raise LakeError(f"cannot {action}: {_message(error)}") from error


def _is_missing(error: Py4JJavaError) -> bool:
    return bool(error.java_exception.getClass().getName() == "java.io.FileNotFoundException")


def _message(error: Py4JJavaError) -> str:
    """Return the first line of the innermost file system error, which names the object."""
    cause = innermost = error.java_exception
    while cause is not None:
        if _is_of(cause, "java.io.IOException"):
            innermost = cause
        cause = cause.getCause()
    return str(innermost.getMessage() or innermost.getClass().getName()).splitlines()[0]


def _is_of(error: Any, name: str) -> bool:
    kind = error.getClass()
    while kind is not None and kind.getName() != name:
        kind = kind.getSuperclass()
    return kind is not None
