"""Comparison of staged values with raw lines that are cleaned again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random

from medallion import __version__
from medallion.audit.checks import (
    LINES_AT_A_TIME,
    MONEY,
    OBJECTS_AT_A_TIME,
    Check,
    among,
    rows,
)
from medallion.cleaning.cleaner import Cleaner
from medallion.cleaning.lines import read_blocks
from medallion.contract import FEEDS, Feed
from medallion.errors import shortened
from medallion.lake.codecs import DamagedArchive, StoredBytes, Unpacked
from medallion.lake.receipts import reason
from medallion.layers.staging import current_rows
from medallion.platforms.lake import Lake, grouped
from medallion.platforms.warehouse import Warehouse, total

SAMPLE_LINES = 20_000
"""The number of lines in a sample."""

Row = tuple[object, ...]
RowsOf = Callable[[int, int], dict[int, Row]]
"""The staged values of the lines of an object between two numbers, accepted and rejected."""

_REJECTED = ("reason", "raw", "raw_size")

_OWN = """
SELECT source_file, feed, max(modified_at), max_by(lines, modified_at) FROM staging.receipts
GROUP BY source_file, feed HAVING max_by(cleaner_version, modified_at) = ?"""


@dataclass(frozen=True)
class _Object:
    """The newest version of a raw object: its key, feed, arrival and number of lines."""

    key: str
    feed: Feed
    arrived: datetime
    lines: int


def value_check(lake: Lake, db: Warehouse, keys: Sequence[str], chance: Random | None) -> Check:
    """Clean raw objects again, line by line, and compare the result with the staged values.

    Objects that another version of the cleaner has cleaned are left out.

    Args:
        lake: the lake.
        db: the warehouse.
        keys: the raw objects whose bytes are those of their receipts.
        chance: draws a sample; None compares every line.
    """
    own = {
        key: _Object(key, FEEDS[feed], arrived, lines)
        for key, feed, arrived, lines in rows(db, _OWN, [__version__])
    }
    wanted = sorted(own.keys() & set(keys))
    if chance:
        chance.shuffle(wanted)
    compared, wrong = 0, list[str]()
    for raw, staged in _with_staged(db, (own[key] for key in wanted)):
        if chance and compared >= SAMPLE_LINES:
            break
        lines, unlike = _compare(lake, raw, staged, SAMPLE_LINES - compared if chance else None)
        compared += lines
        wrong += unlike
    ((lines,),) = rows(db, f"SELECT {total('lines')} FROM {current_rows('receipts')} AS r")
    figure = f"{compared:,} of {lines:,} lines"
    return Check(MONEY, "staged values = raw values, cleaned anew", figure, shortened(wrong))


def _compare(lake: Lake, raw: _Object, staged: RowsOf, most: int | None) -> tuple[int, list[str]]:
    """Return how many lines of an object were compared, and those that differ."""
    compared, unlike = 0, list[int]()
    try:
        for cleaned, count in _cleaned(lake, raw.key, raw.feed):
            kept = staged(compared + 1, compared + count)
            unlike += [n for n in cleaned.keys() | kept if cleaned.get(n) != kept.get(n)]
            compared += count
            if most is not None and compared >= most:
                break
    except DamagedArchive:
        return 0, []
    except OSError as error:
        return compared, [f"{raw.key}: cannot be read: {reason(error)}"]
    return compared, [f"{raw.key}: line {n} is staged with other values" for n in sorted(unlike)]


def _with_staged(db: Warehouse, objects: Iterable[_Object]) -> Iterator[tuple[_Object, RowsOf]]:
    """Yield objects, each with its staged values; one query serves many small objects."""
    for batch in grouped(objects, lambda raw: raw.lines, OBJECTS_AT_A_TIME, LINES_AT_A_TIME):
        if len(batch) == 1:
            yield batch[0], _queried(db, batch[0])
            continue
        kept = _staged(db, batch, 1, LINES_AT_A_TIME)
        for raw in batch:
            yield raw, among(kept.pop(raw.key, {}))


def _queried(db: Warehouse, raw: _Object) -> RowsOf:
    return lambda first, last: _staged(db, [raw], first, last).get(raw.key, {})


def _staged(
    db: Warehouse, objects: Sequence[_Object], first: int, last: int
) -> dict[str, dict[int, Row]]:
    """Return the staged values of some lines of objects, by key and number."""
    newest = {raw.key: raw.arrived for raw in objects}
    feeds = {raw.feed.name: raw.feed.names for raw in objects}
    marks = ", ".join("?" for _ in newest)
    kept: dict[str, dict[int, Row]] = {}
    for table, columns in {**feeds, "quarantine": _REJECTED}.items():
        for key, arrived, line, *values in rows(
            db,
            f"SELECT source_file, ingested_at, source_line, {', '.join(columns)} "
            f"FROM staging.{table} WHERE source_file IN ({marks}) "
            "AND source_line BETWEEN ? AND ?",
            [*newest, first, last],
        ):
            if arrived == newest[key]:
                kept.setdefault(key, {})[line] = tuple(values)
    return kept


def _cleaned(lake: Lake, key: str, feed: Feed) -> Iterator[tuple[dict[int, Row], int]]:
    """Yield the results of lines by number with the number of these lines, some at a time.

    The exact lane reads all of them, so that an error of the plain lane would show.
    """
    cleaner = Cleaner(feed, is_compiled=False)
    with lake.open(key) as stream:
        for block in read_blocks(Unpacked(StoredBytes(stream), key)):
            for part in cleaner.clean(block):
                values = zip(*(column.to_pylist() for column in part.accepted), strict=True)
                numbered: dict[int, Row] = dict(zip(part.lines.tolist(), values, strict=True))
                for line in part.rejected:
                    numbered[line.source_line] = (line.reason, line.raw, line.raw_size)
                yield numbered, len(numbered) + part.blank
