"""dbt, run in this process."""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

from medallion.errors import SettingsError, TransformError, did_you_mean
from medallion.layers.snapshots import Hours
from medallion.platforms.kept import kept_or_made
from medallion.platforms.local import make_folder
from medallion.platforms.snowflake import require_extra
from medallion.settings import DBT_PROJECT, dbt_project

EMBEDDED, SNOWFLAKE = "local", "snowflake"
"""The targets of dbt/profiles.yml. The one in Snowflake gets its account from the environment."""

_MADE_BY_DBT = ("target", "logs")
"""Folders in the project that dbt writes when it is run by hand."""

_OF_STATEMENTS = ("view", "table", "incremental")
"""The materializations that only send statements to the warehouse."""

_OF_THE_MOMENT = re.compile(
    r"\b(run_query|call statement|load_result|run_started_at|invocation_id|env_var|modules\.)"
)
"""What makes the statements of a model depend on more than the project and the catalog."""


@dataclass
class TransformReport:
    """The result of one run of models: the seconds of each by name, and the failed tests.

    `changed` has the days and hours that a model has changed, by relation, where they are known.
    """

    models: dict[str, float] = field(default_factory=dict)
    tests: int = 0
    failed_tests: list[str] = field(default_factory=list)
    changed: dict[str, Hours] = field(default_factory=dict)


class Dbt:
    """The dbt of one home, which runs on the warehouse of a target.

    The project is parsed once on a machine; later processes use the result.
    """

    def __init__(self, home: Path, target: str, hear: Callable[[str], None]) -> None:
        """Read nothing yet.

        Args:
            home: the home.
            target: EMBEDDED or SNOWFLAKE.
            hear: called with what is being built.
        """
        if target == SNOWFLAKE:
            require_extra("dbt.adapters.snowflake")
        self._home, self._target, self._hear = home.absolute(), target, hear
        self.project = dbt_project(self._home)
        self._work = self._home / ".dbt"
        self._runner: Any = None
        self._sent: defaultdict[str, list[str]] = defaultdict(list)

    def prepare(self) -> None:
        """Import dbt and read the project, which takes a second or two; later calls do nothing."""
        self._prepared()

    def digest(self) -> str:
        """Return a digest of the project, of dbt, and of what the environment tells dbt.

        The same ones build the same models.
        """
        told = sorted(item for item in os.environ.items() if item[0].startswith("DBT_"))
        return hashlib.sha256(f"{project_digest(self.project)}{told}".encode()).hexdigest()[:32]

    @property
    def manifest(self) -> Any:
        """Return the parsed project."""
        return self._prepared().manifest

    def models(self) -> dict[str, Any]:
        """Return the nodes of the models by name."""
        nodes = self.manifest.nodes.values()
        return {node.name: node for node in nodes if node.resource_type == "model"}

    def reads(self, model: str) -> set[str]:
        """Return the models that a model reads, also through others."""
        nodes, models = self.manifest.nodes, self.models()

        def read(name: str) -> set[str]:
            parents = {nodes[i].name for i in models[name].depends_on.nodes if i in nodes}
            return parents.union(*map(read, parents))

        return read(model)

    def require(self, select: str | None) -> None:
        """Raise SettingsError when a word of `select` selects no model."""
        for word in (select or "").split():
            if not self._listed(word):
                nodes = self.manifest.nodes.values()
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
            outcome = self._prepared().invoke(arguments)
        if outcome.exception is not None:
            raise SettingsError(f"--select {select}: {_first_line(outcome.exception)}")
        return list(outcome.result or [])

    def run(self, select: str | None, *, full_refresh: bool) -> TransformReport:
        """Build models.

        Raises:
            TransformError: a model failed.
        """
        self._sent.clear()
        return self._invoke("run", select, ["--full-refresh"] * full_refresh)

    def has_operations(self) -> bool:
        """Return whether the project sends statements at the beginning or end of each run."""
        return any(node.resource_type == "operation" for node in self.manifest.nodes.values())

    def sent(self, model: str) -> list[str]:
        """Return what the last run has sent to the warehouse to build a model, in this order."""
        return self._sent[self.models()[model].unique_id]

    def is_repeatable(self, model: str) -> bool:
        """Return whether the statements of a model are all that builds it, in every run.

        They must depend on nothing but the project and the catalog of the warehouse.
        """
        node, macros = self.models()[model], self.manifest.macros
        if node.language != "sql" or node.config.materialized not in _OF_STATEMENTS:
            return False
        hooks = [hook.sql for hook in (*node.config.pre_hook, *node.config.post_hook)]
        texts, used, waiting = [node.raw_code, *hooks], set[str](), [*node.depends_on.macros]
        while waiting:
            if (macro := waiting.pop()) not in used and macro in macros:
                used.add(macro)
                texts.append(macros[macro].macro_sql)
                waiting += macros[macro].depends_on.macros
        return not any(map(_OF_THE_MOMENT.search, texts))

    def test(self, select: str | None) -> TransformReport:
        """Run the data tests; the report has those that fail."""
        return self._invoke("test", select, [])

    def close(self) -> None:
        """Close the warehouse, which dbt keeps open between runs."""
        if self._runner is None or self._target != EMBEDDED:
            return
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager as Connections

        if Connections._ENV is not None:
            Connections._ENV.close()
        Connections.close_all_connections()

    def _prepared(self) -> Any:
        os.environ["MEDALLION_HOME"] = str(self._home)
        if self._runner is None:
            make_folder(self._work)
            self._runner = _runner(self._options(), self.project, self._target, self._on)
        return self._runner

    def _on(self, event: Any) -> None:
        """Report which model dbt starts to build, and remember what it sends."""
        if event.info.name == "LogStartLine":
            node = event.data
            self._hear(f"building {node.index} of {node.total}: {node.description.split()[-1]}")
        elif event.info.name == "SQLQuery":
            self._sent[event.data.node_info.unique_id].append(event.data.sql)

    def _invoke(self, verb: str, select: str | None, options: list[str]) -> TransformReport:
        arguments = [verb, *self._options(), "--no-write-json", *options]
        outcome = self._prepared().invoke(arguments + (["--select", select] if select else []))
        return _report(outcome)

    def _options(self) -> list[str]:
        return [
            "--quiet",
            "--log-level",
            "none",
            "--target",
            self._target,
            "--project-dir",
            str(self.project),
            "--profiles-dir",
            str(self.project),
            "--target-path",
            str(self._work / "target"),
            "--log-path",
            str(self._work / "logs"),
            "--log-level-file",
            "none",
        ]


