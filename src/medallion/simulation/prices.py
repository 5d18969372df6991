"""Prices and exchange rates: pure functions of time, so every run tells the same history."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medallion.simulation.geography import CURRENCIES

Ints = npt.NDArray[np.int64]

DAY_MS = 86_400_000
FACTORS = 23
"""How many price levels a product walks through; a prime, so that each step is a change."""

LEVELS = np.array([c.level for c in CURRENCIES], dtype=np.int64)
STEPS = np.array([c.step for c in CURRENCIES], dtype=np.int64)


@dataclass(frozen=True)
class PriceBook:
    """List prices in US cents. Version v of a product holds from `phase + v * period`, in ms."""

    base: Ints
    cost: Ints
    period: Ints
    phase: Ints

    def version(self, product: Ints, ts: Ints) -> Ints:
        """The version of each product that is valid at each instant."""
        return (ts - self.phase[product]) // self.period[product]

    def list_price(self, product: Ints, version: Ints) -> Ints:
        """US cents, ending in 9."""
        factor = 820 + 15 * ((product + 7 * version) % FACTORS)
        return self.base[product] * factor // 10_000 * 10 + 9

    def unit_cost(self, product: Ints, version: Ints) -> Ints:
        """US cents; suppliers change it with every fourth version."""
        return self.cost[product] * (950 + 10 * ((product + version // 4) % 11)) // 1_000

    def shelf_price(self, product: Ints, ts: Ints, currency: npt.NDArray[np.integer]) -> Ints:
        """What the till asks, in 1/100 of each currency."""
        price = self.list_price(product, self.version(product, ts))
        price = (price * LEVELS[currency] + 5_000) // 10_000
        return round_down(price, currency)

    def changes(self, after: int, until: int) -> tuple[Ints, Ints, Ints]:
        """Product, version and start of every version that starts in (after, until], by time."""
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
        """Product, version and start of the version of every product that is valid at `at`."""
        every = np.arange(len(self.base))
        version = self.version(every, np.full(len(every), at))
        return every, version, self.phase + version * self.period


def round_down(amount: Ints, currency: npt.NDArray[np.integer]) -> Ints:
    """Amounts in 1/100, cut in place to what can be paid in each currency (whole yen)."""
    coarse = np.flatnonzero(STEPS[currency] > 1)
    if len(coarse):
        amount[coarse] -= amount[coarse] % STEPS[currency[coarse]]
    return amount


def exchange_rate(currency: int, day: int) -> int:
    """US dollars for one unit of a currency on a day since 1970, in 1e-8: a slow wave of a few
    per cent with a small daily jitter."""
    if currency == 0:
        return CURRENCIES[0].usd
    slow = (day * (3 + currency) + 40 * currency) % 720
    jitter = (day * 7_919 + currency * 104_729) % 401 - 200
    return (
        CURRENCIES[currency].usd
        * (1_000_000 + 100 * abs(slow - 360) - 18_000 + 10 * jitter)
        // 1_000_000
    )
