"""The command line: one verb, one function, which takes the platform, calls a stage and prints its
report."""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import duckdb

from medallion import __version__
from medallion.audit import AuditReport, audit
from medallion.cleaning.receipts import Receipt
from medallion.dashboard.server import Served, dashboard
from medallion.doctor import examine
from medallion.erasure import ForgetReport, forget
from medallion.errors import MedallionError, SettingsError
from medallion.export import export
from medallion.freshness import freshness
from medallion.heartbeat import read_runner
from medallion.importing import import_complete_journey, import_files
from medallion.layers.bronze import clean
from medallion.layers.marts import SNOWFLAKE, Transformer, publish
from medallion.layers.staging import Loader, create_tables, waiting_objects
from medallion.live_view import live_view
from medallion.platforms.platform import Platform
from medallion.process import Duration, leave_at_once, show_progress, stop_on_signals
from medallion.rebuild import RebuildReport, rebuild
from medallion.replay import CHOSEN, ReplayReport, chosen, replay
from medallion.report import console, print_audit, print_json, print_rows
from medallion.settings import Settings
from medallion.simulation import Producer, SimulationOptions, calm_tick, simulate
from medallion.status import layers, newest, revenue_by_day
from medallion.stream import ALL, BatchReport, open_pipeline, stream

DEFAULT_EVENTS = 300_000
PATIENCE = 1.5
"""Seconds that Ctrl-C leaves a batch to end."""


def verb(group: click.Group, function: Callable[..., None]) -> click.Command:
    """What all verbs share: a name, the platform, and errors as one line with exit code 2."""

    @group.command(function.__name__.rstrip("_"))
    @click.option(
        "--home",
        type=click.Path(path_type=Path),
        default=None,
        help="Where the data lies. [MEDALLION_HOME, or ./data]",
    )
    @functools.wraps(function)
    def run(home: Path | None, **options: Any) -> None:
        try:
            settings = Settings.from_environment(os.environ, home)
            function(Platform.of(settings), **options)
        except MedallionError as error:
            _fail(str(error))
        except (OSError, duckdb.IOException, duckdb.OutOfMemoryException) as error:
            _fail(str(error).splitlines()[0])

    return run


