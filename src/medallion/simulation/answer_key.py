"""The answer key: the expected counts and sums of a run, from the integers of the simulator.

It has the lines that are accepted, repeated, and quarantined by reason, and the exact sums of
silver, which holds the first arrival of each event. It is independent of the cleaner and the
warehouse. The keys of several runs add up.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medallion.errors import LakeError
from medallion.simulation.columns import ReceiptLines
from medallion.simulation.geography import CURRENCIES
from medallion.simulation.prices import DAY_MS

MEASURES = ("events", "quantity", "discount_amount", "tax_amount", "total_amount")
_PARTS = {name: 100 if name.endswith("_amount") else 1_000 for name in MEASURES[1:]}
"""The parts of a unit in which measures are counted."""
Sums = dict[tuple[int, int, str], list[int]]


@dataclass
class Tally:
    """The counts and sums of lines.

    `sums` has a value per measure for each UTC day since 1970, currency and event type; amounts are
    in 1/100, quantities in 1/1000.
    """

    lines: int = 0
    events: int = 0
    repeats: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    sums: Sums = field(default_factory=dict)

    @property
    def accepted(self) -> int:
        return self.lines - self.quarantined.total()

    def add(self, other: Tally) -> None:
        """Add another tally."""
        self.lines += other.lines
        self.events += other.events
        self.repeats += other.repeats
        self.kinds.update(other.kinds)
        self.quarantined.update(other.quarantined)
        for cell, values in other.sums.items():
            self._sum(cell, values)

    def add_lines(
        self,
        lines: ReceiptLines,
        currency: npt.NDArray[np.integer],
        good: npt.NDArray[np.bool_] | None,
    ) -> None:
        """Count all lines, and sum the good ones."""
        self.lines += len(lines)
        self.events += len(lines)
        day = lines.ts // DAY_MS
        columns = [lines.quantity, lines.discount, lines.tax, lines.total]
        if good is not None:
            day, currency = day[good], currency[good]
            columns = [c[good] for c in columns]
        if not len(day):
            return
        first, width = int(day.min()), len(CURRENCIES)
        cell = (day - first) * width + currency
        events = np.bincount(cell)
        # Sums of a batch stay far below 2**53, so they are exact in the floats of bincount.
        totals = [np.bincount(cell, weights=c).astype(np.int64) for c in columns]
        kind = "return" if len(lines.original) else "purchase"
        for n in np.flatnonzero(events):
            values = [int(events[n]), *(int(t[n]) for t in totals)]
            self._sum((first + int(n) // width, int(n) % width, kind), values)

    def _sum(self, cell: tuple[int, int, str], values: list[int]) -> None:
        sums = self.sums.setdefault(cell, [0] * len(MEASURES))
        for n, value in enumerate(values):
            sums[n] += value

    def document(self) -> dict[str, Any]:
        """Return the tally as JSON values; amounts and quantities are decimals in strings."""
        days: dict[str, dict[str, list[int]]] = {}
        money: dict[str, dict[str, dict[str, list[int]]]] = {}
        for (day, currency, kind), values in sorted(self.sums.items()):
            name, code = str(np.datetime64(day, "D")), CURRENCIES[currency].code
            for cells in (
                days.setdefault(name, {}),
                money.setdefault(name, {}).setdefault(code, {}),
            ):
                sums = cells.setdefault(kind, [0] * len(MEASURES))
                cells[kind] = [a + b for a, b in zip(sums, values, strict=True)]
        return {
            "lines": self.lines,
            "accepted": self.accepted,
            "distinct_events": self.accepted - self.repeats,
            "duplicates": self.repeats,
            "quarantined": dict(sorted(self.quarantined.items())),
            "kinds": dict(sorted(self.kinds.items())),
            "days": {d: _shown(cells) for d, cells in days.items()},
            "currencies": {
                d: {code: _shown(cells) for code, cells in by_code.items()}
                for d, by_code in money.items()
            },
        }


def _shown(cells: Mapping[str, list[int]]) -> dict[str, dict[str, int | str]]:
    """Return purchases, returns and their difference, with names."""
    nothing = [0] * len(MEASURES)
    bought, returned = cells.get("purchase", nothing), cells.get("return", nothing)
    net = [b - r for b, r in zip(bought, returned, strict=True)]
    net[0] = bought[0] + returned[0]
    return {
        kind: {
            name: str(Decimal(v) / _PARTS[name]) if name in _PARTS else v
            for name, v in zip(MEASURES, values, strict=True)
        }
        for kind, values in (("purchase", bought), ("return", returned), ("net", net))
    }


def write_key(path: Path, document: Mapping[str, Any]) -> None:
    """Replace an answer key atomically."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(document, file, indent=1, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise LakeError(f"cannot write the answer key {path}: {error.strerror}") from error
