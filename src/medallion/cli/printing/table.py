"""Tables that fit their width: values are never cut, but may stand one below another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import chain, islice
from typing import Any

from rich.cells import cell_len

from medallion.cli.printing.text import shown, visible

SAMPLE = 1_000
"""The number of rows that decide the width of the columns; a wider value in a later row sticks
out."""
GAP = "  "
_NUMBERS = (int, float, Decimal)


def table_lines(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], width: int | None
) -> Iterator[str]:
    """Yield the lines of a table; numbers stand to the right.

    No value is cut or broken. Where the columns do not fit into `width` side by side, each row
    becomes a block with a line for each column. Without a width everything fits.
    """
    names, rows = [visible(name) for name in columns], iter(rows)
    sample = list(islice(rows, SAMPLE))
    texts = [[shown(value) for value in row] for row in sample]
    widths = [max(map(_cells, column)) for column in zip(names, *texts, strict=True)]
    every = chain(texts, ([shown(value) for value in row] for row in rows))
    if width is not None and sum(widths) + len(GAP) * len(widths) > width:
        yield from _blocks(names, every)
        return
    right = [bool(sample) and all(map(_is_number, column)) for column in zip(*sample, strict=True)]
    right = right or [False] * len(names)
    yield _line(names, widths, right)
    yield GAP[1:] + "─" * (sum(widths) + len(GAP) * (len(widths) - 1) + 2)
    for row in every:
        yield _line(row, widths, right)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, _NUMBERS) and not isinstance(value, bool))


def _line(texts: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = []
    for text, width, is_right in zip(texts, widths, right, strict=True):
        room = " " * (width - _cells(text))
        cells.append(room + text if is_right else text + room)
    return (GAP + GAP.join(cells)).rstrip()


def _blocks(names: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    width = max(map(_cells, names))
    for number, row in enumerate(rows, 1):
        yield f"── {number:,} " + "─" * max(0, width - len(f"{number:,}") - 2)
        for name, text in zip(names, row, strict=True):
            yield f"{GAP}{name}{' ' * (width - _cells(name))}{GAP}{text}"


def _cells(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)
