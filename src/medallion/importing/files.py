"""The import of CSV, JSON or Parquet files into raw/, by a mapping."""

from __future__ import annotations

import glob
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute

from medallion.errors import SettingsError, is_disk_full
from medallion.importing.engine import engine, record_batches
from medallion.importing.expressions import Reference
from medallion.importing.lines import Plan
from medallion.importing.lookups import LookupFiles
from medallion.importing.mapping import Mapping, load_mapping
from medallion.importing.readers import SourceFile, check_options, open_source
from medallion.importing.report import Failure, FeedReport, ImportReport
from medallion.importing.source import UnreadableSource
from medallion.importing.streams import check_packed
from medallion.importing.writer import Progress, RawWriter, scratch_folder
from medallion.lake.codecs import SUFFIXES, codec_of_file
from medallion.platforms.lake import Lake

FAILURES = (duckdb.Error, UnreadableSource, OSError, EOFError, pa.ArrowException)
"""The errors of a source file that cannot be read."""


Taken = TypeVar("Taken")


@dataclass(frozen=True)
class InputFile:
    """A file of the import, and the link by which the reader opens it."""

    path: Path
    link: Path


@dataclass
class Counts:
    """The results of the rows of files: events by kind, and the rows and elements left out."""

    events: Counter[str]
    left_out: Counter[str]
    broken: int = 0


class Import:
    """An import: the mapping, its second files, and the engine that turns rows into lines.

    `kind` is the kind of event of the lines that are computed now; empty for broken rows.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        mapping: Mapping,
        lookups: LookupFiles,
        scratch: Path,
    ) -> None:
        self.con, self.mapping, self.lookups, self.scratch = con, mapping, lookups, scratch
        self.failures: list[Failure] = []
        self.kind = ""

    def open(self, files: list[InputFile]) -> list[tuple[InputFile, SourceFile]]:
        """Return the files that can be opened.

        Raises:
            SettingsError: the mapping is wrong for them.
        """
        opened, plans = [], []
        for file in files:
            try:
                check_packed(file.link)
                source = open_source(self.con, file.link, self.mapping.format, self.scratch)
                plan = self._plan(file, source)
            except FAILURES as error:
                self.fail(file, error)
            else:
                opened.append((file, source))
                plans.append(plan)
        _require_no_missing(self.mapping, plans)
        for plan in plans:
            plan.check()
        return opened

    def lines(
        self, file: InputFile, source: SourceFile, counts: Counts
    ) -> Generator[pa.RecordBatch, None, None]:
        """Yield the lines of a file, and count what becomes of its rows."""
        plan = self._plan(file, source, scan=True)
        if plan.is_flat:
            kind = self.mapping.events[0].name
            yield from self._counted(plan.flat_query(), kind, counts)
            return
        self.con.execute(f"CREATE OR REPLACE TABLE rows AS {plan.rows_query()}")
        try:
            yield from self._events(plan, counts)
        finally:
            self.con.execute("DROP TABLE rows")

    def fail(self, file: InputFile, error: BaseException) -> None:
        """Record that a file is not imported; raise an error of a full disk, which is not its."""
        if is_disk_full(error):
            raise error
        text = str(error).strip().split("\n")[0] or type(error).__name__
        text = text.replace(str(file.link), file.path.name)
        self.failures.append(Failure(str(file.path), text))

    def _plan(self, file: InputFile, source: SourceFile, scan: bool = False) -> Plan:
        tables = self.lookups.tables(self.con, file.path)
        return Plan.of(self.con, file.path.name, source, self.mapping, tables, scan)

    def _events(self, plan: Plan, counts: Counts) -> Iterator[pa.RecordBatch]:
        for reason, rows in self.con.execute(
            "SELECT skip, count(*) FROM rows WHERE skip IS NOT NULL GROUP BY 1 ORDER BY 1"
        ).fetchall():
            counts.left_out[reason] += rows
        (total, skipped) = self.con.execute("SELECT count(*), count(skip) FROM rows").fetchall()[0]
        # A byte for each row, on disk: the rows of a file may be more than fit into memory.
        taken = np.memmap(_zeros(self.scratch / "taken", total + 1), bool, "r+")
        yield from self._counted(plan.broken_query(), "", counts, taken)
        for i, event in enumerate(self.mapping.events):
            yield from self._counted(plan.line_query(i, "rows"), event.name, counts, taken)
        if left := total - skipped - int(taken.sum()):
            counts.left_out["no [[events]] takes the row"] += left

    def _counted(
        self, query: str, kind: str, counts: Counts, taken: Any = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the lines of a query; where `kind` is empty, they are of broken rows."""
        self.kind = kind
        nested = next((e.rows for e in self.mapping.events if e.name == kind), ())
        for batch in record_batches(self.con, query):
            lines = batch.column(1)
            if taken is not None:
                rows = batch.column(0).filter(lines.is_valid()).to_numpy()
                taken[rows] = True
            if lines.null_count:
                if nested:
                    counts.left_out[f"where of {kind} is not true"] += lines.null_count
                lines = lines.drop_null()
            broken = _broken(lines)
            counts.broken += broken
            if kind:
                counts.events[kind] += len(lines) - broken
            yield pa.RecordBatch.from_arrays([lines], names=["line"])


