"""Micro-batches: they give the same rows as a build from nothing, and a fast simulator is
paused."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from rich.console import Console

from medallion import pipeline as stream
from medallion.cli.printing.live_view import live_view
from medallion.lake.receipts import Receipt
from medallion.layers.bronze import CleanReport
from medallion.layers.staging import LoadReport
from medallion.platforms import warehouse
from medallion.platforms.platform import Platform
from medallion.settings import Settings
from medallion.simulation import Producer, SimulationOptions, schedule
from tests.conftest import Cli, drop, event

Query = Callable[[Path, str], list[dict[str, Any]]]
RATE = 2_000
BUILT_BY_BATCHES = (
    "purchases_silver",
    "purchases_gold",
    "live_sales",
    "live_today",
    "live_products",
)


def test_micro_batches_leave_what_a_full_refresh_makes(
    tmp_path: Path, cli: Cli, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream with faults, late events among them, then all of it again from staging. The log of
    the warehouse, whose rows are in memory, too, stays short."""
    monkeypatch.setattr(warehouse, "LOG_BYTES", 0)
    log = tmp_path / f"{warehouse.WAREHOUSE_FILE}.wal"
    platform = Platform.of(Settings(tmp_path))
    with stream.open_pipeline(platform) as pipeline:
        options = SimulationOptions(rate=400, events=1_600, faults=0.1)
        seconds = itertools.count(step=0.2)  # of a clock that each look at it moves on
        producer = Producer(platform.lake, options, clock=lambda: float(next(seconds)))
        builds = itertools.chain([stream.ALL], itertools.cycle([stream.LIVE, stream.MARTS]))
        batches = 0
        while not producer.done:
            if producer.due() <= 0:
                producer.step()
                pipeline.advance(build=next(builds))
                assert not log.exists() or not log.stat().st_size
                require_published(tmp_path, pipeline.warehouse, "marts.sales_hourly_product")
                batches += 1
        producer.finish()
        pipeline.advance(build=stream.MARTS)
    assert batches > 5

    def rows() -> dict[str, Any]:
        return {
            name: query(
                tmp_path, f"SELECT COLUMNS(lambda c: c <> 'load_seq') FROM {name} ORDER BY ALL"
            )
            for name in BUILT_BY_BATCHES
        }

    by_batches = rows()
    assert cli(tmp_path, "transform", "--full-refresh").exit_code == 0
    assert rows() == by_batches
    result = cli(tmp_path, "transform", "--test", "--select", "tag:live")
    assert result.exit_code == 0, result.output


def require_published(home: Path, db: duckdb.DuckDBPyConnection, relation: str) -> None:
    """Fail unless the newest snapshot has the rows of a relation that is published by month."""
    folder = home / "gold" / (home / "gold" / "CURRENT").read_text()
    files = f"read_parquet('{folder}/{relation.partition('.')[2]}.*.parquet')"
    (published,) = db.execute(f"SELECT count(*), sum(hash(r)) FROM {files} AS r").fetchall()
    (built,) = db.execute(f"SELECT count(*), sum(hash(r)) FROM {relation} AS r").fetchall()
    assert published == built


def test_marts_wait_for_a_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that comes builds what people watch; the marts are built once the producer rests,
    so that the next object need not wait for them."""
    platform = Platform.of(Settings(tmp_path))
    monkeypatch.setattr(stream, "RESTING", 600.0)
    monkeypatch.setattr(stream, "MARTS_EVERY", 600.0)
    with stream.open_pipeline(platform) as pipeline:
        product = {"product_id": "P1", "ts": "2026-03-01T09:00:00Z", "product_name": "Milk"}
        drop(tmp_path, "products/first.ndjson", json.dumps(product | {"price": 2}))
        drop(tmp_path, "first.ndjson", event(), event(event_id="e0", price=-1))
        first = pipeline.advance()
        assert (first.events, first.cleaned.lines, first.cleaned.quarantined) == (1, 3, 1)
        drop(tmp_path, "second.ndjson", event(event_id="e2"))
        built = pipeline.advance().transformed
        assert built and "live_sales" in built.models and "sales_hourly" not in built.models
        assert pipeline.advance().transformed is None
        monkeypatch.setattr(stream, "RESTING", 0.0)
        built = pipeline.advance().transformed
        assert built and {"live_sales", "sales_hourly", "dim_products"} <= built.models.keys()
        assert pipeline.advance().transformed is None


def test_a_start_shows_what_is_new_before_it_builds_all(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all models stand, built by the same project with the same settings; else all are built
    in the first pass. Either way the last pass leaves nothing to build."""
    drop(tmp_path, "old.ndjson", event())
    assert cli(tmp_path, "run", "--events", "0").exit_code == 0
    monkeypatch.setattr(stream, "MARTS_EVERY", 6.0)

    def models_of_first_passes(name: str) -> list[set[str]]:
        settings = Settings.from_environment({}, tmp_path)
        with stream.open_pipeline(Platform.of(settings)) as pipeline:
            passes = [pipeline.advance().transformed]
            drop(tmp_path, f"{name}.ndjson", event(event_id=name))
            passes.append(pipeline.advance().transformed)
            time.sleep(stream.MARTS_EVERY)
            passes += [pipeline.advance().transformed for _ in range(2)]
        return [set(built.models) if built else set() for built in passes]

    nothing_new, new, after_a_while, last = models_of_first_passes("new")
    assert not nothing_new and new == {"silver", "gold", "live_sales"}
    assert "data_quality" in after_a_while and not last
    assert (tmp_path / "gold" / "CURRENT").read_text() == "v3"
    (tmp_path / "medallion.toml").write_text('reporting_currency = "EUR"\n')
    at_once, *_, last = models_of_first_passes("after other settings")
    assert "data_quality" in at_once and not last


