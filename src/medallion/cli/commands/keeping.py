"""The verbs that replace what a home holds: rebuild, forget."""

from __future__ import annotations

import sys

import click

from medallion.cli.commands.stages import cleaned
from medallion.cli.commands.verbs import as_json, verb
from medallion.cli.printing.progress import progress
from medallion.cli.printing.report import REFUSED, print_json, say
from medallion.cli.printing.state import say_copies
from medallion.errors import SettingsError, shortened
from medallion.operations.erasure import ForgetReport, forget
from medallion.operations.rebuild import DROP, KEEP, RebuildReport, rebuild
from medallion.platforms.home import freed_by_removing, remove_replaced
from medallion.platforms.platform import Platform
from medallion.platforms.warehouse import relations, warehouse_path


@verb(stopped="stopped; the home is as it was, or 'medallion run --events 0' completes the new one")
@click.option(
    "--keep-missing",
    "missing",
    flag_value=KEEP,
    help="Carry over what bronze holds of raw objects that are gone.",
)
@click.option(
    "--drop-missing",
    "missing",
    flag_value=DROP,
    help="Leave it out; the old bronze and warehouse are kept.",
)
@click.option("--remove-old", is_flag=True, help="Only remove what earlier rebuilds have kept.")
@as_json
def rebuild_(platform: Platform, missing: str | None, remove_old: bool, as_json: bool) -> None:
    """Make everything again from raw/, beside the old, and swap it in when the audit holds.

    Exit code 1 says that rows would be lost.
    """
    platform.require_home()
    platform.require_existing()
    if remove_old:
        with platform.lock():
            copies = remove_replaced(platform.home)
        if as_json:
            print_json({str(folder): size for folder, size in copies.items()})
        elif copies:
            say_copies("removed", copies)
        else:
            say("removed    nothing: no rebuild has kept a copy")
        return
    with platform.lock(), progress("rebuilding") as tell:
        report = rebuild(platform, missing, progress=tell)
    if as_json:
        print_json(vars(report) | {"audit": report.audit.holds})
    else:
        _print_rebuilt(report)


@verb(stopped="stopped; 'medallion forget --resume' finishes an erasure that had begun")
@click.option("--customer", help="The customer_id to forget.")
@click.option("--resume", is_flag=True, help="Finish an erasure that was interrupted.")
@as_json
def forget_(platform: Platform, customer: str | None, resume: bool, as_json: bool) -> None:
    """Replace a customer's id by a random pseudonym everywhere; exit 1 when it is still there."""
    if (customer is None) != resume:
        raise SettingsError("give either --customer ID or --resume")
    platform.require_existing()
    with platform.lock(erasing=True), progress("searching") as tell:
        report = forget(platform, customer, progress=tell)
    if as_json:
        print_json(vars(report))
    if customer is not None and not (report.was_found or report.left):
        searched = sum(report.searched.values())
        raise SettingsError(
            f"no customer {customer} is in any of {searched:,} files, and nothing was changed"
            f"{_nearest_customer(platform, customer)}"
        )
    if not as_json:
        _print_forgotten(report)
    if report.left:
        sys.exit(REFUSED)


def _nearest_customer(platform: Platform, customer: str) -> str:
    """Return the end of a sentence that names an id which differs by a slip of the finger."""
    if platform.snowflake or not warehouse_path(platform.home).exists():
        return ""
    with platform.reader() as warehouse:
        if "silver.purchases_silver" not in relations(warehouse):
            return ""
        rows = warehouse.execute(
            "SELECT customer_id FROM silver.purchases_silver "
            "WHERE damerau_levenshtein(customer_id, ?) <= 2 "
            "ORDER BY damerau_levenshtein(customer_id, ?), customer_id LIMIT 1",
            [customer, customer],
        ).fetchall()
    return f"; did you mean {rows[0][0]}?" if rows else ""


def _print_rebuilt(report: RebuildReport) -> None:
    compared = "with nothing: the warehouse before was of another version, or none"
    if report.differences is not None:
        differing = ", ".join(
            f"{count:,} rows of {name}" for name, count in report.differences.items()
        )
        compared = f"{differing} differ from before"
    say(
        cleaned(report.cleaned),
        f"loaded     {report.rows:,} rows",
        f"built      {report.models} models",
        f"compared   {compared}",
        f"audited    all {len(report.audit.checks)} checks hold",
        f"swapped in after {report.seconds:.1f} s",
    )
    for word, keys in (("carried", report.carried), ("left out", report.dropped)):
        if keys:
            say(f"{word:<10} what only bronze held of {len(keys):,} raw objects:")
            say(*(f"  {key}" for key in shortened(keys)))
    if report.raw_from:
        say(
            f"retired    raw/ holds what arrived from {report.raw_from:%Y-%m-%d} on, which was "
            "cleaned anew; what arrived before is as bronze had it"
        )
    if report.old_copy:
        say_copies("old copy", {report.old_copy: freed_by_removing(report.old_copy)})


def _print_forgotten(report: ForgetReport) -> None:
    done, searched = report.rewritten, report.searched
    if report.was_found:
        say(
            f"rewritten  {done.raw_lines:,} lines in {done.raw_objects:,} raw objects, "
            f"{done.bronze_rows:,} rows and {done.quarantined_lines:,} rejected lines in "
            f"{done.bronze_objects:,} bronze objects; the customer is now {report.pseudonym}"
        )
    if report.landed_rows:
        say(f"Snowflake  {report.landed_rows:,} landed rows rewritten, all models built anew")
    looked = ", ".join(f"{count:,} {kind}" for kind, count in searched.items())
    say(f"searched   {looked}: the id is in {len(report.left):,} places")
    say(*(f"  {place}" for place in report.left), colour="yellow")
    if kept := report.kept:
        say(
            f"kept       Time Travel keeps the old content of up to {kept.tables:,} tables until "
            f"{kept.time_travel_until:%Y-%m-%d %H:%M} UTC, Fail-safe that of "
            f"{kept.permanent_tables:,} permanent ones until "
            f"{kept.fail_safe_until:%Y-%m-%d %H:%M} UTC; no statement in the query history names "
            "the id"
        )
