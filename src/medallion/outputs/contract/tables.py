"""The tables that the contract describes, in the order in which files list them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from medallion.contract import (
    FEEDS,
    QUARANTINE_COLUMNS,
    RECEIPT_COLUMNS,
    TECHNICAL_COLUMNS,
    WHOLE_CURRENCIES,
    Column,
    Feed,
    Field,
    Total,
)

EDIT_NOTE = "Written from src/medallion/contract.py by `python -m medallion.outputs.contract`."


@dataclass(frozen=True)
class Table:
    """A table of bronze and of the warehouse; `feed` is None for quarantine and receipts."""

    name: str
    grain: str
    columns: tuple[Column, ...]
    feed: Feed | None = None

    def is_never_null(self, column: Column) -> bool:
        """Return whether the contract promises a value in this column of every row."""
        if self.feed is None or not isinstance(column, Field):
            return True
        total = self.feed.total
        is_total = total is not None and column.name == total.field
        return column.required or column.default is not None or is_total


TABLES = (
    *(
        Table(
            feed.name,
            f"One row per accepted event; an event that came twice is here twice. "
            f"{feed.description}",
            (*feed.fields, *TECHNICAL_COLUMNS),
            feed,
        )
        for feed in FEEDS.values()
    ),
    Table("quarantine", "One row per rejected line of any feed.", QUARANTINE_COLUMNS),
    Table("receipts", "One row per raw object that the cleaner has read.", RECEIPT_COLUMNS),
)


def off_total(total: Total) -> str:
    """Return an SQL condition: the total of a line is further from its parts than allowed."""
    codes = ",\n        ".join(
        ", ".join(f"'{code}'" for code in WHOLE_CURRENCIES[n : n + 10])
        for n in range(0, len(WHOLE_CURRENCIES), 10)
    )
    return (
        f"abs({total.field} - ({total.price} * cast({total.quantity} as decimal(20,5))"
        f" - {total.discount}))\n"
        f"    > case when {total.currency} in (\n"
        f"        {codes}\n"
        f"    ) then {total.whole:f} else {total.fixed:f} end"
        f" + {total.each:f} * {total.quantity}"
    )


def plain(bound: Decimal | int) -> float | int:
    """Return a bound of a field as JSON and YAML can write it."""
    return bound if isinstance(bound, int) else float(bound)
