"""The rejected lines in staging, with the decisions about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from medallion.lake.decisions import MENDED, WAIVED, States, states, text_checksum
from medallion.layers.staging import current_rows
from medallion.platforms.lake import Lake
from medallion.platforms.warehouse import Warehouse

OPEN = "open"
AT_ONCE = 1000
"""The number of lines that are read at once."""
_REJECTED = f"{current_rows('quarantine')} AS rejected"
CHOSEN = (
    f"FROM {_REJECTED} WHERE (? = '' OR feed = ?) AND (? = '' OR reason = ?) "
    "AND (? = '' OR source_file = ?)"
)
"""The quarantined lines that a Choice selects; the query takes `Choice.parameters`."""


@dataclass(frozen=True)
class Choice:
    """A choice of quarantined lines by feed, reason and object; an empty field selects all."""

    feed: str = ""
    reason: str = ""
    file: str = ""

    @property
    def parameters(self) -> list[str]:
        """Return the parameters of CHOSEN."""
        return [value for name in (self.feed, self.reason, self.file) for value in (name, name)]


@dataclass(frozen=True)
class Line:
    """A rejected line; `size` is its whole length, of which `text` may be only the beginning."""

    feed: str
    source_file: str
    number: int
    reason: str
    text: bytes
    size: int
    state: str


def rejected_lines(lake: Lake, warehouse: Warehouse, choice: Choice) -> Iterator[Line]:
    """Yield the lines of a choice with their states, object by object, in their order."""
    return _lines(warehouse, choice, states(lake))


def _lines(warehouse: Warehouse, choice: Choice, decided: States) -> Iterator[Line]:
    objects = warehouse.execute(
        f"SELECT DISTINCT feed, source_file {CHOSEN} ORDER BY feed, source_file", choice.parameters
    ).fetchall()
    for feed, file in objects:
        last = 0
        while rows := warehouse.execute(
            f"SELECT source_line, reason, raw, raw_size {CHOSEN} AND feed = ? AND source_file = ? "
            f"AND source_line > ? ORDER BY source_line LIMIT {AT_ONCE}",
            [*choice.parameters, feed, file, last],
        ).fetchall():
            for number, reason, raw, size in rows:
                text = bytes(raw or b"")
                checksum, state = decided.get(file, {}).get(number, ("", OPEN))
                if checksum != text_checksum(text):
                    state = OPEN
                yield Line(feed, file, number, reason, text, size, state)
            last = rows[-1][0]


def rejected_counts(lake: Lake, warehouse: Warehouse) -> dict[str, int]:
    """Return how many rejected lines are open, mended and waived."""
    ((count,),) = warehouse.execute(f"SELECT count(*) FROM {_REJECTED}").fetchall()
    counts = Counter[str]()
    for (_, _, state), lines in decided_counts(lake, warehouse).items():
        counts[state] += lines
    return {OPEN: count - counts.total(), MENDED: counts[MENDED], WAIVED: counts[WAIVED]}


def decided_counts(lake: Lake, warehouse: Warehouse) -> Counter[tuple[str, str, str]]:
    """Return how many rejected lines were decided, by feed, reason and state."""
    counts, decided = Counter[tuple[str, str, str]](), states(lake)
    for file in decided:
        for line in _lines(warehouse, Choice(file=file), decided):
            if line.state != OPEN:
                counts[line.feed, line.reason, line.state] += 1
    return counts
