"""The answer to a query: as a table, JSON or CSV, row by row as it is computed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import click

from medallion.cli.printing.pager import print_lines
from medallion.cli.printing.report import json_text, plain, screen_width
from medallion.cli.printing.table import table_lines
from medallion.cli.printing.text import visible
from medallion.platforms.warehouse import Result

Row = Sequence[Any]
_QUOTED = ',"\r\n'
"""Characters that CSV allows only in quoted cells."""
_EXPLAINED = ["explain_key", "explain_value"]
"""The columns of a query's plan, which is a drawing."""


def print_answer(answer: Result, form: str, limit: int | None) -> None:
    """Print the rows of a query, at most `limit`; what is left out is said on standard error."""
    names, rows = _distinct(answer.columns), chain.from_iterable(answer.batches)
    limited = _Limited(rows, limit)
    if form == "json":
        _print_json(names, limited)
    elif form == "csv":
        _print_csv(names, limited)
    elif names == _EXPLAINED:
        print_lines(visible(line) for _, plan in rows for line in plan.split("\n"))
    else:
        print_lines(table_lines(names, limited, screen_width()))
    if limited.is_cut:
        click.echo(f"these are the first {limit:,} rows; there are more", err=True)


class _Limited:
    """The first rows, and whether there are more."""

    def __init__(self, rows: Iterable[Row], limit: int | None) -> None:
        self._rows, self._limit, self.is_cut = rows, limit, False

    def __iter__(self) -> Iterator[Row]:
        for number, row in enumerate(self._rows):
            if number == self._limit:
                self.is_cut = True
                return
            yield row


def _distinct(names: Iterable[str]) -> list[str]:
    """Return names of columns without a repetition.

    A second `a` becomes a_1, as DuckDB names it in a subquery.
    """
    names, used = list(names), set[str]()
    for index, name in enumerate(names):
        number, new = 0, name
        while new in used or (number and new in names):
            number += 1
            new = f"{name}_{number}"
        used.add(new)
        names[index] = new
    return names


def _print_json(names: Sequence[str], rows: Iterable[Row]) -> None:
    """Print one array with an object a row, a row a line."""
    separator = "["
    for row in rows:
        sys.stdout.write(separator + json_text(dict(zip(names, row, strict=True))))
        separator = ",\n"
    print("[]" if separator == "[" else "]")


def _print_csv(names: Sequence[str], rows: Iterable[Row]) -> None:
    """Print RFC 4180: NULL is an empty cell, and an empty text is one in quotes."""
    on_screen = sys.stdout.isatty()
    for row in chain([names], rows):
        line = ",".join(map(_cell, row))
        print(visible(line) if on_screen else line)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    is_json = isinstance(value, bool | list | tuple | dict)
    text = json_text(value) if is_json else str(plain(value))
    is_plain = text and not any(sign in text for sign in _QUOTED) and text == text.strip()
    return text if is_plain else '"' + text.replace('"', '""') + '"'
