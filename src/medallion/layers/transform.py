"""Transform: the dbt project, run in this process."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import duckdb

from medallion.errors import SettingsError, TransformError, did_you_mean
from medallion.layers.snapshots import Hours
from medallion.platforms.kept import kept_or_made
from medallion.platforms.local import make_folder
from medallion.platforms.snowflake import require_extra
from medallion.platforms.warehouse import AT_ONCE, another, transaction
from medallion.settings import DBT_PROJECT, dbt_project

EMBEDDED, SNOWFLAKE = "local", "snowflake"
"""The targets of dbt/profiles.yml. The one in Snowflake gets its account from the environment."""
_MADE_BY_DBT = ("target", "logs")
"""Folders in the project that dbt writes when it is run by hand."""


@dataclass
class TransformReport:
    """The result of one run of dbt: the seconds of each model by name, and the failed tests.

    `changed` has the days and hours that a model has changed, by relation, where they are known.
    """

    models: dict[str, float] = field(default_factory=dict)
    tests: int = 0
    failed_tests: list[str] = field(default_factory=list)
    changed: dict[str, Hours] = field(default_factory=dict)


class Transformer:
    """A dbt of one home, which runs on the warehouse of a target.

    The project is parsed once on a machine; later runs use the result.
    """

    def __init__(
        self, home: Path, target: str = EMBEDDED, *, progress: Callable[[str], None] | None = None
    ) -> None:
        if target == SNOWFLAKE:
            require_extra("dbt.adapters.snowflake")
        self._home, self._target = home.absolute(), target
        self._project = dbt_project(self._home)
        self._work = self._home / ".dbt"
        self._runner: Any = None
        self._built: dict[str, dict[str, _Built]] = {}
        self.progress = progress or (lambda _: None)
        """Hears what is being built."""

    def prepare(self) -> None:
        """Import dbt and read the project, which takes a second or two; later calls do nothing."""
        self._parsed()

    def require(self, select: str | None) -> None:
        """Raise SettingsError when a word of `select` selects no model."""
        for word in (select or "").split():
            if not self._listed(word):
                nodes = self._parsed().manifest.nodes.values()
                known = {name for node in nodes for name in (node.name, *node.tags)}
                name = re.sub(r"^\d*\+|\+\d*$|^@", "", word).rpartition(":")[2]
                raise SettingsError(f"--select {word} selects no model{did_you_mean(name, known)}")

    def _listed(self, select: str) -> list[str]:
        """Return the models that a selection selects.

        Raises:
            SettingsError: dbt cannot read the selection.
        """
        arguments = ["list", *self._options(), "--resource-type", "model", "--select", select]
        with redirect_stdout(StringIO()):
            outcome = self._parsed().invoke(arguments)
        if outcome.exception is not None:
            raise SettingsError(f"--select {select}: {_first_line(outcome.exception)}")
        return list(outcome.result or [])

    def run(self, *, select: str | None = None, full_refresh: bool = False) -> TransformReport:
        """Build the models.

        Raises:
            TransformError: a model failed.
        """
        return self._invoke("run", select, ["--full-refresh"] * full_refresh)

    def repeat(self, warehouse: duckdb.DuckDBPyConnection, select: str) -> TransformReport:
        """Build incremental models whose tables exist, each in a transaction.

        The first time dbt builds them. After that its statements are repeated unchanged: they name
        no batch but find what is new, and dbt takes longer to write them than the warehouse to run
        them.

        Raises:
            TransformError: a model failed.
        """
        if select not in self._built:
            report = self.run(select=select)
            # Parsed once: for a small batch, that takes a tenth of the time.
            self._built[select] = {
                name: _Built(
                    _relation(self._models()[name]),
                    warehouse.extract_statements(self._made(name)),
                    self._read_by(name).intersection(report.models),
                )
                for name in report.models
            }
            return report
        return _repeated(warehouse, self._built[select])

    def _made(self, model: str) -> str:
        """Return the statements with which dbt built a model the last time."""
        node = self._models()[model]
        folder = self._work / "target" / "run" / node.package_name
        return (folder / node.original_file_path).read_text(encoding="utf-8")

    def _read_by(self, model: str) -> set[str]:
        """Return the models that a model reads, also through others."""
        nodes = self._parsed().manifest.nodes
        parents = self._models()[model].depends_on.nodes
        read = {nodes[parent].name for parent in parents if parent in nodes}
        return read.union(*map(self._read_by, read))

    def _models(self) -> dict[str, Any]:
        nodes = self._parsed().manifest.nodes.values()
        return {node.name: node for node in nodes if node.resource_type == "model"}

    def digest(self) -> str:
        """Return a digest of the project and of dbt: the same ones build the same models."""
        return _project_digest(self._project)

    def test(self, *, select: str | None = None) -> TransformReport:
        """Run the data tests; the report has those that fail."""
        return self._invoke("test", select, [])

    def published(self, select: str | None = None) -> dict[str, bool]:
        """Return the relations to publish, and whether a run of `select` may have changed each.

        The project marks them with `meta: {publish: true}`.
        """
        marked = [n for n in self._models().values() if n.config.meta.get("publish")]
        built = {word.split(",")[0] for word in (select or "").split()}
        by_tag = bool(built) and all(word.startswith("tag:") for word in built)
        return {
            _relation(n): not by_tag or any(f"tag:{tag}" in built for tag in n.tags) for n in marked
        }

    def close(self) -> None:
        """Close the warehouse, which dbt keeps open between runs."""
        if self._runner is None or self._target != EMBEDDED:
            return
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager as Connections

        if Connections._ENV is not None:
            Connections._ENV.close()
        Connections.close_all_connections()

    def _parsed(self) -> Any:
        os.environ["MEDALLION_HOME"] = str(self._home)
        if self._runner is None:
            _require_same_sources(self._project)
            make_folder(self._work)
            self._runner = _runner(self._options(), self._project, self._target, self._hear)
        return self._runner

    def _hear(self, event: Any) -> None:
        """Report which model dbt starts to build."""
        if event.info.name == "LogStartLine":
            node = event.data
            self.progress(f"building {node.index} of {node.total}: {node.description.split()[-1]}")

    def _invoke(self, verb: str, select: str | None, options: list[str]) -> TransformReport:
        arguments = [verb, *self._options(), "--no-write-json", *options]
        outcome = self._parsed().invoke(arguments + (["--select", select] if select else []))
        return _report(outcome)

    def _options(self) -> list[str]:
        return [
            "--quiet",
            "--log-level",
            "none",
            "--target",
            self._target,
            "--project-dir",
            str(self._project),
            "--profiles-dir",
            str(self._project),
            "--target-path",
            str(self._work / "target"),
            "--log-path",
            str(self._work / "logs"),
            "--log-level-file",
            "none",
        ]


@dataclass(frozen=True)
class _Built:
    """The relation and the statements of a model, and the models of its selection that it reads."""

    relation: str
    statements: list[duckdb.Statement]
    before: set[str]


def _repeated(warehouse: duckdb.DuckDBPyConnection, models: dict[str, _Built]) -> TransformReport:
    """Run the statements of models, AT_ONCE at a time, each after those that it reads."""
    report, running = TransformReport(), dict[Future[_Repeated], str]()
    order = TopologicalSorter({name: model.before for name, model in models.items()})
    order.prepare()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        while order.is_active():
            for name in order.get_ready():
                running[threads.submit(_repeat, warehouse, name, models[name].statements)] = name
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                report.models[name], hours = future.result()
                if hours is not None:
                    report.changed[models[name].relation] = hours
                order.done(name)
    return report


_Repeated = tuple[float, Hours | None]
"""The seconds that a model took, and the days and hours that it says it has changed."""


def _repeat(
    warehouse: duckdb.DuckDBPyConnection, name: str, statements: list[duckdb.Statement]
) -> _Repeated:
    """Run the statements of a model in a transaction.

    A SELECT among them yields what the model has changed: see materializations_duckdb.sql.
    """
    started, hours = time.monotonic(), None
    try:
        with another(warehouse) as own, transaction(own):
            for statement in statements:
                own.execute(statement)
                if statement.type == duckdb.StatementType.SELECT:
                    hours = own.fetchall()
    except duckdb.Error as error:
        raise TransformError(f"{name} failed: {_first_line(error)}") from error
    return time.monotonic() - started, hours


def _relation(model: Any) -> str:
    return f"{model.schema}.{model.alias}"


def _require_same_sources(project: Path) -> None:
    """Raise TransformError when a home's own dbt project is for another version of the contract."""
    own, shared = project / "models" / "sources.yml", DBT_PROJECT / "models" / "sources.yml"
    if not own.is_file() or own.read_bytes() != shared.read_bytes():
        raise TransformError(
            f"{own} belongs to another version of medallion: take over what changed in {shared}, "
            f"and look at the other files of {shared.parent}, too"
        )


