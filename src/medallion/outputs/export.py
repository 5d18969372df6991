"""Export of gold and marts for other tools: a folder of Parquet or CSV, and a Tableau extract."""

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
import pyarrow as pa

from medallion.errors import LossError, SettingsError, WarehouseError, did_you_mean
from medallion.outputs.hyper import hyper_library, write_hyper
from medallion.platforms.local import is_running, make_folder, sync
from medallion.platforms.platform import Platform
from medallion.platforms.questions.client import HeldWarehouse
from medallion.platforms.warehouse import Warehouse, literal
from medallion.process import current_ending

MANIFEST = "export.json"
SCHEMAS = ("gold", "marts")
LAKE = ("raw", "bronze", "gold")
PLAIN = ("DECIMAL", "BIGINT", "INTEGER", "HUGEINT", "DOUBLE", "DATE", "BOOLEAN")
"""Types that CSV holds unchanged. All others except timestamps are written as text."""
DASHBOARD_ONLY = "live_"
"""The prefix of relations that only the dashboard reads."""
LOCAL_TIME = "local_"
"""The prefix of timestamps in the local time of a store; all others are UTC."""
FORMULA = r"^[=+\-@\t\r\n＝＋－＠]"
"""Matches texts that a spreadsheet would read as a formula."""


@dataclass
class ExportReport:
    """The folder and extract of an export, and the number of rows of each relation."""

    folder: Path
    hyper: Path | None = None
    rows: dict[str, int] = field(default_factory=dict)


def export(
    platform: Platform,
    folder: Path,
    *,
    form: str = "parquet",
    only: Sequence[str] = (),
    hyper: Path | None = None,
) -> ExportReport:
    """Write each relation of gold and marts as a file, all as of one moment.

    The files are `folder`/<name>.parquet or .csv, and export.json, which lists them. Relations that
    only the dashboard reads are left out. The folder and the extract are written completely or not
    at all, and replace only an earlier export that nobody has changed.

    Decimals keep their digits. Timestamps are UTC with a zone, except those in the local time of a
    store. CSV is RFC 4180 in UTF-8: NULL is an empty cell, and empty text is `""`. A text that a
    spreadsheet would read as a formula gets an apostrophe in front (OWASP, CSV Injection: it begins
    with = + - @, one of their full-width forms, tab, carriage return or line feed). Numbers stay
    numbers, negative ones too.

    Args:
        platform: the platform with the home and the warehouse.
        folder: the folder to write.
        form: "parquet" or "csv".
        only: the names of the relations to write; all of them when empty.
        hyper: a Tableau extract to write as well, with the same relations.

    Raises:
        SettingsError: the folder or extract holds something else, or a relation does not exist.
        LossError: the earlier export has rows or relations that the new one would not have.
        WarehouseError: the warehouse cannot be read.
        ExportError: Tableau's library is missing or cannot write the extract.
    """
    folder, hyper = folder.resolve(), hyper and hyper.resolve()
    _refuse_foreign_files(platform.home.resolve(), folder, hyper)
    if hyper:
        hyper_library()
    report = ExportReport(folder, hyper)
    with (
        platform.home_reader() as reader,
        _new_folder(folder) as new,
        _new_folder(hyper or folder) as scratch,
        _copied(reader, scratch / "copy.duckdb", only) as warehouse,
    ):
        relations = _relations(warehouse, only)
        report.rows = _copy(warehouse, relations, new, form)
        _refuse_to_lose(folder, report.rows)
        extract = _extract(warehouse, relations, new, scratch) if hyper else None
        _write_manifest(new, extract, report.rows)
        _swap(new, folder)
        if extract and hyper:
            extract.rename(hyper)
            sync(hyper.parent)
    return report


