"""The random events of a run: baskets, their lines, and returns of earlier lines, as columns.

Every amount is an integer of 1/100 of its currency, and every quantity one of 1/1000, so nothing is
ever rounded twice.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from medallion.simulation.columns import Baskets, ReceiptLines
from medallion.simulation.prices import DAY_MS, Ints, cost_of, round_down
from medallion.simulation.returns import ReturnPool
from medallion.simulation.world import DRAWS, SLOT_MS, STORE, WEB, World

RETURNS = 0.035
"""The share of lines that are returns, once there are purchases to return."""
GUESTS = 0.22
"""The share of baskets in a store whose customer is unknown."""
REGULARS = 0.03
"""The share of the customers of a store who are its regulars."""
LATE_MS, FUTURE_MS = -30 * DAY_MS, DAY_MS

SIZES = np.repeat(
    [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20], [80, 52, 36, 25, 17, 13, 9, 8, 7, 5, 3, 1]
)
QUANTITIES = np.repeat([1, 2, 3, 4, 6, 8], [178, 46, 16, 9, 5, 2]).astype(np.int64) * 1_000
LIGHTEST, HEAVIEST = 60, 2_200
"""The range of weights of goods that are sold by weight, in grams."""
DISCOUNTS = np.repeat([0, 5, 10, 15, 20, 25, 30, 50], [208, 10, 14, 6, 9, 4, 3, 2]).astype(np.int64)
PAYMENTS = ("card", "cash", "mobile", "gift_card")
PAID_IN_STORE = np.repeat([0, 1, 2, 3], [150, 52, 43, 11])
PAID_ON_WEB = np.repeat([0, 2, 3], [168, 72, 16])


class Shoppers:
    """The shoppers of one run, whose events depend only on `rng`."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self._world, self._rng = world, rng
        self._pool = ReturnPool(rng)
        self._events = 0
        self._baskets = 0

    def window(
        self, start: int, end: int, count: int, shift: Ints | None = None
    ) -> tuple[ReceiptLines, ReceiptLines]:
        """Return `count` lines of the time [start, end), in ms: purchases and returns.

        `shift` moves late and future lines in time, in ms, before they are priced.
        """
        undone = self._pool.take(start, self._rng.binomial(count, RETURNS))
        bought = count - len(undone)
        shift = np.zeros(count, dtype=np.int64) if shift is None else shift
        purchases = self._purchases(start, end, bought, shift[:bought])
        returns = self._returns(start, end, undone, shift[bought:])
        return purchases, returns

    def remember(self, lines: ReceiptLines, usable: npt.NDArray[np.bool_] | None) -> None:
        """Store the usable ones of these purchases, so that they can be returned later."""
        self._pool.add(lines, usable)

    def _purchases(self, start: int, end: int, count: int, shift: Ints) -> ReceiptLines:
        sizes = self._sizes(count)
        baskets = self._shop(start, end, len(sizes))
        basket = np.repeat(np.arange(len(sizes)), sizes)
        left = np.repeat(np.cumsum(sizes), sizes) - 1 - np.arange(count)
        rng, world = self._rng, self._world
        gap = rng.integers(100, 900, len(sizes))
        store = baskets.store[basket]
        # Lines are scanned one by one up to the checkout, never before the store opens.
        checkout = baskets.checkout[basket]
        ts = np.maximum(checkout - left * gap[basket], checkout // SLOT_MS * SLOT_MS) + shift
        product = self._products(basket, len(sizes))
        price = world.prices.shelf_price(product, ts, world.store_currency[store])
        chance = np.frombuffer(rng.bytes(2 * count), dtype=np.uint8).reshape(2, count)
        quantity = QUANTITIES[chance[0]]
        weighed = np.flatnonzero(world.weighed[product])
        quantity[weighed] = rng.integers(LIGHTEST, HEAVIEST, len(weighed))
        currency = world.store_currency[store]
        gross = cost_of(price, quantity, currency)
        discount = round_down((gross * DISCOUNTS[chance[1]] + 50) // 100, currency)
        total = gross - discount
        tax = round_down((total * world.store_tax[store] + 5_000) // 10_000, currency)
        number = self._number(count)
        return ReceiptLines(
            baskets, basket, number, ts, product, price, quantity, discount, tax, total
        )

    def _returns(
        self, start: int, end: int, undone: npt.NDArray[np.void], shift: Ints
    ) -> ReceiptLines:
        """Return earlier lines, most of them completely, in the store if it is open."""
        rng, count = self._rng, len(undone)
        ts = rng.integers(start, end, count)
        store = undone["store"]
        first = start // SLOT_MS
        busy = np.stack([self._world.trade(s) for s in range(first, (end - 1) // SLOT_MS + 1)])
        open_now = busy[ts // SLOT_MS - first, store, STORE] > 0
        baskets = Baskets(
            number=self._number_baskets(count),
            checkout=ts,
            store=store,
            channel=np.where(open_now, STORE, WEB),
            customer=undone["customer"],
            payment=undone["payment"],
        )
        bought = undone["quantity"]
        is_whole = self._world.weighed[undone["product"]] | (rng.random(count) < 0.8)
        pieces = rng.integers(1, np.maximum(bought // 1_000, 1) + 1) * 1_000
        quantity = np.where(is_whole, bought, pieces)
        currency = self._world.store_currency[store]
        discount = round_down(undone["discount"] * quantity // bought, currency)
        tax = round_down(undone["tax"] * quantity // bought, currency)
        price = undone["price"].copy()
        return ReceiptLines(
            baskets,
            np.arange(count),
            self._number(count),
            ts + shift,
            undone["product"],
            price,
            quantity,
            discount,
            tax,
            cost_of(price, quantity, currency) - discount,
            undone["number"],
        )

    def _sizes(self, count: int) -> npt.NDArray[np.integer]:
        """Draw basket sizes that add up to `count`."""
        draws = count // 2 + 16
        sizes = SIZES[self._rng.integers(0, len(SIZES), draws, dtype=np.uint16)]
        ends = np.cumsum(sizes)
        last = int(np.searchsorted(ends, count))
        sizes = sizes[: last + 1].copy()
        sizes[last] -= ends[last] - count
        return sizes[:last] if sizes[last] == 0 else sizes

    def _shop(self, start: int, end: int, count: int) -> Baskets:
        """Draw the time, store, channel, customer and payment of `count` baskets."""
        rng, world = self._rng, self._world
        slots = np.arange(start // SLOT_MS, (end - 1) // SLOT_MS + 1)
        since = np.maximum(slots * SLOT_MS, start)
        length = np.minimum((slots + 1) * SLOT_MS, end) - since
        busy = np.stack([world.trade(int(s)) for s in slots]) * length[:, None, None]
        upto = np.cumsum(busy.ravel())
        cell = np.searchsorted(upto, np.sort(rng.random(count)) * upto[-1], side="right")
        cell = np.minimum(cell, len(upto) - 1)
        slot, place = np.divmod(cell, busy[0].size)
        checkout = since[slot] + (rng.random(count) * length[slot]).astype(np.int64)
        order = np.argsort(checkout)
        checkout, (store, channel) = checkout[order], np.divmod(place[order], 2)
        first, last = world.regulars_start[store], world.regulars_end[store]
        # Nearly half of the baskets are of regulars; the power favors the first of them.
        reach = np.where(rng.random(count) < 0.45, REGULARS, 1.0) * (last - first)
        rank = (reach * rng.random(count) ** 1.5).astype(np.int64)
        guest = rng.random(count) < GUESTS * (channel == STORE)
        chance = np.frombuffer(rng.bytes(count), dtype=np.uint8)
        return Baskets(
            number=self._number_baskets(count),
            checkout=checkout,
            store=store,
            channel=channel,
            customer=np.where(guest, 0, world.customers[first + rank]),
            payment=np.where(channel == WEB, PAID_ON_WEB[chance], PAID_IN_STORE[chance]),
        )

    def _products(self, basket: npt.NDArray[np.integer], baskets: int) -> Ints:
        """Draw the product of each line.

        Half of a basket is from one department; one line in eight is the companion of the line
        before it.
        """
        rng, world, count = self._rng, self._world, len(basket)
        mission = world.missions[np.frombuffer(rng.bytes(baskets), dtype=np.uint8)]
        draw = np.frombuffer(rng.bytes(4 * count), dtype=np.uint32)
        table = np.where(draw >> 31, mission[basket], len(world.demand) - 1)
        product: Ints = world.demand.ravel()[table * DRAWS + (draw & (DRAWS - 1))].astype(np.int64)
        pair = np.flatnonzero((draw[1:] >> 28 & 7 == 0) & (basket[1:] == basket[:-1]))
        product[pair + 1] = world.companion[product[pair]]
        return product

    def _number(self, count: int) -> Ints:
        self._events += count
        return np.arange(self._events - count, self._events)

    def _number_baskets(self, count: int) -> Ints:
        self._baskets += count
        return np.arange(self._baskets - count, self._baskets)
