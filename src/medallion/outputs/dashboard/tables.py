"""Tables as HTML that can be sorted by links, and as CSV with the digits shown."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import Any

from medallion.outputs.dashboard import text
from medallion.outputs.dashboard.choice import Choice
from medallion.outputs.export import FORMULA

MOST_ROWS = 1000
"""The most rows of a table, not counting the row of all others."""
NUMBERS = ("money", "count", "ratio", "share", "change")


@dataclass(frozen=True)
class Column:
    """A column; `kind` is one of NUMBERS, "text", or "aligned": a text aligned like a number.

    `unit` is the unit of a count or ratio. In a list, which has no visible column heads, a count is
    followed by its unit.
    """

    key: str
    label: str
    kind: str = "text"
    unit: str = ""

    def labelled(self, currency: str) -> str:
        """Return the label with the unit of its numbers."""
        unit = {"money": currency, "share": "%", "change": "%"}.get(self.kind)
        return f"{self.label}, {unit}" if unit and "%" not in self.label else self.label


@dataclass(frozen=True)
class Row:
    """A row; `values` are those of the columns, the first of which names the row."""

    key: str
    values: Sequence[Any]
    note: str = ""
    link: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table of a card.

    - `key`: its name in the address and in file names.
    - `attribute`: the data-* attribute that holds the key of a row.
    - `most`: how many rows are shown; the CSV has all.
    - `bar`: the column that a bar under each row shows.
    - `others`: a last row for all that has no row of its own.
    - `is_list`: whether the heads of the columns are for screen readers only.
    """

    key: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    currency: str
    nothing: str = "Nothing was sold here."
    most: int = 10
    attribute: str = "key"
    bar: str = ""
    bar_colour: str = "accent"
    is_list: bool = False
    kind: str = ""
    others: Row | None = None

    def sorted(self, sort: str) -> list[Row]:
        """Return all rows in the order of a choice; unknown values come last."""
        place = self._sorted_by(sort)
        if place is None:
            return list(self.rows)
        known = [row for row in self.rows if row.values[place] is not None]
        unknown = [row for row in self.rows if row.values[place] is None]
        is_number = self.columns[place].kind in NUMBERS
        known.sort(
            key=lambda row: row.values[place] if is_number else str(row.values[place]).casefold(),
            reverse=is_number != sort.startswith("-"),
        )
        return known + unknown

    def html(self, choice: Choice) -> str:
        """Return the table, or the sentence `nothing` if it has no rows.

        The page's CSS changes the display of table elements, which removes their roles for screen
        readers. So each role is written explicitly.
        """
        if not self.rows:
            return f'<div class="empty">{escape(self.nothing)}</div>'
        rows = self.sorted(choice.sort)
        hidden = len(rows) - self.most
        more = f'<div class="more">{hidden:,} more rows are in the CSV file.</div>' * (hidden > 0)
        heads = "".join(self._head(place, choice) for place in range(len(self.columns)))
        shape = "rows" if self.is_list else "grid-table"
        unseen = ' class="unseen"' if self.is_list else ""
        others = f'<tfoot role="rowgroup">{self._row(self.others)}</tfoot>' if self.others else ""
        name = escape(self.title)
        table = (
            f'<table class="{shape} {self.kind}" role="table" aria-label="{name}">'
            f'<thead{unseen} role="rowgroup"><tr role="row">{heads}</tr></thead>'
            f'<tbody role="rowgroup">{"".join(map(self._row, rows[: self.most]))}</tbody>'
            f"{others}</table>"
        )
        if self.is_list:
            return table + more
        scroll = f'<div class="scroll" tabindex="0" role="group" aria-label="{name}, table">'
        return f"{scroll}{table}</div>{more}"

    def csv(self, sort: str) -> str:
        """Return all rows as CSV, in the order shown.

        Texts that a spreadsheet would run as a formula get an apostrophe in front.
        """
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\r\n")
        has_keys = any(row.key != str(row.values[0]) for row in self.rows)
        keys = ["id"] if has_keys else []
        writer.writerow([*keys, *(_safe(c.labelled(self.currency)) for c in self.columns)])
        for row in [*self.sorted(sort), *([self.others] if self.others else [])]:
            values = [self._plain(*cell) for cell in zip(self.columns, row.values, strict=True)]
            writer.writerow([*([_safe(row.key)] if has_keys else []), *values])
        return out.getvalue()

    def _sorted_by(self, sort: str) -> int | None:
        table, _, column = sort.lstrip("-").partition(".")
        keys = [c.key for c in self.columns]
        return keys.index(column) if table == self.key and column in keys else None

    def _plain(self, column: Column, value: Any) -> str:
        if column.kind in NUMBERS:
            return text.plain(column.kind, value, self.currency)
        return _safe("" if value is None else str(value))

    def _head(self, place: int, choice: Choice) -> str:
        column = self.columns[place]
        name = f"{self.key}.{column.key}"
        is_number = column.kind in NUMBERS
        label, order = escape(column.label), ""
        if not self.is_list:
            is_sorted = choice.sort.lstrip("-") == name
            descending = is_number != choice.sort.startswith("-")
            way = "descending" if descending else "ascending"
            order = f' aria-sort="{way}"' if is_sorted else ""
            turned = f"-{name}" if choice.sort == name else name
            arrow = ("↓" if descending else "↑") if is_sorted else ""
            link = escape(choice.but(sort=turned).link)
            label = f'<a href="{link}" target="_self">{label}</a><i aria-hidden="true">{arrow}</i>'
        number = ' class="number"' if is_number or column.kind == "aligned" else ""
        return f'<th role="columnheader" scope="col"{number}{order}>{label}</th>'

    def _row(self, row: Row) -> str:
        name, *cells = zip(self.columns, row.values, strict=True)
        label = f"<bdi>{escape(str(name[1]))}</bdi>"
        if row.link:
            label = f'<a href="{escape(row.link)}" target="_self">{label}</a>'
        is_new = row.note and row.note not in str(name[1])
        note = f" <small><bdi>{escape(row.note)}</bdi></small>" if is_new else ""
        bar = self._bar(row) if self.bar else ""
        full = escape(" · ".join(dict.fromkeys([str(name[1]), row.note, row.key])))
        html = [f'<th class="name" role="rowheader" scope="row" title="{full}">{label}{note}</th>']
        for place, (column, value) in enumerate(cells):
            is_last = place == len(cells) - 1
            html.append(self._cell(column, value, is_last, bar * is_last))
        return (
            f'<tr class="row {row.kind}" role="row" data-{self.attribute}="{escape(row.key)}">'
            f"{''.join(html)}</tr>"
        )

    def _cell(self, column: Column, value: Any, is_last: bool, bar: str) -> str:
        shape = ("amount" if is_last else "side") if self.is_list else "number"
        # On a phone a table has no columns: each value stands after its label.
        label = "" if self.is_list else f' data-label="{escape(column.label)}"'
        if column.kind not in NUMBERS:
            shape = shape if self.is_list or column.kind == "aligned" else "text"
            return f'<td class="{shape}" role="cell"{label}>{escape(str(value))}{bar}</td>'
        shown = text.shown(column.kind, value, self.currency)
        if self.is_list and column.unit and value is not None:
            shown = text.counted(value, column.unit)
        unit = self.currency if column.kind == "money" else f"{column.unit}s" * bool(column.unit)
        title = escape(text.exact(column.kind, value, unit))
        way = ""
        if column.kind == "change" and value:
            way = f' class="{"up" if value > 0 else "down"}"'
        return (
            f'<td class="{shape}" role="cell" title="{title}"{label}>'
            f"<span{way}>{escape(shown)}</span>{bar}</td>"
        )

    def _bar(self, row: Row) -> str:
        place = [column.key for column in self.columns].index(self.bar)
        values = [r.values[place] for r in self.rows if r.values[place] is not None]
        most, value = max(values, default=Decimal(0)), row.values[place]
        width = max(Decimal(0), Decimal(value) / Decimal(most) * 100) if value and most > 0 else 0
        return (
            f'<span class="bar" style="width:{width:.1f}%;'
            f'background:var(--{self.bar_colour})"></span>'
        )


def _safe(words: str) -> str:
    return f"'{words}" if re.match(FORMULA, words) else words
