"""The state of a home as text: layers, days, and the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medallion.audit import AuditReport
from medallion.cli.printing.report import print_rows, say
from medallion.operations.status import Layer

NEXT_STEPS = {
    "raw lines = receipt lines": "bring the raw objects back as they were; when they are gone for "
    "good, 'medallion rebuild' says what would be lost",
    "gold sums = silver sums, per day": "'medallion transform --full-refresh --select gold+'",
    "live sums = silver sums, per day": "'medallion transform --full-refresh --select live_sales+'",
    "gold has the days of silver": "'medallion transform --full-refresh --select gold+'",
    "silver has one row per event": "'medallion transform --full-refresh --select silver+'",
    "bronze rows - silver rows = duplicates": "'medallion transform --full-refresh --select "
    "silver+'",
    "every amount is DECIMAL": "change the model that makes the column, then 'medallion transform "
    "--full-refresh'",
}
"""What repairs a failed check; all other checks are repaired by a rebuild."""
REBUILD = "'medallion rebuild' makes everything again from raw/"


def print_layers(rows: Sequence[Layer]) -> None:
    """Print what each layer holds."""
    newest = [f"{row.newest:%Y-%m-%d %H:%M:%S}Z" if row.newest else None for row in rows]
    print_rows(
        "Layers",
        ("layer", "unit", "count", "newest", "note"),
        [(r.layer, r.unit, r.count, at, r.note) for r, at in zip(rows, newest, strict=True)],
    )


def print_days(days: Sequence[tuple[Any, ...]], currency: str) -> None:
    """Print the revenue of the last days, in the reporting currency."""
    columns = (
        "day (store-local)",
        "transactions",
        "lines",
        f"net sales {currency}",
        f"returns {currency}",
        "no rate",
    )
    print_rows("Revenue by day, the last of them", columns, days)


def print_audit(report: AuditReport) -> None:
    """Print each check with its figure, and finally the result.

    Below a failed check are its violations, and what to do next.
    """
    say("Audit", "", bold=True)
    promise = None
    names, figures = ([len(getattr(c, n)) for c in report.checks] for n in ("name", "figure"))
    for check in report.checks:
        if check.promise != promise:
            promise = check.promise
            say(f"  {promise}")
        verdict = "holds" if check.holds else "BROKEN"
        say(f"    {check.name:<{max(names)}}  {check.figure:<{max(figures)}}  {verdict}")
        say(*(f"      {offender}" for offender in check.offenders), colour="red")
    for what, count in report.waiting.items():
        if count:
            say(f"  waiting, no violation: {count:,} {what}; the next run takes them")
    if any(report.rejected.values()):
        counts = ", ".join(f"{count:,} {state}" for state, count in report.rejected.items())
        say(f"  rejected lines: {counts}; 'medallion quarantine list' shows them")
    broken = [check for check in report.checks if not check.holds]
    steps = dict.fromkeys(NEXT_STEPS.get(check.name, REBUILD) for check in broken)
    say("", *(f"to do: {step}" for step in steps))
    if broken:
        total = f"audit: {len(broken)} of {len(report.checks)} checks are broken"
        say(total, colour="red", bold=True)
    else:
        say(f"audit: all {len(report.checks)} checks hold", colour="green", bold=True)


def say_copies(word: str, copies: Mapping[Path, int]) -> None:
    """Print which old copies rebuilds have kept, and how much space removing each would free."""
    mend = "; 'medallion rebuild --remove-old' removes it" if word == "old copy" else ""
    say(*(f"{word:<10} {path} ({size / 1e6:,.1f} MB){mend}" for path, size in copies.items()))
