"""The lines of a raw object with the id replaced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from medallion.cleaning.lines import BOM, as_file
from medallion.contract import feed_of
from medallion.lake.codecs import codec_of_file, open_unpacked
from medallion.operations.erasure.pseudonym import Replacement

READ_ERRORS = (OSError, EOFError)
"""The errors of reading an object that is damaged, truncated or of an unknown kind."""


def lines(path: Path, key: str, by: Replacement) -> Iterator[tuple[bytes, bool]]:
    """Yield the lines of an object with the id replaced, and whether each was changed.

    For a JSON document, these are the lines of its events, with the same line numbers.
    """
    feed = feed_of(key)
    with open_unpacked(path, codec_of_file(path, key)) as stream:
        for number, line in enumerate(as_file(stream)):
            mark = BOM if number == 0 and line.startswith(BOM) else b""
            end = b"\n" if line.endswith(b"\n") else b""
            body = line[len(mark) : len(line) - len(end)]
            new = by.line(body, feed)
            yield mark + new + end, new != body
