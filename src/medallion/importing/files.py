"""Anyone's CSV, JSON or Parquet files into raw/, by a mapping."""

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
from medallion.importing.engine import batches, engine
from medallion.importing.lines import line_query
from medallion.importing.mapping import Mapping, load_mapping
from medallion.importing.readers import SourceFile, check_options, open_source
from medallion.importing.report import Failure, FeedReport, ImportReport
from medallion.importing.source import Unreadable
from medallion.importing.streams import check_packed
from medallion.importing.writer import Part, Progress, RawWriter, scratch_folder
from medallion.lake.codecs import SUFFIXES, codec_of_file
from medallion.platforms.lake import Lake

_FAILURES = (duckdb.Error, Unreadable, OSError, EOFError, pa.ArrowException)
"""How a source file says that it cannot be read."""


@dataclass(frozen=True)
class _Given:
    """A file of the import, and the link under which the reader sees it."""

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
    """Writes the rows of the files to raw/, as of `now`, each file whole or not at all.

    `paths` may be patterns. Raises SettingsError before anything is written when the mapping is
    wrong or a path leads nowhere; a file that cannot be read is a failure in the report.
    """
    mapping = load_mapping(mapping_file)
    found = _expand(paths)
    report = FeedReport()
    failures: list[Failure] = []
    with scratch_folder(lake) as scratch:
        given = [_link(path, i, scratch) for i, path in enumerate(found, 1)]
        with engine([g.path.resolve() for g in given], scratch) as con:
            check_options(con, mapping)
            for file, source in _check(con, given, mapping, scratch, failures):
                try:
                    report += _import(con, file, source, mapping, lake, scratch, now, progress)
                except _FAILURES as error:
                    failures.append(_failure(file, error))
    return ImportReport({mapping.feed.name: report}, tuple(failures))


def _expand(paths: Iterable[str | Path]) -> list[Path]:
    """The files that the paths and patterns stand for, each once."""
    found: dict[Path, Path] = {}
    for given in paths:
        matches = [str(given)]
        if not Path(given).exists():
            matches = glob.glob(str(given), recursive=True)  # noqa: PTH207 (may be absolute)
        files = [Path(m) for m in sorted(matches) if Path(m).is_file()]
        if not files:
            what = "is a directory; name its files" if Path(given).is_dir() else "is no file"
            raise SettingsError(f"{given} {what}")
        for path in files:
            found.setdefault(path.resolve(), path)
    return list(found.values())


def _link(path: Path, number: int, scratch: Path) -> _Given:
    """A plain name for the reader, whatever the file is called and packed in."""
    try:
        suffix = SUFFIXES.get(codec_of_file(path) or "", "")
    except OSError:
        suffix = ""
    link = scratch / f"source{number}.data{suffix}"
    link.symlink_to(path.resolve())
    return _Given(path, link)


def _check(
    con: duckdb.DuckDBPyConnection,
    given: list[_Given],
    mapping: Mapping,
    scratch: Path,
    failures: list[Failure],
) -> list[tuple[_Given, SourceFile]]:
    """The files that can be opened, each with the mapping tried on its columns."""
    opened = []
    for file in given:
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
    file: _Given,
    source: SourceFile,
    mapping: Mapping,
    lake: Lake,
    scratch: Path,
    now: datetime,
    progress: Progress,
) -> FeedReport:
    writer = RawWriter(lake, mapping.feed, _identity(file.path, mapping), scratch)

    def told(rows: int) -> None:
        progress(f"{file.path.name}: {rows:,} {mapping.feed.name}")

    parts = _scan(con, source, mapping, writer, told)
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
    told: Callable[[int], None],
) -> list[Part]:
    """Stages the rows of a file; scans again as long as broken rows turn up."""
    while True:
        query = line_query(con, source.scan(), mapping)
        try:
            parts = writer.stage(batches(con, query), told)
        except duckdb.Error:
            if not source.repair(failed=True):
                raise
        else:
            if not source.repair(failed=False):
                return parts


def _identity(path: Path, mapping: Mapping) -> str:
    """Names content, file name and mapping: what the lines are made from."""
    digest = hashlib.sha256(f"{mapping.digest} {path.name} ".encode())
    with path.open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:24]


def _failure(file: _Given, error: BaseException) -> Failure:
    text = str(error).strip().split("\n")[0] or type(error).__name__
    return Failure(str(file.path), text.replace(str(file.link), file.path.name))