def require_same_sources(project: Path) -> None:
    """Raise TransformError when a home's own dbt project is for another version of the contract."""
    own, shared = project / "models" / "sources.yml", DBT_PROJECT / "models" / "sources.yml"
    if not own.is_file() or own.read_bytes() != shared.read_bytes():
        raise TransformError(
            f"{own} belongs to another version of medallion: take over what changed in {shared}, "
            f"and look at the other files of {shared.parent}, too"
        )


def project_digest(project: Path) -> str:
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


def _runner(options: list[str], project: Path, target: str, hear: Callable[[Any], None]) -> Any:
    """Return a dbt that has the parsed project.

    Parsing takes about five seconds. Its result is the same in all homes, but not in all accounts
    of Snowflake.
    """
    # Importing dbt takes two seconds, so it happens only where it is needed.
    from dbt.cli.main import dbtRunner
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumaro_encoder, extended_mashumuro_decoder

    require_same_sources(project)
    if target == SNOWFLAKE:
        return dbtRunner(manifest=_parse(options), callbacks=[hear])
    name = f"dbt-{project_digest(project)}.msgpack"
    packed = kept_or_made(name, lambda: _parse(options).to_msgpack(extended_mashumaro_encoder))
    manifest: Any = Manifest.from_msgpack(packed, decoder=extended_mashumuro_decoder)
    return dbtRunner(manifest=manifest, callbacks=[hear])


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
