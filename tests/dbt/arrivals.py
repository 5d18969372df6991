"""Generated data that may arrive in a home, in any order."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

TODAY = datetime.fromisoformat("2026-06-20 12:00:00")
PRODUCTS, STORES, CURRENCIES = ("P1", "P2", "P3"), ("S1", "S2"), ("USD", "EUR", "GBP")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "no/zone")
FEEDS = ("products", "stores", "fx_rates", "targets", "purchases", "quarantine", "settings")


@dataclass(frozen=True)
class Arrival:
    """What one load brings: rows by staging table, and when they arrived in the lake."""

    at: datetime
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def arrivals(rng: Random) -> list[Arrival]:
    """A history: some feeds first, some last, some never, each in pieces; empty objects and objects
    of nothing but rejects between them. What is loaded later may have arrived earlier."""
    feeds = [feed for feed in FEEDS if feed == "purchases" or rng.random() < 0.8]
    loads = [rng.choice(feeds) for _ in range(rng.randrange(4, 8))]
    loads += ["purchases", "purchases", rng.choice(feeds)]
    order = rng.choice(("any", "master data first", "sales first"))
    if order != "any":
        loads.sort(key=lambda feed: (feed == "purchases") == (order == "master data first"))
    ids = _Ids(rng)
    return [_arrival(rng, ids, feed) for feed in loads]


def _arrival(rng: Random, ids: _Ids, feed: str) -> Arrival:
    at = TODAY - timedelta(hours=rng.choice((0, 1, 2, 30, 24 * 3, 24 * 30)))
    file, at = ids.file(feed, at)
    if feed == "settings":
        return Arrival(at, {feed: [_settings(rng)]})
    loaded = TODAY + timedelta(days=rng.choice((1, 1, 1, 400)))
    rows = [_MADE[feed](rng, ids, at) for _ in range(rng.choice((0, 1, 2, 4, 6)))]
    rejected = len(rows) if feed == "quarantine" else 0
    receipt = _receipt(feed, at, len(rows), rejected) | {"loaded_at": loaded, "source_file": file}
    return Arrival(at, {feed: [row | {"source_file": file} for row in rows], "receipts": [receipt]})


def _receipt(feed: str, at: datetime, lines: int, rejected: int) -> dict[str, Any]:
    return {
        "feed": "purchases" if feed == "quarantine" else feed,
        "size": 1,
        "modified_at": at,
        "checksum": "",
        "lines": lines,
        "blank": 0,
        "accepted": lines - rejected,
        "quarantined": rejected,
        "reasons": "{}",
        "unknown_fields": "{}",
        "outputs": "{}",
        "cleaner_version": "1",
        "engine": "none",
        "started_at": at,
        "finished_at": at,
    }


def sold(event: str, ts: str, arrived: str, loaded: str = "2026-06-21") -> Arrival:
    """One sale; of two copies of an event the first arrival counts, whatever is loaded first."""
    row = {
        **_purchase(Random(0), _Ids(Random(0)), TODAY),
        "event_id": event,
        "event_type": "purchase",
        "basket_id": event,
        "ts": ts,
        "dt": ts[:10],
    }
    at = datetime.fromisoformat(arrived)
    receipt = _receipt("purchases", at, 1, 0) | {"loaded_at": loaded}
    return Arrival(at, {"purchases": [row], "receipts": [receipt]})


class _Ids:
    """Events that came before, of which copies come, and files, which are rewritten."""

    def __init__(self, rng: Random) -> None:
        self._rng, self._events = rng, 0
        self._files: dict[str, datetime] = {}

    def file(self, feed: str, at: datetime) -> tuple[str, datetime]:
        """The name of an object and its arrival: a new one, or a later version of one before."""
        files = [name for name in self._files if name.startswith(f"raw/{feed}/")]
        name = f"raw/{feed}/{len(self._files)}.ndjson"
        if files and self._rng.random() < 0.4:
            name = self._rng.choice(files)
            at = max(at, self._files[name] + timedelta(hours=1))
        self._files[name] = at
        return name, at

    def event(self) -> int:
        if self._events and self._rng.random() < 0.4:
            return self._rng.randrange(self._events)
        self._events += 1
        return self._events - 1


def _moment(rng: Random, at: datetime) -> datetime:
    """Mostly shortly before its arrival; also long before, in another year, or after it."""
    days = rng.choice((0, 0, 0, 1, 7, 14, 17, 18, 40, 3000, -1, -300))
    return at - timedelta(days=days, hours=rng.randrange(3), minutes=rng.randrange(3))


def _purchase(rng: Random, ids: _Ids, at: datetime) -> dict[str, Any]:
    event, ts = ids.event(), _moment(rng, at)
    quantity = rng.randrange(1, 3)
    return {
        "event_id": f"e{event}",
        "event_type": rng.choice(("purchase", "purchase", "return")),
        "ts": ts,
        "dt": ts.date(),
        "store_id": rng.choice((*STORES, "S?")),
        "product_id": rng.choice((*PRODUCTS, "P?")),
        "customer_id": rng.choice((None, "C1")),
        "basket_id": f"b{event // 3}",
        "category": rng.choice((None, "till")),
        "currency": rng.choice(CURRENCIES),
        "price": 2,
        "quantity": quantity,
        "discount_amount": 0,
        "tax_amount": 0,
        "total_amount": 2 * quantity,
        "schema_version": 1,
        "corrected_at": rng.choice((None, None, TODAY, TODAY - timedelta(days=1))),
    }


def _product(rng: Random, ids: _Ids, at: datetime) -> dict[str, Any]:
    return {
        "product_id": rng.choice(PRODUCTS),
        "ts": TODAY - timedelta(days=rng.choice((0, 1, 8, 45, 400))),
        "product_name": f"name {rng.randrange(9)}",
        "category": f"category {rng.randrange(3)}",
        "department": f"department {rng.randrange(2)}",
        "currency": rng.choice(CURRENCIES),
        "price": 2,
        "cost": rng.choice((None, 1)),
    }


def _store(rng: Random, ids: _Ids, at: datetime) -> dict[str, Any]:
    return {
        "store_id": rng.choice(STORES),
        "ts": TODAY - timedelta(days=rng.choice((0, 1, 400))),
        "store_name": f"store {rng.randrange(9)}",
        "time_zone": rng.choice(ZONES),
        "currency": "USD",
    }


def _rate(rng: Random, ids: _Ids, at: datetime) -> dict[str, Any]:
    return {
        "currency": rng.choice(CURRENCIES),
        "ts": TODAY - timedelta(days=rng.choice((0, 1, 8, 45, 4000))),
        "reporting_currency": rng.choice(("USD", "USD", "EUR")),
        "rate": rng.randrange(1, 9),
    }


def _target(rng: Random, ids: _Ids, at: datetime) -> dict[str, Any]:
    return {
        "store_id": rng.choice((*STORES, "S?")),
        "ts": TODAY - timedelta(days=rng.choice((0, 1, 40))),
        "sales_date": (TODAY - timedelta(days=rng.choice((0, 1, 8, -1)))).date(),
        "currency": rng.choice(CURRENCIES),
        "net_sales_target": rng.randrange(9),
    }


def _settings(rng: Random) -> dict[str, Any]:
    return {
        "reporting_currency": rng.choice((None, "EUR", "USD")),
        "time_zone": rng.choice((None, "Asia/Tokyo", "America/New_York")),
    }


def _reject(rng: Random, ids: _Ids, at: datetime) -> dict[str, Any]:
    return {"feed": "purchases", "reason": "bad_ts", "raw": b"x", "raw_size": 1}


_MADE = {
    "purchases": _purchase,
    "products": _product,
    "stores": _store,
    "fx_rates": _rate,
    "targets": _target,
    "quarantine": _reject,
}
