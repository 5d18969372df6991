"""The simulator: its events look like a retailer's, and its answer key is right."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from medallion.contract import FEEDS, MALFORMED, PURCHASES
from medallion.errors import MedallionError, SettingsError
from medallion.platforms.local import LocalLake
from medallion.simulation import Producer, SimulationOptions, SimulationReport, simulate
from medallion.simulation.assortment import WEIGHED
from medallion.simulation.faults import ACCEPTED, FAULTS, REJECTED, REPEATED, Fault
from medallion.simulation.schedule import Backfill
from medallion.simulation.world import World

NOW = datetime(2026, 3, 18, 15, 30, tzinfo=UTC)
PLAIN = SimulationOptions(events=20_000, compression="none")
SRC = Path(__file__).parent.parent / "src"
AMOUNTS = ("discount_amount", "tax_amount", "total_amount")


class Clock:
    """A clock that moves when someone sleeps, or by `cost` each time it is read."""

    def __init__(self, cost: float = 0.0) -> None:
        self.seconds, self.cost, self.naps = 0.0, cost, 0

    def __call__(self) -> float:
        self.seconds += self.cost
        return self.seconds

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.seconds, self.naps = self.seconds + seconds, self.naps + 1


def run(
    home: Path, options: SimulationOptions, token: str | None = "t", now: datetime = NOW
) -> SimulationReport:
    return simulate(
        LocalLake(home), options, answers=home / "answer_key", now=lambda: now, token=token
    )


def objects(home: Path, feed: str = "purchases") -> dict[str, bytes]:
    """The content of every raw object of a feed, in the order of arrival."""
    lake, objects = LocalLake(home), {}
    for item in lake.list(f"raw/{feed}/"):
        with lake.open(item.key) as file:
            data = file.read()
        codec = {"zst": "zstd", "gz": "gzip"}.get(item.key.rsplit(".", 1)[1])
        if codec:
            data = pa.CompressedInputStream(pa.BufferReader(data), codec).read()
        objects[item.key] = data
    return objects


def events(home: Path, feed: str = "purchases") -> list[dict[str, Any]]:
    lines = b"".join(objects(home, feed).values()).splitlines()
    return [json.loads(line, parse_float=Decimal) for line in lines]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with 20,000 events and no faults."""
    home = tmp_path_factory.mktemp("week")
    run(home, PLAIN)
    return home


@pytest.fixture(scope="module")
def purchases(week: Path) -> list[dict[str, Any]]:
    return events(week)


@pytest.fixture(scope="module")
def stores(week: Path) -> dict[str, dict[str, Any]]:
    return {s["store_id"]: s for s in events(week, "stores")}


def test_the_same_seed_start_and_options_tell_the_same_story(week: Path, tmp_path: Path) -> None:
    """Two runs with equal seed, start and options write the same lines."""
    run(tmp_path, PLAIN, token="other")
    for feed in FEEDS:
        assert [*objects(tmp_path, feed).values()] == [*objects(week, feed).values()]


def test_another_seed_tells_another_story(tmp_path: Path) -> None:
    """Runs with other seeds, or another start, share no event and no basket."""
    few = replace(PLAIN, events=500)
    run(tmp_path / "a", few)
    run(tmp_path / "b", replace(few, seed=8))
    run(tmp_path / "c", few, now=NOW + timedelta(seconds=1))
    for name in ("event_id", "basket_id"):
        ids = [{e[name] for e in events(tmp_path / home)} for home in "abc"]
        assert not ids[0] & ids[1] and not ids[0] & ids[2]


def test_a_second_run_overwrites_nothing(tmp_path: Path) -> None:
    """Equal runs in one home never choose the same object names."""
    few = replace(PLAIN, events=300)
    run(tmp_path, few, token=None)
    before = objects(tmp_path)
    run(tmp_path, few, token=None)
    after = objects(tmp_path)
    assert len(after) == 2 * len(before)
    assert before.items() <= after.items()


