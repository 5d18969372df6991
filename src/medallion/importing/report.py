"""The report of an import."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class FeedReport:
    """The counts of one feed.

    `broken` counts those of `rows` that could not be read in the source. They are in raw/ too, and
    the cleaner rejects them. `bytes` are stored bytes. `present_rows` and `present_objects` were
    written by an earlier import, and are in no other count.
    """

    rows: int = 0
    broken: int = 0
    objects: int = 0
    bytes: int = 0
    present_rows: int = 0
    present_objects: int = 0

    def __add__(self, other: FeedReport) -> FeedReport:
        return FeedReport(
            self.rows + other.rows,
            self.broken + other.broken,
            self.objects + other.objects,
            self.bytes + other.bytes,
            self.present_rows + other.present_rows,
            self.present_objects + other.present_objects,
        )


@dataclass(frozen=True)
class Failure:
    """A source file that was not imported, and the reason."""

    path: str
    reason: str


@dataclass(frozen=True)
class ImportReport:
    """The counts of an import by feed, and the files that failed.

    `events` counts the lines of each [[events]], written now or earlier. `left_out` counts, by
    reason, rows and array elements that give no event.
    """

    feeds: dict[str, FeedReport] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    events: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> FeedReport:
        return sum(self.feeds.values(), FeedReport())

    @property
    def rows(self) -> int:
        return self.total.rows

    @property
    def objects(self) -> int:
        return self.total.objects

    @property
    def bytes(self) -> int:
        return self.total.bytes
