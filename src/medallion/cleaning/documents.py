"""JSON documents as lines: arrays of objects, and objects over several lines or side by side.

A raw object mostly has one JSON object a line. One that begins otherwise is read as a document, and
becomes text of which each event is a line; from there on it is like any other object.

* An event has the number of the line at which it begins; where another event has that number or a
  later one already, the number after that.
* All other lines are blank. Line feeds within an event become carriage returns, which JSON takes
  and refuses in the same places.
* What is no JSON is one line, up to the next line that begins as the first event did.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from medallion.contract import MAX_LINE_BYTES, WHITE_SPACE

HEAD_BYTES = MAX_LINE_BYTES + 1
"""First bytes of an object that suffice to know whether it is a document."""

_PIECE = 1 << 20
_SPACE = re.compile(f"[{WHITE_SPACE}]*")
_SPACE_OF_LINE = re.compile(r"[ \t\r]*")
_BETWEEN = re.compile(f"[{WHITE_SPACE},]*")
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)
_ENCODING = "latin-1"
"""Makes a character of every byte. All that gives JSON its structure is ASCII."""


def as_lines(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the bytes of an object unchanged, or of a document as text with an event a line.

    Args:
        head: the first bytes, without a byte order mark.
        chunks: those that follow, then empty ones without end, as in what is yielded.
    """
    more = head
    while (is_document := begins_document(head, is_all=not more)) is None:
        more = next(chunks)
        head += more
    if is_document:
        yield from _gathered(_Document(head, chunks).lines())
    else:
        yield head
    yield from chunks


def begins_document(head: bytes, *, is_all: bool) -> bool | None:
    """Return whether an object is a document, by its first bytes; None if more are needed.

    It is one if it begins with a whole event and its first line is not this event alone.

    Args:
        head: the first bytes, without a byte order mark.
        is_all: whether these are all.
    """
    text = head[:HEAD_BYTES].decode(_ENCODING)
    unknown = False if is_all or len(head) >= HEAD_BYTES else None
    start = _end(_SPACE, text, 0)
    is_array = text.startswith("[", start)
    if is_array:
        start = _end(_SPACE, text, start + 1)
        if text.startswith("]", start):
            # An export of nothing. With something behind it, it is a line among others.
            is_last = _end(_SPACE, text, start + 1) == len(text)
            return is_last and (is_all or unknown)
    if start < len(text) and text[start] != "{":
        return False
    end = _end_of_value(text, start)
    if end is None:
        return unknown
    if is_array or "\n" in text[start:end]:
        return True
    following = _end(_SPACE_OF_LINE, text, end)
    return unknown if following == len(text) else text[following] in "{["


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    assert match, "it matches nothing, too"
    return match.end()


def _end_of_value(text: str, start: int) -> int | None:
    """Return where a JSON value ends; None without one, and for one longer than a line may be."""
    try:
        end = _DECODER.raw_decode(text, start)[1]
    except (ValueError, RecursionError):
        return None
    return end if end - start <= MAX_LINE_BYTES else None


def _gathered(texts: Iterator[str]) -> Iterator[bytes]:
    gathered, size = list[str](), 0
    for text in texts:
        gathered.append(text)
        size += len(text)
        if size >= _PIECE:
            yield "".join(gathered).encode(_ENCODING)
            gathered, size = [], 0
    if gathered:
        yield "".join(gathered).encode(_ENCODING)


class _Document:
    """The rest of a document, of which some chunks are in memory."""

    def __init__(self, head: bytes, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._text, self._at = head.decode(_ENCODING), 0
        self._is_all = False
        self._line, self._is_line_open = 1, False
        self._is_in_array = self._is_cut = False

    def lines(self) -> Iterator[str]:
        """Yield pieces of the text with an event a line; every line has a line feed."""
        number, is_taken = 1, False
        while self._reaches_value():
            if not is_taken:
                beginning = self._beginning()
            before, number = number, max(self._line, number + is_taken)
            yield "\n" * (number - before)
            for piece in self._value(beginning):
                yield piece.replace("\n", "\r")
            is_taken = True
        if self._is_in_array and not self._is_cut:
            # Nobody knows what is missing. The bracket becomes a line that is rejected.
            before, number = number, max(self._line, number + 1)
            yield "\n" * (number - before) + "["
        lines = self._line - (not self._is_line_open)
        yield "\n" * (max(lines, number) - number + 1)

    def _beginning(self) -> str | None:
        """Return the beginning of a line on which an event begins; None if none does."""
        indent, _, rest = self._text[: self._at].rpartition("\n")[2].partition("[")
        return None if (indent + rest).strip(WHITE_SPACE) else f"\n{indent}{{"

    def _reaches_value(self) -> bool:
        """Go on to the next value; return False at the end."""
        while True:
            self._move(_end(_BETWEEN, self._text, self._at))
            if self._at == len(self._text):
                if not self._read_on():
                    return False
            elif self._text[self._at] == ("]" if self._is_in_array else "["):
                self._is_in_array = not self._is_in_array
                self._move(self._at + 1)
            else:
                return True

    def _value(self, beginning: str | None) -> Iterator[str]:
        """Yield a value and go on behind it; or what is no JSON, up to the next event."""
        if (end := self._end_of_value()) is not None:
            yield self._text[self._at : end]
            self._move(end)
            return
        place = -1
        while place < 0:
            place = self._text.find(beginning, self._at) if beginning else -1
            held = 0 if self._is_all or not beginning else len(beginning) - 1
            end = place if place >= 0 else max(self._at, len(self._text) - held)
            yield self._text[self._at : end]
            self._move(end)
            if place < 0 and not self._read_on():
                self._is_cut = True
                return

    def _end_of_value(self) -> int | None:
        while True:
            end = _end_of_value(self._text, self._at)
            if end is not None and end < len(self._text):
                return end
            if end is None and len(self._text) - self._at > MAX_LINE_BYTES:
                return None
            if not self._read_on():
                return end

    def _move(self, to: int) -> None:
        if to > self._at:
            self._line += self._text.count("\n", self._at, to)
            self._is_line_open = self._text[to - 1] != "\n"
            self._at = to

    def _read_on(self) -> bool:
        """Read the next chunk; return False when there is none."""
        if chunk := next(self._chunks):
            self._text, self._at = self._text[self._at :] + chunk.decode(_ENCODING), 0
        self._is_all = not chunk
        return bool(chunk)
