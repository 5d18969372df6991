"""The reference feeds: products with their price changes, stores, exchange rates and targets.

Each row is a pure function of its key and time, so two runs may write the same row but never
contradicting ones. Only targets depend on the volume of the run that set them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain, product
from typing import Any

import numpy as np

from medallion.simulation.geography import CURRENCIES
from medallion.simulation.prices import DAY_MS, Ints, exchange_rate
from medallion.simulation.world import Product, World

Rows = list[bytes]
LINE_CENTS = 3_150
"""The net sales of a usual line, in US cents."""
AMBITION = range(90, 115)
"""The targets of the stores, in per cent of their usual sales."""


class Reference:
    """The reference rows of one run, as time goes on: each once, unless the clock jumps.

    Args:
        world: the retailer.
        daily_lines: the lines that are sold on a usual day, for targets; None writes no targets.
    """

    def __init__(self, world: World, daily_lines: float | None = None) -> None:
        self._world, self._daily_lines = world, daily_lines
        self._items = [_item(product) for product in world.products]
        self._targets_set = 0
        self._covered: tuple[int, int] | None = None

    def until(self, since: int, instant: int) -> dict[str, Rows]:
        """Return by feed the rows between the last call and an instant, in ms.

        The first call also returns all rows that are valid at `since`; so does a call whose times
        lie before or after all that is covered: after a jump of the clock by centuries, the rows
        of all the time between would not fit into memory, and nobody asks for them.
        """
        book = self._world.prices
        rows: dict[str, Rows] = {}
        if self._covered is None or since > self._covered[1] or instant < self._covered[0]:
            rows["stores"] = list(self._stores())
            rows["products"] = list(self._products(*book.current(since)))
            day = since // DAY_MS - 1
            first, written = since, since
            self._targets_set = since
        else:
            first, written = self._covered
            rows["products"], day = [], written // DAY_MS
        if instant > written:
            rows["products"] += self._products(*book.changes(written, instant))
            written = instant
        self._covered = first, written
        days = range(day + 1, written // DAY_MS + 1)
        rows["fx_rates"] = list(self._rates(days))
        if self._daily_lines is not None and days:
            # The first day of some stores is a day behind UTC, and the last a day ahead.
            begin = days.start - 1 if day == self._targets_set // DAY_MS - 1 else days.start + 1
            rows["targets"] = list(self._targets(range(begin, days.stop + 1), self._daily_lines))
        return {feed: lines for feed, lines in rows.items() if lines}

    def covers(self, instant: int) -> bool:
        """Return whether the rows for an instant have been returned."""
        return self._covered is not None and self._covered[0] <= instant <= self._covered[1]

    def _stores(self) -> Iterator[bytes]:
        for store in self._world.stores:
            yield _row(
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

    def _products(self, number: Ints, version: Ints, start: Ints) -> Iterator[bytes]:
        book = self._world.prices
        prices, costs = book.list_price(number, version), book.unit_cost(number, version)
        instants = np.datetime_as_string(start.astype("M8[ms]"), timezone="UTC")
        for n, ts, price, cost in zip(
            number.tolist(), instants.tolist(), prices.tolist(), costs.tolist(), strict=True
        ):
            before, after = self._items[n]
            yield f'{before}{ts}{after}{_cents(price)},"cost":{_cents(cost)}}}'.encode()

    def _rates(self, days: Iterable[int]) -> Iterator[bytes]:
        for day, currency in chain.from_iterable(
            ((day, n) for n in range(len(CURRENCIES))) for day in days
        ):
            rate = exchange_rate(currency, day)
            yield (
                f'{{"currency":"{CURRENCIES[currency].code}","ts":"{_instant(day * DAY_MS)}",'
                f'"reporting_currency":"USD","rate":{rate // 10**8}.{rate % 10**8:08d}}}'
            ).encode()

    def _targets(self, days: Iterable[int], daily_lines: float) -> Iterator[bytes]:
        week = self._world.profile.sum()
        for day, (n, store) in product(days, enumerate(self._world.stores)):
            date = datetime.fromtimestamp(day * DAY_MS / 1000, UTC).date()
            if date < store.opened_on or (store.closed_on and date >= store.closed_on):
                continue
            slots = slice(date.weekday() * 48, (date.weekday() + 1) * 48)
            lines = 7 * daily_lines * self._world.profile[n, :, slots].sum() / week
            rate = exchange_rate(int(self._world.store_currency[n]), day)
            cents = lines * LINE_CENTS * AMBITION[n * 11 % len(AMBITION)] // 100
            yield _row(
                {
                    "store_id": store.store_id,
                    "ts": _instant(self._targets_set),
                    "sales_date": str(date),
                    "currency": store.market.currency,
                    "net_sales_target": round(cents * 10**6 / rate, -1),
                }
            )


def _item(item: Product) -> tuple[str, str]:
    """Return the row of a product up to its time, and from there to its price."""
    named = {"product_name": item.name, "brand": item.brand}
    named |= {"category": item.category, "department": item.department, "currency": "USD"}
    return f'{{"product_id":"{item.product_id}","ts":"', f'",{_json(named)[1:-1]},"price":'


def _row(values: Mapping[str, Any]) -> bytes:
    return _json(values).encode()


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def _instant(ms: int) -> str:
    at = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def _cents(amount: int) -> str:
    return f"{amount // 100}.{amount % 100:02d}"