def _fail(message: str) -> None:
    click.echo(f"error: {message}", err=True)
    sys.exit(2)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Purchase events from raw JSON to gold: nothing lost, nothing counted twice."""


command = functools.partial(verb, main)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
seed = click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=7,
    show_default=True,
    help="Another seed tells another story of the same stores.",
)
faults = click.option(
    "--faults",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of events with a fault, such as 0.02.",
)


port = click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=8501,
    show_default=True,
    help="Where the dashboard listens, on 127.0.0.1.",
)


@command
@click.option(
    "--events",
    type=click.IntRange(min=0),
    default=DEFAULT_EVENTS,
    show_default=True,
    help="Simulated events; 0 takes only what already waits in raw/.",
)
@seed
@faults
@as_json
def run(here: Platform, events: int, seed: int, faults: float, as_json: bool) -> None:
    """Bring N simulated events, and all that waits in raw/, to gold; then audit."""
    started = time.monotonic()
    with open_pipeline(here) as pipeline:
        if events:
            options = SimulationOptions(events=events, seed=seed, faults=faults)
            made = simulate(pipeline.lake, options, answers=here.home / "answer_key")
            _say(as_json, f"simulated  {made}")
        batch = pipeline.advance(build=ALL, progress=_cleaned_object)
        _say(as_json, *_stages(batch))
        rows = layers(pipeline.lake, pipeline.warehouse)
        days = revenue_by_day(pipeline.warehouse, 7)
        report = audit(pipeline.lake, pipeline.warehouse, progress=lambda _: None)
    if as_json:
        print_json({"layers": rows, "audit": report, "failures": batch.failures})
    else:
        _print_layers(rows)
        _print_days(days)
        print_audit(report)
        _print_failures(batch.failures)
        console.print(f"done in {time.monotonic() - started:.1f} s; the data is in {here.home}")
    _exit(report)


@command
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=500.0,
    show_default=True,
    help="Simulated events per second.",
)
@click.option("--duration", type=Duration(), help="Stop after so long: 90, 90s, 15m. [Ctrl-C]")
@port
@click.option("--no-dashboard", is_flag=True, help="Stream without the dashboard.")
@click.option("--no-simulator", is_flag=True, help="Only what other producers put into raw/.")
@seed
@faults
def up(
    here: Platform,
    rate: float,
    duration: float | None,
    port: int,
    no_dashboard: bool,
    no_simulator: bool,
    seed: int,
    faults: float,
) -> None:
    """Stream live, from events to gold and the dashboard, until Ctrl-C."""
    served: Served | None = None

    def abandon() -> None:
        """Whatever is at hand is done again by the next start, as after any kill."""
        if served:
            served.process.kill()
        click.echo("stopped within a batch; the next start goes on with it", err=True)
        leave_at_once()

    patience = threading.Timer(PATIENCE, abandon)
    patience.daemon = True

    def hurry() -> None:
        patience.start()
        if served:
            served.process.terminate()

    stop = stop_on_signals(hurry)
    if duration is not None and no_simulator:
        timer = threading.Timer(duration, stop.set)
        timer.daemon = True
        timer.start()
    with ExitStack() as opened:
        opened.callback(patience.cancel)
        view = opened.enter_context(live_view(console, here.home))
        pipeline = opened.enter_context(open_pipeline(here))
        if not no_dashboard:
            served = opened.enter_context(dashboard(here.home, port))
        producer = None
        if not no_simulator:
            options = SimulationOptions(
                rate=rate, duration=duration, seed=seed, faults=faults, tick=calm_tick(rate)
            )
            producer = Producer(pipeline.lake, options, answers=here.home / "answer_key")
        address = f"dashboard at {served.url}" if served else "no dashboard"
        console.print(f"streaming into {here.lake.url}; {address}; Ctrl-C stops")
        stream(pipeline, producer, stop, report=view)
        _print_layers(layers(pipeline.lake, pipeline.warehouse))


@command
@port
def dashboard_(here: Platform, port: int) -> None:
    """Show the published snapshots in a browser, until Ctrl-C."""
    here.require_home()
    stop = stop_on_signals()
    with dashboard(here.home, port) as served:
        console.print(f"dashboard at {served.url}; Ctrl-C stops")
        while served.process.poll() is None and not stop.wait(0.2):
            pass


@command
@click.option("--events", type=click.IntRange(min=0), help="How many. [300000; no end with --rate]")
@click.option("--duration", type=Duration(), help="With --rate: how long: 90, 90s, 15m.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Events per second, happening now; without it they are spread over past days.",
)
@seed
@faults
@click.option(
    "--compression",
    type=click.Choice(["zstd", "gzip", "none"]),
    default="zstd",
    show_default=True,
    help="How raw objects are stored.",
)
def simulate_(here: Platform, events: int | None, rate: float | None, **options: Any) -> None:
    """Put simulated events into raw/, and no more."""
    if events is None and rate is None:
        events = DEFAULT_EVENTS
    stop = stop_on_signals()
    asked = SimulationOptions(events=events, rate=rate, **options)
    report = simulate(here.lake, asked, answers=here.home / "answer_key", stop=stop.is_set)
    console.print(f"simulated  {report}")


@command
@click.argument("sources", nargs=-1, required=True, metavar="complete-journey | PATH...")
@click.option(
    "--mapping",
    type=click.Path(path_type=Path),
    help="How the columns of your files become fields: a TOML file, see docs/importing.md.",
)
@as_json
def import_(here: Platform, sources: tuple[str, ...], mapping: Path | None, as_json: bool) -> None:
    """Put real data into raw/: the Complete Journey data set, or your own files."""
    lake, now = here.lake, datetime.now(UTC)
    if mapping is None and sources != ("complete-journey",):
        raise SettingsError("your own files need --mapping FILE.toml; docs/importing.md shows one")
    if mapping is None:
        report = import_complete_journey(lake, now=now, progress=show_progress)
    else:
        report = import_files(sources, mapping, lake, now=now, progress=show_progress)
    if as_json:
        print_json(report)
    else:
        for feed, made in report.feeds.items():
            known = f", {made.present_rows:,} were there already" if made.present_rows else ""
            known += f", {made.broken:,} could not be read as rows" if made.broken else ""
            console.print(f"imported   {made.rows:,} {feed} in {made.objects:,} objects{known}")
        _print_failures({failure.path: failure.reason for failure in report.failures})
    if report.failures:
        sys.exit(1)


@command
@as_json
def clean_(here: Platform, as_json: bool) -> None:
    """One pass of the cleaner: raw/ to bronze, quarantine and receipts."""
    with here.lock():
        report = clean(here.lake, progress=_cleaned_object)
    if as_json:
        print_json(report)
        return
    console.print(_cleaned(report))
    _print_failures(report.failures)


@command
@as_json
def load(here: Platform, as_json: bool) -> None:
    """One pass of the loader: bronze into the staging tables."""
    if here.snowflake:
        _say_what_snowpipe_loads(here, as_json)
        return
    with here.lock(), here.warehouse() as warehouse:
        report = Loader(here.lake, warehouse).load()
        warehouse.execute("CHECKPOINT")
    if as_json:
        print_json(report)
        return
    console.print(f"loaded     {report.rows:,} rows of {report.objects:,} objects")
    _print_failures(report.failures)


@command
@click.option("--full-refresh", is_flag=True, help="Build every model anew from staging.")
@click.option("--test", "with_tests", is_flag=True, help="Run the data tests afterwards.")
@click.option("--select", help="Only these models, in dbt's own syntax.")
def transform(here: Platform, full_refresh: bool, with_tests: bool, select: str | None) -> None:
    """One run of dbt: staging to silver, gold and the marts, then the published snapshot."""
    with here.lock(), ExitStack() as opened:
        if here.snowflake:
            # Who cannot sign in shall hear it in one line, before dbt tries.
            opened.enter_context(here.reader())
            transformer = Transformer(here.home, SNOWFLAKE)
        else:
            warehouse = opened.enter_context(here.warehouse())
            transformer = Transformer(here.home)
            create_tables(warehouse)
        report = transformer.run(select=select, full_refresh=full_refresh)
        if not here.snowflake:
            publish(here.home, warehouse, transformer.published())
        tested = transformer.test(select=select) if with_tests else None
        transformer.close()
        if not here.snowflake:
            warehouse.execute("CHECKPOINT")
    console.print(f"built      {len(report.models)} models")
    if tested and tested.failed_tests:
        console.print("\n".join(tested.failed_tests), style="red", markup=False)
        sys.exit(1)


@command
@as_json
def status(here: Platform, as_json: bool) -> None:
    """Where each layer stands, what waits, how fresh it is."""
    now = datetime.now(UTC)
    with here.reader() as warehouse:
        rows = layers(here.lake, warehouse)
        clock = newest(warehouse)
    runner = None if here.snowflake else read_runner(here.home)
    fresh = str(freshness(clock, runner, now))
    if as_json:
        *rows, gold = rows
        print_json([*rows, replace(gold, note="; ".join(filter(None, (gold.note, fresh))))])
    else:
        _print_layers(rows)
        console.print(f"freshness  {fresh}", markup=False)


@command
@as_json
def audit_(here: Platform, as_json: bool) -> None:
    """Count everything anew, from the raw bytes on; exit 1 when a promise is broken."""
    with here.reader() as warehouse:
        report = audit(here.lake, warehouse, progress=lambda _: None)
    if as_json:
        print_json({"holds": report.holds, **vars(report)})
    else:
        print_audit(report)
    _exit(report)


@command
@as_json
def rebuild_(here: Platform, as_json: bool) -> None:
    """Make everything again from raw/, beside the old, and swap it in when the audit holds."""
    here.require_home()
    with here.lock():
        report = rebuild(here, progress=show_progress)
    if as_json:
        print_json(vars(report) | {"audit": report.audit.holds})
    else:
        _print_rebuilt(report)


@command
@click.option("--customer", help="The customer_id to forget.")
@click.option("--resume", is_flag=True, help="Finish an erasure that was interrupted.")
@as_json
def forget_(here: Platform, customer: str | None, resume: bool, as_json: bool) -> None:
    """Replace a customer's id by a random pseudonym everywhere; exit 1 when it is still there."""
    if (customer is None) != resume:
        raise SettingsError("give either --customer ID or --resume")
    here.require_home()
    with here.lock(erasing=True):
        report = forget(here, customer, progress=show_progress)
    if as_json:
        print_json(vars(report))
    else:
        _print_forgotten(report)
    if report.left:
        sys.exit(1)


