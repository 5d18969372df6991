"""A check, and the helpers that all checks share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medallion.platforms.warehouse import Warehouse

LOST, TWICE, MONEY, LATE = (
    "1 nothing is lost",
    "2 nothing is counted twice",
    "3 money is exact",
    "5 late events land on their own day",
)


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


def count(db: Warehouse, relation: str) -> int:
    """Return the number of rows of a relation."""
    ((number,),) = rows(db, f"SELECT count(*) FROM {relation}")
    return int(number)
