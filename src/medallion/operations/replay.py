"""Replay: quarantined lines that the current rules accept, written to raw/ again."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from medallion.cleaning.exact import Validator
from medallion.contract import FEEDS, UNREADABLE
from medallion.lake.raw import RAW
from medallion.lake.receipts import key_stem
from medallion.layers.staging import current_rows
from medallion.platforms.lake import Lake
from medallion.platforms.warehouse import Warehouse

CHOSEN = (
    f"FROM {current_rows('quarantine')} AS rejected "
    "WHERE (? = '' OR reason = ?) AND (? = '' OR source_file = ?)"
)
"""The quarantined lines, filtered by a reason and an object; `chosen` gives its parameters."""


@dataclass
class ReplayReport:
    """The counts of quarantined lines.

    `sent` were written to new raw objects, `before` by an earlier replay. `refused` are rejected
    again, by reason. `cut` are kept only in part.
    """

    objects: list[str] = field(default_factory=list)
    sent: int = 0
    before: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    cut: int = 0


def chosen(reason: str | None, file: str | None) -> list[str]:
    """Return the parameters of CHOSEN."""
    return [reason or "", reason or "", file or "", file or ""]


def replay(
    lake: Lake, warehouse: Warehouse, reason: str | None = None, file: str | None = None
) -> ReplayReport:
    """Validate quarantined lines again, and write those that are accepted now to raw/.

    Each object that they came from gives one new object, which the next run processes. The
    quarantine keeps its lines. A repeated replay sends nothing twice.
    """
    report = ReplayReport()
    parameters = chosen(reason, file)
    objects = warehouse.execute(
        f"SELECT DISTINCT feed, source_file {CHOSEN} ORDER BY feed, source_file", parameters
    ).fetchall()
    for feed, source in objects:
        rows = warehouse.execute(
            f"SELECT reason, raw, raw_size {CHOSEN} AND feed = ? AND source_file = ? "
            "ORDER BY source_line",
            [*parameters, feed, source],
        ).fetchall()
        whole = [bytes(raw) for why, raw, size in rows if why != UNREADABLE and len(raw) == size]
        report.cut += len(rows) - len(whole)
        _send(lake, feed, source, _accepted(feed, whole, report), report)
    return report


def _accepted(feed: str, lines: list[bytes], report: ReplayReport) -> list[bytes]:
    """Return the lines that the current rules accept."""
    validator, accepted = Validator(FEEDS[feed]), list[bytes]()
    for line in lines:
        if reason := validator.validate(line, len(line)).reason:
            report.refused[reason] += 1
        else:
            accepted.append(line)
    return accepted


def _send(lake: Lake, feed: str, source: str, lines: Iterable[bytes], report: ReplayReport) -> None:
    data = b"".join(line + b"\n" for line in lines)
    if not data:
        return
    digest = hashlib.sha256(data).hexdigest()[:16]
    key = f"{RAW}{feed}/replayed/{key_stem(source)}-{digest}.ndjson"
    if any(stored.key == key for stored in lake.list(key)):
        report.before += data.count(b"\n")
        return
    lake.put(key, data)
    report.objects.append(key)
    report.sent += data.count(b"\n")
