"""The verbs that only read: status, audit, query, export, doctor."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import click

from medallion.audit import audit
from medallion.cli.commands.verbs import NOTHING_CHANGED, as_json, reading, say_other_versions, verb
from medallion.cli.printing.output import print_answer
from medallion.cli.printing.progress import progress
from medallion.cli.printing.report import REFUSED, print_json, print_rows, say
from medallion.cli.printing.state import print_audit, print_layers, say_copies
from medallion.errors import SettingsError
from medallion.lake.raw import not_taken
from medallion.layers.staging import other_versions
from medallion.operations.freshness import freshness
from medallion.operations.status import layers, newest
from medallion.outputs.prometheus import write_textfile
from medallion.platforms.heartbeat import read_runner
from medallion.platforms.home import replaced_copies
from medallion.platforms.platform import Platform


@verb(stopped=NOTHING_CHANGED)
@as_json
@click.option(
    "--prometheus",
    "textfile",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write the counters for node exporter, into FILE.prom.",
)
def status(platform: Platform, as_json: bool, textfile: Path | None) -> None:
    """Show what each layer holds, what waits, how fresh it is, and what in raw/ is not taken."""
    now = datetime.now(UTC)
    with reading(platform) as warehouse, progress("counting"):
        rows, older = layers(platform.lake, warehouse), other_versions(warehouse)
        clock = newest(warehouse)
    runner = None if platform.snowflake else read_runner(platform.home)
    fresh = freshness(clock, runner, now)
    if textfile:
        write_textfile(textfile, rows, fresh)
    others = not_taken(platform.lake)
    if as_json:
        raw, *rest, gold = rows
        gold = replace(gold, note="; ".join(filter(None, (gold.note, str(fresh)))))
        print_json([asdict(raw) | {"not_taken": others}, *rest, gold])
        return
    print_layers(rows)
    say(f"freshness  {fresh}")
    say_other_versions(older)
    say_copies("old copy", replaced_copies(platform.home))
    for key, why in others.items():
        say(f"  not taken: {key}: {why}", colour="yellow")


@verb(stopped=NOTHING_CHANGED)
@click.option(
    "--all", "whole", is_flag=True, help="Compare the values of every line, not of a sample."
)
@as_json
def audit_(platform: Platform, whole: bool, as_json: bool) -> None:
    """Count everything anew, from the raw bytes on; exit 1 when a promise is broken."""
    with reading(platform) as warehouse, progress("reading raw/") as tell:
        report = audit(
            platform.lake,
            warehouse,
            home=None if platform.snowflake else platform.home,
            chance=None if whole else Random(),
            progress=lambda key: tell(f"reading {key}"),
        )
    if as_json:
        print_json({"holds": report.holds, **vars(report)})
    else:
        print_audit(report)
    if not report.holds:
        sys.exit(REFUSED)


@verb(stopped=NOTHING_CHANGED)
@click.argument("sql")
@as_json
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, with a line of column names.")
@click.option("--limit", type=click.IntRange(min=0), help="Print at most so many rows. [all]")
def query(platform: Platform, sql: str, as_json: bool, as_csv: bool, limit: int | None) -> None:
    """Read the warehouse with SQL; --json prints an array with one object a row."""
    if as_json and as_csv:
        raise SettingsError("give either --json or --csv")
    form = "json" if as_json else "csv" if as_csv else "table"
    with platform.query(sql) as answer:
        print_answer(answer, form, limit)


@verb(stopped="stopped; nothing was exported")
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
def export_(platform: Platform, folder: Path, as_json: bool, **options: Any) -> None:
    """Write gold and marts as files into FOLDER, for other tools."""
    from medallion.outputs.export import export

    with progress("exporting"):
        report = export(platform, folder, **options)
    if as_json:
        print_json(report)
        return
    extract = f" and {report.hyper}" if report.hyper else ""
    say(
        f"exported   {sum(report.rows.values()):,} rows of {len(report.rows)} relations to "
        f"{report.folder}{extract}"
    )


@verb(stopped=NOTHING_CHANGED)
@as_json
def doctor(platform: Platform, as_json: bool) -> None:
    """Check whether this machine is ready; exit 1 when something needed is missing."""
    from medallion.operations.doctor import examine

    findings = examine(platform.home)
    if as_json:
        print_json(findings)
    else:
        print_rows(
            "Doctor",
            ("what", "found", "", "how to mend it"),
            [
                (
                    f.what,
                    f.state,
                    "ok" if f.ready else "NOT READY" if f.needed else "optional",
                    "" if f.ready else f.mend,
                )
                for f in findings
            ],
        )
    if any(f.needed and not f.ready for f in findings):
        sys.exit(REFUSED)
