"""What an import did."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class FeedReport:
    """What one feed received.

    `broken` counts those of `rows` whose source row could not be read; they are in raw too, and
    the cleaner rejects them. `bytes` are stored bytes. What an earlier import had already written
    is in `present_rows` and `present_objects` only.
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
    """A source file of which nothing was imported, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class ImportReport:
    """An import in figures; `failures` is empty when every file was taken."""

    feeds: dict[str, FeedReport] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()

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
