"""Source files as streams of decompressed bytes."""

from __future__ import annotations

import codecs
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from medallion.lake.codecs import codec_of_file, create_packed, open_unpacked

BLOCK = 4 << 20
UTF8_MARKED = "utf-8-sig"
# The mark of UTF-32 begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: UTF8_MARKED,
}
_OPENING, _CLOSING = list(b"[{"), list(b"]}")
_QUOTE, _BACKSLASH, _MINUS = 0x22, 0x5C, 0x2D


def open_plain(path: Path) -> IO[bytes]:
    """Open a file to read its decompressed bytes."""
    return open_unpacked(path, codec_of_file(path))


def check_packed(path: Path) -> None:
    """Decompress a file once, because DuckDB's CSV reader may never end on a damaged one.

    Raises:
        OSError: the file is damaged.
        EOFError: the file is truncated.
    """
    if codec_of_file(path):
        with open_plain(path) as file:
            while file.read(BLOCK):
                pass


def marked_encoding(path: Path) -> str | None:
    """Return the encoding that the byte order mark of a file says; None if it has no mark."""
    with open_plain(path) as file:
        start = file.read(4)
    return next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)


def copy_as_utf8(source: Path, target: Path, encoding: str) -> None:
    """Copy a file to UTF-8; raise UnicodeDecodeError if it is not in the encoding."""
    if encoding == UTF8_MARKED:
        with open_plain(source) as file, create_packed(target) as out:
            file.read(len(codecs.BOM_UTF8))
            shutil.copyfileobj(file, out, BLOCK)  # rows that are not UTF-8 are found later
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    with open_plain(source) as file, create_packed(target) as out:
        while block := file.read(BLOCK):
            out.write(decoder.decode(block).encode())
        out.write(decoder.decode(b"", final=True).encode())


def copy_with_line_feeds(source: Path, target: Path) -> None:
    """Copy a file with a line feed for each CR LF, and for each CR alone."""
    with open_plain(source) as file, create_packed(target) as out:
        while block := file.read(BLOCK):
            if block.endswith(b"\r"):
                block += file.read(1)
            out.write(block.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))


def copy_with_numbers_as_strings(source: Path, target: Path) -> None:
    """Copy JSON with each number in quotes, so that no reader can round it.

    The blocks end after a comma or line feed outside of strings.
    """
    with open_plain(source) as file, create_packed(target) as out:
        for block, in_string in _blocks(file):
            out.write(memoryview(_quote_numbers(block, in_string)))


def nesting(file: IO[bytes]) -> tuple[int, int]:
    """Return the depth of a JSON stream, and the number of arrays and objects open at its end."""
    deepest = depth = 0
    for block, in_string in _blocks(file):
        steps = np.isin(block, _OPENING).astype(np.int64) - np.isin(block, _CLOSING)
        depths = depth + np.cumsum(np.where(in_string, 0, steps))
        deepest, depth = max(deepest, int(depths.max())), int(depths[-1])
    return deepest, depth


def _blocks(file: IO[bytes]) -> Iterator[tuple[Any, Any]]:
    """Yield pieces of a file, and which of their bytes are in a string."""
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
    """Return which bytes of a block are in a JSON string or its opening quote."""
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