@command
@click.argument("sql")
@as_json
def query(here: Platform, sql: str, as_json: bool) -> None:
    """Read the warehouse with SQL; --json prints an array with one object a row."""
    columns, rows = here.query(sql)
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_rows("", columns, rows)


@command
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["parquet", "csv"]),
    default="parquet",
    show_default=True,
    help="CSV is safe to open in a spreadsheet: no text becomes a formula.",
)
@click.option("--only", multiple=True, help="This relation; may be given again. [all]")
@click.option(
    "--hyper",
    type=click.Path(path_type=Path),
    help="Also a Tableau extract, FILE.hyper; needs the extra 'hyper'.",
)
@as_json
def export_(here: Platform, folder: Path, as_json: bool, **options: Any) -> None:
    """Write gold and marts as files into FOLDER, for other tools."""
    report = export(here, folder, **options)
    if as_json:
        print_json(report)
        return
    extract = f" and {report.hyper}" if report.hyper else ""
    console.print(
        f"exported   {sum(report.rows.values()):,} rows of {len(report.rows)} relations to "
        f"{report.folder}{extract}",
        markup=False,
    )


@command
@as_json
def doctor(here: Platform, as_json: bool) -> None:
    """Whether this machine is ready; exit 1 when something needed is missing."""
    findings = examine(here.home)
    if as_json:
        print_json(findings)
    else:
        print_rows(
            "Doctor",
            ("what", "found", "", "how to mend it"),
            [
                (
                    f.what,
                    f.found,
                    "ok" if f.ready else "MISSING" if f.needed else "optional",
                    "" if f.ready else f.mend,
                )
                for f in findings
            ],
        )
    if any(f.needed and not f.ready for f in findings):
        sys.exit(1)


