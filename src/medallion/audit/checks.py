"""What a check is, and how the checks ask the warehouse."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from medallion.platforms.warehouse import Warehouse

SHOWN = 20
"""How many offenders a check names."""

LOST, TWICE, MONEY, LATE = (
    "1 nothing is lost",
    "2 nothing is counted twice",
    "3 money is exact",
    "5 late events land on their own day",
)


@dataclass(frozen=True)
class Check:
    """One figure of the audit. `offenders` says in a line each what breaks it; the check holds
    when there is none."""

    promise: str
    name: str
    figure: str
    offenders: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return not self.offenders


def rows(db: Warehouse, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    return db.execute(sql, parameters).fetchall()


def count(db: Warehouse, relation: str) -> int:
    """The rows of a relation."""
    ((found,),) = rows(db, f"SELECT count(*) FROM {relation}")
    return int(found)


def some(offenders: Iterable[str]) -> tuple[str, ...]:
    """The first offenders, and how many more there are."""
    found = tuple(offenders)
    if len(found) <= SHOWN:
        return found
    return (*found[:SHOWN], f"... and {len(found) - SHOWN} more")
