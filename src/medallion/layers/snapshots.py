"""Snapshots: small relations published as Parquet, in a new folder each time."""

from __future__ import annotations

import filecmp
import hashlib
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
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


Hours = Collection[tuple[date, int | None]]
"""Days with an hour, or None where the relation has no hours."""


def publish(
    home: Path,
    warehouse: duckdb.DuckDBPyConnection,
    relations: Mapping[str, bool],
    changed: Mapping[str, Hours] | None = None,
) -> Path:
    """Publish relations as one consistent snapshot, gold/v<N>/<name>.parquet; return its folder.

    The file gold/CURRENT then names the new folder. Readers follow it and never see a file change.
    A relation that has not changed shares its file with the previous snapshot.

    Args:
        home: the home.
        warehouse: the warehouse with the relations; nothing else may write to it meanwhile.
        relations: schema.name of each, and whether it may have changed.
        changed: of relations that are published by month, the days and hours whose rows have
            changed since the previous snapshot; where they are not known, all rows are compared.
    """
    gold = home.absolute() / "gold"
    make_folder(gold)
    published = versions(gold)
    before = gold / f"v{published[-1] if published else 0}"
    folder = gold / f"v{(published[-1] if published else 0) + 1}"
    shutil.rmtree(hidden := gold / ".new", ignore_errors=True)
    hidden.mkdir()
    known = _known_checksums(before)
    snapshot = _Snapshot(hidden, before, known, _periods(warehouse), changed or {})
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

    `old` are the checksums of the files before, `periods` the columns of a period of each relation,
    `changed` the hours of those of which the changes are known.
    """

    folder: Path
    before: Path
    old: dict[str, str]
    periods: dict[str, set[str]]
    changed: Mapping[str, Hours]

    def add(
        self, relation: str, is_changed: bool, warehouse: duckdb.DuckDBPyConnection
    ) -> dict[str, str]:
        """Write the files of a relation; return their checksums by name."""
        name = relation.rpartition(".")[2]
        kept = [file for file in self.old if file.partition(".")[0] == name]
        if not is_changed and kept and all(map(self._share, kept)):
            # The checksum is copied and not computed again: it must not confirm a damaged file.
            return {file: self.old[file] for file in kept}
        with transaction(warehouse):
            columns = self.periods.get(relation, set())
            if MONTH in columns:
                return self._add_months(_Months(relation, HOUR in columns, warehouse), kept)
            file = f"{name}.parquet"
            return {file: self._write(file, f"FROM {relation}", warehouse)}

    def _add_months(self, months: _Months, kept: list[str]) -> dict[str, str]:
        """Write the files of a relation by month; those that have not changed are shared."""
        hours = self.changed.get(months.relation)
        same = [] if hours is None else months.unchanged(kept, hours)
        if not all(map(self._share, same)):
            for file in same:
                (self.folder / file).unlink(missing_ok=True)
            same, hours = [], None
        checksums = {file: self.old[file] for file in same}
        for file, query in months.files(hours if same else None).items():
            if file in self.old and self._share(file):
                checksums[file] = self.old[file]
            else:
                checksums[file] = self._write(file, query, months.warehouse)
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


class _Months:
    """A relation that is published as a file per month, and per day or hour of its newest days.

    A file name holds a checksum of the rows: `<name>.<period>.<checksum>.parquet`. If the previous
    snapshot has a file of this name, the period has not changed.
    """

    def __init__(
        self, relation: str, has_hours: bool, warehouse: duckdb.DuckDBPyConnection
    ) -> None:
        self.relation, self.warehouse = relation, warehouse
        self._hour = HOUR if has_hours else "NULL"
        ((self._newest,),) = warehouse.execute(f"SELECT max({DAY}) FROM {relation}").fetchall()
        if self._newest is not None:
            self._closed = self._newest - timedelta(days=DAYS_APART)

    def unchanged(self, kept: list[str], hours: Hours) -> list[str]:
        """Return those of the previous files whose rows are the same, given all that changed.

        None are known to be when the newest day is another one: then days have gone from files of
        their own into that of their month.
        """
        periods = {file: file.split(".")[1] for file in kept}
        if not any(period[:10] == str(self._newest) for period in periods.values()):
            return []
        changed = {self._period(*hour)[0] for hour in hours}
        return [file for file, period in periods.items() if period not in changed]

    def files(self, hours: Hours | None) -> dict[str, str]:
        """Return the files of the periods of these hours, or of all, each with its query."""
        if self._newest is None:
            return {}
        only = "true"
        if hours is not None:
            periods = dict(self._period(*hour) for hour in hours)
            # The first day of all: without it an engine reads the whole history.
            first = f"{min(periods, default=self._newest)}-01"[:10]
            only = f"{DAY} >= DATE '{first}' AND ({' OR '.join(periods.values()) or 'false'})"
        is_new = f"{DAY} > DATE '{self._closed}'"
        rows = self.warehouse.execute(
            f"SELECT {MONTH}, CASE WHEN {is_new} THEN {DAY} END, "
            f"CASE WHEN {is_new} THEN {self._hour} END, "
            f"max({DAY}), hex(hash(count(*), sum(hash(rows)))) FROM {self.relation} AS rows "
            f"WHERE {MONTH} IS NOT NULL AND {only} GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        name, files = self.relation.rpartition(".")[2], {}
        for _, _, hour, day, checksum in rows:
            period, where = self._period(day, hour)
            # The page reads days.
            order = f" ORDER BY {DAY}" if day <= self._closed else ""
            files[f"{name}.{period}.{checksum}.parquet"] = (
                f"FROM {self.relation} WHERE {where}{order}"
            )
        return files

    def _period(self, day: date, hour: int | None) -> tuple[str, str]:
        """Return the name of the period of an hour, and the condition of its rows."""
        if day <= self._closed:
            month = f"{day:%Y-%m}"
            where = f"{MONTH} = DATE '{month}-01' AND {DAY} <= DATE '{self._closed}'"
            return month, f"({where})"
        if hour is None:
            return f"{day}", f"({DAY} = DATE '{day}' AND {self._hour} IS NULL)"
        return f"{day}T{hour}", f"({DAY} = DATE '{day}' AND {self._hour} = {hour})"


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