@main.group()
def quarantine() -> None:
    """What was rejected, and why."""


quarantine_command = functools.partial(verb, quarantine)


@quarantine_command
@as_json
def list_(here: Platform, as_json: bool) -> None:
    """Rejected lines by feed and reason, with an example each."""
    columns = ("feed", "reason", "lines", "example")
    with here.reader() as warehouse:
        rows = warehouse.execute(
            "SELECT feed, reason, count(*), "
            "min(source_file || ':' || CAST(source_line AS VARCHAR)) "
            "FROM staging.quarantine GROUP BY feed, reason ORDER BY 3 DESC, 1, 2"
        ).fetchall()
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_rows("Quarantine", columns, rows)


@quarantine_command
@click.option("--reason", help="Only lines with this reason.")
@click.option("--file", "file", help="Only lines of this raw object, such as raw/till.jsonl.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@as_json
def show(here: Platform, reason: str | None, file: str | None, limit: int, as_json: bool) -> None:
    """Rejected lines with their original text."""
    columns = ("source_file", "source_line", "reason", "raw")
    with here.reader() as warehouse:
        rows = warehouse.execute(
            f"SELECT source_file, source_line, reason, raw {CHOSEN} "
            f"ORDER BY source_file, source_line LIMIT {limit}",
            chosen(reason, file),
        ).fetchall()
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_rows("Quarantine", columns, rows)


@quarantine_command
@click.option("--reason", help="Only lines with this reason.")
@click.option("--file", "file", help="Only lines of this raw object, such as raw/till.jsonl.")
@as_json
def replay_(here: Platform, reason: str | None, file: str | None, as_json: bool) -> None:
    """Send again what today's rules accept, into raw/: the next run takes it."""
    with here.reader() as warehouse:
        report = replay(here.lake, warehouse, reason, file)
    if as_json:
        print_json(vars(report))
    else:
        _print_replayed(report)


def _cleaned_object(receipt: Receipt) -> None:
    show_progress(f"cleaned {receipt.source_file}")


def _say_what_snowpipe_loads(here: Platform, as_json: bool) -> None:
    """Nothing is triggered: Snowpipe hears of each object from the bucket."""
    with here.reader() as warehouse:
        waiting = waiting_objects(here.lake, warehouse)
    if as_json:
        print_json({"objects": 0, "rows": 0, "failures": {}, "waiting": waiting})
        return
    console.print(
        "loaded     nothing from here: in Snowflake, Snowpipe loads what arrives; "
        f"{waiting:,} bronze objects wait for it"
    )


def _print_layers(rows: list[Any]) -> None:
    newest = [f"{row.newest:%Y-%m-%d %H:%M:%S}Z" if row.newest else None for row in rows]
    print_rows(
        "Layers",
        ("layer", "", "count", "newest", "note"),
        [(r.layer, r.unit, r.count, at, r.note) for r, at in zip(rows, newest, strict=True)],
    )


def _print_days(days: list[tuple[Any, ...]]) -> None:
    columns = (
        "day (store-local)",
        "transactions",
        "lines",
        "net sales USD",
        "returns USD",
        "no rate",
    )
    print_rows("Revenue by day, the last of them", columns, days)


def _print_rebuilt(report: RebuildReport) -> None:
    compared = "with nothing: the warehouse before was of another version, or none"
    if report.differences is not None:
        told = ", ".join(f"{count:,} rows of {name}" for name, count in report.differences.items())
        compared = f"{told} differ from before"
    _say(
        False,
        _cleaned(report.cleaned),
        f"loaded     {report.rows:,} rows",
        f"built      {report.models} models",
        f"compared   {compared}",
        f"audited    all {len(report.audit.checks)} checks hold",
        f"swapped in after {report.seconds:.1f} s",
    )


def _print_replayed(report: ReplayReport) -> None:
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in report.refused.most_common())
    _say(
        False,
        f"sent       {report.sent:,} lines in {len(report.objects)} objects under raw/",
        f"refused    {report.refused.total():,} lines as before{': ' if reasons else ''}{reasons}",
        f"left       {report.before:,} lines that were sent before, {report.cut:,} not whole",
    )


