"""A check, and the helpers that all checks share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from medallion.platforms.warehouse import Warehouse

LOST, TWICE, MONEY, LATE = (
    "1 nothing is lost",
    "2 nothing is counted twice",
    "3 money is exact",
    "5 late events land on their own day",
)

OBJECTS_AT_A_TIME, LINES_AT_A_TIME = 200, 20_000
"""The number of objects, and of their lines, that one query reads."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class Check:
    """One figure of the audit; each of `offenders` is a line about a violation."""

    promise: str
    name: str
    figure: str
    offenders: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return not self.offenders


def rows(db: Warehouse, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    return db.execute(sql, parameters).fetchall()


def among(lines: dict[int, Value]) -> Callable[[int, int], dict[int, Value]]:
    """Return a function that returns the lines between two numbers."""
    return lambda first, last: {n: lines[n] for n in lines if first <= n <= last}


def count(db: Warehouse, relation: str) -> int:
    """Return the number of rows of a relation."""
    ((number,),) = rows(db, f"SELECT count(*) FROM {relation}")
    return int(number)
