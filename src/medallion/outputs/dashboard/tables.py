"""HTML tables: a grid on the screen, and a table for screen readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape

ROW_HEADER = "name"
"""The kind of the cell that names its row."""


@dataclass(frozen=True)
class Cell:
    """A cell; `kind` is its CSS class, and `html` is not escaped again."""

    kind: str
    html: str


@dataclass(frozen=True)
class Row:
    """A row with its data-* attributes. `width` draws a bar under it, in percent."""

    data: Mapping[str, str]
    cells: Sequence[Cell]
    kind: str = ""
    width: Decimal | None = None
    bar: str = "accent"


def table(
    name: str,
    columns: Sequence[str],
    rows: Sequence[Row],
    *,
    kind: str = "",
    nothing: str = "Nothing was sold here.",
) -> str:
    """Return a table, or without rows the sentence `nothing`.

    The page's CSS changes the display of table elements, which takes away their roles; so each role
    is written out.
    """
    if not rows:
        return f'<div class="empty">{escape(nothing)}</div>'
    heads = "".join(f'<th role="columnheader" scope="col">{escape(c)}</th>' for c in columns)
    return (
        f'<table class="rows {kind}" role="table" aria-label="{escape(name)}">'
        f'<thead class="unseen" role="rowgroup"><tr role="row">{heads}</tr></thead>'
        f'<tbody role="rowgroup">{"".join(map(_row, rows))}</tbody></table>'
    )


def _row(row: Row) -> str:
    data = "".join(f' data-{name}="{escape(value)}"' for name, value in row.data.items())
    *cells, last = row.cells
    bar = ""
    if row.width is not None:
        bar = (
            f'<span class="bar" style="width:{row.width:.1f}%;background:var(--{row.bar})"></span>'
        )
    return (
        f'<tr class="row {row.kind}" role="row"{data}>{"".join(map(_cell, cells))}'
        f"{_cell(Cell(last.kind, last.html + bar))}</tr>"
    )


def _cell(cell: Cell) -> str:
    if cell.kind == ROW_HEADER:
        return f'<th class="name" role="rowheader" scope="row">{cell.html}</th>'
    return f'<td class="{cell.kind}" role="cell">{cell.html}</td>'