def _print_forgotten(report: ForgetReport) -> None:
    done, searched = report.rewritten, report.searched
    if report.found:
        console.print(
            f"rewritten  {done.raw_lines:,} lines in {done.raw_objects:,} raw objects, "
            f"{done.bronze_rows:,} rows and {done.quarantined_lines:,} rejected lines in "
            f"{done.bronze_objects:,} bronze objects; the customer is now {report.pseudonym}"
        )
    looked = ", ".join(f"{count:,} {kind}" for kind, count in searched.items())
    console.print(f"searched   {looked}: the id is in {len(report.left):,} places")
    for place in report.left:
        console.print(f"  {place}", style="yellow", markup=False)


def _print_failures(failures: dict[str, str]) -> None:
    for key, why in failures.items():
        console.print(f"  not taken: {key}: {why}", style="yellow", markup=False)


def _cleaned(report: Any) -> str:
    return (
        f"cleaned    {report.lines:,} lines of {report.objects:,} objects: {report.accepted:,} "
        f"accepted, {report.quarantined:,} quarantined, {report.blank:,} blank"
    )


def _stages(batch: BatchReport) -> list[str]:
    seconds = {name: f"({taken:.1f} s)" for name, taken in batch.seconds.items()}
    models = len(batch.transformed.models) if batch.transformed else 0
    return [
        f"{_cleaned(batch.cleaned)} {seconds['clean']}",
        f"loaded     {batch.loaded.rows:,} rows {seconds['load']}",
        f"built      {models} models {seconds.get('transform', '')}",
    ]


def _say(quiet: bool, *lines: str) -> None:
    for line in [] if quiet else lines:
        console.print(line, markup=False)


def _exit(report: AuditReport) -> None:
    if not report.holds:
        sys.exit(1)


if __name__ == "__main__":
    main()