@contextmanager
def _copied(
    reader: duckdb.DuckDBPyConnection | HeldWarehouse, path: Path, only: Sequence[str]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a database with the relations to export: of a held warehouse, a copy at `path`."""
    if not isinstance(reader, HeldWarehouse):
        yield reader
        return
    relations = _relations(reader, only)
    with duckdb.connect(str(path)) as copy:
        for schema in SCHEMAS:
            copy.execute(f"CREATE SCHEMA {schema}")
        for full in relations.values():
            tables = reader.tables(f"FROM {full}")
            columns = next(tables).schema
            batches = (batch for table in tables for batch in table.to_batches())
            copy.register("rows_to_copy", pa.RecordBatchReader.from_batches(columns, batches))
            copy.execute(f"CREATE TABLE {full} AS FROM rows_to_copy")
        yield copy


def _extract(
    warehouse: duckdb.DuckDBPyConnection, relations: dict[str, str], new: Path, scratch: Path
) -> Path:
    """Write the extract in `scratch` and return its path.

    Tableau's library reads Parquet, so after an export as CSV the relations are written once more.
    """
    extract, parquet = scratch / "extract.hyper", new
    if any(new.glob("*.csv")):
        (parquet := scratch / "parquet").mkdir()
        _copy(warehouse, relations, parquet, "parquet")
    write_hyper({name: parquet / f"{name}.parquet" for name in relations}, extract)
    sync(extract)
    return extract


def _relations(warehouse: Warehouse, only: Sequence[str]) -> dict[str, str]:
    """Return the qualified name of each relation to export, by its name."""
    names = warehouse.execute(
        "SELECT table_name, table_schema || '.' || table_name FROM information_schema.tables "
        "WHERE table_schema IN (SELECT unnest(?)) ORDER BY 1",
        [list(SCHEMAS)],
    ).fetchall()
    relations = {name: full for name, full in names if not name.startswith(DASHBOARD_ONLY)}
    if not relations:
        raise WarehouseError("gold and marts are empty; 'medallion run' fills them")
    if unknown := [name for name in only if name not in relations]:
        hint = did_you_mean(unknown[0], relations) or f"; there are {', '.join(relations)}"
        raise SettingsError(f"there is no relation {unknown[0]} to export{hint}")
    return {name: full for name, full in relations.items() if not only or name in only}


def _copy(
    warehouse: duckdb.DuckDBPyConnection, relations: dict[str, str], folder: Path, form: str
) -> dict[str, int]:
    """Write one file for each relation, all in one transaction; return the rows of each."""
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
    """Return the select list of a relation's file, and in CSV the names of its text columns."""
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
    """Write export.json, from which a later export sees whether somebody changed the files."""
    files = {path.name: _checksum(path) for path in sorted(folder.iterdir())}
    manifest = {"files": files, "hyper": _checksum(extract) if extract else None, "rows": rows}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _refuse_foreign_files(home: Path, folder: Path, hyper: Path | None) -> None:
    for path in filter(None, (folder, hyper)):
        if any(path.is_relative_to(home / part) for part in LAKE):
            raise SettingsError(
                f"{path} lies in the lake; choose a path outside of raw/, bronze/ and gold/"
            )
    if hyper and hyper.is_relative_to(folder):
        raise SettingsError(
            f"{hyper} lies in the folder of the export; choose a path outside of {folder}"
        )
    last = _manifest(folder)
    if folder.exists():
        if not folder.is_dir():
            raise SettingsError(f"{folder} is a file; choose a folder")
        for path in sorted(folder.iterdir()):
            if path.name != MANIFEST and not _is_as_written(path, last["files"].get(path.name)):
                raise SettingsError(
                    f"{folder} holds {path.name}, which no export wrote or which was changed "
                    "since; choose a new or empty folder"
                )
    if hyper and hyper.exists() and not _is_as_written(hyper, last["hyper"]):
        raise SettingsError(f"{hyper} is not of the last export to {folder}; choose another name")


GROWING = ("fct_sales_line", "dim_products", "dim_stores")
"""Relations that only grow. Any other relation may lose rows, but not all of them."""


def _refuse_to_lose(folder: Path, rows: dict[str, int]) -> None:
    """Raise LossError when the last export to this folder has rows that the new one would lack."""
    last = _manifest(folder)
    lost = [
        f"{name}: {before:,} rows, now {rows[name]:,}"
        for name, before in last["rows"].items()
        if name in rows and rows[name] < before and (name in GROWING or not rows[name])
    ]
    lost += [name for name in last["files"] if name.partition(".")[0] not in rows]
    if lost:
        raise LossError(
            f"the last export to {folder} has what this one would lose, so it stays; choose "
            "another folder, or remove that one:",
            lost,
        )


def _manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of the last export; an empty one when there is none that can be read."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        rows = {str(name): int(count) for name, count in manifest.get("rows", {}).items()}
        return {"files": dict(manifest["files"]), "hyper": manifest["hyper"], "rows": rows}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {"files": {}, "hyper": None, "rows": {}}


def _is_as_written(path: Path, checksum: str | None) -> bool:
    return path.is_file() and not path.is_symlink() and _checksum(path) == checksum


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """Yield a new hidden folder next to `path`, so on the same disk; remove it at the end.

    Hidden folders that killed exports have left are removed too.
    """
    make_folder(path.parent)
    number = 1
    while (new := path.parent / f".{path.name}.{os.getpid()}.{number}.tmp").exists():
        number += 1
    new.mkdir()
    current_ending().leftovers.append(new)
    try:
        yield new
        for other in path.parent.iterdir():
            left = re.fullmatch(rf"\.{re.escape(path.name)}\.(\d+)\.\d+\.(tmp|old)", other.name)
            if left and not is_running(left[1]):
                shutil.rmtree(other, ignore_errors=True)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _swap(new: Path, folder: Path) -> None:
    """Put the new folder in the place of the old one, and remove the old one."""
    for path in new.iterdir():
        sync(path)
    sync(new)
    old = new.with_suffix(".old")
    existed = folder.exists()
    if existed:
        folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        if existed:
            old.rename(folder)
        raise
    sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)
