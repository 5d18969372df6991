"""The import of CSV, JSON or Parquet files into raw/, by a mapping."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from medallion.errors import SettingsError
from medallion.importing.engine import engine, record_batches
from medallion.importing.lines import line_query
from medallion.importing.mapping import Mapping, load_mapping
from medallion.importing.readers import SourceFile, check_options, open_source
from medallion.importing.report import Failure, FeedReport, ImportReport
from medallion.importing.source import UnreadableSource
from medallion.importing.streams import check_packed
from medallion.importing.writer import Part, Progress, RawWriter, scratch_folder
from medallion.lake.codecs import SUFFIXES, codec_of_file
from medallion.platforms.lake import Lake

_FAILURES = (duckdb.Error, UnreadableSource, OSError, EOFError, pa.ArrowException)
"""The errors of a source file that cannot be read."""


@dataclass(frozen=True)
class _InputFile:
    """A file of the import, and the link by which the reader opens it."""

    path: Path
    link: Path


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
    mapping = load_mapping(mapping_file)
    expanded = _expand(paths)
    report = FeedReport()
    failures: list[Failure] = []
    with scratch_folder(lake) as scratch:
        files = [_link(path, i, scratch) for i, path in enumerate(expanded, 1)]
        with engine([file.path.resolve() for file in files], scratch) as con:
            check_options(con, mapping)
            for file, source in _check(con, files, mapping, scratch, failures):
                try:
                    report += _import(con, file, source, mapping, lake, scratch, now, progress)
                except _FAILURES as error:
                    failures.append(_failure(file, error))
    return ImportReport({mapping.feed.name: report}, tuple(failures))


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


def _link(path: Path, number: int, scratch: Path) -> _InputFile:
    """Link a file to a name that the reader accepts, with the suffix of its compression."""
    try:
        suffix = SUFFIXES.get(codec_of_file(path) or "", "")
    except OSError:
        suffix = ""
    link = scratch / f"source{number}.data{suffix}"
    link.symlink_to(path.resolve())
    return _InputFile(path, link)


def _check(
    con: duckdb.DuckDBPyConnection,
    files: list[_InputFile],
    mapping: Mapping,
    scratch: Path,
    failures: list[Failure],
) -> list[tuple[_InputFile, SourceFile]]:
    """Return the files that can be opened, after checking the mapping on their columns."""
    opened = []
    for file in files:
        try:
            check_packed(file.link)
            source = open_source(con, file.link, file.path.name, mapping, scratch)
            relation = source.source()
        except _FAILURES as error:
            failures.append(_failure(file, error))
        else:
            line_query(con, relation, mapping)
            opened.append((file, source))
    return opened


def _import(
    con: duckdb.DuckDBPyConnection,
    file: _InputFile,
    source: SourceFile,
    mapping: Mapping,
    lake: Lake,
    scratch: Path,
    now: datetime,
    progress: Progress,
) -> FeedReport:
    writer = RawWriter(lake, mapping.feed, _identity(file.path, mapping), scratch)

    def report_rows(rows: int) -> None:
        progress(f"{file.path.name}: {rows:,} {mapping.feed.name}")

    parts = _scan(con, source, mapping, writer, report_rows)
    report = writer.publish(parts, now)
    if report.present_objects:
        progress(
            f"{file.path.name}: {report.present_rows:,} rows are in raw already, left as they are"
        )
    return replace(report, broken=source.broken if report.rows else 0)


def _scan(
    con: duckdb.DuckDBPyConnection,
    source: SourceFile,
    mapping: Mapping,
    writer: RawWriter,
    progress: Callable[[int], None],
) -> list[Part]:
    """Stage the rows of a file; scan it again as long as there are new broken rows."""
    while True:
        query = line_query(con, source.scan(), mapping)
        try:
            parts = writer.stage(record_batches(con, query), progress)
        except duckdb.Error:
            if not source.repair(failed=True):
                raise
        else:
            if not source.repair(failed=False):
                return parts


def _identity(path: Path, mapping: Mapping) -> str:
    """Return a hash of content, file name and mapping, on which the lines depend."""
    digest = hashlib.sha256(f"{mapping.digest} {path.name} ".encode())
    with path.open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:24]


def _failure(file: _InputFile, error: BaseException) -> Failure:
    text = str(error).strip().split("\n")[0] or type(error).__name__
    return Failure(str(file.path), text.replace(str(file.link), file.path.name))
