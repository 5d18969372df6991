"""The requirements of the project: which ones this machine meets, and how to meet the others."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from medallion.errors import WarehouseBusy, WarehouseDamaged, WarehouseError
from medallion.platforms.home import replaced_copies
from medallion.platforms.warehouse import open_warehouse, warehouse_path
from medallion.settings import dbt_project

NEEDED_FREE_BYTES = 1 << 30


@dataclass(frozen=True)
class Finding:
    """The state of one requirement; `needed` is false for what is optional on a laptop."""

    what: str
    state: str
    ready: bool
    needed: bool = True
    mend: str = ""


def examine(home: Path) -> list[Finding]:
    """Check this machine and this home; change nothing."""
    python = ".".join(map(str, sys.version_info[:3]))
    return [
        Finding("python", python, sys.version_info >= (3, 11), mend="install Python 3.11 or newer"),
        *[_package(name) for name in ("duckdb", "dbt-core", "dbt-duckdb", "pyarrow", "numpy")],
        Finding(
            "dbt project",
            str(dbt_project(home)),
            (dbt_project(home) / "dbt_project.yml").exists(),
            mend="install medallion again",
        ),
        _writable(home),
        _space(home),
        _warehouse(home),
        *[_old_copy(folder, size) for folder, size in replaced_copies(home).items()],
        *[_program(name, mend) for name, mend in _PROGRAMS.items()],
    ]


_PROGRAMS = {
    "java": "only for the Spark tests: apt-get install openjdk-17-jre-headless, or brew install "
    "openjdk@17",
    "terraform": "only to provision AWS: see developer.hashicorp.com/terraform/install",
}


def _package(name: str) -> Finding:
    try:
        return Finding(name, version(name), True)
    except PackageNotFoundError:
        return Finding(name, "missing", False, mend="make setup")


def _writable(home: Path) -> Finding:
    folder = next(p for p in (home, *home.parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Finding("home", str(home), True)
    except OSError as error:
        return Finding("home", f"{home}: {error.strerror}", False, mend="choose one with --home")


def _space(home: Path) -> Finding:
    folder = next(p for p in (home, *home.parents) if p.exists())
    free = shutil.disk_usage(folder).free
    return Finding(
        "disk",
        f"{free / 1e9:,.1f} GB free, {os.cpu_count()} cores",
        free > NEEDED_FREE_BYTES,
        mend="free 1 GB, or choose another --home",
    )


def _warehouse(home: Path) -> Finding:
    path = warehouse_path(home)
    if not path.exists():
        return Finding("warehouse", "none yet", False, False, "'medallion run' makes it")
    try:
        with open_warehouse(home, read_only=True):
            return Finding("warehouse", str(path), True)
    except WarehouseBusy:
        return Finding("warehouse", f"{path}, in use", True)
    except WarehouseDamaged:
        mend = "'medallion run --events 0' makes it again from bronze"
        return Finding("warehouse", f"{path}: damaged", False, mend=mend)
    except WarehouseError as error:
        return Finding("warehouse", str(error), False, mend="allow this user to read it")


def _old_copy(folder: Path, size: int) -> Finding:
    place = f"{folder}, {size / 1e6:,.1f} MB"
    return Finding("old copy", place, False, False, "'medallion rebuild --remove-old' removes it")


def _program(name: str, mend: str) -> Finding:
    path = shutil.which(name)
    return Finding(name, path or "missing", path is not None, needed=False, mend=mend)