def import_files(
    paths: Sequence[str | Path],
    mapping_file: Path,
    lake: Lake,
    *,
    now: datetime,
    progress: Progress,
) -> ImportReport:
    """Write the rows of files to raw/, each file completely or not at all.

    A file that cannot be read is a failure in the report.

    Args:
        paths: files, or patterns of them.
        mapping_file: the mapping.
        lake: the lake.
        now: the arrival of the new objects.
        progress: called with a message at each step.

    Raises:
        SettingsError: the mapping is wrong, or a path names no file; nothing has been written.
    """
    report, counts = FeedReport(), Counts(Counter(), Counter())
    with (
        scratch_folder(lake) as scratch,
        opened_import(paths, mapping_file, scratch) as (work, files),
    ):
        for file, source in files:
            try:
                report += _import(work, file, source, lake, counts, now, progress)
            except FAILURES as error:
                work.fail(file, error)
    return ImportReport(
        {work.mapping.feed.name: report},
        tuple(work.failures),
        dict(counts.events) if len(work.mapping.events) > 1 else {},
        dict(counts.left_out),
    )


@contextmanager
def opened_import(
    paths: Sequence[str | Path], mapping_file: Path, scratch: Path
) -> Iterator[tuple[Import, list[tuple[InputFile, SourceFile]]]]:
    """Open files with a mapping; raise SettingsError when a path or the mapping is wrong."""
    mapping = load_mapping(mapping_file)
    files = [_link(path, f"source{i}", scratch) for i, path in enumerate(_expand(paths), 1)]
    lookups = LookupFiles(mapping.joins, [file.path for file in files], scratch)
    readable = [file.path.resolve() for file in files] + lookups.paths
    with engine(readable, scratch) as con:
        check_options(con, mapping.format, "[source.options]")
        for join in mapping.joins:
            check_options(con, join.format, f"[source.join.{join.name}.options]")
        work = Import(con, mapping, lookups, scratch)
        yield work, work.open(files)


def _expand(paths: Iterable[str | Path]) -> list[Path]:
    """Return the files of paths and patterns, each once."""
    unique: dict[Path, Path] = {}
    for pattern in paths:
        matches = [str(pattern)]
        if not Path(pattern).exists():
            matches = glob.glob(str(pattern), recursive=True)  # noqa: PTH207 (may be absolute)
        files = [Path(m) for m in sorted(matches) if Path(m).is_file()]
        if not files:
            what = "is a directory; name its files" if Path(pattern).is_dir() else "is no file"
            raise SettingsError(f"{pattern} {what}")
        for path in files:
            unique.setdefault(path.resolve(), path)
    return list(unique.values())


def _link(path: Path, name: str, scratch: Path) -> InputFile:
    """Link a file to a name that the reader accepts, with the suffix of its compression."""
    try:
        suffix = SUFFIXES.get(codec_of_file(path) or "", "")
    except OSError:
        suffix = ""
    link = scratch / f"{name}.data{suffix}"
    link.symlink_to(path.resolve())
    return InputFile(path, link)


def _import(
    work: Import,
    file: InputFile,
    source: SourceFile,
    lake: Lake,
    counts: Counts,
    now: datetime,
    progress: Progress,
) -> FeedReport:
    feed = work.mapping.feed
    writer = RawWriter(lake, feed, _identity(file.path, work), work.scratch)

    def report_rows(rows: int) -> None:
        progress(f"{file.path.name}: {rows:,} {feed.name}")

    parts, new = scanned(work, file, source, lambda lines: writer.stage(lines, report_rows))
    report = writer.publish(parts, now)
    if report.present_objects:
        progress(
            f"{file.path.name}: {report.present_rows:,} rows are in raw already, left as they are"
        )
    counts.events += new.events
    counts.left_out += new.left_out
    return replace(report, broken=new.broken if report.rows else 0)


def scanned(
    work: Import,
    file: InputFile,
    source: SourceFile,
    take: Callable[[Iterator[pa.RecordBatch]], Taken],
) -> tuple[Taken, Counts]:
    """Return the result of `take` for the lines of a file, and the counts of its rows.

    The file is scanned again as long as new broken rows are found.
    """
    while True:
        counts = Counts(Counter(), Counter())
        lines = work.lines(file, source, counts)
        try:
            taken = take(lines)
        except FAILURES:
            if not source.repair(failed=True):
                raise
        else:
            if not source.repair(failed=False):
                return taken, counts
        finally:
            lines.close()


def _zeros(path: Path, size: int) -> Path:
    """Make a file of so many zero bytes; a full disk is an error now, and no signal later."""
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    return path


def _identity(path: Path, work: Import) -> str:
    """Return a hash of content, file name and mapping: everything that the lines depend on."""
    digest = hashlib.sha256(f"{work.mapping.digest} {path.name} ".encode())
    for read in (path, *work.lookups.of(path)):
        with read.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:24]


def _require_no_missing(mapping: Mapping, plans: list[Plan]) -> None:
    """Raise SettingsError for a name that no file of the import has, unless it is optional."""
    # A file without any name, such as an empty one, says nothing about the mapping.
    plans = [plan for plan in plans if plan.rows.names]
    missing = [plan.missing() for plan in plans]
    for reference, label in missing[0].items() if missing else ():
        if not _names(reference) & mapping.optional and all(reference in m for m in missing):
            rows = plans[0].rows
            raise SettingsError(
                f"{label}: {rows.file} has no column {reference.name}; "
                f"its columns are {', '.join(rows.names)}"
            )


def _names(reference: Reference) -> set[str]:
    return {".".join(map(str, reference.path[:i])) for i in range(1, len(reference.path) + 1)}


def _broken(lines: Any) -> int:
    """Return how many lines are arrays, which stand for rows that cannot be read."""
    return int(pa.compute.sum(pa.compute.starts_with(lines, "[")).as_py() or 0)
