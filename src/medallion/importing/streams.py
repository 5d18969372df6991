"""Source files as streams of plain bytes, whatever they are packed in."""

from __future__ import annotations

import codecs
import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

BLOCK = 4 << 20
_PACKED = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst"}
_QUOTE, _BACKSLASH, _MINUS = 0x22, 0x5C, 0x2D


def packed_suffix(path: Path) -> str:
    """.gz, .zst or nothing, by the first bytes of the file."""
    with path.open("rb") as file:
        head = file.read(4)
    return next((suffix for magic, suffix in _PACKED.items() if head.startswith(magic)), "")


def open_plain(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked."""
    suffix = packed_suffix(path)
    if suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if suffix == ".zst":
        return io.BufferedReader(pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"))
    return path.open("rb")


def check_packed(path: Path) -> None:
    """Unpacks a packed file once. Raises OSError, EOFError or zlib.error when it is damaged: the
    reader of CSV may never end on such a file."""
    if packed_suffix(path):
        with open_plain(path) as file:
            while file.read(BLOCK):
                pass


def create_packed(path: Path) -> Any:
    """A new scratch file, packed to save the disk."""
    return pa.CompressedOutputStream(str(path), "zstd")


def copy_as_utf8(source: Path, target: Path, encoding: str) -> None:
    """Raises UnicodeDecodeError where the file is not in that encoding."""
    decoder = codecs.getincrementaldecoder(encoding)()
    with open_plain(source) as file, create_packed(target) as out:
        while block := file.read(BLOCK):
            out.write(decoder.decode(block).encode())
        out.write(decoder.decode(b"", final=True).encode())


def copy_with_numbers_as_strings(source: Path, target: Path) -> None:
    """Copies JSON, each number in quotes, so that no reader can round it.

    The bytes are cut where no string and no number is open: after a comma or line feed.
    """
    with open_plain(source) as file, create_packed(target) as out:
        for block, in_string in _blocks(file):
            out.write(memoryview(_quote_numbers(block, in_string)))


def _blocks(file: IO[bytes]) -> Iterator[tuple[Any, Any]]:
    """Pieces of the file, and which of their bytes lie in a string."""
    rest = b""
    while data := file.read(max(BLOCK, len(rest))):
        block = np.frombuffer(rest + data, np.uint8)
        in_string = _in_string(block)
        ends = np.flatnonzero(((block == 0x0A) | (block == 0x2C)) & ~in_string)
        cut = int(ends[-1]) + 1 if len(ends) else 0
        if cut:
            yield block[:cut], in_string[:cut]
        rest = block[cut:].tobytes()
    if rest:
        block = np.frombuffer(rest, np.uint8)
        yield block, _in_string(block)


def _in_string(block: Any) -> Any:
    """Which bytes lie in a JSON string, its opening quote included, when none is open at first."""
    quote = block == _QUOTE
    places = np.flatnonzero(quote)
    back = places  # walks over the backslashes before each quote: an odd number of them escapes it
    escaped = np.zeros(len(places), bool)
    walking = np.flatnonzero(places > 0)
    while len(walking := walking[block[back[walking] - 1] == _BACKSLASH]):
        back = back.copy()
        back[walking] -= 1
        escaped[walking] ^= True
        walking = walking[back[walking] > 0]
    quote[places[escaped]] = False
    return np.bitwise_xor.accumulate(quote.view(np.uint8)).view(bool)


_NUMERIC = np.zeros(256, bool)
_NUMERIC[list(b"0123456789+-.eE")] = True
_DIGIT = np.zeros(256, bool)
_DIGIT[list(b"0123456789")] = True


def _quote_numbers(block: Any, in_string: Any) -> Any:
    numeric = _NUMERIC[block] & ~in_string
    edges = np.flatnonzero(np.diff(numeric, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    first = np.where(block[starts] == _MINUS, np.minimum(starts + 1, ends - 1), starts)
    real = _DIGIT[block[first]]
    places = np.stack([starts[real], ends[real]], axis=1).ravel()
    return np.insert(block, places, _QUOTE)
