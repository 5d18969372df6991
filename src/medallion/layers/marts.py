"""Marts: the dbt project run in this process, and its small results published as snapshots."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from medallion.errors import TransformError
from medallion.platforms.local import make_folder, sync

PROJECT = Path(__file__).parents[3] / "dbt"
CURRENT = "CURRENT"
KEPT_SNAPSHOTS = 5
"""How many snapshots stay for readers that are still at them."""


@dataclass
class TransformReport:
    """What one dbt invocation did: by name, the seconds of each model, and the failed tests."""

    models: dict[str, float] = field(default_factory=dict)
    failed_tests: list[str] = field(default_factory=list)


class Transformer:
    """Runs dbt for one home. The project is parsed once; later runs reuse what was parsed."""

    def __init__(self, home: Path) -> None:
        self._home = home.absolute()
        self._work = self._home / ".dbt"
        self._runner: Any = None

    def run(self, *, select: str | None = None, full_refresh: bool = False) -> TransformReport:
        """Builds the models. Raises TransformError when one fails."""
        return self._invoke("run", select, ["--full-refresh"] * full_refresh)

    def test(self, *, select: str | None = None) -> TransformReport:
        """Runs the data tests; what fails is in the report."""
        return self._invoke("test", select, [])

    def published(self) -> list[str]:
        """The relations that the project marks for publishing, by `meta: {publish: true}`."""
        nodes = self._parsed().manifest.nodes.values()
        marked = [n for n in nodes if n.resource_type == "model" and n.config.meta.get("publish")]
        return sorted(f"{n.schema}.{n.alias}" for n in marked)

    def close(self) -> None:
        """Lets go of the warehouse, which dbt keeps open between two runs."""
        if self._runner is None:
            return
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager as Connections

        if Connections._ENV is not None:
            Connections._ENV.close()
        Connections.close_all_connections()

    def _parsed(self) -> Any:
        os.environ["MEDALLION_HOME"] = str(self._home)
        if self._runner is None:
            make_folder(self._work)
            self._runner = _parse(self._work)
        return self._runner

    def _invoke(self, verb: str, select: str | None, options: list[str]) -> TransformReport:
        arguments = [verb, *_common(self._work), "--no-write-json", *options]
        outcome = self._parsed().invoke(arguments + (["--select", select] if select else []))
        return _report(outcome)


def _common(work: Path) -> list[str]:
    return [
        "--quiet",
        "--project-dir",
        str(PROJECT),
        "--profiles-dir",
        str(PROJECT),
        "--target-path",
        str(work / "target"),
        "--log-path",
        str(work / "logs"),
        "--log-level-file",
        "none",
    ]


def _parse(work: Path) -> Any:
    # dbt takes two seconds to import: only who transforms pays for it.
    from dbt.cli.main import dbtRunner

    outcome: Any = dbtRunner().invoke(["parse", *_common(work)])
    if not outcome.success:
        raise TransformError(f"dbt cannot read the project: {_first_line(outcome.exception)}")
    return dbtRunner(manifest=outcome.result)


def _report(outcome: Any) -> TransformReport:
    if outcome.exception is not None:
        raise TransformError(f"dbt failed: {_first_line(outcome.exception)}")
    report, errors = TransformReport(), []
    for result in outcome.result or []:
        name = result.node.name
        if result.node.resource_type == "model":
            report.models[name] = result.execution_time
        if result.status == "fail":
            report.failed_tests.append(f"{name}: {_first_line(result.message)}")
        elif result.status in ("error", "runtime error"):
            errors.append(f"{name}: {_first_line(result.message)}")
    if errors:
        raise TransformError(f"dbt failed in {len(errors)} nodes, first in {errors[0]}")
    return report


def _first_line(message: object) -> str:
    lines = [line.strip() for line in str(message).splitlines() if line.strip()]
    return " ".join(lines[:2])


def publish(home: Path, warehouse: duckdb.DuckDBPyConnection, relations: list[str]) -> Path:
    """Writes relations as one consistent snapshot, gold/v<N>/<name>.parquet, and points CURRENT at
    it. Readers follow CURRENT and never see a file change."""
    gold = home.absolute() / "gold"
    make_folder(gold)
    versions = sorted(int(p.name[1:]) for p in gold.glob("v*") if p.name[1:].isdigit())
    folder = gold / f"v{(versions[-1] if versions else 0) + 1}"
    shutil.rmtree(hidden := gold / ".new", ignore_errors=True)
    hidden.mkdir()
    warehouse.execute("BEGIN")
    try:
        for relation in relations:
            path = hidden / f"{relation.rpartition('.')[2]}.parquet"
            warehouse.execute(f"COPY (FROM {relation}) TO '{_escaped(path)}' (FORMAT parquet)")
            sync(path)
    finally:
        warehouse.execute("COMMIT")
    sync(hidden)
    hidden.rename(folder)
    pointer = gold / f".{CURRENT}.tmp"
    pointer.write_text(folder.name)
    sync(pointer)
    pointer.rename(gold / CURRENT)
    sync(gold)
    for old in versions[: 1 - KEPT_SNAPSHOTS]:
        shutil.rmtree(gold / f"v{old}", ignore_errors=True)
    return folder


def _escaped(path: Path) -> str:
    return str(path).replace("'", "''")
