"""Compression codecs, known by the suffix of a key or by the first bytes of a file."""

from __future__ import annotations

import gzip
import hashlib
import io
from pathlib import Path
from typing import IO, Any, BinaryIO

import pyarrow as pa

SUFFIXES = {"gzip": ".gz", "zstd": ".zst"}
"""The suffix of a key, by codec."""

_MAGIC = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}


class DamagedArchive(Exception):
    """A compressed object that is damaged or truncated, so that nobody knows what is missing."""


class ReadError(OSError):
    """The disk or the network failed while an object was read; its bytes may be valid."""


class StoredBytes:
    """The stored bytes of a raw object, counted and hashed while they are read."""

    closed = False

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size = 0
        self.failure: ReadError | None = None

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`; none at the end; raise ReadError on failure."""
        try:
            data = self._stream.read(size)
        except OSError as error:
            self.failure = ReadError(error.errno, error.strerror or str(error))
            raise self.failure from error
        self.size += len(data)
        self._hash.update(data)
        return data

    def close(self) -> None:
        """Leave the stream open: its owner closes it."""

    def checksum(self) -> str:
        """Read the rest; return the SHA-256 of all stored bytes in hexadecimal."""
        while self.read(1 << 20):
            pass
        return self._hash.hexdigest()


def codec_of(key: str) -> str | None:
    """Return the codec that a key names by its suffix, in any case; None for plain bytes."""
    name = key.lower()
    return next((codec for codec, suffix in SUFFIXES.items() if name.endswith(suffix)), None)


def codec_of_file(path: Path) -> str | None:
    """Return the codec of a file by its first bytes; None for plain bytes."""
    with path.open("rb") as file:
        head = file.read(4)
    return next((codec for codec, magic in _MAGIC.items() if head.startswith(magic)), None)


class Unpacked:
    """The decompressed bytes of a raw object."""

    def __init__(self, stored: StoredBytes, key: str) -> None:
        codec, self._stored = codec_of(key), stored
        self._plain: Any = stored
        if codec:
            self._plain = pa.CompressedInputStream(pa.PythonFile(stored, "r"), codec)

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`; none at the end.

        Raises:
            DamagedArchive: the object cannot be decompressed to its end.
            ReadError: the stored bytes cannot be read.
        """
        try:
            return self._plain.read(size) or b""
        except (OSError, EOFError) as error:
            raise self._stored.failure or DamagedArchive(str(error)) from error


def open_unpacked(path: Path, codec: str | None) -> IO[bytes]:
    """Open a file to read its decompressed bytes.

    Reading raises OSError or EOFError when the file is damaged or truncated.
    """
    if codec is None or not path.stat().st_size:
        return path.open("rb")
    return io.BufferedReader(pa.CompressedInputStream(pa.OSFile(str(path)), codec))


def create_packed(path: Path, codec: str | None = "zstd") -> Any:
    """Create a file that compresses what is written; the same bytes give the same file."""
    if codec is None:
        return path.open("wb")
    return pa.CompressedOutputStream(str(path), codec)


def packed(data: bytes, codec: str | None) -> bytes:
    """Return compressed bytes, at the fastest level of a codec."""
    if codec == "gzip":
        return gzip.compress(data, 1, mtime=0)
    if codec == "zstd":
        return bytes(pa.Codec("zstd", compression_level=1).compress(data, asbytes=True))
    return data