def _runner(options: list[str], project: Path, target: str, hear: Callable[[Any], None]) -> Any:
    """Return a dbt that has the parsed project.

    Parsing takes about five seconds. Its result is the same in all homes, but not in all accounts
    of Snowflake.
    """
    # Importing dbt takes two seconds, so it happens only for a transform.
    from dbt.cli.main import dbtRunner
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumaro_encoder, extended_mashumuro_decoder

    if target == SNOWFLAKE:
        return dbtRunner(manifest=_parse(options), callbacks=[hear])
    name = f"dbt-{_project_digest(project)}.msgpack"
    packed = kept_or_made(name, lambda: _parse(options).to_msgpack(extended_mashumaro_encoder))
    manifest: Any = Manifest.from_msgpack(packed, decoder=extended_mashumuro_decoder)
    return dbtRunner(manifest=manifest, callbacks=[hear])


def _project_digest(project: Path) -> str:
    """Return a digest of everything that parsing depends on: the project's files, its path, dbt."""
    digest = hashlib.sha256(str(project).encode())
    for package in ("dbt-core", "dbt-adapters", "dbt-duckdb"):
        digest.update(version(package).encode())
    for path in sorted(project.rglob("*")):
        name = path.relative_to(project)
        if name.parts[0] not in _MADE_BY_DBT and path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{name}\0{content}\n".encode())
    return digest.hexdigest()[:32]


