"""Snapshots: small relations published as Parquet, in a new folder each time."""

from __future__ import annotations

import filecmp
import shutil
from pathlib import Path

import duckdb

from medallion.platforms.local import make_folder, sync
from medallion.platforms.warehouse import literal

POINTER = "CURRENT"
"""The file in gold/ that names the folder of the newest snapshot."""

KEPT_SNAPSHOTS = 5
"""How many snapshots are kept, for readers that still use them."""


def publish(home: Path, warehouse: duckdb.DuckDBPyConnection, relations: dict[str, bool]) -> Path:
    """Publish relations as one consistent snapshot, gold/v<N>/<name>.parquet; return its folder.

    The file gold/CURRENT then names the new folder. Readers follow it and never see a file change.
    A relation that has not changed shares its file with the snapshot before.

    Args:
        home: the home.
        warehouse: the warehouse with the relations.
        relations: schema.name of each, and whether it may have changed.
    """
    gold = home.absolute() / "gold"
    make_folder(gold)
    versions = sorted(int(p.name[1:]) for p in gold.glob("v*") if p.name[1:].isdigit())
    folder = gold / f"v{(versions[-1] if versions else 0) + 1}"
    shutil.rmtree(hidden := gold / ".new", ignore_errors=True)
    hidden.mkdir()
    warehouse.execute("BEGIN")
    try:
        for relation, is_changed in relations.items():
            path = hidden / f"{relation.rpartition('.')[2]}.parquet"
            before = gold / f"v{versions[-1] if versions else 0}" / path.name
            if is_changed or not _share(before, path):
                warehouse.execute(f"COPY (FROM {relation}) TO {literal(path)} (FORMAT parquet)")
                if before.exists() and filecmp.cmp(before, path, shallow=False):
                    path.unlink()
                    _share(before, path)
                sync(path)
    finally:
        warehouse.execute("COMMIT")
    sync(hidden)
    hidden.rename(folder)
    pointer = gold / f".{POINTER}.tmp"
    pointer.write_text(folder.name)
    sync(pointer)
    pointer.rename(gold / POINTER)
    sync(gold)
    for old in versions[: 1 - KEPT_SNAPSHOTS]:
        shutil.rmtree(gold / f"v{old}", ignore_errors=True)
    return folder


def _share(before: Path, path: Path) -> bool:
    """Make `path` a hard link to a file; return False when there is no such file."""
    try:
        path.hardlink_to(before)
    except OSError:
        return False
    return True
