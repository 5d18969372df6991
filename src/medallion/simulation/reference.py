"""The feeds beside the purchases: products with their price changes, stores, exchange rates.

Each row is a pure function of its key and its time, so runs may tell the same row again but never
another one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from medallion.simulation.faults import Raw, write
from medallion.simulation.geography import CURRENCIES
from medallion.simulation.prices import DAY_MS, Ints, exchange_rate
from medallion.simulation.world import World

Rows = list[bytes]


class Reference:
    """Tells the reference rows of one run as its time goes on, each once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._told: int | None = None

    def until(self, since: int, instant: int) -> dict[str, Rows]:
        """The rows by feed that hold up to an instant, in ms, and were not told before; the first
        call tells all that holds at `since` as well."""
        book = self._world.prices
        rows: dict[str, Rows] = {}
        if self._told is None:
            rows["stores"] = list(self._stores())
            rows["products"] = list(self._products(*book.current(since)))
            day = since // DAY_MS - 1
            self._told = since
        else:
            rows["products"], day = [], self._told // DAY_MS
        if instant > self._told:
            rows["products"] += self._products(*book.changes(self._told, instant))
            self._told = instant
        rows["fx_rates"] = list(self._rates(range(day + 1, self._told // DAY_MS + 1)))
        return {feed: told for feed, told in rows.items() if told}

    def _stores(self) -> Iterator[bytes]:
        for store in self._world.stores:
            yield write(
                {
                    "store_id": store.store_id,
                    "ts": f"{store.opened_on}T00:00:00.000Z",
                    "store_name": f"{store.city} store",
                    "city": store.city,
                    "country": store.country,
                    "time_zone": store.time_zone,
                    "currency": store.market.currency,
                    "opened_on": str(store.opened_on),
                    "closed_on": str(store.closed_on) if store.closed_on else None,
                }
            )

    def _products(self, product: Ints, version: Ints, start: Ints) -> Iterator[bytes]:
        book = self._world.prices
        prices, costs = book.list_price(product, version), book.unit_cost(product, version)
        columns: Iterable[Any] = zip(product, start, prices, costs, strict=True)
        for n, ts, price, cost in columns:
            item = self._world.products[n]
            yield (
                f'{{"product_id":"{item.product_id}","ts":"{_instant(int(ts))}",'
                f'"product_name":{json.dumps(item.name)},"brand":{json.dumps(item.brand)},'
                f'"category":"{item.category}","department":"{item.department}",'
                f'"currency":"USD","price":{_cents(int(price))},"cost":{_cents(int(cost))}}}'
            ).encode()

    def _rates(self, days: Iterable[int]) -> Iterator[bytes]:
        for day, currency in chain.from_iterable(
            ((day, n) for n in range(len(CURRENCIES))) for day in days
        ):
            rate = exchange_rate(currency, day)
            yield write(
                {
                    "currency": CURRENCIES[currency].code,
                    "ts": _instant(day * DAY_MS),
                    "reporting_currency": "USD",
                    "rate": Raw(f"{rate // 10**8}.{rate % 10**8:08d}"),
                }
            )


def _instant(ms: int) -> str:
    at = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def _cents(amount: int) -> str:
    return f"{amount // 100}.{amount % 100:02d}"
