"""Comparison of raw objects with their receipts and with the staged rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from medallion.audit.checks import (
    LINES_AT_A_TIME,
    LOST,
    OBJECTS_AT_A_TIME,
    Check,
    among,
    count,
    rows,
)
from medallion.cleaning.lines import read_blocks
from medallion.contract import FEEDS, UNREADABLE
from medallion.errors import shortened
from medallion.lake.codecs import DamagedArchive, StoredBytes, Unpacked
from medallion.lake.orphans import retired
from medallion.lake.raw import raw_objects
from medallion.lake.receipts import compactions, receipt_key, stem
from medallion.layers.staging import current_rows, loaded_objects
from medallion.platforms.lake import Lake, LakeObject
from medallion.platforms.warehouse import Warehouse, total

TextByLine = dict[int, bytes]
"""The bytes of lines by their number, from 1."""

LinesOf = Callable[[int, int], TextByLine]
"""The rejected lines of an object between two numbers."""


def raw_checks(
    lake: Lake,
    db: Warehouse,
    waiting: dict[str, int],
    sound: list[str],
    progress: Callable[[str], None],
) -> Iterator[Check]:
    """Read each raw object again; check its receipt, and that each line is staged once.

    `sound` receives the keys of the objects whose bytes are those of their receipts.
    """
    receipts, newest = _receipts(db)
    broken, lines, objects, not_loaded, seen = [], 0, 0, 0, set()
    loaded = loaded_objects(db, compactions(lake))
    receipted = {key for key, _ in receipts}
    for raw, kept in _with_rejected_lines(lake, db):
        progress(raw.key)
        seen.add(raw.key)
        try:
            recount = _recount(lake, raw, kept)
        except OSError as error:
            if raw.key in receipted:
                broken.append(f"{raw.key}: cannot be read: {error.strerror or error}")
            else:
                not_loaded += 1
            continue
        receipt = receipts.get((raw.key, recount.checksum))
        if receipt is None or receipt.arrived != newest[raw.key]:
            if receipt is None and receipt_key(stem(raw)) in loaded:
                broken.append(f"{raw.key}: its bytes are not those of its receipt")
            not_loaded += 1
            continue
        objects, lines = objects + 1, lines + recount.lines
        sound.append(raw.key)
        if recount.lines != receipt.lines:
            broken.append(f"{raw.key}: {recount.lines} lines, receipt says {receipt.lines}")
        broken += recount.unlike
    gone, removed = receipted - seen, retired(lake)
    consented = {key for key in gone if removed.covers(key, newest[key])}
    broken += [
        f"{key}: its receipt is there, the raw object is gone" for key in sorted(gone - consented)
    ]
    waiting["raw objects not yet loaded"] = not_loaded
    figure = f"{lines:,} in {objects:,} objects"
    if consented:
        figure += f", {len(consented):,} more in bronze alone"
        figure += " or the warehouse" if removed.bronze_before else ""
    if removed.before:
        figure += f" (retired before {removed.before:%Y-%m-%d})"
    if superseded := count(db, "staging.superseded"):
        figure += f", {superseded:,} earlier versions that do not count"
    yield Check(LOST, "raw lines = receipt lines", figure, shortened(broken))
    yield _sums(db)
    yield _coverage(db)


def _with_rejected_lines(lake: Lake, db: Warehouse) -> Iterator[tuple[LakeObject, LinesOf]]:
    """Yield raw objects, each with its lines in the quarantine.

    Keys are listed in order, so one query serves many objects. An object with many rejected lines
    has its own queries, so that these lines need not fit into memory.
    """
    many = [
        key
        for (key,) in rows(
            db,
            f"SELECT source_file FROM {current_rows('quarantine')} AS rejected "
            f"GROUP BY source_file HAVING count(*) > {LINES_AT_A_TIME}",
        )
    ]
    objects = raw_objects(lake)
    while batch := list(islice(objects, OBJECTS_AT_A_TIME)):
        keys = [raw.key for raw in batch]
        kept: dict[str, TextByLine] = {}
        for key, line, text in rows(
            db,
            f"SELECT source_file, source_line, raw FROM {current_rows('quarantine')} AS rejected "
            f"WHERE source_file BETWEEN ? AND ? AND reason <> ?{_without(many)}",
            [min(keys), max(keys), UNREADABLE, *many],
        ):
            kept.setdefault(key, {})[line] = text
        for raw in batch:
            if raw.key in many:
                yield raw, _queried(db, raw.key)
            else:
                yield raw, among(kept.pop(raw.key, {}))


def _without(keys: Iterable[str]) -> str:
    marks = ", ".join("?" for _ in keys)
    return f" AND source_file NOT IN ({marks})" if marks else ""


def _queried(db: Warehouse, key: str) -> LinesOf:
    return lambda first, last: dict(
        rows(
            db,
            f"SELECT source_line, raw FROM {current_rows('quarantine')} AS rejected "
            "WHERE source_file = ? AND source_line BETWEEN ? AND ?",
            [key, first, last],
        )
    )


@dataclass(frozen=True)
class _Recount:
    lines: int
    checksum: str
    unlike: list[str]


def _recount(lake: Lake, raw: LakeObject, lines_of: LinesOf) -> _Recount:
    """Read a raw object; return its lines, its checksum, and rejected lines whose text differs."""
    unlike, lines = [], 0
    with lake.open(raw.key) as stream:
        stored = StoredBytes(stream)
        try:
            for block in read_blocks(Unpacked(stored, raw.key)):
                lines += len(block)
                for first in range(
                    block.first_line, block.first_line + len(block), LINES_AT_A_TIME
                ):
                    last = min(first + LINES_AT_A_TIME, block.first_line + len(block)) - 1
                    for number, text in lines_of(first, last).items():
                        if text != block.line(number - block.first_line)[0]:
                            unlike.append(f"{raw.key}: line {number} differs from the quarantine")
        except DamagedArchive:
            lines = 1
        return _Recount(lines, stored.checksum(), unlike)


class _Receipt(NamedTuple):
    arrived: datetime
    lines: int


def _receipts(db: Warehouse) -> tuple[dict[tuple[str, str], _Receipt], dict[str, datetime]]:
    """Return the receipts by raw key and checksum, and the newest arrival of each raw key."""
    receipts: dict[tuple[str, str], _Receipt] = {}
    newest: dict[str, datetime] = {}
    for key, checksum, *values in rows(
        db, "SELECT source_file, checksum, modified_at, lines FROM staging.receipts ORDER BY 3"
    ):
        receipts[key, checksum] = receipt = _Receipt(*values)
        newest[key] = receipt.arrived
    return receipts, newest


def _sums(db: Warehouse) -> Check:
    ((accepted, quarantined, blank),) = rows(
        db,
        f"SELECT {total('accepted', 'quarantined', 'blank')} FROM staging.receipts",
    )
    wrong = rows(
        db,
        "SELECT source_file, lines, accepted, quarantined, blank FROM staging.receipts "
        "WHERE lines <> accepted + quarantined + blank ORDER BY source_file, lines",
    )
    return Check(
        LOST,
        "lines = accepted + quarantined + blank",
        f"{accepted:,} + {quarantined:,} + {blank:,}",
        shortened(
            f"{key}: {lines} lines <> {taken} accepted + {rejected} quarantined + {empty} blank"
            for key, lines, taken, rejected, empty in wrong
        ),
    )


_STAGED = " UNION ALL ".join(
    [
        "SELECT source_file, ingested_at, source_line, CAST(NULL AS INTEGER) AS flaw "
        f"FROM staging.{name}"
        for name in FEEDS
    ]
    + [
        "SELECT source_file, ingested_at, source_line, "
        "CASE WHEN reason IS NULL "
        f"OR (raw IS NULL AND reason <> '{UNREADABLE}') THEN 1 END AS flaw "
        "FROM staging.quarantine"
    ]
)

_UNCOVERED = f"""
WITH staged AS ({_STAGED}),
counted AS (
    SELECT source_file, ingested_at, count(*) AS staged_rows,
           count(DISTINCT source_line) AS different, min(source_line) AS low,
           max(source_line) AS high, count(flaw) AS flaws
    FROM staged GROUP BY source_file, ingested_at)
SELECT coalesce(r.source_file, f.source_file), coalesce(f.different, 0),
       coalesce(f.staged_rows, 0), r.lines - r.blank
FROM staging.receipts AS r FULL OUTER JOIN counted AS f
  ON r.source_file = f.source_file AND r.modified_at = f.ingested_at
WHERE r.source_file IS NULL OR coalesce(f.staged_rows, 0) <> r.lines - r.blank
   OR f.different <> f.staged_rows OR f.low < 1 OR f.high > r.lines OR f.flaws > 0
ORDER BY 1, 2, 3, 4"""


def _coverage(db: Warehouse) -> Check:
    """Check that each line is staged once, as accepted or as quarantined with a reason."""
    wrong = [
        f"{key}: {different} different lines in {staged_rows} rows, "
        f"{'no receipt' if expected is None else expected} expected"
        for key, different, staged_rows, expected in rows(db, _UNCOVERED)
    ]
    staged = sum(count(db, f"staging.{name}") for name in (*FEEDS, "quarantine"))
    return Check(LOST, "every line staged once", f"{staged:,} rows", shortened(wrong))
