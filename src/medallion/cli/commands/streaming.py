"""The verbs that move events: run, up, simulate, dashboard."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from random import Random
from typing import Any

import click
from rich.console import Console

from medallion.audit import audit
from medallion.cli.commands.stages import cleaned, say_not_taken, superseded
from medallion.cli.commands.verbs import (
    as_json,
    faults,
    max_rejected,
    reporting,
    say_other_versions,
    seed,
    targets,
    verb,
)
from medallion.cli.commands.watching import watching
from medallion.cli.commands.year import say_retired
from medallion.cli.printing.live_view import live_view
from medallion.cli.printing.progress import Tell, progress
from medallion.cli.printing.report import REFUSED, Tally, print_json, say, say_aside
from medallion.cli.printing.state import print_audit, print_days, print_layers
from medallion.errors import MedallionError
from medallion.lake.raw import unreadable
from medallion.lake.receipts import Receipt
from medallion.layers.staging import other_versions
from medallion.operations.retention import retained
from medallion.operations.status import layers, reporting_currency, revenue_by_day
from medallion.outputs.dashboard.server import Served, dashboard
from medallion.pipeline import ALL, BatchReport, Pipeline, open_pipeline, stream
from medallion.platforms.platform import Platform
from medallion.platforms.warehouse import keep_memory
from medallion.process import NOTHING_LOST, Duration, current_ending, exit_when_stopped
from medallion.simulation import Producer, SimulationOptions, calm_tick, simulate

DEFAULT_EVENTS = 300_000
HOST, COLLECT_PORT = "127.0.0.1", 8787

port = click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=8501,
    show_default=True,
    help="Where the dashboard listens, on 127.0.0.1.",
)
names = click.option(
    "--name",
    "names",
    multiple=True,
    help="Also answer to this name, as of a proxy on this machine. [localhost, 127.0.0.1]",
)


@verb()
@click.option(
    "--events",
    type=click.IntRange(min=0),
    default=DEFAULT_EVENTS,
    show_default=True,
    help="Simulated events; 0 takes only what already waits in raw/.",
)
@seed
@faults
@targets
@reporting
@max_rejected
@as_json
def run(
    platform: Platform,
    events: int,
    seed: int,
    faults: float,
    targets: bool,
    max_rejected: float | None,
    as_json: bool,
) -> None:
    """Bring N simulated events, and all that waits in raw/, to gold; then audit."""
    started, tally, steps = time.monotonic(), Tally(), list[str]()
    if not events and not platform.snowflake:
        platform.require_existing()
    with open_pipeline(platform, say_aside) as pipeline, progress("starting") as tell:
        keep_memory(pipeline.warehouse)
        if events:
            options = SimulationOptions(events=events, seed=seed, faults=faults, targets=targets)
            answers = platform.home / "answer_key"
            steps.append(f"simulated  {simulate(pipeline.lake, options, answers=answers)}")
        batch = pipeline.advance(build=ALL, progress=_counting(tally, tell), stage=tell)
        tally.failures = batch.failures | unreadable(pipeline.lake)
        tell("counting")
        rows = layers(pipeline.lake, pipeline.warehouse)
        currency = reporting_currency(pipeline.warehouse)
        days, older = revenue_by_day(pipeline.warehouse, 7), other_versions(pipeline.warehouse)
        report = audit(
            pipeline.lake,
            pipeline.warehouse,
            home=platform.home,
            chance=Random(),
            progress=lambda key: tell(f"audit {key}"),
        )
    if as_json:
        summary = {"layers": rows, "audit": report, "failures": tally.failures}
        print_json(summary | {"rejected": tally.as_json()})
    else:
        say(*steps, *_stages(batch))
        print_layers(rows)
        print_days(days, currency)
        print_audit(report)
        tally.print()
        say_other_versions(older)
        say_not_taken(platform)
        say(f"done in {time.monotonic() - started:.1f} s; the data is in {platform.home}")
    tally.exit_when_refused(max_rejected)
    if not report.holds:
        sys.exit(REFUSED)


@verb()
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=500.0,
    show_default=True,
    help="Simulated events per second.",
)
@click.option("--duration", type=Duration(), help="Stop after so long: 90, 90s, 15m. [Ctrl-C]")
@port
@names
@click.option("--no-dashboard", is_flag=True, help="Stream without the dashboard.")
@click.option("--no-simulator", is_flag=True, help="Only what other producers put into raw/.")
@click.option(
    "--collect",
    "collects",
    is_flag=True,
    help=f"Also take events by HTTP, on {HOST}:{COLLECT_PORT}, as 'medallion collect' does.",
)
@seed
@faults
@targets
@reporting
@max_rejected
def up(
    platform: Platform,
    rate: float,
    duration: float | None,
    port: int,
    names: tuple[str, ...],
    no_dashboard: bool,
    no_simulator: bool,
    collects: bool,
    seed: int,
    faults: float,
    targets: bool,
    max_rejected: float | None,
) -> None:
    """Stream live, from events to gold and the dashboard, until Ctrl-C."""
    served: Served | None = None
    stop = current_ending().stop(lambda: served.process.terminate() if served else None)
    if duration is not None and no_simulator:
        timer = threading.Timer(duration, stop.set)
        timer.daemon = True
        timer.start()
    tally, console = Tally(), Console(highlight=False)
    with ExitStack() as opened:
        view = opened.enter_context(live_view(console, platform.home))
        pipeline = opened.enter_context(open_pipeline(platform, say_aside))
        _retire(platform, pipeline)
        if not no_dashboard:
            served = opened.enter_context(dashboard(platform.home, port, names))
        if collects:
            from medallion.collector import Keys, collector

            keys = Keys.from_environment(os.environ)
            opened.enter_context(collector(platform.lake, platform.home, HOST, COLLECT_PORT, keys))
        producer = None
        if not no_simulator:
            options = SimulationOptions(
                rate=rate,
                duration=duration,
                seed=seed,
                faults=faults,
                tick=calm_tick(rate),
                targets=targets,
            )
            producer = Producer(pipeline.lake, options, answers=platform.home / "answer_key")
        opened.enter_context(
            watching(platform, lambda change: console.print(str(change), markup=False))
        )
        address = f"dashboard at {served.url}" if served else "no dashboard"
        console.print(f"streaming into {platform.lake.url}; {address}; Ctrl-C stops", markup=False)
        failures = stream(
            pipeline, producer, stop, report=view, progress=tally.add, notice=say_aside
        )
        tally.failures = failures | unreadable(pipeline.lake)
        if current_ending().exit_code is None:
            print_layers(layers(pipeline.lake, pipeline.warehouse))
    current_ending().message = f"stopped after {tally.lines:,} lines; {NOTHING_LOST}"
    exit_when_stopped()
    tally.print()
    tally.exit_when_refused(max_rejected)


def _retire(platform: Platform, pipeline: Pipeline) -> None:
    """Remove the objects that are older than the settings of the home keep them."""
    receipts = "SELECT 1 FROM staging.receipts LIMIT 1"
    if pipeline.warehouse.execute(receipts).fetchone() is None:
        return
    try:
        reports = retained(platform, platform.file.raw_days, platform.file.bronze_days)
    except MedallionError as error:
        say_aside(f"not all old objects were retired: {error}")
    else:
        say_retired({layer: report for layer, report in reports.items() if report.objects})


@verb(stopped="stopped; every event that was acknowledged is in raw/")
@click.option("--host", default=HOST, show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=COLLECT_PORT,
    show_default=True,
    help="The port to listen on; 0 for one that is free.",
)
def collect(platform: Platform, host: str, port: int) -> None:
    """Receive events by HTTP, until Ctrl-C; each answer comes after they are safe in raw/."""
    from medallion.collector import Keys, collector

    stop = current_ending().stop()
    keys = Keys.from_environment(os.environ)
    with collector(platform.lake, platform.home, host, port, keys) as collecting:
        say(f"collecting at {collecting.url}/v1/purchases; Ctrl-C stops")
        sys.stdout.flush()
        while collecting.thread.is_alive() and not stop.wait(0.2):
            pass
    counts = collecting.counts
    current_ending().message = (
        f"stopped after {counts.requests:,} requests with {counts.lines:,} lines, now in "
        f"{counts.objects:,} objects under raw/"
    )


@verb(stopped="stopped")
@port
@names
def dashboard_(platform: Platform, port: int, names: tuple[str, ...]) -> None:
    """Show the published snapshots in a browser, until Ctrl-C."""
    platform.require_home()
    platform.require_existing()
    stop = current_ending().stop()
    with dashboard(platform.home, port, names) as served:
        say(f"dashboard at {served.url}; Ctrl-C stops")
        while served.process.poll() is None and not stop.wait(0.2):
            pass


@verb()
@click.option("--events", type=click.IntRange(min=0), help="How many. [300000; no end with --rate]")
@click.option("--duration", type=Duration(), help="With --rate: how long: 90, 90s, 15m.")
@click.option(
    "--rate",
    type=float,
    help="Events per second, happening now; without it they are spread over past days.",
)
@seed
@faults
@targets
@click.option(
    "--compression",
    type=click.Choice(["zstd", "gzip", "none"]),
    default="zstd",
    show_default=True,
    help="How raw objects are stored.",
)
def simulate_(platform: Platform, events: int | None, rate: float | None, **options: Any) -> None:
    """Put simulated events into raw/, and no more."""
    if events is None and rate is None:
        events = DEFAULT_EVENTS
    stop = current_ending().stop()
    asked = SimulationOptions(events=events, rate=rate, **options)
    if rate is not None:
        say(f"simulating into {platform.lake.url}/raw; Ctrl-C stops")
    with progress("simulating") as tell:
        report = simulate(
            platform.lake,
            asked,
            answers=platform.home / "answer_key",
            stop=stop.is_set,
            progress=lambda report: tell(f"simulating: {report}"),
        )
    current_ending().message = f"stopped    {report}"
    exit_when_stopped()
    say(f"simulated  {report}")


def _counting(tally: Tally, tell: Tell) -> Callable[[Receipt], None]:
    def count(receipt: Receipt) -> None:
        tally.add(receipt)
        tell(f"cleaning: {tally.lines:,} lines so far, last of {receipt.source_file}")

    return count


def _stages(batch: BatchReport) -> list[str]:
    seconds = {name: f"({taken:.1f} s)" for name, taken in batch.seconds.items()}
    models = len(batch.transformed.models) if batch.transformed else 0
    return [
        f"{cleaned(batch.cleaned)} {seconds['clean']}",
        f"loaded     {batch.loaded.rows:,} rows {seconds['load']}",
        *superseded(batch.loaded),
        f"built      {models} models {seconds.get('transform', '')}",
    ]
