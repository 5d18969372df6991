"""Snapshots: small relations published as Parquet, in a new folder each time."""

from __future__ import annotations

import filecmp
import hashlib
import re
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb

from medallion.lake.seals import Damaged, Stamp
from medallion.platforms.local import make_folder, sync
from medallion.platforms.warehouse import literal, side_by_side, transaction

POINTER = "CURRENT"
"""The file in gold/ that names the folder of the newest snapshot."""

CHECKSUMS = "SHA256SUMS"
"""The file of a snapshot with the checksums of its other files, as `sha256sum -c` reads them. Its
last line is a comment with the checksum of the lines above."""

MONTH, DAY, HOUR = "sales_month", "sales_date", "sales_hour"
"""A relation with a month and a day is published as one file per month, so that a batch does not
write a long history again; of the newest days, which nearly every batch changes, as one file per
day, or per hour where it has hours."""

DAYS_APART = 2

KEPT_SNAPSHOTS = 5
"""How many snapshots are kept, for readers that still use them."""


def publish(home: Path, warehouse: duckdb.DuckDBPyConnection, relations: dict[str, bool]) -> Path:
    """Publish relations as one consistent snapshot, gold/v<N>/<name>.parquet; return its folder.

    The file gold/CURRENT then names the new folder. Readers follow it and never see a file change.
    A relation that has not changed shares its file with the previous snapshot.

    Args:
        home: the home.
        warehouse: the warehouse with the relations; nothing else may write to it meanwhile.
        relations: schema.name of each, and whether it may have changed.
    """
    gold = home.absolute() / "gold"
    make_folder(gold)
    published = versions(gold)
    before = gold / f"v{published[-1] if published else 0}"
    folder = gold / f"v{(published[-1] if published else 0) + 1}"
    shutil.rmtree(hidden := gold / ".new", ignore_errors=True)
    hidden.mkdir()
    snapshot = _Snapshot(hidden, before, _known_checksums(before), _periods(warehouse))
    parts = [partial(snapshot.add, *relation) for relation in relations.items()]
    checksums = {file: sha for part in side_by_side(warehouse, parts) for file, sha in part.items()}
    _write_checksums(hidden, checksums)
    sync(hidden)
    hidden.rename(folder)
    # Flushed before the pointer, which must not name a missing folder after a power cut.
    sync(gold)
    pointer = gold / f".{POINTER}.tmp"
    pointer.write_text(folder.name)
    sync(pointer)
    pointer.rename(gold / POINTER)
    sync(gold)
    for number in published[: 1 - KEPT_SNAPSHOTS]:
        shutil.rmtree(gold / f"v{number}", ignore_errors=True)
    return folder


@dataclass(frozen=True)
class _Snapshot:
    """A snapshot that is written, and the one before, whose files it shares where they are equal.

    `old` are the checksums of the files before, `periods` the columns of a period of each relation.
    """

    folder: Path
    before: Path
    old: dict[str, str]
    periods: dict[str, set[str]]

    def add(
        self, relation: str, is_changed: bool, warehouse: duckdb.DuckDBPyConnection
    ) -> dict[str, str]:
        """Write the files of a relation; return their checksums by name."""
        name = relation.rpartition(".")[2]
        kept = [file for file in self.old if file.partition(".")[0] == name]
        if not is_changed and kept and all(map(self._share, kept)):
            # The checksum is copied and not computed again: it must not confirm a damaged file.
            return {file: self.old[file] for file in kept}
        columns = self.periods.get(relation, set())
        checksums = {}
        with transaction(warehouse):
            for file, query in _files(warehouse, relation, columns).items():
                if MONTH in columns and file in self.old and self._share(file):
                    checksums[file] = self.old[file]
                else:
                    checksums[file] = self._write(file, query, warehouse)
        return checksums

    def _write(self, file: str, query: str, warehouse: duckdb.DuckDBPyConnection) -> str:
        path = self.folder / file
        path.unlink(missing_ok=True)
        warehouse.execute(f"COPY ({query}) TO {literal(path)} (FORMAT parquet)")
        checksum = Stamp.of_file(path).sha256
        if _is_same(self.before / file, path):
            path.unlink()
            self._share(file)
        sync(path)
        return checksum

    def _share(self, file: str) -> bool:
        """Make a file a hard link to that of before; return False when there is none."""
        try:
            (self.folder / file).hardlink_to(self.before / file)
        except OSError:
            return False
        return True


