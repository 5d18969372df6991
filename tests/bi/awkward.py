"""A relation with values that are hard to write to a file."""

from __future__ import annotations

from pathlib import Path

import duckdb

FORMULAS = (
    "=1+1",
    "+49 30 1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1",
    "-5",
    "=cmd|'/c'!A0",
)
HARMLESS = ("P=1", " =1", "'=1", 'say "hi", twice', "two\nlines", "", "Zoë 漢", "a-b", "1e5")


def planted(home: Path) -> Path:
    """A home whose marts have one relation more, with whatever may go wrong in a file."""
    with duckdb.connect(str(home / "warehouse.duckdb")) as warehouse:
        warehouse.execute(
            'CREATE TABLE marts.awkward (number INTEGER, "na,me" VARCHAR, amount DECIMAL(38,4),'
            " ts TIMESTAMP, local_ts TIMESTAMP, day DATE, known BOOLEAN, many VARCHAR[])"
        )
        for number, text in enumerate((*FORMULAS, *HARMLESS, None)):
            warehouse.execute(
                "INSERT INTO marts.awkward VALUES (?, ?, -12345678901234567890123456789012.0001, "
                "'2026-03-01 10:00:00.001', '2026-03-01 11:00:00.001', '2026-03-01', true, ['=1'])",
                [number, text],
            )
    return home
