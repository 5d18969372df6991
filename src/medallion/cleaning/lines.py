"""From plain bytes to numbered lines, in blocks of bounded memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Protocol

import numpy as np
import pyarrow as pa

from medallion.cleaning.documents import as_lines
from medallion.contract import MAX_LINE_BYTES

BLOCK_BYTES = 1 << 21
BOM = b"\xef\xbb\xbf"
_LINE_FEED = 10


class Readable(Protocol):
    """A stream of bytes, such as a file."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, at most `size`; none at the end."""


@dataclass(frozen=True)
class Block:
    """Consecutive lines of an object.

    Line i (from 0) has the number `first_line` + i and the bytes
    `data[offsets[i] : offsets[i + 1]]`, with or without its line feed; `data` may go on after the
    last. `sizes[i]` is its whole length without the line feed: more than MAX_LINE_BYTES where the
    line is too long, and then `data` may hold only its head, which is too long, too.
    """

    first_line: int
    data: bytes | pa.Buffer
    offsets: np.ndarray
    sizes: np.ndarray

    def __len__(self) -> int:
        return len(self.sizes)

    def line(self, index: int) -> tuple[bytes, int]:
        """Return up to MAX_LINE_BYTES bytes of a line, and the size of the whole line.

        Its line feed is in neither.
        """
        start, size = self.offsets.item(index), self.sizes.item(index)
        return bytes(self.data[start : start + min(size, MAX_LINE_BYTES)]), size


def read_blocks(stream: Readable, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Yield the lines of a stream of plain bytes.

    What the stream's `read` raises comes after the last whole block.
    """
    chunks = plain_lines(stream, block_bytes)
    first_line, rest, chunk = 1, b"", next(chunks)
    while chunk or rest:
        # One chunk ahead, to know the last block when it comes.
        data, chunk = rest + chunk if rest else chunk, next(chunks)
        cut = data.rfind(b"\n") + 1 if chunk else len(data)
        if cut:
            yield (block := _block(first_line, data, cut))
            first_line += len(block)
        rest = data[cut:]
        if len(rest) > MAX_LINE_BYTES:
            size, chunk = _skip_line(chunk, chunks, len(rest))
            head = rest[: MAX_LINE_BYTES + 1]
            yield Block(first_line, head, np.array([0, len(head)], np.int32), np.array([size]))
            first_line, rest = first_line + 1, b""


def plain_lines(stream: Readable, chunk_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Yield the bytes of a stream, an event a line, then empty ones without end.

    Documents become lines; a byte order mark is left out.
    """
    chunks = _chunks(stream, chunk_bytes)
    return as_lines(next(chunks).removeprefix(BOM), chunks)


def as_file(stream: Readable) -> IO[bytes]:
    """Return a file of the lines of a stream, a document as plain_lines has it.

    A byte order mark stays where it is.
    """
    chunks = _chunks(stream, BLOCK_BYTES)
    head = next(chunks)
    mark = head[: len(BOM)] if head.startswith(BOM) else b""
    lines = as_lines(head[len(mark) :], chunks)
    return io.BufferedReader(_Pieces(mark, lines), BLOCK_BYTES)


class _Pieces(io.RawIOBase):
    """A file whose bytes come in pieces."""

    def __init__(self, piece: bytes, pieces: Iterator[bytes]) -> None:
        self._piece, self._pieces = piece, pieces

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._piece = self._piece or next(self._pieces)
        size = min(len(buffer), len(self._piece))
        buffer[:size], self._piece = self._piece[:size], self._piece[size:]
        return size


def _chunks(stream: Readable, size: int) -> Iterator[bytes]:
    """Yield the bytes of a stream, then empty ones without end."""
    while True:
        yield stream.read(size)


def _block(first_line: int, data: bytes, end: int) -> Block:
    """Return the lines in the first `end` bytes of `data`."""
    feeds = np.flatnonzero(np.frombuffer(data, np.uint8, end) == _LINE_FEED).astype(np.int32)
    open_end = int(not len(feeds) or feeds[-1] + 1 < end)
    offsets = np.concatenate([[0], feeds + 1, [end] * open_end]).astype(np.int32)
    sizes = np.diff(offsets) - 1
    sizes[-1] += open_end
    return Block(first_line, data, offsets, sizes)


def _skip_line(chunk: bytes, chunks: Iterator[bytes], size: int) -> tuple[int, bytes]:
    """Read on to the end of a line of which `size` bytes were read; it goes on in `chunk`.

    Return the size of the line, and what follows it in the chunk where it ends.
    """
    while chunk:
        head, feed, rest = chunk.partition(b"\n")
        size += len(head)
        if feed:
            return size, rest or next(chunks)
        chunk = next(chunks)
    return size, b""
