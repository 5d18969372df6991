"""Columns: baskets and receipt lines as numpy arrays, on their way from the draw to NDJSON."""

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
class Lines:
    """One row per receipt line; `basket` is a row of `baskets`. `original` is empty, or for a
    return the number of the event that it undoes. `timing` is 0, or by how much the line is late
    or early, in ms."""

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