def test_the_view_counts_events_and_lines_apart(tmp_path: Path) -> None:
    """From the first moment on, within 80 columns: a product is a line and no event."""
    out = io.StringIO()
    cleaned = CleanReport(lines=3, accepted=2, quarantined=1)
    batch = stream.BatchReport(cleaned, LoadReport(rows=2), seconds={"clean": 0.1}, events=1)
    with live_view(Console(file=out, force_terminal=True, width=80), tmp_path) as view:
        view(batch)
    shown = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", out.getvalue())
    assert "every model is built once" in shown
    assert "1 events in 3 lines of all feeds" in shown
    assert re.search(r"quarantined +1 lines, 33.33% of these lines", shown)
    assert re.search(r"● idle +newest event –, last batch –", shown)


def test_what_a_stream_remembers_hides_nothing_new(tmp_path: Path, query: Query) -> None:
    """An object that grew in its place, one that was only touched, and one whose rows could not be
    loaded at once: the next pass does right by each, and nothing is loaded twice."""
    platform = Platform.of(Settings(tmp_path))
    hidden = tmp_path / "hidden.parquet"

    def hide(receipt: Receipt) -> None:
        (output,) = receipt.outputs
        (tmp_path / output).rename(hidden)

    with stream.open_pipeline(platform) as pipeline:
        path = drop(tmp_path, "grows.ndjson", event())
        assert pipeline.advance().rows == 1
        with path.open("a") as file:
            file.write(event(event_id="e2") + "\n")
        assert pipeline.advance().rows == 2
        os.utime(path, (1e9, 1e9))
        assert pipeline.advance().rows == 0
        drop(tmp_path, "late.ndjson", event(event_id="e3"))
        report = pipeline.advance(progress=hide)
        assert report.rows == 0 and len(report.failures) == 1
        assert pipeline.advance().failures == report.failures
        (key,) = report.failures
        stem = Path(key).stem
        hidden.rename(tmp_path / f"bronze/purchases/dt=2026-03-01/{stem}-0000.parquet")
        assert pipeline.advance().rows == 1
        assert not pipeline.advance().rows
    counted = "SELECT count(*) AS n FROM purchases_silver"
    assert query(tmp_path, counted) == [{"n": 3}]


def test_a_producer_that_is_too_fast_is_held_back(
    tmp_path: Path, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits in raw/ stays within the bound and the object at hand; in the end all of it is in
    gold."""
    monkeypatch.setattr(stream, "BACKLOG", 1_000)
    monkeypatch.setattr(schedule, "FORGIVEN", 0.5)
    platform = Platform.of(Settings(tmp_path))
    waiting = []
    with stream.open_pipeline(platform) as pipeline:
        options = SimulationOptions(rate=RATE, events=6_000)
        producer = Producer(platform.lake, options)
        step = producer.step

        def watched() -> Any:
            step()
            waiting.append(producer.report().lines - pipeline.lines_taken)

        monkeypatch.setattr(producer, "step", watched)
        stream.stream(pipeline, producer, threading.Event())
    assert max(waiting) <= 1_000 + 0.5 * RATE
    (row,) = query(tmp_path, "SELECT count(*) AS n FROM purchases_silver")
    assert row["n"] == 6_000
