"""The simulated retailer: its stores, products and customers, the same for every seed.

The seed of a run decides only its events: runs with other seeds or dates add to the history of the
same business, and never contradict its stores, products, prices and rates.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from medallion.simulation.assortment import BRANDS, DEPARTMENTS, VARIANTS, WEIGHED
from medallion.simulation.geography import CITIES, COUNTRIES, CURRENCIES, Country
from medallion.simulation.prices import DAY_MS, PriceBook

WORLD_SEED = 454
CUSTOMERS = 100_000
SLOT_MS = 1_800_000
"""Half an hour in ms. Opening hours and time zone offsets are multiples of it, so during a slot
every store is either open or closed."""
WEEK_SLOTS = 7 * 48
STORE, WEB = 0, 1
WEB_SHARE = 0.14
DRAWS = 1 << 14
"""The size of a table that maps random numbers to products."""

# Trade by local hour of the day, and by day of the week from Monday.
STORE_HOURS = (0, 0, 0, 0, 0, 0, 2, 4, 6, 7, 8, 10, 12, 10, 8, 8, 10, 14, 15, 12, 8, 5, 3, 1)
WEB_HOURS = (3, 2, 1, 1, 1, 1, 2, 4, 6, 7, 8, 8, 9, 8, 7, 7, 8, 9, 11, 14, 16, 16, 12, 7)
STORE_DAYS = (0.85, 0.85, 0.9, 1.0, 1.25, 1.5, 0.9)
WEB_DAYS = (1.1, 1.0, 1.0, 1.0, 0.9, 0.9, 1.2)


@dataclass(frozen=True)
class Store:
    """A store, as in its feed."""

    store_id: str
    city: str
    country: str
    time_zone: str
    opened_on: date
    closed_on: date | None

    @property
    def market(self) -> Country:
        return COUNTRIES[self.country]


@dataclass(frozen=True)
class Product:
    """A product, as in its feed; prices are in the price book."""

    product_id: str
    name: str
    brand: str
    category: str
    department: str


class World:
    """Everything that is independent of the seed of a run."""

    def __init__(self) -> None:
        rng = np.random.default_rng(WORLD_SEED)
        self.stores = tuple(
            Store(
                f"S{n:03d}",
                city,
                country,
                zone,
                date.fromisoformat(opened),
                date.fromisoformat(closed) if closed else None,
            )
            for n, (city, country, zone, _, opened, closed) in enumerate(CITIES, 1)
        )
        codes = [c.code for c in CURRENCIES]
        self.store_currency = np.array([codes.index(s.market.currency) for s in self.stores])
        self.store_tax = np.array([s.market.tax for s in self.stores], dtype=np.int64)
        share = np.array([city[3] for city in CITIES])
        self.profile = np.stack([_week(s) for s in self.stores]) * share[:, None, None]
        self._zones = tuple(ZoneInfo(s.time_zone) for s in self.stores)
        self._slots: dict[int, npt.NDArray[np.float64]] = {}
        # The regulars of a store are a range of `customers`; the first of them come most often.
        edges = np.round(np.cumsum(share) / share.sum() * CUSTOMERS).astype(np.int64)
        self.regulars_end = edges
        self.regulars_start = np.concatenate(([0], edges[:-1]))
        self.customers = rng.permutation(CUSTOMERS) + 1
        self._stock(rng)

    def _stock(self, rng: np.random.Generator) -> None:
        """Create the products, their prices and their popularity."""
        products: list[Product] = []
        base, appeal, department = [], [], []
        for number, (name, (count, demand, categories)) in enumerate(DEPARTMENTS.items()):
            for nth in range(count):
                category, (low, high, nouns) = list(categories.items())[nth % len(categories)]
                brand, variant = rng.choice(BRANDS), rng.choice(VARIANTS)
                title = f"{brand} {variant} {rng.choice(nouns.split(','))}"
                ident = f"P{len(products) + 1:05d}"
                products.append(Product(ident, title, str(brand), category, name))
                base.append(int(low * (high / low) ** rng.random()))
                appeal.append(demand)
                department.append(number)
        self.products, count = tuple(products), len(products)
        self.weighed = np.array([product.category in WEIGHED for product in products])
        rank = rng.permutation(count) + 1
        weight = np.array(appeal) * rank**-0.9
        self.department = np.array(department)
        tables = [weight * (self.department == d) for d in range(len(DEPARTMENTS))]
        self.demand = np.stack([_draws(w) for w in (*tables, weight)])
        self.companion = rng.permutation(count)
        # One product in fifty is repriced about four times a day, the others every 5 to 60 days.
        period = rng.integers(5 * DAY_MS, 60 * DAY_MS, count)
        period[::50] = rng.integers(DAY_MS // 5, DAY_MS // 3, len(period[::50]))
        cents = np.array(base, dtype=np.int64)
        cost = cents * rng.integers(45, 75, count) // 100
        self.prices = PriceBook(cents, cost, period, rng.integers(0, period))

    @cached_property
    def missions(self) -> npt.NDArray[np.int64]:
        """Return a department for each value of a random byte, in proportion to its demand."""
        weight = np.array([count * demand for count, demand, _ in DEPARTMENTS.values()])
        return np.searchsorted(np.cumsum(weight) / weight.sum(), np.arange(256) / 256)

    def trade(self, slot: int) -> npt.NDArray[np.float64]:
        """Return the trade of a slot, by store and channel; 0 where a store is closed.

        Args:
            slot: the number of the half hour since 1970.
        """
        if slot not in self._slots:
            if len(self._slots) > 4_096:
                self._slots.clear()
            self._slots[slot] = self._trade(slot)
        return self._slots[slot]

    def _trade(self, slot: int) -> npt.NDArray[np.float64]:
        instant = datetime.fromtimestamp(slot * SLOT_MS / 1000, UTC)
        local = {zone: instant.astimezone(zone) for zone in set(self._zones)}
        busy = np.zeros((len(self.stores), 2))
        for n, store in enumerate(self.stores):
            at = local[self._zones[n]]
            day = at.date()
            if day >= store.opened_on and (store.closed_on is None or day < store.closed_on):
                busy[n] = self.profile[n, :, at.weekday() * 48 + at.hour * 2 + at.minute // 30]
        return busy


def _week(store: Store) -> npt.NDArray[np.float64]:
    """Return the trade of a store, by channel and half hour of the local week."""
    week = np.zeros((2, WEEK_SLOTS))
    market = store.market
    for slot in range(WEEK_SLOTS):
        day, hour = divmod(slot / 2, 24)
        hours = market.sunday if day == 6 else (market.opens, market.closes)
        if hours and hours[0] <= hour < hours[1]:
            week[STORE, slot] = STORE_HOURS[int(hour)] * STORE_DAYS[int(day)]
        week[WEB, slot] = WEB_HOURS[int(hour)] * WEB_DAYS[int(day)]
    for channel, share in ((STORE, 1 - WEB_SHARE), (WEB, WEB_SHARE)):
        week[channel] *= share / week[channel].sum()
    return week


def _draws(weight: npt.NDArray[np.float64]) -> npt.NDArray[np.int16]:
    """Return a table of products, each as often as its weight says."""
    points = (np.arange(DRAWS) + 0.5) / DRAWS
    return np.searchsorted(np.cumsum(weight) / weight.sum(), points).astype(np.int16)
