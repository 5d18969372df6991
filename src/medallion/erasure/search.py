"""Whether any file of a home still holds a customer's id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from medallion.erasure.lake import LakeEraser
from medallion.erasure.pseudonym import Replacement
from medallion.platforms.local import LocalLake
from medallion.platforms.warehouse import FILE

TEXT = ("VARCHAR", "BLOB", "JSON")


@dataclass
class Search:
    """How many files of each kind were searched, and where the id is."""

    searched: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)


def search(lake: LocalLake, replacement: Replacement) -> Search:
    """Looks into every file of the home: raw objects line by line, Parquet and warehouse column by
    column, all others as text."""
    result = Search()
    eraser = LakeEraser(lake, replacement)
    result.found += eraser.find_raw()
    result.found += [f"{key}: {why}" for key, why in eraser.done.unsearchable.items()]
    db = duckdb.connect()
    for path in sorted(p for p in lake.home.rglob("*") if p.is_file()):
        name = str(path.relative_to(lake.home))
        if name.startswith("raw/"):
            result.searched["raw objects"] += 1
        elif path.suffix == ".parquet":
            result.searched["Parquet files"] += 1
            db.execute(
                "CREATE OR REPLACE VIEW file AS FROM read_parquet("
                f"'{_escaped(path)}', hive_partitioning = false)"
            )
            result.found += [f"{name}: {c}" for c in _columns(db, "main", "file", replacement)]
        elif name == FILE:
            result.searched["warehouse tables"] += _search_warehouse(path, replacement, result)
        else:
            result.searched["other files"] += 1
            text = path.read_bytes().decode("utf-8", "replace")
            if replacement.text(text) != text:
                result.found.append(name)
    return result


def _search_warehouse(path: Path, replacement: Replacement, result: Search) -> int:
    with duckdb.connect(str(path), read_only=True) as db:
        tables = db.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal ORDER BY ALL"
        ).fetchall()
        for schema, table in tables:
            found = _columns(db, schema, table, replacement)
            result.found += [f"{FILE}: {schema}.{table}.{column}" for column in found]
    return len(tables)


def _columns(
    db: duckdb.DuckDBPyConnection, schema: str, table: str, replacement: Replacement
) -> Iterator[str]:
    """The columns of a relation that hold the id: customer_id as a whole, others as a word."""
    columns = db.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = ? "
        "AND table_name = ?",
        [schema, table],
    ).fetchall()
    for column, kind in columns:
        if not kind.startswith(TEXT):
            continue
        text = f"CAST({column} AS VARCHAR)"
        rows = db.execute(
            f"SELECT DISTINCT {text} FROM {schema}.{table} WHERE contains({text}, ?)",
            [replacement.customer],
        ).fetchall()
        if any(_holds(column, value, replacement) for (value,) in rows):
            yield column


KNOWN_FOR_OTHERS = ("event_id", "basket_id", "original_event_id", "product_id", "store_id")
"""Columns of the contract in which the same characters are the name of something else."""


def _holds(column: str, value: str, replacement: Replacement) -> bool:
    if column == "customer_id":
        return value == replacement.customer
    return column not in KNOWN_FOR_OTHERS and replacement.text(value) != value


def _escaped(path: Path) -> str:
    return str(path).replace("'", "''")