def test_objects_lie_under_the_hour_of_their_arrival(week: Path) -> None:
    """Every feed is partitioned by the UTC hour in which an object is written."""
    for feed in FEEDS:
        for key in objects(week, feed):
            assert re.fullmatch(
                rf"raw/{feed}/year=2026/month=03/day=18/hour=15/[0-9TZ]+-7-t-\d+\.ndjson", key
            )


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_compression_changes_nothing_but_the_size(
    week: Path, tmp_path: Path, compression: str
) -> None:
    """A compressed run holds the bytes of a plain one."""
    run(tmp_path, replace(PLAIN, compression=compression))
    assert b"".join(objects(tmp_path).values()) == b"".join(objects(week).values())


def test_every_line_keeps_the_contract(purchases: list[dict[str, Any]]) -> None:
    """Lines have the contract's fields and no others, required ones always, with sane values."""
    assert len(purchases) == 20_000
    assert len({e["event_id"] for e in purchases}) == 20_000
    names = set(PURCHASES.names)
    required = {f.name for f in PURCHASES.fields if f.required}
    for e in purchases:
        assert required <= e.keys() <= names
        assert ("original_event_id" in e) == (e["event_type"] == "return")
        for f in PURCHASES.fields:
            if f.allowed and f.name in e:
                assert e[f.name] in f.allowed
    assert set().union(*purchases) == names - {"corrected_at"}  # no till corrects anything


def test_amounts_are_exact(purchases: list[dict[str, Any]]) -> None:
    """total_amount is price x quantity - discount_amount, of a weight rounded to a cent or a whole
    yen, and nothing is below zero."""
    for e in purchases:
        unit = Decimal(1 if e["currency"] == "JPY" else "0.01")
        gross = (e["price"] * e["quantity"] / unit).quantize(Decimal(1), ROUND_HALF_UP) * unit
        assert e["total_amount"] == gross - e["discount_amount"]
        assert e["price"] > 0 and e["quantity"] > 0
        assert all(e[name] >= 0 for name in AMOUNTS)
        if e["currency"] == "JPY":
            assert all(e[name] == int(e[name]) for name in ("price", *AMOUNTS))


def test_fresh_food_is_sold_by_weight(purchases: list[dict[str, Any]]) -> None:
    """In grams, a kilogram or so; everything else in whole pieces."""
    weights = [e["quantity"] for e in purchases if e["category"] in WEIGHED]
    pieces = [e["quantity"] for e in purchases if e["category"] not in WEIGHED]
    assert 0.1 < len(weights) / len(purchases) < 0.3
    assert Decimal("0.06") <= min(weights) and max(weights) < Decimal("2.2")
    assert all(round(weight, 3) == weight for weight in weights)
    assert {type(quantity) for quantity in pieces} == {int}


def test_events_fill_the_days_before_now(purchases: list[dict[str, Any]]) -> None:
    """They cover two whole weeks and end now: each day of the last week has a whole one a week
    before to be compared with."""
    times = [instant(e["ts"]) for e in purchases]
    assert NOW - timedelta(days=15, minutes=1) <= min(times)
    assert NOW - timedelta(minutes=30) < max(times) < NOW
    assert len({t.date() for t in times}) == 16


def test_shops_sell_when_they_are_open(
    purchases: list[dict[str, Any]], stores: dict[str, dict[str, Any]]
) -> None:
    """Counter sales happen by day in the store's own time zone; the web never closes; German
    stores rest on Sunday."""
    hours: dict[str, Counter[int]] = defaultdict(Counter)
    for e in purchases:
        store = stores[e["store_id"]]
        local = instant(e["ts"]).astimezone(ZoneInfo(store["time_zone"]))
        hours[e["channel"]][local.hour] += 1
        if e["channel"] == "store":
            assert 7 <= local.hour < 22
            assert not (store["country"] == "DE" and local.weekday() == 6)
    assert len(hours["web"]) >= 22
    assert hours["store"][17] > 2 * hours["store"][8]
    assert 0.05 < hours["web"].total() / len(purchases) < 0.3


