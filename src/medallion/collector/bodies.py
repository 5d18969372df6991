"""Request bodies as lines of a raw object; the bytes of values stay as the producer sent them."""

from __future__ import annotations

import json
import re
import zlib

MAX_BODY_BYTES = 16 << 20
"""The largest body, before and after it is unpacked."""

LINES_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
_GZIP = 16 + zlib.MAX_WBITS
_SPACE = re.compile(r"[ \t\r\n]*")


class Refused(Exception):
    """A request that is refused: the status of the answer, and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


def unpacked(body: bytes, encoding: str) -> bytes:
    """Return a body without its Content-Encoding.

    Raises:
        Refused: the encoding is not supported, the body is damaged, or it would be too large.
    """
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise Refused(415, f"Content-Encoding must be gzip or identity; got {encoding!r}")
    plain = bytearray()
    while body:
        member = zlib.decompressobj(_GZIP)
        try:
            plain += member.decompress(body, MAX_BODY_BYTES + 1 - len(plain))
        except zlib.error as error:
            raise Refused(400, "the body is no gzip, or it is damaged") from error
        if len(plain) > MAX_BODY_BYTES:
            raise Refused(413, f"the unpacked body has more than {MAX_BODY_BYTES:,} bytes")
        if not member.eof:
            raise Refused(400, "the body is a gzip that was cut")
        body = member.unused_data
    return bytes(plain)


def lines_of(body: bytes, content_type: str) -> list[bytes]:
    """Return the events of a body, one a line.

    A JSON object is one event; an array has one event in each element; NDJSON has one in each line.
    The content of events is not checked: a bad one becomes a row of the quarantine, like any other.

    Raises:
        Refused: the type is not supported, or the body as a whole is not JSON.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind in LINES_TYPES:
        return [line for line in body.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()]
    if kind != "application/json" and not re.fullmatch(r"application/[\w.-]+\+json", kind):
        raise Refused(
            415,
            f"Content-Type must be application/json or application/x-ndjson; got {kind!r}",
        )
    try:
        return [_on_one_line(text) for text in _elements(body.decode("utf-8-sig"))]
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is no JSON: {error}") from error


def _elements(text: str) -> list[str]:
    """Return the text of an object, or of each element of an array."""
    decoder = json.JSONDecoder()
    place = _after_space(text, 0)
    if text[place : place + 1] != "[":
        value, end = decoder.raw_decode(text, place)
        if not isinstance(value, dict):
            raise ValueError("it must be an object, or an array of objects")
        _require_end(text, end)
        return [text[place:end]]
    elements = list[str]()
    place = _after_space(text, place + 1)
    if text[place : place + 1] == "]":
        _require_end(text, place + 1)
        return elements
    while True:
        _, end = decoder.raw_decode(text, place)
        elements.append(text[place:end])
        place = _after_space(text, end)
        if text[place : place + 1] == "]":
            _require_end(text, place + 1)
            return elements
        if text[place : place + 1] != ",":
            raise ValueError(f"a comma is missing at character {place + 1}")
        place = _after_space(text, place + 1)


def _after_space(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


def _require_end(text: str, place: int) -> None:
    if _after_space(text, place) != len(text):
        raise ValueError(f"something follows its end at character {place + 1}")


def _on_one_line(text: str) -> bytes:
    """Return JSON without line feeds, which may stand between its parts only."""
    return text.replace("\r", " ").replace("\n", " ").encode()
