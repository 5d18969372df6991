"""The verbs that keep a home small over the years: compact, retain."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from medallion.cli.commands.verbs import as_json, verb
from medallion.cli.printing.progress import progress
from medallion.cli.printing.report import REFUSED, print_json, say
from medallion.errors import SettingsError
from medallion.operations.compaction import compact
from medallion.operations.retention import RetentionReport, retained
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
    "raw_days",
    type=Age(),
    help="Remove raw objects that are older: 400d. [raw under [retention] in medallion.toml]",
)
@click.option(
    "--bronze",
    "bronze_days",
    type=Age(),
    help="Remove bronze objects that are older: 800d. [bronze under [retention]]",
)
@as_json
def retain_(
    platform: Platform, raw_days: int | None, bronze_days: int | None, as_json: bool
) -> None:
    """Remove old objects of raw/ or of bronze; receipts and rows in the warehouse stay, and count.

    Without an option, the ages in medallion.toml count.
    """
    platform.require_existing()
    if raw_days is None and bronze_days is None:
        raw_days, bronze_days = platform.file.raw_days, platform.file.bronze_days
    if raw_days is None and bronze_days is None:
        raise SettingsError(
            "say how old a raw object must be: --raw 400d, or, for good, the lines [retention] and "
            f'raw = "400d" in {platform.home / FILE}; for bronze objects: --bronze 800d'
        )
    with platform.lock(), progress("looking for old objects") as tell:
        reports = retained(platform, raw_days, bronze_days, tell)
    if as_json:
        print_json({layer: vars(report) for layer, report in reports.items()})
    else:
        say_retired(reports)


def say_retired(reports: Mapping[str, RetentionReport]) -> None:
    """Say what was retired, and why other old objects were kept."""
    holders = {"raw": "bronze", "bronze": "the warehouse"}
    for layer, report in reports.items():
        say(
            f"retired    {report.objects:,} {layer} objects of {report.bytes / 1e6:,.1f} MB that "
            f"arrived before {report.before:%Y-%m-%d}; {holders[layer]} alone holds their rows"
        )
        for key, why in report.kept.items():
            say(f"  kept: {key}: {why}", colour="yellow")
        if report.not_compacted:
            say(
                f"  kept: {report.not_compacted:,} objects that are not compacted yet: 'medallion "
                "compact' takes those of past days",
                colour="yellow",
            )
