"""Gold and marts as files for other tools: a folder of Parquet or CSV, and a Tableau extract."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from medallion.errors import LossError, SettingsError, WarehouseError, did_you_mean
from medallion.outputs.hyper import hyper_library, write_hyper
from medallion.platforms.local import is_running, make_folder, sync
from medallion.platforms.platform import Platform
from medallion.platforms.warehouse import literal
from medallion.process import current_ending

MANIFEST = "export.json"
SCHEMAS = ("gold", "marts")
LAKE = ("raw", "bronze", "gold")
PLAIN = ("DECIMAL", "BIGINT", "INTEGER", "HUGEINT", "DOUBLE", "DATE", "BOOLEAN")
"""Types that CSV holds as they are; what is neither these nor a time is text."""
DASHBOARD_ONLY = "live_"
LOCAL_TIME = "local_"
"""Timestamps of this name are on the clock of a store; all others are UTC."""
FORMULA = r"^[=+\-@\t\r\n＝＋－＠]"


@dataclass
class ExportReport:
    """Where an export lies, and the rows of each relation."""

    folder: Path
    hyper: Path | None = None
    rows: dict[str, int] = field(default_factory=dict)


def export(
    here: Platform,
    folder: Path,
    *,
    form: str = "parquet",
    only: Sequence[str] = (),
    hyper: Path | None = None,
) -> ExportReport:
    """Writes each relation of gold and marts as `folder`/<name>.parquet or .csv, all as of one
    moment, and what was written as export.json; with `hyper` the same as one Tableau extract. What
    only the dashboard reads is left out.

    Decimals keep their digits. Timestamps are UTC and say so, except those on the clock of a store.
    CSV is RFC 4180 in UTF-8, NULL an empty cell and empty text `""`; a text that a spreadsheet
    would take for a formula gets an apostrophe in front (OWASP, CSV Injection: it begins with
    = + - @, one of their full-width forms, tab, carriage return or line feed). Numbers stay
    numbers, negative ones too.

    A folder or extract appears whole or not at all, and replaces only an earlier export that nobody
    has changed. Raises SettingsError when something else is there or a relation is not, LossError
    when the earlier export has rows or relations that the new one would not have, WarehouseError
    when the warehouse cannot be read, ExportError when Tableau's library cannot write.
    """
    folder, hyper = folder.resolve(), hyper and hyper.resolve()
    _refuse_what_is_not_ours(here.home.resolve(), folder, hyper)
    if hyper:
        hyper_library()
    report = ExportReport(folder, hyper)
    with (
        here.warehouse(read_only=True) as warehouse,
        _new_folder(folder) as made,
        _new_folder(hyper or folder) as spare,
    ):
        relations = _relations(warehouse, only)
        report.rows = _copied(warehouse, relations, made, form)
        _refuse_to_lose(folder, report.rows)
        extract = _extract(warehouse, relations, made, spare) if hyper else None
        _write_manifest(made, extract, report.rows)
        _swap(made, folder)
        if extract and hyper:
            extract.rename(hyper)
            sync(hyper.parent)
    return report


def _extract(
    warehouse: duckdb.DuckDBPyConnection, relations: dict[str, str], made: Path, spare: Path
) -> Path:
    """Writes the extract, from Parquet, which an export of CSV does not have yet."""
    extract, parquet = spare / "extract.hyper", made
    if any(made.glob("*.csv")):
        (parquet := spare / "parquet").mkdir()
        _copied(warehouse, relations, parquet, "parquet")
    write_hyper({name: parquet / f"{name}.parquet" for name in relations}, extract)
    sync(extract)
    return extract


def _relations(warehouse: duckdb.DuckDBPyConnection, only: Sequence[str]) -> dict[str, str]:
    """By name, the qualified names of what is exported."""
    found = warehouse.execute(
        "SELECT table_name, table_schema || '.' || table_name FROM information_schema.tables "
        "WHERE table_schema IN (SELECT unnest(?)) ORDER BY 1",
        [list(SCHEMAS)],
    ).fetchall()
    relations = {name: full for name, full in found if not name.startswith(DASHBOARD_ONLY)}
    if not relations:
        raise WarehouseError("gold and marts are empty; 'medallion run' fills them")
    if unknown := [name for name in only if name not in relations]:
        hint = did_you_mean(unknown[0], relations) or f"; there are {', '.join(relations)}"
        raise SettingsError(f"there is no relation {unknown[0]} to export{hint}")
    return {name: full for name, full in relations.items() if not only or name in only}


def _copied(
    warehouse: duckdb.DuckDBPyConnection, relations: dict[str, str], folder: Path, form: str
) -> dict[str, int]:
    """Writes relations, one file each, in one transaction; gives their rows."""
    options = "FORMAT parquet, COMPRESSION zstd" if form == "parquet" else "FORMAT csv, HEADER"
    rows = {}
    warehouse.execute("BEGIN")
    try:
        for name, full in relations.items():
            path = literal(folder / f"{name}.{form}")
            columns, texts = _columns(warehouse, full, form)
            quoted = f", FORCE_QUOTE ({', '.join(texts)})" if texts else ""
            (rows[name],) = warehouse.execute(
                f"COPY (SELECT {', '.join(columns)} FROM {full}) TO {path} ({options}{quoted})"
            ).fetchone() or (0,)
    except duckdb.Error as error:
        raise WarehouseError(f"cannot export: {' '.join(str(error).split())}") from error
    finally:
        warehouse.execute("ROLLBACK")
    return rows


def _columns(
    warehouse: duckdb.DuckDBPyConnection, relation: str, form: str
) -> tuple[list[str], list[str]]:
    """The select list that gives a relation's columns the form of a file, and the names of the text
    columns in CSV."""
    columns, texts = [], []
    for name, kind, *_ in warehouse.execute(f"DESCRIBE {relation}").fetchall():
        column = '"' + name.replace('"', '""') + '"'
        value = column
        if kind == "TIMESTAMP":
            local = name.startswith(LOCAL_TIME)
            if form == "parquet":
                value = column if local else f"{column} AT TIME ZONE 'UTC'"
            else:
                value = f"strftime({column}, '%Y-%m-%dT%H:%M:%S.%f{'' if local else 'Z'}')"
        elif form == "csv" and not kind.startswith(PLAIN):
            text = f"CAST({column} AS VARCHAR)"
            value = (
                f"CASE WHEN regexp_matches({text}, '{FORMULA}') THEN '''' || {text} ELSE {text} END"
            )
            texts.append(column)
        columns.append(f"{value} AS {column}")
    return columns, texts


def _write_manifest(folder: Path, extract: Path | None, rows: dict[str, int]) -> None:
    """Says what the export consists of, so that a later one may replace it."""
    files = {path.name: _checksum(path) for path in sorted(folder.iterdir())}
    manifest = {"files": files, "hyper": _checksum(extract) if extract else None, "rows": rows}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _refuse_what_is_not_ours(home: Path, folder: Path, hyper: Path | None) -> None:
    for path in filter(None, (folder, hyper)):
        if any(path.is_relative_to(home / part) for part in LAKE):
            raise SettingsError(f"{path} lies in the lake; give a place outside of it")
    if hyper and hyper.is_relative_to(folder):
        raise SettingsError(f"{hyper} lies in the folder of the export; put it beside {folder}")
    known = _manifest(folder)
    if folder.exists():
        if not folder.is_dir():
            raise SettingsError(f"{folder} is a file; give a folder")
        for path in sorted(folder.iterdir()):
            if path.name != MANIFEST and not _is_as_written(path, known["files"].get(path.name)):
                raise SettingsError(
                    f"{folder} holds {path.name}, which no export wrote, or which was changed "
                    "since: give a new or empty folder"
                )
    if hyper and hyper.exists() and not _is_as_written(hyper, known["hyper"]):
        raise SettingsError(f"{hyper} is not of the last export to {folder}: give another name")


GROWING = ("fct_sales_line", "dim_products", "dim_stores")
"""Relations that never lose a row. Others may, but none ever loses all."""


def _refuse_to_lose(folder: Path, rows: dict[str, int]) -> None:
    """Raises LossError when the last export to this folder has what the new one would not."""
    known = _manifest(folder)
    lost = [
        f"{name}: {before:,} rows, now {rows[name]:,}"
        for name, before in known["rows"].items()
        if name in rows and rows[name] < before and (name in GROWING or not rows[name])
    ]
    lost += [name for name in known["files"] if name.partition(".")[0] not in rows]
    if lost:
        raise LossError(
            f"the last export to {folder} has what this one would lose, so it stays; give another "
            "folder, or remove it:",
            lost,
        )


def _manifest(folder: Path) -> dict[str, Any]:
    """What the last export wrote; nothing, when that is not known."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        rows = {str(name): int(count) for name, count in found.get("rows", {}).items()}
        return {"files": dict(found["files"]), "hyper": found["hyper"], "rows": rows}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {"files": {}, "hyper": None, "rows": {}}


def _is_as_written(path: Path, checksum: str | None) -> bool:
    return path.is_file() and not path.is_symlink() and _checksum(path) == checksum


def _checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _new_folder(beside: Path) -> Iterator[Path]:
    """A hidden folder on the same disk, gone at the end, as is what killed exports left."""
    make_folder(beside.parent)
    number = 1
    while (made := beside.parent / f".{beside.name}.{os.getpid()}.{number}.tmp").exists():
        number += 1
    made.mkdir()
    current_ending().leftovers.append(made)
    try:
        yield made
        for path in beside.parent.iterdir():
            left = re.fullmatch(rf"\.{re.escape(beside.name)}\.(\d+)\.\d+\.(tmp|old)", path.name)
            if left and not is_running(left[1]):
                shutil.rmtree(path, ignore_errors=True)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _swap(made: Path, folder: Path) -> None:
    """Puts the new folder in the place of the old one, which goes."""
    for path in made.iterdir():
        sync(path)
    sync(made)
    old = made.with_suffix(".old")
    was_there = folder.exists()
    if was_there:
        folder.rename(old)
    try:
        made.rename(folder)
    except OSError:
        if was_there:
            old.rename(folder)
        raise
    sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)