def _periods(warehouse: duckdb.DuckDBPyConnection) -> dict[str, set[str]]:
    """Return which columns of a period each relation has. To describe each would take longer."""
    rows = warehouse.execute(
        "SELECT schema_name || '.' || table_name, column_name FROM duckdb_columns() "
        "WHERE column_name IN (?, ?, ?)",
        [MONTH, DAY, HOUR],
    ).fetchall()
    periods: dict[str, set[str]] = {}
    for relation, column in rows:
        periods.setdefault(relation, set()).add(column)
    return periods


def _files(
    warehouse: duckdb.DuckDBPyConnection, relation: str, columns: set[str]
) -> dict[str, str]:
    """Return the files of a relation by name, each with the query of its rows.

    The file name of a period holds a checksum of its rows: if the previous snapshot has a file of
    this name, the period has not changed.

    Args:
        warehouse: the warehouse with the relation.
        relation: its schema.name.
        columns: the columns of a period that it has.
    """
    query, name = f"FROM {relation}", relation.rpartition(".")[2]
    if MONTH not in columns:
        return {f"{name}.parquet": query}
    is_new = f"{DAY} > (SELECT max({DAY}) FROM {relation}) - {DAYS_APART}"
    periods = warehouse.execute(
        f"SELECT {MONTH}, CASE WHEN {is_new} THEN {DAY} END AS day, "
        f"CASE WHEN {is_new} THEN {HOUR if HOUR in columns else 'NULL'} END AS hour, "
        f"max({DAY}), hex(hash(count(*), sum(hash(rows)))) FROM {relation} AS rows "
        f"WHERE {MONTH} IS NOT NULL GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    files = {}
    for month, day, hour, last, rows in periods:
        # The page reads days.
        period = f"{month:%Y-%m}"
        where = f"{DAY} BETWEEN DATE '{month}' AND DATE '{last}' ORDER BY {DAY}"
        if day is not None:
            period, where = f"{day}", f"{DAY} = DATE '{day}'"
        if hour is not None:
            period, where = f"{period}T{hour}", f"{where} AND {HOUR} = {hour}"
        files[f"{name}.{period}.{rows}.parquet"] = f"{query} WHERE {where}"
    return files


def versions(gold: Path) -> list[int]:
    """Return the numbers of the snapshots in ascending order."""
    return sorted(int(p.name[1:]) for p in gold.glob("v*") if re.fullmatch("[0-9]+", p.name[1:]))


def read_checksums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a snapshot; none if an earlier version published it.

    Raises:
        Damaged: the file of the checksums is damaged, or missing from a snapshot that had one.
    """
    path = folder / CHECKSUMS
    if not path.exists():
        return {}
    try:
        *lines, last = path.read_text(encoding="utf-8").splitlines(keepends=True)
        if last != _comment("".join(lines)):
            raise ValueError
        return {name: sha for sha, name in (line.rstrip("\n").split("  ") for line in lines)}
    except ValueError as error:
        raise Damaged(f"{folder.name}/{CHECKSUMS} is damaged") from error


def require_sound(folder: Path, file: str, checksum: str) -> None:
    """Raise Damaged when a file of a snapshot has another checksum."""
    if Stamp.of_file(folder / file).sha256 != checksum:
        raise Damaged(f"{folder.name}/{file} is damaged: 'medallion transform' publishes it anew")


def _known_checksums(folder: Path) -> dict[str, str]:
    try:
        return read_checksums(folder)
    except (Damaged, OSError):
        return {}


def _write_checksums(folder: Path, checksums: dict[str, str]) -> None:
    text = "".join(f"{sha}  {name}\n" for name, sha in sorted(checksums.items()))
    path = folder / CHECKSUMS
    path.write_text(text + _comment(text), encoding="utf-8")
    sync(path)


def _comment(lines: str) -> str:
    return f"# {hashlib.sha256(lines.encode()).hexdigest()}\n"


def _is_same(before: Path, path: Path) -> bool:
    try:
        return filecmp.cmp(before, path, shallow=False)
    except OSError:
        return False
