"""The verbs that keep a home small over the years: compact, retain."""

from __future__ import annotations

import sys
from typing import Any

import click

from medallion.cli.commands.verbs import as_json, verb
from medallion.cli.printing.progress import progress
from medallion.cli.printing.report import REFUSED, print_json, say
from medallion.errors import SettingsError
from medallion.operations.compaction import compact
from medallion.operations.retention import RetentionReport, retain
from medallion.platforms.platform import Platform
from medallion.settings import FILE, days_of


class Age(click.ParamType[int]):
    """A command line type for a number of days."""

    name = "age"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """Return the days of an age."""
        days = days_of(str(value))
        if not days:
            self.fail(f"{value!r} is no age: write a number of days, as 400d", param, ctx)
        return days


@verb(stopped="stopped; nothing is lost, and 'medallion compact' goes on")
@as_json
def compact_(platform: Platform, as_json: bool) -> None:
    """Make few objects of the many small ones that bronze has of past days."""
    platform.require_existing()
    with platform.lock(), progress("compacting") as tell:
        report = compact(platform, progress=tell)
    if as_json:
        print_json(vars(report))
    else:
        say(
            f"compacted  {report.receipts:,} receipts and their rows: {report.objects_before:,} "
            f"objects of {report.bytes_before / 1e6:,.1f} MB became {report.objects_after:,} of "
            f"{report.bytes_after / 1e6:,.1f} MB"
        )
        if report.not_loaded:
            say(f"  not loaded yet, and left as they are: {report.not_loaded:,} receipts")
        for key, why in report.failures.items():
            say(f"  not compacted: {key} and what was cleaned with it: {why}", colour="yellow")
    if report.failures:
        sys.exit(REFUSED)


@verb(stopped="stopped; nothing is lost, and the same command goes on")
@click.option(
    "--raw",
    "age",
    type=Age(),
    help="Remove raw objects that are older: 400d. [raw under [retention] in medallion.toml]",
)
@as_json
def retain_(platform: Platform, age: int | None, as_json: bool) -> None:
    """Remove old raw objects; their receipts and their rows in bronze stay, and still count."""
    platform.require_existing()
    if (age := age or platform.file.raw_days) is None:
        raise SettingsError(
            "say how old a raw object must be: --raw 400d, or, for good, the lines [retention] and "
            f'raw = "400d" in {platform.home / FILE}'
        )
    with platform.lock(), progress("looking for old raw objects") as tell:
        report = retain(platform, age, progress=tell)
    if as_json:
        print_json(vars(report))
        return
    say_retired(report)


def say_retired(report: RetentionReport) -> None:
    """Say what was retired, and why other old objects were kept."""
    say(
        f"retired    {report.objects:,} raw objects of {report.bytes / 1e6:,.1f} MB that arrived "
        f"before {report.before:%Y-%m-%d}; bronze alone holds their rows"
    )
    for key, why in report.kept.items():
        say(f"  kept: {key}: {why}", colour="yellow")
