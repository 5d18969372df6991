"""The verbs of one stage each: import, clean, load, transform."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from medallion.cli.commands.verbs import as_json, max_rejected, reporting, verb
from medallion.cli.printing.progress import progress
from medallion.cli.printing.report import Tally, print_json, say, say_aside
from medallion.errors import SettingsError, did_you_mean
from medallion.lake.raw import not_taken, unreadable
from medallion.lake.receipts import Receipt
from medallion.layers.bronze import CleanReport, clean
from medallion.layers.staging import Loader, LoadReport, staged_settings, take_over, waiting_objects
from medallion.platforms.platform import Platform
from medallion.platforms.warehouse import Warehouse, keep_memory, relations

if TYPE_CHECKING:
    from medallion.importing import Failure, Preview

COMPLETE_JOURNEY = "complete-journey"


@verb()
@click.argument("sources", nargs=-1, required=True, metavar="complete-journey | PATH...")
@click.option(
    "--mapping",
    type=click.Path(path_type=Path),
    help="How the columns of your files become fields: a TOML file, see docs/importing.md.",
)
@click.option("--preview", is_flag=True, help="Show the first events and rejects; write nothing.")
@as_json
def import_(
    platform: Platform,
    sources: tuple[str, ...],
    mapping: Path | None,
    preview: bool,
    as_json: bool,
) -> None:
    """Put real data into raw/: the Complete Journey data set, or your own files."""
    from medallion.importing import import_complete_journey, import_files, preview_files

    lake, now = platform.lake, datetime.now(UTC)
    if mapping is None and sources != (COMPLETE_JOURNEY,):
        raise SettingsError(_without_mapping(sources))
    if preview:
        if mapping is None:
            raise SettingsError("--preview shows your own files, and needs --mapping FILE.toml")
        with progress("reading"):
            shown = preview_files(sources, mapping)
        _print_preview(shown, as_json)
        return
    with progress("reading") as tell:
        if mapping is None:
            report = import_complete_journey(lake, now=now, progress=tell)
        else:
            report = import_files(sources, mapping, lake, now=now, progress=tell)
    if as_json:
        print_json(report)
    else:
        for feed, counts in report.feeds.items():
            more = f", {counts.present_rows:,} were there already" if counts.present_rows else ""
            more += f", {counts.broken:,} could not be read as rows" if counts.broken else ""
            say(f"imported   {counts.rows:,} {feed} in {counts.objects:,} objects{more}")
        if report.events:
            say("  events:    " + ", ".join(f"{n:,} {kind}" for kind, n in report.events.items()))
        _say_left_out(report.left_out, report.failures)
    if report.failures:
        sys.exit(1)


def _print_preview(preview: Preview, as_json: bool) -> None:
    """Print a preview; exit with 1 when a file cannot be read."""
    if as_json:
        print_json(preview)
    else:
        rejected = sum(preview.rejected.values())
        judged = "" if preview.is_whole else "the first lines of each file: "
        say(
            f"preview    {judged}{preview.accepted:,} lines would be accepted, {rejected:,} "
            "rejected; nothing was written"
        )
        for kind, lines in preview.events.items():
            say(f"  {kind}:", *(f"    {line}" for line in lines))
        for reject in preview.rejects:
            say(f"  {reject.reason}: {reject.why}", colour="yellow")
            say(f"    {reject.line}")
        _say_left_out(preview.left_out, preview.failures)
    if preview.failures:
        sys.exit(1)


def _say_left_out(left_out: Mapping[str, int], failures: Iterable[Failure]) -> None:
    for reason, rows in left_out.items():
        say(f"  left out:  {rows:,}: {reason}")
    for failure in failures:
        say(f"  not taken: {failure.path}: {failure.reason}", colour="yellow")


def _without_mapping(sources: tuple[str, ...]) -> str:
    """Say what is wrong with sources that come without a mapping."""
    for source in sources:
        hint = did_you_mean(source, [COMPLETE_JOURNEY])
        if hint and not Path(source).exists():
            return f"{source} is neither a file nor a data set{hint}"
    return "your own files need --mapping FILE.toml; docs/importing.md shows one"


@verb()
@max_rejected
@as_json
def clean_(platform: Platform, max_rejected: float | None, as_json: bool) -> None:
    """Clean what is new in raw/: into bronze, quarantine and receipts."""
    platform.require_existing()
    tally = Tally()
    with platform.lock(), progress("looking for new objects in raw/") as tell:

        def count(receipt: Receipt) -> None:
            tally.add(receipt)
            tell(f"cleaning: {tally.lines:,} lines so far, last of {receipt.source_file}")

        report = clean(platform.lake, progress=count, notice=say_aside)
    report.failures |= unreadable(platform.lake)
    tally.failures = report.failures
    if as_json:
        print_json(report)
    else:
        say(cleaned(report))
        tally.print()
        say_not_taken(platform)
    tally.exit_when_refused(max_rejected)


def cleaned(report: CleanReport) -> str:
    """Return the line of what a pass of the cleaner did."""
    return (
        f"cleaned    {report.lines:,} lines of {report.objects:,} objects: {report.accepted:,} "
        f"accepted, {report.quarantined:,} quarantined, {report.blank:,} blank"
    )


def say_not_taken(platform: Platform) -> None:
    """Say how much lies under raw/ that no cleaner takes."""
    if others := len(not_taken(platform.lake)):
        what = "1 file or folder" if others == 1 else f"{others:,} files or folders"
        say(
            f"passed by  {what} under raw/ that cannot be taken: 'medallion status' says why",
            colour="yellow",
        )


@verb()
@as_json
def load(platform: Platform, as_json: bool) -> None:
    """Load what is new in bronze into the staging tables."""
    if platform.snowflake:
        _say_what_snowpipe_loads(platform, as_json)
        return
    platform.require_existing()
    with (
        platform.lock(),
        platform.warehouse(anew=say_aside) as warehouse,
        progress("loading bronze"),
    ):
        report = Loader(platform.lake, warehouse).load()
        warehouse.execute("CHECKPOINT")
    tally = Tally(failures=report.failures)
    if as_json:
        print_json(report)
    else:
        say(f"loaded     {report.rows:,} rows of {report.objects:,} objects")
        say(*superseded(report))
        tally.print()
    tally.exit_when_refused()


def superseded(report: LoadReport) -> list[str]:
    """Return the line on raw objects of which a newer version counts now; none without such."""
    if not report.superseded:
        return []
    objects = "1 raw object" if report.superseded == 1 else f"{report.superseded:,} raw objects"
    return [f"rewritten  the newest version counts of {objects} that had been loaded before"]


def _say_what_snowpipe_loads(platform: Platform, as_json: bool) -> None:
    """Nothing is triggered: Snowpipe hears of each object from the bucket."""
    with platform.reader() as warehouse:
        waiting = waiting_objects(platform.lake, warehouse)
    if as_json:
        print_json({"objects": 0, "rows": 0, "failures": {}, "waiting": waiting})
        return
    say(
        "loaded     nothing from here: in Snowflake, Snowpipe loads what arrives; "
        f"{waiting:,} bronze objects wait for it"
    )


@verb()
@click.option("--full-refresh", is_flag=True, help="Build every model anew from staging.")
@click.option("--test", "with_tests", is_flag=True, help="Run the data tests afterwards.")
@click.option("--select", help="Only these models, in dbt's own syntax.")
@reporting
def transform(platform: Platform, full_refresh: bool, with_tests: bool, select: str | None) -> None:
    """Run dbt, from staging to silver, gold and the marts; then publish a snapshot."""
    from medallion.layers.losses import require_no_smaller_snapshot, require_whole_staging
    from medallion.layers.snapshots import publish
    from medallion.layers.transform import Transformer

    platform.require_existing()
    unbuilt: list[str] = []
    with platform.lock(), ExitStack() as opened:
        tell = opened.enter_context(progress("reading the dbt project"))
        if platform.snowflake:
            # Who cannot sign in shall hear it in one line, before dbt tries.
            reader = opened.enter_context(platform.reader())
            _require_the_accounts_settings(platform, reader)
            transformer = Transformer(platform.home, None, progress=tell)
        else:
            warehouse = opened.enter_context(platform.warehouse())
            keep_memory(warehouse)
            transformer = Transformer(platform.home, warehouse, progress=tell)
            take_over(warehouse, platform.reporting)
        transformer.require(select, full_refresh=full_refresh)
        if full_refresh:
            require_whole_staging(reader if platform.snowflake else warehouse)
        report = transformer.run(select=select, full_refresh=full_refresh)
        if not platform.snowflake:
            tell("publishing")
            require_no_smaller_snapshot(platform.home, warehouse)
            published = transformer.published()
            unbuilt = sorted(published.keys() - relations(warehouse))
            if not unbuilt:
                publish(platform.home, warehouse, published)
        tested = transformer.test(select=select) if with_tests else None
        transformer.close()
        if not platform.snowflake:
            warehouse.execute("CHECKPOINT")
    say(f"built      {len(report.models)} models")
    if unbuilt:
        say(
            f"published  nothing: {len(unbuilt)} relations were never built, {unbuilt[0]} among "
            "them; 'medallion transform' builds them all",
            colour="yellow",
        )
    if tested:
        say(f"tested     {tested.tests} data tests, {len(tested.failed_tests)} failed")
        say(*tested.failed_tests, colour="red")
        if tested.failed_tests:
            sys.exit(1)


def _require_the_accounts_settings(platform: Platform, warehouse: Warehouse) -> None:
    """Raise SettingsError when the home has other settings than the account.

    The account's own count, because its task builds the models, too.
    """
    account = staged_settings(warehouse)
    for name, wanted in vars(platform.reporting).items():
        there = getattr(account, name) or "not set"
        if wanted not in (None, there):
            raise SettingsError(
                f"{name} is {wanted} in the home and {there} in the account, whose settings count: "
                "docs/snowflake.md shows how to change them"
            )
