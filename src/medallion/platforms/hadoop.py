"""The lake as a Spark cluster reaches it: through the driver's Hadoop file systems.

Whatever URL the cluster can open is a lake: `s3://bucket`, `file:///home`. Bytes never pass through
Python. A rename of a file is what the file system makes of it: on a disk one atomic step, in S3 a
copy on the server's side followed by the deletion of the old key, so that the new key appears once
and whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from medallion.errors import LakeError
from medallion.platforms.lake import LakeObject, file_object, finished

_THREADS = 16


class HadoopLake:
    """A lake under a URL, and a folder in it for what is not finished."""

    def __init__(self, spark: SparkSession, url: str) -> None:
        self.url = url.rstrip("/")
        self._jvm: Any = spark._jvm
        self._conf = spark._jsc.hadoopConfiguration()
        with told(f"open the lake {url}"):
            self._files = self._path("").getFileSystem(self._conf)
        # In S3 a folder would be an object of its own, and be announced as one.
        self._has_folders = not self.url.startswith(("s3:", "s3a:"))

    def path(self, key: str) -> str:
        """The whole path of a key, for Spark's readers and writers."""
        return f"{self.url}/{key}" if key else self.url

    def list(self, prefix: str) -> Iterator[LakeObject]:
        """Every finished object under a folder, in the order of the keys."""
        listed = sorted(self._walk(prefix))
        yield from finished(listed, (found.key for found in listed))

    def _walk(self, prefix: str) -> Iterator[LakeObject]:
        root = self._files.makeQualified(self._path("")).toString().rstrip("/") + "/"
        try:
            found = self._files.listFiles(self._path(prefix), True)
        except Py4JJavaError as error:
            if _is_missing(error):
                return
            raise LakeError(f"cannot list {self.path(prefix)}: {_message(error)}") from error
        while found.hasNext():
            status = found.next()
            key = status.getPath().toString().removeprefix(root)
            yield file_object(key, status.getLen(), status.getModificationTime())

    def move(self, moves: Iterable[tuple[str, str]]) -> None:
        """Gives objects their final keys, several at a time. What was moved before stays as it is:
        a repetition completes what was cut short, and two at once do no harm."""
        with ThreadPoolExecutor(_THREADS) as pool:
            for _ in pool.map(lambda move: self._move(*move), moves):
                pass

    def _move(self, source: str, target: str) -> None:
        origin, final = self._path(source), self._path(target)
        with told(f"publish {source} as {self.path(target)}"):
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
        """Removes a folder with all that is in it."""
        with told(f"delete {self.path(prefix)}"):
            self._files.delete(self._path(prefix), True)

    def _path(self, key: str) -> Any:
        return self._jvm.org.apache.hadoop.fs.Path(self.path(key) or "/")


@contextmanager
def told(doing: str) -> Iterator[None]:
    """What the file system refuses, here or to a task of Spark's, as one sentence."""
    try:
        yield
    except Py4JJavaError as error:
        raise LakeError(f"cannot {doing}: {_message(error)}") from error


def _is_missing(error: Py4JJavaError) -> bool:
    return bool(error.java_exception.getClass().getName() == "java.io.FileNotFoundException")


def _message(error: Py4JJavaError) -> str:
    """The first line of the innermost error of a file system, which names the object."""
    found = told = error.java_exception
    while found is not None:
        if _is_of(found, "java.io.IOException"):
            told = found
        found = found.getCause()
    return str(told.getMessage() or told.getClass().getName()).splitlines()[0]


def _is_of(error: Any, name: str) -> bool:
    kind = error.getClass()
    while kind is not None and kind.getName() != name:
        kind = kind.getSuperclass()
    return kind is not None
