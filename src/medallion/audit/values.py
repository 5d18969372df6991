"""Comparison of staged values with raw lines that are cleaned again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from medallion import __version__
from medallion.audit.checks import MONEY, Check, rows
from medallion.cleaning.cleaner import Cleaner
from medallion.cleaning.lines import read_blocks
from medallion.contract import FEEDS, Feed
from medallion.errors import shortened
from medallion.lake.codecs import DamagedArchive, StoredBytes, Unpacked
from medallion.lake.receipts import reason
from medallion.layers.staging import current_rows
from medallion.platforms.lake import Lake
from medallion.platforms.warehouse import Warehouse, total

SAMPLE_LINES = 20_000
"""The number of lines in a sample."""

Row = tuple[object, ...]
_REJECTED = ("reason", "raw", "raw_size")


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
        key: (feed, arrived)
        for key, feed, arrived in rows(
            db,
            "SELECT source_file, feed, CAST(max(modified_at) AS VARCHAR) FROM staging.receipts "
            "WHERE cleaner_version = ? GROUP BY source_file, feed",
            [__version__],
        )
    }
    wanted = sorted(own.keys() & set(keys))
    if chance:
        chance.shuffle(wanted)
    compared, wrong = 0, list[str]()
    for key in wanted:
        if chance and compared >= SAMPLE_LINES:
            break
        most = SAMPLE_LINES - compared if chance else None
        feed, arrived = own[key]
        lines, unlike = _compare(lake, db, key, FEEDS[feed], arrived, most)
        compared += lines
        wrong += unlike
    ((lines,),) = rows(db, f"SELECT {total('lines')} FROM {current_rows('receipts')} AS r")
    figure = f"{compared:,} of {lines:,} lines"
    return Check(MONEY, "staged values = raw values, cleaned anew", figure, shortened(wrong))


def _compare(
    lake: Lake, db: Warehouse, key: str, feed: Feed, arrived: str, most: int | None
) -> tuple[int, list[str]]:
    """Return how many lines of an object were compared, and those that differ."""
    compared, unlike = 0, list[int]()
    try:
        for cleaned, count in _cleaned(lake, key, feed):
            first, last = compared + 1, compared + count
            staged = _staged(db, key, feed, arrived, first, last)
            unlike += [n for n in cleaned.keys() | staged if cleaned.get(n) != staged.get(n)]
            compared = last
            if most is not None and compared >= most:
                break
    except DamagedArchive:
        return 0, []
    except OSError as error:
        return compared, [f"{key}: cannot be read: {reason(error)}"]
    return compared, [f"{key}: line {n} is staged with other values" for n in sorted(unlike)]


def _staged(
    db: Warehouse, key: str, feed: Feed, arrived: str, first: int, last: int
) -> dict[int, Row]:
    """Return the staged values of some lines of an object, accepted and rejected, by number."""
    return {
        line: tuple(values)
        for table, columns in ((feed.name, feed.names), ("quarantine", _REJECTED))
        for line, *values in rows(
            db,
            f"SELECT source_line, {', '.join(columns)} FROM staging.{table} WHERE source_file = ? "
            "AND ingested_at = CAST(? AS TIMESTAMP) AND source_line BETWEEN ? AND ?",
            [key, arrived, first, last],
        )
    }


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
