"""How reports look: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from medallion.audit import AuditReport

console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 120)
NUMBERS = (int, float, Decimal)


def plain(value: Any) -> Any:
    """A value as JSON can hold it without loss: decimals as strings, times in ISO 8601 (naive ones
    are UTC), bytes as text with invalid ones replaced."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat() + ("Z" if value.tzinfo is None else "")
    if isinstance(value, date | Path):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(v) for v in value]
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(plain(value), ensure_ascii=False, allow_nan=False))


def print_rows(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table; numbers stand to the right."""
    found = [list(row) for row in rows]
    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, title_style="bold")
    for index, name in enumerate(columns):
        numeric = all(isinstance(r[index], NUMBERS) or r[index] is None for r in found)
        table.add_column(name, justify="right" if numeric and found else "left", overflow="fold")
    for row in found:
        table.add_row(*[Text(shown(value)) for value in row])
    console.print(table)


def shown(value: Any) -> str:
    """A value for people: thousands separated, absence as a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Decimal):
        return f"{value:,f}"
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def print_audit(report: AuditReport) -> None:
    """Each check with its figure; under a broken one what breaks it; last the verdict."""
    rows = [
        (check.promise, check.name, check.figure, "holds" if check.holds else "BROKEN")
        for check in report.checks
    ]
    print_rows("Audit", ("promise", "check", "figure", ""), rows)
    for check in report.checks:
        for offender in check.offenders:
            console.print(Text(f"  {check.name}: {offender}", style="red"))
    for what, count in report.waiting.items():
        if count:
            console.print(f"  waiting, no violation: {count:,} {what}")
    broken = sum(not check.holds for check in report.checks)
    verdict = (
        f"{broken} of {len(report.checks)} checks are broken"
        if broken
        else (f"all {len(report.checks)} checks hold")
    )
    console.print(Text(f"audit: {verdict}", style="bold red" if broken else "bold green"))
