"""Replay: rejected lines that are accepted now, unchanged or after a change, are sent again."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import NamedTuple

from medallion.cleaning.exact import Validator
from medallion.contract import FEEDS, UNREADABLE
from medallion.lake.decisions import MENDED, WAIVED, Decision, decide, text_checksum
from medallion.lake.raw import RAW
from medallion.lake.receipts import key_stem
from medallion.layers.quarantine import OPEN, Choice, Line, rejected_lines
from medallion.operations.mending import Mender, changes_of, mender
from medallion.platforms.lake import Lake
from medallion.platforms.warehouse import Warehouse

MOST_LINES, MOST_BYTES = 10_000, 16 << 20
"""Limits of the lines that are read and sent at once."""


class Example(NamedTuple):
    """A line before and after its change, and why it is still rejected; "" if it is not."""

    place: str
    before: bytes
    after: bytes
    reason: str


@dataclass
class ReplayReport:
    """The counts of quarantined lines.

    `sent` were written to new raw objects (or would be, in a preview). `before` were mended by an
    earlier replay, and `waived` are waived. `refused` counts by reason the lines that are rejected
    again. `cut` counts lines of which the quarantine holds only a part.
    """

    objects: list[str] = field(default_factory=list)
    sent: int = 0
    before: int = 0
    waived: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    cut: int = 0
    examples: list[Example] = field(default_factory=list)


def replay(
    lake: Lake,
    warehouse: Warehouse,
    choice: Choice,
    *,
    sets: Sequence[str] = (),
    is_preview: bool = False,
    examples: int = 0,
) -> ReplayReport:
    """Validate open quarantined lines again, and write those that are accepted now to raw/.

    The next run processes the written lines. The quarantine keeps its lines and marks them as
    mended, with the object that they were sent to. A repeated replay sends nothing twice.

    Args:
        lake: the lake.
        warehouse: the warehouse that has the quarantine.
        choice: the lines.
        sets: changes of each line before it is validated, as FIELD=EXPRESSION; the choice then
            names a feed.
        is_preview: write nothing.
        examples: how many changed lines the report shows.

    Raises:
        SettingsError: a change cannot be used.
    """
    report = ReplayReport()
    changes = changes_of(FEEDS[choice.feed], sets) if sets else {}
    with mender(FEEDS[choice.feed], changes) if changes else nullcontext() as changer:
        for lines in _batches(rejected_lines(lake, warehouse, choice)):
            chosen = [line for line in lines if _is_open(line, report)]
            accepted = _accepted(chosen, changer, report, examples)
            if accepted:
                _send(lake, accepted, " ".join(sets), report, is_preview)
    return report


def waive(lake: Lake, warehouse: Warehouse, choice: Choice, why: str) -> int:
    """Record that open rejected lines need no correction; return how many."""
    count = 0
    for lines in _batches(rejected_lines(lake, warehouse, choice)):
        if waived := [line for line in lines if line.state == OPEN]:
            decide(lake, _decision(WAIVED, waived, why))
            count += len(waived)
    return count


def _batches(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Yield batches of lines of one object, within the limits."""
    for _, of_object in groupby(lines, key=lambda line: (line.feed, line.source_file)):
        batch, size = list[Line](), 0
        for line in of_object:
            batch.append(line)
            size += len(line.text)
            if len(batch) == MOST_LINES or size > MOST_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch


def _is_open(line: Line, report: ReplayReport) -> bool:
    """Return whether a line is open and complete; count it otherwise."""
    report.before += line.state == MENDED
    report.waived += line.state == WAIVED
    if line.state != OPEN:
        return False
    is_whole = line.reason != UNREADABLE and len(line.text) == line.size
    report.cut += not is_whole
    return is_whole


def _accepted(
    lines: list[Line], changer: Mender | None, report: ReplayReport, examples: int
) -> list[tuple[Line, bytes]]:
    """Return the lines that the current rules accept, each with its text after the change."""
    if not lines:
        return []
    texts = [line.text for line in lines]
    mended = changer.mended(texts) if changer else texts
    validator, accepted = Validator(FEEDS[lines[0].feed]), list[tuple[Line, bytes]]()
    for line, text in zip(lines, mended, strict=True):
        reason = validator.validate(text, len(text)).reason
        if len(report.examples) < examples:
            place = f"{line.source_file}:{line.number}"
            report.examples.append(Example(place, line.text, text, reason or ""))
        if reason:
            report.refused[reason] += 1
        else:
            accepted.append((line, text))
    return accepted


def _send(
    lake: Lake, lines: list[tuple[Line, bytes]], why: str, report: ReplayReport, is_preview: bool
) -> None:
    """Write an object, named after its content, and then the decision about its lines."""
    report.sent += len(lines)
    if is_preview:
        return
    first = lines[0][0]
    data = b"".join(text + b"\n" for _, text in lines)
    digest = hashlib.sha256(data).hexdigest()[:16]
    key = f"{RAW}{first.feed}/replayed/{key_stem(first.source_file)}-{digest}.ndjson"
    if not any(stored.key == key for stored in lake.list(key)):
        lake.put(key, data)
        report.objects.append(key)
    decide(lake, _decision(MENDED, [line for line, _ in lines], why, key))


def _decision(state: str, lines: Sequence[Line], why: str, sent_to: str = "") -> Decision:
    return Decision(
        state=state,
        feed=lines[0].feed,
        source_file=lines[0].source_file,
        lines={str(line.number): text_checksum(line.text) for line in lines},
        why=why,
        sent_to=sent_to,
        decided_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
