"""Compression codecs, recognized by the suffix of a key, or else by the first bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
from pathlib import Path
from typing import IO, Any, BinaryIO

import pyarrow as pa

SUFFIXES = {"gzip": ".gz", "zstd": ".zst"}
"""The suffix of a new key, by codec."""

NAMES = {".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd"}
"""The codec that a suffix names."""

HEAD_BYTES = 10
"""The first bytes of an object that identify its codec."""

_MAGIC = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
_FOREIGN = {
    "a zip archive": b"PK\x03\x04",
    "compressed with xz": b"\xfd7zXZ\x00",
    "a 7z archive": b"7z\xbc\xaf\x27\x1c",
    "a rar archive": b"Rar!\x1a\x07",
    "compressed with lz4": b"\x04\x22\x4d\x18",
}
_BZIP2 = re.compile(rb"BZh[1-9]1AY&SY")


class DamagedArchive(Exception):
    """A compressed object that is damaged or truncated; nobody knows what is missing."""


class ForeignArchive(OSError):
    """An object in a packed format that is not supported."""


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
        """Return the next bytes, at most `size`; none at the end. Raise ReadError on failure."""
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
    """Return the codec that the suffix of a key names, in any case; None for plain bytes."""
    name = key.lower()
    return next((codec for suffix, codec in NAMES.items() if name.endswith(suffix)), None)


def codec_of_bytes(head: bytes) -> str | None:
    """Return the codec of an object by its first HEAD_BYTES; None for plain bytes.

    Raises:
        ForeignArchive: the format is not supported.
    """
    foreign = [what for what, magic in _FOREIGN.items() if head.startswith(magic)]
    if foreign or _BZIP2.match(head):
        what = foreign[0] if foreign else "compressed with bzip2"
        raise ForeignArchive(f"it is {what}, which is not read: unpack it")
    return next((codec for codec, magic in _MAGIC.items() if head.startswith(magic)), None)


def codec_of_file(path: Path, key: str = "") -> str | None:
    """Return the codec of a file by its key, or else by its first bytes.

    Raises:
        ForeignArchive: the format is not supported.
    """
    if codec := codec_of(key):
        return codec
    with path.open("rb") as file:
        return codec_of_bytes(file.read(HEAD_BYTES))


class _Rewound:
    """A stream whose first bytes have been read already; it gives them again."""

    closed = False

    def __init__(self, head: bytes, rest: StoredBytes) -> None:
        self._head, self._rest = head, rest

    def read(self, size: int) -> bytes:
        head, self._head = self._head[:size], self._head[size:]
        return head + self._rest.read(size - len(head)) if head else self._rest.read(size)

    def close(self) -> None:
        """Leave the stream open: its owner closes it."""


class Unpacked:
    """The decompressed bytes of a raw object."""

    def __init__(self, stored: StoredBytes, key: str) -> None:
        self._stored, self._key = stored, key
        self._plain: Any = None

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`; none at the end.

        Raises:
            DamagedArchive: the object cannot be decompressed to its end, or its format is not
                supported.
            ReadError: the stored bytes cannot be read.
        """
        try:
            self._plain = self._plain or self._opened()
            return self._plain.read(size) or b""
        except (OSError, EOFError) as error:
            raise self._stored.failure or DamagedArchive(str(error)) from error

    def _opened(self) -> Any:
        head = b""
        while len(head) < HEAD_BYTES and (more := self._stored.read(HEAD_BYTES - len(head))):
            head += more
        codec = codec_of(self._key) or codec_of_bytes(head)
        stream = _Rewound(head, self._stored)
        return pa.CompressedInputStream(pa.PythonFile(stream, "r"), codec) if codec else stream


def open_unpacked(path: Path, codec: str | None) -> IO[bytes]:
    """Open a file to read its decompressed bytes.

    Reading raises OSError or EOFError when the file is damaged or truncated.
    """
    if codec is None or not path.stat().st_size:
        return path.open("rb")
    return io.BufferedReader(pa.CompressedInputStream(pa.OSFile(str(path)), codec))


def create_packed(path: Path, codec: str | None = "zstd") -> Any:
    """Create a file that compresses what is written; equal bytes give an equal file."""
    if codec is None:
        return path.open("wb")
    return pa.CompressedOutputStream(str(path), codec)


def packed(data: bytes, codec: str | None) -> bytes:
    """Return bytes compressed at the fastest level of a codec."""
    if codec == "gzip":
        return gzip.compress(data, 1, mtime=0)
    if codec == "zstd":
        return bytes(pa.Codec("zstd", compression_level=1).compress(data, asbytes=True))
    return data
