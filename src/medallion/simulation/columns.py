"""Baskets and receipt lines as numpy columns, before they become NDJSON."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from medallion.simulation.prices import Ints


@dataclass(frozen=True)
class Baskets:
    """One row per basket. `customer` 0 is a guest."""

    number: Ints
    checkout: Ints
    store: npt.NDArray[np.integer]
    channel: npt.NDArray[np.integer]
    customer: Ints
    payment: npt.NDArray[np.integer]


@dataclass(frozen=True)
class ReceiptLines:
    """One row per receipt line.

    `basket` is the row of `baskets`. `original` is empty for purchases; for returns it is the
    number of the purchase. Times are in ms since 1970, amounts in 1/100, quantities in 1/1000.
    """

    baskets: Baskets
    basket: npt.NDArray[np.integer]
    number: Ints
    ts: Ints
    product: Ints
    price: Ints
    quantity: Ints
    discount: Ints
    tax: Ints
    total: Ints
    original: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.number)
