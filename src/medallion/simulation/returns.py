"""The purchases that may be returned later: a bounded sample of the past."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from medallion.simulation.columns import ReceiptLines

SAMPLE = 0.08
"""The share of purchases that enter the pool; more than are returned, so that it stays full."""
CAPACITY = 1 << 14
RECORD = np.dtype(
    [
        (name, np.int64)
        for name in (
            "number",
            "ts",
            "product",
            "price",
            "quantity",
            "discount",
            "tax",
            "store",
            "customer",
            "payment",
        )
    ]
)


class ReturnPool:
    """A ring buffer of purchase lines, each of which can be taken once."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._ring = np.zeros(CAPACITY, dtype=RECORD)
        self._waiting = np.zeros(CAPACITY, dtype=bool)
        self._next = 0

    def add(self, lines: ReceiptLines, usable: npt.NDArray[np.bool_] | None) -> None:
        """Replace the oldest lines by a sample of these purchases."""
        kept = self._rng.random(len(lines)) < SAMPLE
        if usable is not None:
            kept &= usable
        rows = np.flatnonzero(kept)[:CAPACITY]
        at = (self._next + np.arange(len(rows))) % CAPACITY
        self._next = (self._next + len(rows)) % CAPACITY
        basket = lines.basket[rows]
        record = np.zeros(len(rows), dtype=RECORD)
        for name in ("number", "ts", "product", "price", "quantity", "discount", "tax"):
            record[name] = getattr(lines, name)[rows]
        for name in ("store", "customer", "payment"):
            record[name] = getattr(lines.baskets, name)[basket]
        self._ring[at], self._waiting[at] = record, True

    def take(self, before: int, count: int) -> npt.NDArray[np.void]:
        """Remove and return up to `count` lines that were bought before an instant."""
        at = np.unique(self._rng.integers(0, CAPACITY, 4 * count))
        at = at[self._waiting[at] & (self._ring["ts"][at] < before)]
        if len(at) < count:
            at = np.flatnonzero(self._waiting & (self._ring["ts"] < before))
        at = self._rng.permutation(at)[:count]
        self._waiting[at] = False
        return self._ring[at]