def _parse(options: list[str]) -> Any:
    """Return the parsed project.

    Raises:
        TransformError: dbt cannot read it.
    """
    from dbt.cli.main import dbtRunner

    outcome: Any = dbtRunner().invoke(["parse", *options, "--no-write-json"])
    if not outcome.success:
        # The message has an excerpt of the file in the middle.
        why = re.sub(r"(?s)\s-{9,}.*-{9,}", ",", str(outcome.exception))
        why = " ".join(why.replace(' in "<unicode string>"', "").split())
        raise TransformError(f"dbt cannot read the project: {why}")
    return outcome.result


def _report(outcome: Any) -> TransformReport:
    if outcome.exception is not None:
        raise TransformError(f"dbt failed: {_first_line(outcome.exception)}")
    report, errors = TransformReport(), []
    for result in outcome.result or []:
        name = result.node.name
        if result.node.resource_type == "model":
            report.models[name] = result.execution_time
        report.tests += result.node.resource_type == "test"
        if result.status == "fail":
            report.failed_tests.append(f"{name}: {_first_line(result.message)}")
        elif result.status in ("error", "runtime error"):
            errors.append(f"{name}: {_first_line(result.message)}")
    if errors:
        cure = "; 'medallion transform --full-refresh' builds it anew" * ("sync" in errors[0])
        raise TransformError(f"dbt failed in {len(errors)} nodes, first in {errors[0]}{cure}")
    return report


def _first_line(message: object) -> str:
    lines = [line.strip() for line in str(message).splitlines() if line.strip()]
    return " ".join(lines[:2])
