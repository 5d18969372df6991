"""The lines of a raw object without the id, and raw objects packed as their names say."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa

from medallion.cleaning.lines import BOM, codec_of
from medallion.contract import feed_of
from medallion.erasure.pseudonym import Replacement

UNREADABLE = (OSError, EOFError, zlib.error)
"""What reading an archive that is damaged or cut may raise."""


def lines(path: Path, key: str, by: Replacement) -> Iterator[tuple[bytes, bool]]:
    """The lines of a stored object without the id, and whether each was changed."""
    feed = feed_of(key)
    with _reader(path, key) as stream:
        for number, line in enumerate(stream):
            mark = BOM if number == 0 and line.startswith(BOM) else b""
            end = b"\n" if line.endswith(b"\n") else b""
            body = line[len(mark) : len(line) - len(end)]
            new = by.line(body, feed)
            yield mark + new + end, new != body


@contextmanager
def _reader(path: Path, key: str) -> Iterator[IO[bytes]]:
    """The plain bytes of a raw object, line by line."""
    with path.open("rb") as stored:
        codec = codec_of(key)
        if codec == "gzip":
            yield gzip.GzipFile(fileobj=stored)  # type: ignore[misc]
        elif codec == "zstd" and path.stat().st_size:
            yield io.BufferedReader(pa.CompressedInputStream(stored, "zstd"))
        else:
            yield stored


@contextmanager
def writer(path: Path, key: str) -> Iterator[IO[bytes]]:
    """Takes the plain bytes of a raw object and packs them as its key says."""
    codec = codec_of(key)
    if codec == "gzip":
        with gzip.GzipFile(path, "wb", mtime=0) as packed:
            yield packed  # type: ignore[misc]
    elif codec == "zstd":
        with pa.CompressedOutputStream(str(path), "zstd") as squeezed:
            yield squeezed
    else:
        with path.open("wb") as plain:
            yield plain
