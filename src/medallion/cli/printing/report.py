"""Reports: lines and tables for people, JSON for programs."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from medallion.cli.printing.table import table_lines
from medallion.cli.printing.text import UNSAFE, visible
from medallion.contract import UNREADABLE
from medallion.lake.receipts import Receipt

REFUSED = 1
"""The exit code for refused data and broken promises."""
MANY = 0.01
"""The share of rejected lines from which they are highlighted."""
MOST_REASONS = 5
"""The number of reasons that are named."""


def say(*lines: str, colour: str | None = None, bold: bool = False) -> None:
    """Print lines for people."""
    for line in lines:
        click.echo(click.style(visible(line), fg=colour, bold=bold or None))


def say_aside(line: str) -> None:
    """Print a line for people that must not mix with results."""
    click.echo(visible(line), err=True)


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it without loss.

    Decimals, NaN and Infinity become strings; times become ISO 8601 (those without a zone are UTC);
    bytes become text, with invalid ones replaced.
    """
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
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


def json_text(value: Any) -> str:
    """Return a value as JSON; characters that would control a terminal are escaped."""
    text = json.dumps(plain(value), ensure_ascii=False, allow_nan=False)
    return UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def print_json(value: Any) -> None:
    """Print one JSON document."""
    click.echo(json_text(value))


def screen_width() -> int | None:
    """Return the width of the terminal; None if the output is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print_rows(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table under a title."""
    say(title, bold=True)
    say("", *table_lines(columns, rows, screen_width()), "")


@dataclass
class Feed:
    """The results of the lines of a feed: their number, and the rejected ones by reason."""

    lines: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def rejected(self) -> int:
        return self.reasons.total()

    @property
    def share(self) -> float:
        return self.rejected / self.lines if self.lines else 0.0


@dataclass
class Tally:
    """The results of the lines that were cleaned, by feed.

    `unreadable` are the objects that were rejected as a whole; `failures` those that could not be
    read, with the reason.
    """

    feeds: dict[str, Feed] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, receipt: Receipt) -> None:
        """Count one more object."""
        feed = self.feeds.setdefault(receipt.feed, Feed())
        feed.lines += receipt.lines - receipt.blank
        feed.reasons.update(receipt.reasons)
        if UNREADABLE in receipt.reasons:
            self.unreadable.append(receipt.source_file)

    @property
    def lines(self) -> int:
        return sum(feed.lines for feed in self.feeds.values())

    def as_json(self) -> dict[str, Any]:
        """Return the rejected lines of each feed for a program."""
        return {
            name: {"lines": feed.rejected, "of": feed.lines, "reasons": dict(feed.reasons)}
            for name, feed in self.feeds.items()
        }

    def print(self) -> None:
        """Print what was not taken, and why, with the command that shows more."""
        for name, feed in self.feeds.items():
            if feed.rejected:
                say(
                    f"rejected   {feed.rejected:,} of {feed.lines:,} lines of {name} "
                    f"({feed.share:.1%}): {_most(feed.reasons)}; 'medallion quarantine list' shows "
                    "where",
                    colour="yellow" if feed.share >= MANY else None,
                )
        cut = (
            "the archive is damaged or cut, or of a kind that is not read: put a whole one, packed "
            "with gzip or zstd, under raw/"
        )
        for key, why in (dict.fromkeys(self.unreadable, cut) | self.failures).items():
            say(f"  not taken: {key}: {why}", colour="yellow")

    def exit_when_refused(self, most: float | None = None) -> None:
        """Exit with 1 when an object was not taken, or too many lines were rejected.

        Args:
            most: the greatest share of the lines of a feed that may be rejected; any if None.
        """
        over = [n for n, feed in self.feeds.items() if most is not None and feed.share > most]
        for name in over:
            click.echo(f"more of the lines of {name} were rejected than --max-rejected", err=True)
        if over or self.failures or self.unreadable:
            sys.exit(REFUSED)


def _most(reasons: Counter[str]) -> str:
    """Return the most frequent reasons with their counts."""
    shown = reasons.most_common(MOST_REASONS)
    rest = reasons.total() - sum(count for _, count in shown)
    texts = [f"{count:,} {reason}" for reason, count in shown]
    return ", ".join(texts + [f"{rest:,} for other reasons"] * bool(rest))
