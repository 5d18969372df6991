"""Prices and exchange rates: pure functions of time, and so the same in every run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medallion.contract import WHOLE_CURRENCIES
from medallion.simulation.geography import CURRENCIES

Ints = npt.NDArray[np.int64]

DAY_MS = 86_400_000
FACTORS = 23
"""The number of price levels of a product; a prime, so that each step is a change."""

LEVELS = np.array([c.level for c in CURRENCIES], dtype=np.int64)
STEPS = np.array([c.step for c in CURRENCIES], dtype=np.int64)
UNITS = np.array([100 if c.code in WHOLE_CURRENCIES else 1 for c in CURRENCIES], dtype=np.int64)
"""The smallest unit of each currency, in 1/100."""


@dataclass(frozen=True)
class PriceBook:
    """List prices in US cents; version v of a product starts at `phase + v * period`, in ms."""

    base: Ints
    cost: Ints
    period: Ints
    phase: Ints

    def version(self, product: Ints, ts: Ints) -> Ints:
        """Return the version of each product that is valid at each instant."""
        return (ts - self.phase[product]) // self.period[product]

    def list_price(self, product: Ints, version: Ints) -> Ints:
        """Return list prices in US cents, which end in 9."""
        factor = 820 + 15 * ((product + 7 * version) % FACTORS)
        return self.base[product] * factor // 10_000 * 10 + 9

    def unit_cost(self, product: Ints, version: Ints) -> Ints:
        """Return unit costs in US cents, which change with every fourth version."""
        return self.cost[product] * (950 + 10 * ((product + version // 4) % 11)) // 1_000

    def shelf_price(self, product: Ints, ts: Ints, currency: npt.NDArray[np.integer]) -> Ints:
        """Return the prices in the store, in 1/100 of each currency."""
        price = self.list_price(product, self.version(product, ts))
        price = (price * LEVELS[currency] + 5_000) // 10_000
        return round_down(price, currency)

    def changes(self, after: int, until: int) -> tuple[Ints, Ints, Ints]:
        """Return product, version and start of versions that start in (after, until], by time."""
        every = np.arange(len(self.base))
        first = self.version(every, np.full(len(every), after)) + 1
        count = self.version(every, np.full(len(every), until)) + 1 - first
        product = np.repeat(every, count)
        nth = np.arange(len(product)) - np.repeat(np.cumsum(count) - count, count)
        version = first[product] + nth
        start = self.phase[product] + version * self.period[product]
        order = np.argsort(start, kind="stable")
        return product[order], version[order], start[order]

    def current(self, at: int) -> tuple[Ints, Ints, Ints]:
        """Return product, version and start of the version of every product at a time."""
        every = np.arange(len(self.base))
        version = self.version(every, np.full(len(every), at))
        return every, version, self.phase + version * self.period


def round_down(amount: Ints, currency: npt.NDArray[np.integer]) -> Ints:
    """Cut amounts in 1/100, in place, to what can be paid in each currency (whole yen)."""
    coarse = np.flatnonzero(STEPS[currency] > 1)
    if len(coarse):
        amount[coarse] -= amount[coarse] % STEPS[currency[coarse]]
    return amount


def cost_of(price: Ints, quantity: Ints, currency: npt.NDArray[np.integer]) -> Ints:
    """Return price x quantity in 1/100 of each currency, rounded half up to its smallest unit.

    Args:
        price: in 1/100.
        quantity: in 1/1000.
        currency: the number of each currency.
    """
    cost: Ints = price * quantity
    unit = UNITS[currency] * 1_000
    return (cost + unit // 2) // unit * UNITS[currency]


def exchange_rate(currency: int, day: int) -> int:
    """Return the US dollars for one unit of a currency on a day since 1970, in 1e-8.

    It is a slow wave of a few per cent with a small daily jitter.
    """
    if currency == 0:
        return CURRENCIES[0].usd
    slow = (day * (3 + currency) + 40 * currency) % 720
    jitter = (day * 7_919 + currency * 104_729) % 401 - 200
    return (
        CURRENCIES[currency].usd
        * (1_000_000 + 100 * abs(slow - 360) - 18_000 + 10 * jitter)
        // 1_000_000
    )
