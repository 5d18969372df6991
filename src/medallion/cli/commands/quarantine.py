"""What was rejected: list, show, replay."""

from __future__ import annotations

from typing import Any

import click

from medallion.cleaning.explain import explain
from medallion.cli.commands.verbs import NOTHING_CHANGED, as_json, reading, verb
from medallion.cli.printing.progress import progress
from medallion.cli.printing.report import print_json, print_rows, say
from medallion.cli.printing.text import shown
from medallion.contract import FEEDS, PURCHASES
from medallion.errors import SettingsError, did_you_mean
from medallion.lake.decisions import MENDED, WAIVED
from medallion.layers.quarantine import CHOSEN, OPEN, Choice, decided_counts
from medallion.layers.staging import current_rows
from medallion.operations.replay import ReplayReport, replay, waive
from medallion.platforms.platform import Platform
from medallion.platforms.warehouse import Warehouse


@click.group()
def quarantine() -> None:
    """Show what was rejected, and why; mend it and send it again, or waive it."""


reason_option = click.option("--reason", help="Only lines with this reason.")
feed_option = click.option(
    "--feed", type=click.Choice(list(FEEDS)), help="Only lines of this feed."
)
file_option = click.option(
    "--file", "file", help="Only lines of this raw object, such as raw/till.jsonl."
)


@verb(group=quarantine, stopped=NOTHING_CHANGED)
@as_json
def list_(platform: Platform, as_json: bool) -> None:
    """List rejects by feed and reason: how many are open, mended or waived, and an example."""
    columns = ("feed", "reason", "lines", OPEN, MENDED, WAIVED, "example")
    with reading(platform) as warehouse:
        counted = warehouse.execute(
            "SELECT feed, reason, count(*), "
            "min(source_file || ':' || CAST(source_line AS VARCHAR)) "
            f"FROM {current_rows('quarantine')} AS rejected "
            "GROUP BY feed, reason ORDER BY 3 DESC, 1, 2"
        ).fetchall()
        decided = decided_counts(platform.lake, warehouse)
    rows = []
    for feed, reason, lines, example in counted:
        mended, waived = (decided[feed, reason, state] for state in (MENDED, WAIVED))
        rows.append((feed, reason, lines, lines - mended - waived, mended, waived, example))
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
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Show at most so many lines.",
)
@as_json
def show(
    platform: Platform, reason: str | None, file: str | None, limit: int, as_json: bool
) -> None:
    """Show rejected lines: their original text, the wrong value and the rule that it breaks."""
    choice = Choice(reason=reason or "", file=file or "")
    with reading(platform) as warehouse:
        _require(warehouse, reason, file)
        rows = warehouse.execute(
            f"SELECT source_file, source_line, reason, raw, feed, raw_size {CHOSEN} "
            f"ORDER BY source_file, source_line LIMIT {limit}",
            choice.parameters,
        ).fetchall()
        ((count,),) = warehouse.execute(f"SELECT count(*) {CHOSEN}", choice.parameters).fetchall()
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
@feed_option
@reason_option
@file_option
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="FIELD=SQL",
    help="Change a field of each line, or 'raw', its whole text; may stand several times. Shows "
    "what comes out, and writes nothing without --send.",
)
@click.option("--send", is_flag=True, help="Send the changed lines.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Show at most so many changed lines.",
)
@as_json
def replay_(
    platform: Platform,
    feed: str | None,
    reason: str | None,
    file: str | None,
    sets: tuple[str, ...],
    send: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Send again what the rules accept by now, as it is or mended; the next run takes it."""
    if sets:
        feed = feed or PURCHASES.name
    elif send:
        raise SettingsError("--send belongs to --set; without changes, lines are sent at once")
    is_preview = bool(sets) and not send
    with reading(platform) as warehouse, progress("validating again") as tell:
        _require(warehouse, reason, file)
        choice = Choice(feed or "", reason or "", file or "")
        report = replay(
            platform.lake,
            warehouse,
            choice,
            sets=sets,
            is_preview=is_preview,
            examples=limit if sets else 0,
        )
        tell("done")
    if as_json:
        examples = [example._asdict() for example in report.examples]
        print_json(vars(report) | {"examples": examples, "is_preview": is_preview})
    else:
        _print_replayed(report, is_preview)


def _print_replayed(report: ReplayReport, is_preview: bool) -> None:
    for example in report.examples:
        say(f"{example.place}  {example.reason or 'accepted'}", bold=True)
        say(f"  - {shown(example.before)}", f"  + {shown(example.after)}", "")
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in report.refused.most_common())
    sent = f"sent       {report.sent:,} lines in {len(report.objects)} objects under raw/"
    if is_preview:
        sent = f"would send {report.sent:,} lines; nothing was written: add --send"
    say(
        sent,
        f"refused    {report.refused.total():,} lines as before{': ' if reasons else ''}{reasons}",
        f"left       {report.before:,} lines that were sent before, {report.waived:,} waived, "
        f"{report.cut:,} not whole",
    )


@verb(group=quarantine)
@feed_option
@reason_option
@file_option
@click.option("--why", required=True, help="Why these lines need no mending; it is kept.")
def waive_(
    platform: Platform, feed: str | None, reason: str | None, file: str | None, why: str
) -> None:
    """Note that rejected lines need no mending: the audit counts them as waived, not as open."""
    if not (reason or file):
        raise SettingsError("say which lines: --reason or --file, or both")
    with reading(platform) as warehouse:
        _require(warehouse, reason, file)
        count = waive(platform.lake, warehouse, Choice(feed or "", reason or "", file or ""), why)
    say(f"waived     {count:,} lines")
