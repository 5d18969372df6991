"""Compare both lanes on the same lines: `python -m tests.conformance.lanes LINES [SEED]`.

Print each line for which their answers differ, and the number of such lines; exit 1 if there is
one.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from random import Random

import pyarrow as pa

from medallion.cleaning import plain
from medallion.cleaning.cleaner import Cleaner
from medallion.cleaning.lines import read_blocks
from medallion.contract import FEEDS, feed_of
from tests.conformance.cases import objects, read_cases
from tests.conformance.damage import damaged

Outcome = tuple[pa.Table, list[tuple[int, str]], int, dict[str, int]]
AT_ONCE = 20_000


def damaged_cases(lines: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield about as many lines as objects, each with its feed: random damage to random cases."""
    chance = Random(seed)
    seeds: dict[str, list[bytes]] = {name: [] for name in FEEDS}
    for key, data in objects(read_cases()).items():
        seeds[feed_of(key).name] += [line for line in data.split(b"\n") if len(line) < 2_000]
    feeds = [*FEEDS, *["purchases"] * 4]
    for number in range(0, lines, AT_ONCE):
        feed = feeds[number // AT_ONCE % len(feeds)]
        size = min(AT_ONCE, lines - number)
        yield feed, b"\n".join(damaged(chance, chance.choice(seeds[feed])) for _ in range(size))


def differences(lines: int, seed: int) -> Iterator[str]:
    """Yield the lines for which the answers of the lanes differ."""
    plain.load()
    for feed, data in damaged_cases(lines, seed):
        fast, exact = (outcome(feed, data, is_compiled) for is_compiled in (True, False))
        if fast[0].equals(exact[0]) and fast[1:] == exact[1:]:
            continue
        raw = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        answers, wanted = _by_line(fast), _by_line(exact)
        for number in sorted(answers.keys() | wanted.keys()):
            if answers.get(number) != wanted.get(number):
                yield f"{raw[number - 1]!r}\n  {answers.get(number)}\n  {wanted.get(number)}"
        if fast[2:] != exact[2:]:
            yield f"{feed}: blank lines and unknown names {fast[2:]}, {exact[2:]}"


def outcome(feed: str, data: bytes, is_compiled: bool) -> Outcome:
    cleaner = Cleaner(FEEDS[feed], is_compiled=is_compiled)
    columns = plain.schema(FEEDS[feed]).append(pa.field("line", pa.int64()))
    rows, rejected, blank = [columns.empty_table()], [], 0
    for block in read_blocks(io.BytesIO(data)):
        for cleaned in cleaner.clean(block):
            batch = pa.Table.from_batches([cleaned.accepted])
            rows.append(batch.append_column("line", pa.array(cleaned.lines, pa.int64())))
            rejected += [(line.source_line, line.reason) for line in cleaned.rejected]
            blank += cleaned.blank
    table = pa.concat_tables(rows).sort_by("line").combine_chunks()
    return table, sorted(rejected), blank, dict(cleaner.unknown_fields())


def _by_line(outcome: Outcome) -> dict[int, object]:
    return {row["line"]: row for row in outcome[0].to_pylist()} | dict(outcome[1])


if __name__ == "__main__":
    reports = 0
    for report in differences(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1):
        reports += 1
        print(report)
    print(f"{int(sys.argv[1]):,} lines, {reports} differences")
    sys.exit(reports > 0)