def test_no_store_sells_outside_its_years(
    purchases: list[dict[str, Any]], stores: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """A store sells from its first day of trade until the day it closes."""
    assert len({e["store_id"] for e in purchases}) == 39
    assert "S040" not in {e["store_id"] for e in purchases}, "opens in April 2026"
    run(tmp_path, replace(PLAIN, events=5_000), now=datetime(2026, 9, 1, tzinfo=UTC))
    assert stores["S018"]["closed_on"] == "2026-07-01"
    later = {e["store_id"] for e in events(tmp_path) if e["event_type"] == "purchase"}
    assert "S040" in later and "S018" not in later


def test_saturdays_beat_tuesdays() -> None:
    """The weekly rhythm: Saturday is the busiest day of most stores."""
    world, saturday = World(), int(datetime(2026, 3, 14, tzinfo=UTC).timestamp()) // 1800
    totals = [
        sum(world.trade(saturday + 48 * day + slot).sum() for slot in range(48)) for day in range(7)
    ]
    assert max(totals) == totals[0] > 1.3 * totals[3]


def test_a_few_customers_and_products_make_much_of_the_trade(
    purchases: list[dict[str, Any]],
) -> None:
    """Popularity has a heavy tail, and some shoppers stay unknown."""
    bought = [e for e in purchases if e["event_type"] == "purchase"]
    products = Counter(e["product_id"] for e in bought).most_common()
    assert sum(n for _, n in products[:100]) > 0.25 * len(bought)
    assert len(products) > 1_200
    baskets = {e["basket_id"]: e.get("customer_id") for e in bought}
    trips = Counter(baskets.values())
    guests = trips.pop(None)
    assert 0.1 < guests / len(baskets) < 0.3
    assert 5 <= trips.most_common(1)[0][1] <= 20
    assert sum(n == 1 for n in trips.values()) > 0.5 * len(trips)
    assert sum(n - 1 for n in trips.values()) > 0.15 * trips.total()


def test_a_basket_is_one_visit(purchases: list[dict[str, Any]]) -> None:
    """Lines of a basket share store, customer, payment and channel, within seconds; most have
    several lines."""
    baskets: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for e in purchases:
        if e["event_type"] == "purchase":
            baskets[e["basket_id"]].append(e)
    for lines in baskets.values():
        for name in ("store_id", "customer_id", "payment_method", "channel", "currency"):
            assert len({e.get(name) for e in lines}) == 1
        times = [instant(e["ts"]) for e in lines]
        assert times == sorted(times)
        assert times[-1] - times[0] < timedelta(seconds=30)
    sizes = Counter(len(lines) for lines in baskets.values())
    assert 2.5 < sum(n * k for n, k in sizes.items()) / len(baskets) < 5
    assert sizes[1] < 0.5 * len(baskets)


def test_returns_undo_an_earlier_purchase(purchases: list[dict[str, Any]]) -> None:
    """A return names an earlier purchase of the same product, price, store and customer, brings
    back no more than was bought, and no purchase comes back twice."""
    bought = {e["event_id"]: e for e in purchases if e["event_type"] == "purchase"}
    returns = [e for e in purchases if e["event_type"] == "return"]
    assert 0.02 < len(returns) / len(purchases) < 0.05
    assert len({e["original_event_id"] for e in returns}) == len(returns)
    for e in returns:
        original = bought[e["original_event_id"]]
        for name in ("product_id", "price", "currency", "store_id", "customer_id", "category"):
            assert e.get(name) == original.get(name)
        assert instant(e["ts"]) > instant(original["ts"])
        for name in ("quantity", *AMOUNTS):
            assert e[name] <= original[name]
    assert any(e["quantity"] < bought[e["original_event_id"]]["quantity"] for e in returns)


def test_products_sell_at_the_price_of_the_moment(
    week: Path, purchases: list[dict[str, Any]]
) -> None:
    """Each sale in dollars is at the price that the products feed gives for that instant, and
    some products are repriced several times a day."""
    prices: dict[str, list[tuple[datetime, Decimal]]] = defaultdict(list)
    for p in events(week, "products"):
        prices[p["product_id"]].append((instant(p["ts"]), p["price"]))
        assert 0 < p["cost"] < p["price"]
    assert len(prices) == 2_000
    days = Counter((i, at.date()) for i, changes in prices.items() for at, _ in changes)
    assert max(days.values()) >= 3
    seen = set()
    for e in purchases:
        if e["currency"] == "USD" and e["event_type"] == "purchase":
            valid = max(c for c in prices[e["product_id"]] if c[0] <= instant(e["ts"]))
            assert e["price"] == valid[1]
            seen.add((e["product_id"], e["price"]))
    assert len(seen) > len({p for p, _ in seen}) + 50


def test_reference_feeds_keep_the_contract_and_never_contradict_themselves(tmp_path: Path) -> None:
    """Runs with other seeds and starts may repeat a product, store or rate, never change it."""
    for n, faults in enumerate((0.0, 0.02)):
        run(
            tmp_path,
            replace(PLAIN, events=1_000, seed=n, faults=faults),
            token=str(n),
            now=NOW + timedelta(hours=7 * n),
        )
    for name in ("products", "stores", "fx_rates"):
        feed = FEEDS[name]
        known: dict[tuple[str, str], dict[str, Any]] = {}
        for row in events(tmp_path, name):
            assert set(row) == set(feed.names)
            assert known.setdefault((row[feed.key], row["ts"]), row) == row
            for f in feed.fields:
                assert not f.allowed or row[f.name] in f.allowed
        assert len(known) >= 40


def test_targets_change_no_event_and_cover_each_open_store_and_day(tmp_path: Path) -> None:
    """One target for each day of the run and store that is open on it, in the currency of the
    store; the events are the same bytes with and without them."""
    small = replace(PLAIN, events=1_000)
    for targets in (False, True):
        run(tmp_path / str(targets), replace(small, targets=targets))
    without, given = (objects(tmp_path / name) for name in ("False", "True"))
    assert [*without.values()] == [*given.values()]
    assert not list(events(tmp_path / "False", "targets"))
    rows = list(events(tmp_path / "True", "targets"))
    assert all(set(row) == set(FEEDS["targets"].names) for row in rows)
    keys = [(row["store_id"], row["sales_date"]) for row in rows]
    sales = list(events(tmp_path / "True"))
    zones = {store.store_id: ZoneInfo(store.time_zone) for store in World().stores}
    sold = {
        (sale["store_id"], str(instant(sale["ts"]).astimezone(zones[sale["store_id"]]).date()))
        for sale in sales
    }
    assert len(keys) == len(set(keys)) and sold <= set(keys)
    currencies = {sale["store_id"]: sale["currency"] for sale in sales}
    assert all(row["currency"] == currencies.get(row["store_id"], row["currency"]) for row in rows)


def test_most_returns_state_a_reason_and_no_purchase_does(purchases: list[dict[str, Any]]) -> None:
    """In words of the till; some state none."""
    stated = Counter((sale["event_type"], sale.get("return_reason")) for sale in purchases)
    assert not [reason for kind, reason in stated if kind == "purchase" and reason]
    reasons = {reason: n for (kind, reason), n in stated.items() if kind == "return"}
    assert len(reasons) > 4 and reasons["damaged"] and reasons[None]


def test_every_currency_has_a_rate_for_every_day(
    week: Path, purchases: list[dict[str, Any]]
) -> None:
    """The rates cover each currency and UTC day that has sales; the dollar is worth one."""
    rates = {(r["currency"], r["ts"][:10]): r["rate"] for r in events(week, "fx_rates")}
    assert {(e["currency"], e["ts"][:10]) for e in purchases} <= rates.keys()
    assert {r for (c, _), r in rates.items() if c == "USD"} == {Decimal(1)}
    assert len({r for (c, _), r in rates.items() if c == "EUR"}) > 3


def test_a_paced_run_keeps_its_rate(tmp_path: Path) -> None:
    """With a rate, events happen now in small objects, and the pace neither drifts nor bursts."""
    clock = Clock(cost=0.001)
    seen: list[tuple[float, int]] = []
    report = simulate(
        LocalLake(tmp_path),
        SimulationOptions(rate=700, duration=30, tick=0.5),
        now=clock.now,
        clock=clock,
        sleep=clock.sleep,
        progress=lambda r: seen.append((clock.seconds, r.events)),
    )
    assert report.events == 700 * 30
    assert 58 <= len(seen) <= 61
    for at, total in seen:
        assert abs(total - 700 * at) < 700 * 0.6
    for (_, before), (_, after) in pairwise(seen):
        assert after - before < 700 * 1.1
    times = [instant(e["ts"]) for e in events(tmp_path)]
    assert max(times) <= clock.now()
    assert min(times) >= NOW - timedelta(seconds=30)


def test_a_slow_rate_waits_for_whole_events(tmp_path: Path) -> None:
    """Less than an event per tick: nothing is put until one is due."""
    clock = Clock()
    report = simulate(
        LocalLake(tmp_path),
        SimulationOptions(rate=0.2, events=3),
        now=clock.now,
        clock=clock,
        sleep=clock.sleep,
    )
    assert report.events == 3 and len(objects(tmp_path)) == 3
    assert clock.seconds == pytest.approx(15, abs=0.2)


def test_a_computer_that_slept_does_not_owe_its_night(tmp_path: Path) -> None:
    """After a long pause a paced run goes on from now at its old pace."""
    clock = Clock()
    producer = Producer(
        LocalLake(tmp_path), SimulationOptions(rate=100), now=clock.now, clock=clock
    )
    counts = []
    for pause in (0.5, 3600.0, 0.5, 0.5):
        clock.seconds += pause
        counts.append(producer.step())
    assert counts == [50, 1_000, 50, 50]
    night = [instant(e["ts"]) for e in events(tmp_path)][50:]
    assert min(night) >= NOW + timedelta(seconds=3_550)


def test_a_clock_that_steps_back_keeps_the_order_of_arrival(tmp_path: Path) -> None:
    """Object names rise in the order of writing, and returns stay after their purchases."""
    clock, jump = Clock(), timedelta()
    producer = Producer(
        LocalLake(tmp_path),
        SimulationOptions(rate=2_000),
        now=lambda: clock.now() + jump,
        clock=clock,
    )
    arrived: list[str] = []
    for n in range(8):
        jump = timedelta(hours=-2) if n >= 4 else timedelta()
        clock.seconds += 0.5
        assert producer.step() == 1_000
        arrived += sorted(objects(tmp_path).keys() - set(arrived))
    assert arrived == sorted(arrived) and len(arrived) == 8
    written = events(tmp_path)
    times = {e["event_id"]: instant(e["ts"]) for e in written}
    for e in written:
        if e["event_type"] == "return":
            assert instant(e["ts"]) > times[e["original_event_id"]]


@pytest.mark.parametrize("faults", [0.0, 0.1])
def test_a_clock_that_jumps_by_centuries_costs_no_centuries_of_reference_rows(
    tmp_path: Path, faults: float
) -> None:
    """After each jump, ahead or back, the reference feeds describe the sales of that time."""
    clock, ahead = Clock(), timedelta()
    lake = LocalLake(tmp_path)
    options = SimulationOptions(rate=200.0, tick=1.0, faults=faults, compression="none")
    producer = Producer(lake, options, now=lambda: clock.now() + ahead, clock=clock)
    years, rows = (0, 173, 0, -20, 0, 1), list[int]()
    for year in years:
        ahead = timedelta(days=365.25 * year)
        for _ in range(3):
            clock.sleep(1)
            assert producer.step()
            rows.append(producer.report().reference_rows)
        today = (clock.now() + ahead).date().isoformat()
        rates = {(rate["currency"], rate["ts"][:10]) for rate in events(tmp_path, "fx_rates")}
        assert {(currency, today) for currency, _ in rates} <= rates
    jumps = [after - before for before, after in pairwise([0, *rows])]
    assert max(jumps) < 6 * jumps[0]
    assert not any(more for place, more in enumerate(jumps) if place % 3)


@pytest.mark.parametrize(
    "options",
    [
        SimulationOptions(events=2_000, faults=0.1, compression="none"),
        SimulationOptions(rate=100.0, duration=20, faults=0.1, compression="none"),
    ],
    ids=["history", "stream"],
)
def test_what_a_full_disk_refuses_is_written_when_there_is_room(
    options: SimulationOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines, their order and the answer key are those of a disk that was never full."""

    def produced(home: Path, puts_that_fail: float) -> tuple[list[bytes], dict[str, Any]]:
        clock, chance, put = Clock(), Random(5), LocalLake.put

        def put_perhaps(lake: LocalLake, key: str, data: bytes) -> None:
            if chance.random() < puts_that_fail:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            put(lake, key, data)

        with monkeypatch.context() as patched:
            patched.setattr(LocalLake, "put", put_perhaps)
            producer = Producer(
                LocalLake(home), options, answers=home / "answers", now=clock.now, clock=clock
            )

            def try_until_written(act: Callable[[], object]) -> None:
                while True:
                    try:
                        act()
                        return
                    except OSError:
                        pass

            while not producer.done:
                if wait := producer.due():
                    clock.sleep(wait)
                try_until_written(producer.step)
            try_until_written(producer.finish)
            path = producer.close().answer_key
        assert path
        return [line for feed in FEEDS for line in objects(home, feed).values()], {
            name: value for name, value in json.loads(path.read_text()).items() if name != "run"
        }

    refused, sound = produced(tmp_path / "refused", 0.5), produced(tmp_path / "sound", 0.0)
    assert refused == sound
    assert len(sound[0]) > 20


def test_a_run_stops_between_objects(tmp_path: Path) -> None:
    """A stop leaves whole objects and an answer key that is true for them."""
    stop: list[int] = []
    options = replace(PLAIN, faults=0.3)
    report = simulate(
        LocalLake(tmp_path),
        options,
        answers=tmp_path / "answer_key",
        now=lambda: NOW,
        progress=lambda r: stop.append(1),
        stop=lambda: len(stop) >= 2,
    )
    assert 0 < report.events < 20_000
    check_key(tmp_path)


def test_a_lake_that_refuses_leaves_a_true_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When an object cannot be stored, the key speaks of those before it."""
    lake = LocalLake(tmp_path)
    puts = lake.put

    def put(key: str, data: bytes) -> None:
        if key.endswith("00000006.ndjson"):
            raise OSError("no space left on device")
        puts(key, data)

    monkeypatch.setattr(lake, "put", put)
    with pytest.raises(OSError, match="no space"):
        simulate(lake, replace(PLAIN, faults=0.1), answers=tmp_path / "answer_key", now=lambda: NOW)
    assert check_key(tmp_path)["finished"] is False


def verdict(line: bytes) -> tuple[str | None, dict[str, Any]]:
    """The reason to reject a line, judged anew in plain Python, and its fields."""
    try:
        event = json.loads(line.decode(), parse_float=Decimal, parse_constant=refuse)
    except ValueError:
        return MALFORMED, {}
    if not isinstance(event, dict):
        return MALFORMED, {}
    for f in PURCHASES.fields:
        value = event.get(f.name)
        value = value.strip(" \t\r\n") if isinstance(value, str) else value
        if value is None or value == "":
            if f.required:
                return f.missing, event
            event[f.name] = None
            continue
        if not is_sane(f.name, value, f.type.kind):
            return f.bad, event
        event[f.name] = value.casefold() if f.fold else value
        if f.allowed and event[f.name].upper() not in (*f.allowed, "PURCHASE", "RETURN"):
            return f.bad, event
    price, quantity = Decimal(event["price"]), Decimal(event["quantity"])
    total = event["total_amount"]
    expected = price * quantity - Decimal(event["discount_amount"])
    event["total_amount"] = expected if total is None else Decimal(total)
    rounded = Decimal("0.5" if event["currency"].strip().upper() == "JPY" else "0.005")
    is_right = abs(event["total_amount"] - expected) <= rounded
    return (None if is_right else "total_mismatch"), event


def refuse(constant: str) -> None:
    raise ValueError(constant)


def is_sane(name: str, value: Any, kind: str) -> bool:
    if isinstance(value, bool | list | dict):
        return False
    if name == "ts":
        text = str(value)
        if re.fullmatch(r"\d{13}", text):
            return True
        try:
            return datetime.fromisoformat(text.upper()).tzinfo is not None
        except ValueError:
            return False
    if kind in ("decimal", "integer"):
        if not re.fullmatch(r"-?\d{1,12}(\.\d+)?(e-?\d)?", str(value), re.I):
            return False
        number = Decimal(value)
        if name == "quantity":
            return round(number, 5) > 0
        if kind == "integer":
            return number >= 1 and number == int(number)
        return number >= 0 or name == "total_amount"
    return isinstance(value, str)


def utc_day(value: Any) -> str:
    text = str(value).upper()
    if text.isdigit():
        return str(datetime.fromtimestamp(int(text) / 1000, UTC).date())
    return str(datetime.fromisoformat(text).astimezone(UTC).date())


def check_key(home: Path) -> dict[str, Any]:
    """Recounts all raw lines in plain Python and compares the only answer key of a home."""
    (path,) = (home / "answer_key").iterdir()
    key: dict[str, Any] = json.loads(path.read_text())
    lines = b"".join(objects(home).values()).split(b"\n")[:-1]
    reasons: Counter[str] = Counter()
    first: dict[str, dict[str, Any]] = {}
    accepted = 0
    for line in lines:
        reason, event = verdict(line)
        if reason:
            reasons[reason] += 1
        else:
            accepted += 1
            first.setdefault(event["event_id"].strip(), event)
    days: dict[str, dict[str, list[Decimal]]] = defaultdict(dict)
    for event in first.values():
        cell = days[utc_day(event["ts"])].setdefault(event["event_type"], [Decimal(0)] * 5)
        values = [1, event["quantity"], *(event[name] or 0 for name in AMOUNTS)]
        for n, value in enumerate(values):
            cell[n] += Decimal(value)
    assert key["lines"] == len(lines)
    assert key["accepted"] == accepted
    assert key["quarantined"] == dict(reasons)
    assert key["distinct_events"] == len(first)
    assert key["duplicates"] == accepted - len(first)
    announced = {
        day: {
            kind: [Decimal(v) for v in cells[kind].values()]
            for kind in ("purchase", "return")
            if cells[kind]["events"]
        }
        for day, cells in key["days"].items()
    }
    assert announced == days
    return key


def test_the_answer_key_equals_a_recount(tmp_path: Path) -> None:
    """Lines, reasons, duplicates and exact sums per day agree with an independent reading of raw,
    with every kind of fault present."""
    report = run(tmp_path, replace(PLAIN, faults=0.5))
    key = check_key(tmp_path)
    assert report.events == 20_000 and key["finished"]
    assert set(key["kinds"]) == {f.name for f in FAULTS}
    for fault in FAULTS:
        assert 100 < key["kinds"][fault.name] < 500
    assert key["lines"] == 20_000 + sum(key["kinds"][f.name] for f in REPEATED)
    assert sum(key["quarantined"].values()) == sum(key["kinds"][f.name] for f in REJECTED)
    net = sum(Decimal(cells["net"]["total_amount"]) for cells in key["days"].values())
    by_currency = [c for codes in key["currencies"].values() for c in codes.values()]
    assert net == sum(Decimal(c["net"]["total_amount"]) for c in by_currency)


def test_a_run_without_faults_is_all_accepted(week: Path) -> None:
    """The key of a clean run: everything accepted, nothing repeated."""
    key = check_key(week)
    assert key["accepted"] == key["distinct_events"] == key["lines"] == 20_000
    assert key["kinds"] == {}


def test_events_repeat_in_the_file_in_the_next_and_days_later(tmp_path: Path) -> None:
    """Second copies come at the end of the same object, in the next object, and much later; some
    with another time, on an earlier day."""
    run(tmp_path, replace(PLAIN, faults=0.2))
    places: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for n, data in enumerate(objects(tmp_path).values()):
        for line in data.split(b"\n"):
            reason, event = verdict(line)
            if reason is None:
                places[event["event_id"].strip()].append((n, str(event["ts"])))
    apart = Counter(b[0] - a[0] for a, b in (p for p in places.values() if len(p) == 2))
    assert apart[0] > 20 and apart[1] > 20 and sum(apart[n] for n in range(2, 12)) > 20
    moved = [p for p in places.values() if len(p) == 2 and utc_day(p[0][1]) != utc_day(p[1][1])]
    assert len(moved) > 20


@pytest.mark.parametrize("fault", [*REJECTED, *ACCEPTED], ids=lambda f: f.name)
def test_each_fault_has_one_outcome(fault: Fault, week: Path) -> None:
    """A spoiled line is rejected for the reason that its kind names, or accepted unchanged."""
    chance, source = Random(1), next(iter(objects(week).values())).splitlines()[:60]
    for line in source:
        spoiled = fault.spoil(line, chance)
        assert b"\n" not in spoiled and spoiled.strip()
        reason, event = verdict(spoiled)
        assert reason == fault.reason
        if reason is None:
            good = json.loads(line, parse_float=Decimal)
            assert event["event_id"].strip() == good["event_id"]
            assert utc_day(event["ts"]) == utc_day(good["ts"])
            for name in ("price", "quantity", *AMOUNTS):
                assert Decimal(event[name]) == good[name]
        if fault.name not in ("late_event", "future_event"):
            is_weighed = json.loads(line)["quantity"] % 1 > 0
            assert spoiled != line or (is_weighed and fault.name == "absent_total")


def test_late_and_future_events_keep_their_distance(tmp_path: Path) -> None:
    """With faults some events are 30 days late and some a day ahead, priced for their own time."""
    run(tmp_path, replace(PLAIN, events=8_000, faults=0.2))
    good = [
        e
        for line in b"".join(objects(tmp_path).values()).splitlines()
        for reason, e in [verdict(line)]
        if reason is None and not str(e["ts"]).isdigit()
    ]
    age = [NOW - instant(e["ts"].upper()) for e in good]
    assert sum(a > timedelta(days=29) for a in age) > 20
    assert any(a < timedelta(hours=-6) for a in age)
    first = min(instant(p["ts"]) for p in events(tmp_path, "products"))
    assert first < NOW - max(age)


def test_a_backfill_makes_exactly_what_was_asked() -> None:
    """Pieces follow each other in time, never exceed a batch, and add up."""
    world, end = World(), int(NOW.timestamp() * 1000)
    for count, days in ((1, 3), (999, 3), (20_000, 5), (300_000, 1)):
        plan = Backfill(world, end - days * 86_400_000 + 123, end, count)
        count_so_far, at = 0, end - days * 86_400_000 + 123
        while piece := plan.next(5_000):
            assert at <= piece.start < piece.end <= end and 0 < piece.count <= 5_000
            count_so_far, at = count_so_far + piece.count, piece.end
        assert count_so_far == count and plan.done


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"events": -1},
        {"rate": 0.0},
        {"events": 5, "faults": 1.5},
        {"events": 5, "seed": -1},
        {"events": 5, "compression": "lzma"},
        {"duration": 5.0},
        {"rate": 5.0, "duration": -1.0},
        {"rate": 5.0, "start": NOW},
        {"events": 5, "start": NOW.replace(tzinfo=None)},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    """Options that cannot be met raise SettingsError before anything is written."""
    with pytest.raises(SettingsError):
        SimulationOptions(**wrong)


def test_an_answer_key_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """A home that is a file is refused in one line, before any event."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(MedallionError, match="answer key"):
        simulate(LocalLake(tmp_path / "home"), PLAIN, answers=tmp_path / "file" / "answer_key")
    assert not (tmp_path / "home").exists()


def test_the_owners_command_streams_until_interrupted(tmp_path: Path) -> None:
    """`cd src && python generate_events.py` streams, and ends cleanly at Ctrl-C with a summary."""
    process = subprocess.Popen(
        [sys.executable, "generate_events.py", "--home", str(tmp_path), "--faults", "0.1"],
        cwd=SRC,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        for _ in range(300):
            if len(objects(tmp_path)) >= 2:
                break
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
        process.send_signal(2)
        out, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    assert re.search(r"events in .* s \(.*\): .* lines in \d+ objects", out)
    assert check_key(tmp_path)["lines"] > 0


def test_the_owners_command_makes_a_given_number(tmp_path: Path) -> None:
    """`--events` without `--rate` makes past days at once; a wrong option exits 2 in one line."""
    command = [sys.executable, "generate_events.py", "--home", str(tmp_path)]
    done = subprocess.run(
        [*command, "--events", "700", "--compression", "none"],
        cwd=SRC,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and len(events(tmp_path)) == 700
    wrong = subprocess.run(
        [*command, "--rate", "-3"], cwd=SRC, capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 2 and "--rate must be above 0" in wrong.stderr
    assert "Traceback" not in wrong.stderr
