"""What was rejected: list, show, replay."""

from __future__ import annotations

from typing import Any

import click

from medallion.cleaning.explain import explain
from medallion.cli.commands.verbs import NOTHING_CHANGED, as_json, reading, verb
from medallion.cli.printing.progress import progress
from medallion.cli.printing.report import print_json, print_rows, say
from medallion.cli.printing.text import shown
from medallion.contract import FEEDS
from medallion.errors import SettingsError, did_you_mean
from medallion.operations.replay import CHOSEN, ReplayReport, chosen, replay
from medallion.platforms.platform import Platform
from medallion.platforms.warehouse import Warehouse


@click.group()
def quarantine() -> None:
    """Show what was rejected, and why; send it again."""


reason_option = click.option("--reason", help="Only lines with this reason.")
file_option = click.option(
    "--file", "file", help="Only lines of this raw object, such as raw/till.jsonl."
)


@verb(group=quarantine, stopped=NOTHING_CHANGED)
@as_json
def list_(platform: Platform, as_json: bool) -> None:
    """Rejected lines by feed and reason, with an example each."""
    columns = ("feed", "reason", "lines", "example")
    with reading(platform) as warehouse:
        rows = warehouse.execute(
            "SELECT feed, reason, count(*), "
            "min(source_file || ':' || CAST(source_line AS VARCHAR)) "
            "FROM staging.quarantine GROUP BY feed, reason ORDER BY 3 DESC, 1, 2"
        ).fetchall()
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    if not rows:
        say("no line was rejected")
        return
    print_rows("Quarantine", columns, rows)
    say(f"'medallion quarantine show --reason {rows[0][1]}' shows the lines and what breaks them")


@verb(group=quarantine, stopped=NOTHING_CHANGED)
@reason_option
@file_option
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@as_json
def show(
    platform: Platform, reason: str | None, file: str | None, limit: int, as_json: bool
) -> None:
    """Rejected lines with their original text, the value to blame and the rule that it breaks."""
    with reading(platform) as warehouse:
        _require(warehouse, reason, file)
        rows = warehouse.execute(
            f"SELECT source_file, source_line, reason, raw, feed, raw_size {CHOSEN} "
            f"ORDER BY source_file, source_line LIMIT {limit}",
            chosen(reason, file),
        ).fetchall()
        ((count,),) = warehouse.execute(
            f"SELECT count(*) {CHOSEN}", chosen(reason, file)
        ).fetchall()
    explained = [_explained(*row) for row in rows]
    if as_json:
        print_json(explained)
        return
    for line in explained:
        say(f"{line['source_file']}:{line['source_line']}  {line['reason']}", bold=True)
        say(f"  {line['why']}", f"  {shown(line['raw'])}", "")
    more = f", the first {len(rows):,} of them above" if count > len(rows) else ""
    say(f"{count:,} rejected {'line' if count == 1 else 'lines'}{more}")


def _explained(
    file: str, line: int, reason: str, raw: bytes | None, feed: str, size: int
) -> dict[str, Any]:
    """Return a rejected line with what breaks it."""
    raw = bytes(raw or b"")
    explanation = explain(FEEDS[feed], reason, raw, size)
    row = {"source_file": file, "source_line": line, "reason": reason, "raw": raw}
    return row | {
        "why": str(explanation),
        "field": explanation.field,
        "value": explanation.value,
        "position": explanation.position,
    }


def _require(warehouse: Warehouse, reason: str | None, file: str | None) -> None:
    """Raise SettingsError for a reason or a file that nobody knows.

    A reason must be one of the contract's; of a file something must have been loaded.
    """
    known = dict.fromkeys(name for feed in FEEDS.values() for name in feed.reasons)
    if reason is not None and reason not in known:
        hint = did_you_mean(reason, known) or "; 'medallion quarantine list' names those there are"
        raise SettingsError(f"there is no reason {reason}{hint}")
    if file is not None:
        rows = warehouse.execute("SELECT DISTINCT source_file FROM staging.receipts").fetchall()
        files = {name for (name,) in rows}
        if file not in files:
            raise SettingsError(f"no raw object {file} was loaded{did_you_mean(file, files)}")


@verb(group=quarantine)
@reason_option
@file_option
@as_json
def replay_(platform: Platform, reason: str | None, file: str | None, as_json: bool) -> None:
    """Send again what today's rules accept, into raw/: the next run takes it."""
    with reading(platform) as warehouse, progress("judging anew"):
        _require(warehouse, reason, file)
        report = replay(platform.lake, warehouse, reason, file)
    if as_json:
        print_json(vars(report))
    else:
        _print_replayed(report)


def _print_replayed(report: ReplayReport) -> None:
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in report.refused.most_common())
    say(
        f"sent       {report.sent:,} lines in {len(report.objects)} objects under raw/",
        f"refused    {report.refused.total():,} lines as before{': ' if reasons else ''}{reasons}",
        f"left       {report.before:,} lines that were sent before, {report.cut:,} not whole",
    )
