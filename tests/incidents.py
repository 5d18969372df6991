"""A shop of six weeks with the simulator's rhythm: a clean week, then one with planted incidents.

Only what the rules of the alarms read is there. The answer key says what was planted, and when.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import duckdb
import numpy as np
import pyarrow as pa

from medallion.layers.staging import create_tables
from medallion.operations.alarms import Alarm, look
from medallion.platforms.heartbeat import Runner
from medallion.platforms.warehouse import SCHEMAS
from medallion.simulation.world import SLOT_MS, World

BATCH = timedelta(minutes=5)
START = datetime(2026, 3, 1, tzinfo=UTC)
CLEAN = START + timedelta(weeks=4)
PLANTED = START + timedelta(weeks=5)
END = START + timedelta(weeks=6)
LASTS, RATE = timedelta(minutes=30), 2_000
"""How long an incident lasts; and how many lines an hour there are in the mean."""
TAIL = timedelta(minutes=65)
"""What the rules still see of an incident that is over."""
KINDS = (
    ("silence", ""),
    ("quarantine", "bad_price"),
    ("unknown field", "loyalty_tier"),
    ("sales", "third"),
    ("late", ""),
    ("freshness", ""),
    ("sales", "tenfold"),
)
"""The rule that must name an incident, and its variant."""


@dataclass(frozen=True)
class Incident:
    """Something that was planted; `rule` must name it."""

    rule: str
    variant: str
    begins: datetime

    @property
    def ends(self) -> datetime:
        """The end of it."""
        return self.begins + LASTS

    def reaches(self, now: datetime) -> bool:
        """Whether the rules may still see it."""
        return self.begins < now <= self.ends + TAIL


def answer_key(count: int = 20) -> list[Incident]:
    """The incidents: three a day, at hours when shops are open somewhere."""
    hours = [PLANTED + timedelta(days=d, hours=h) for d in range(7) for h in (9, 14, 19)]
    variants = [KINDS[i % len(KINDS)] for i in range(count)]
    return [
        Incident(rule, variant + (str(i) if rule == "unknown field" else ""), at)
        for i, ((rule, variant), at) in enumerate(zip(variants, hours, strict=False))
    ]


def shop(incidents: list[Incident], seed: int = 7) -> duckdb.DuckDBPyConnection:
    """The tables that the rules read, of six weeks in batches of five minutes."""
    chance, world = np.random.default_rng(seed), World()
    first, size = int(START.timestamp()), int(BATCH.total_seconds())
    edges = first + size * np.arange(int((END - START) / BATCH))
    trade = np.array([world.trade(int(e * 1000 // SLOT_MS)).sum() for e in edges])
    lines = chance.poisson(trade / trade.mean() * RATE * size / 3600)
    batch = np.repeat(np.arange(len(edges)), lines)
    ts = edges[batch] + chance.random(len(batch)) * size
    net = np.round(chance.lognormal(2.5, 0.7, len(batch)), 2)
    rejected = [dict[str, int]() for _ in edges]
    unknown = [dict[str, int]() for _ in edges]
    for number in chance.choice(len(edges), len(edges) // 3, replace=False):
        rejected[number] = {"bad_price": 1}  # the usual
    kept = np.ones(len(batch), bool)
    for incident in incidents:
        start, end = incident.begins.timestamp(), incident.ends.timestamp()
        hit = (ts >= start) & (ts < end)
        numbers = np.flatnonzero((edges >= start) & (edges < end))
        if incident.rule == "silence":
            kept &= ~hit
        elif incident.variant == "third":
            kept &= ~(hit & (chance.random(len(ts)) < 0.67))
        elif incident.variant == "tenfold":
            net[hit] *= 10
        elif incident.rule == "late":
            late = hit & (chance.random(len(ts)) < 0.3)
            ts[late] -= 2 * 86_400
        for number in numbers:
            if incident.rule == "quarantine":
                rejected[number] = {incident.variant: max(5, int(lines[number] * 0.1))}
            elif incident.rule == "unknown field":
                unknown[number] = {incident.variant: max(5, int(lines[number] * 0.3))}
    sales = pa.table(
        {
            "event_id": pa.array(np.arange(kept.sum())).cast(pa.string()),
            "source_file": pa.array(batch[kept]).cast(pa.string()),
            "ts": _times(ts[kept]),
            "ingested_at": _times(edges[batch[kept]] + size),
            "loaded_at": _times(edges[batch[kept]] + size),
            "load_seq": batch[kept],
            "currency": pa.array(np.full(kept.sum(), "EUR")),
            "net_amount": net[kept],
        }
    )
    bad = np.array([sum(r.values()) for r in rejected])
    accepted = np.bincount(batch[kept], minlength=len(edges))
    arrivals = pa.table(
        {
            "feed": pa.array(np.full(len(edges), "purchases")),
            "source_file": pa.array(np.arange(len(edges))).cast(pa.string()),
            "modified_at": _times(edges + size),
            "lines": accepted + bad,
            "blank": np.zeros(len(edges), int),
            "reasons": pa.array([json.dumps(r) for r in rejected]),
            "unknown_fields": pa.array([json.dumps(u) for u in unknown]),
        }
    )
    return _warehouse(sales, arrivals)


def _times(seconds: np.ndarray) -> pa.Array:
    return pa.array((seconds * 1e6).astype(np.int64)).cast(pa.timestamp("us"))


def _warehouse(sales: pa.Table, arrivals: pa.Table) -> duckdb.DuckDBPyConnection:
    warehouse = duckdb.connect()
    for schema in SCHEMAS:
        warehouse.execute(f"CREATE SCHEMA {schema}")
    create_tables(warehouse)
    warehouse.register("sales", sales)
    warehouse.register("arrivals", arrivals)
    warehouse.execute("CREATE TABLE silver.purchases_silver AS FROM sales ORDER BY ts")
    warehouse.execute(
        "INSERT INTO staging.purchases BY NAME SELECT * EXCLUDE (net_amount) FROM sales"
    )
    warehouse.execute("INSERT INTO staging.receipts BY NAME FROM arrivals")
    return warehouse


def looks(
    warehouse: duckdb.DuckDBPyConnection,
    incidents: list[Incident],
    first: datetime,
    last: datetime,
    every: timedelta = BATCH,
) -> Iterator[tuple[datetime, list[Alarm]]]:
    """What the rules say after each batch, a second after it arrived."""
    now = first + timedelta(seconds=1)
    while now <= last:
        yield now, look(warehouse, now, _runner(incidents, now), without=("audit",))
        now += every


def _runner(incidents: list[Incident], now: datetime) -> Runner:
    stuck = [i for i in incidents if i.rule == "freshness" and i.begins < now <= i.ends]
    return Runner(1, stuck[0].begins if stuck else now, now)
