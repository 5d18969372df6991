"""Transform: the models of dbt/, from staging to silver, gold and the marts.

dbt writes the statements of a model anew in each run, which takes ten times as long as to run them
for a small shop. They depend on the project and on the catalog of the warehouse alone. So what dbt
has sent to a warehouse is kept on this machine, and sent again where both are the same.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Container, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict, dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import duckdb

from medallion.errors import TransformError
from medallion.layers.dbt import EMBEDDED, SNOWFLAKE, Dbt, TransformReport, require_same_sources
from medallion.layers.snapshots import Hours
from medallion.platforms.kept import keep, kept
from medallion.platforms.warehouse import AT_ONCE, another, one_line

_CATALOG = """
SELECT 'column', schema_name, table_name, column_name, data_type FROM duckdb_columns()
WHERE database_name = current_database() AND NOT internal
UNION ALL
SELECT 'view', schema_name, view_name, '', '' FROM duckdb_views()
WHERE database_name = current_database() AND NOT internal
ORDER BY ALL"""
"""All relations of the warehouse with their columns: what dbt asks before it writes statements."""


@dataclass(frozen=True)
class _Model:
    """What dbt sends to build a model, its relation, and the models of the run that it reads."""

    relation: str
    requests: list[str]
    reads: list[str]


@dataclass(frozen=True)
class _Statements:
    """What dbt sends in a run: the models by name, and the tags of all relations to publish."""

    models: dict[str, _Model]
    published: dict[str, list[str]]

    def packed(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def unpacked(cls, data: bytes) -> _Statements:
        told = json.loads(data)
        models = {name: _Model(**model) for name, model in told["models"].items()}
        return cls(models, told["published"])


class Transformer:
    """The models of one home, on its warehouse or on Snowflake."""

    def __init__(
        self,
        home: Path,
        warehouse: duckdb.DuckDBPyConnection | None,
        *,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
            home: the home.
            warehouse: the open warehouse of the home; without one, dbt builds in Snowflake.
            progress: called with what is being built.
        """
        self.progress = progress or (lambda _: None)
        self._warehouse = warehouse
        target = SNOWFLAKE if warehouse is None else EMBEDDED
        self._dbt = Dbt(home, target, lambda building: self.progress(building))
        self._repeated: dict[str, _Run] = {}
        self._is_prepared = False
        self._published: dict[str, list[str]] | None = None

    def prepare(self, select: str) -> None:
        """Import dbt and read the project, if a run of a selection will need it.

        That takes a second or two; later calls do nothing.
        """
        if not self._is_prepared and self._kept(select, full_refresh=False) is None:
            self._dbt.prepare()
        self._is_prepared = True

    def require(self, select: str | None, *, full_refresh: bool) -> None:
        """Raise SettingsError when a word of `select` selects no model."""
        if select and self._kept(select, full_refresh) is None:
            self._dbt.require(select)

    def run(self, *, select: str | None = None, full_refresh: bool = False) -> TransformReport:
        """Build the models.

        Raises:
            TransformError: a model failed.
        """
        return self._run(select, full_refresh)[0]

    def repeat(self, select: str) -> TransformReport:
        """Build incremental models of the warehouse whose tables exist.

        The same as `run`, but from the second time on the catalog is not looked at any more.

        Raises:
            TransformError: a model failed.
        """
        if (run := self._repeated.get(select)) is not None:
            return run.again()
        report, statements = self._run(select, full_refresh=False)
        if statements is not None and self._warehouse is not None:
            self._repeated[select] = _Run(self._warehouse, statements)
        return report

    def digest(self) -> str:
        """Return a digest of what the models are built by: the same one builds the same models."""
        return self._dbt.digest()

    def test(self, *, select: str | None = None) -> TransformReport:
        """Run the data tests; the report has those that fail."""
        return self._dbt.test(select)

    def published(self, select: str | None = None) -> dict[str, bool]:
        """Return the relations to publish, and whether a run of `select` may have changed each.

        The project marks them with `meta: {publish: true}`.
        """
        if self._published is None:
            self._published = self._marked()
        built = {word.split(",")[0] for word in (select or "").split()}
        by_tag = bool(built) and all(word.startswith("tag:") for word in built)
        return {
            relation: not by_tag or any(f"tag:{tag}" in built for tag in tags)
            for relation, tags in self._published.items()
        }

    def close(self) -> None:
        """Close the connections of dbt to the warehouse."""
        self._dbt.close()

    def _run(
        self, select: str | None, full_refresh: bool
    ) -> tuple[TransformReport, _Statements | None]:
        """Build the models; return also their statements, if they may be repeated."""
        if self._warehouse is None:
            return self._dbt.run(select, full_refresh=full_refresh), None
        require_same_sources(self._dbt.project)
        if (statements := self._kept(select, full_refresh)) is not None:
            # What fails is left to dbt, which says why.
            with suppress(TransformError, duckdb.Error):
                report = _Run(self._warehouse, statements, self.progress).again()
                self._published = statements.published
                return report, statements
        name = self._name(select, full_refresh)
        report = self._dbt.run(select, full_refresh=full_refresh)
        if self._dbt.has_operations() or not all(map(self._dbt.is_repeatable, report.models)):
            return report, None
        models = {model: self._model(model, report.models) for model in report.models}
        statements = _Statements(models, self._marked())
        keep(name, statements.packed())
        return report, statements

    def _kept(self, select: str | None, full_refresh: bool) -> _Statements | None:
        """Return what dbt has sent in such a run, if it is kept."""
        if self._warehouse is None:
            return None
        data = kept(self._name(select, full_refresh))
        return _Statements.unpacked(data) if data else None

    def _name(self, select: str | None, full_refresh: bool) -> str:
        """Return the name under which the statements of a run are kept.

        It has a digest of everything that they depend on.
        """
        assert self._warehouse is not None, "only the statements of a home are kept"
        catalog = self._warehouse.execute(_CATALOG).fetchall()
        depends_on = [self.digest(), select, full_refresh, catalog]
        digest = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()
        return f"statements-{digest[:32]}.json"

    def _model(self, name: str, built: Container[str]) -> _Model:
        reads = sorted(read for read in self._dbt.reads(name) if read in built)
        return _Model(_relation(self._dbt.models()[name]), self._dbt.sent(name), reads)

    def _marked(self) -> dict[str, list[str]]:
        """Return the relations to publish, with their tags."""
        models = self._dbt.models().values()
        return {_relation(n): list(n.tags) for n in models if n.config.meta.get("publish")}


class _Run:
    """Statements that are parsed once and run again and again.

    For a small batch, parsing takes a tenth of the time.
    """

    def __init__(
        self,
        warehouse: duckdb.DuckDBPyConnection,
        statements: _Statements,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._warehouse, self._progress = warehouse, progress
        self._models = statements.models
        self._statements = {
            name: [*_statements(warehouse, model.requests)] for name, model in self._models.items()
        }

    def again(self) -> TransformReport:
        """Build the models, AT_ONCE at a time, each after those that it reads.

        Raises:
            TransformError: a model failed.
        """
        self._begun = 0
        report, running = TransformReport(), dict[Future[_Built], str]()
        order = TopologicalSorter({name: model.reads for name, model in self._models.items()})
        order.prepare()
        with ThreadPoolExecutor(AT_ONCE) as threads:
            while order.is_active():
                for name in order.get_ready():
                    running[threads.submit(self._build, name)] = name
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future)
                    report.models[name], hours = future.result()
                    if hours is not None:
                        report.changed[self._models[name].relation] = hours
                    order.done(name)
        return report

    def _build(self, name: str) -> _Built:
        """Build a model.

        A SELECT in the midst of a request yields what it has changed: see
        materializations_duckdb.sql.
        """
        self._begun += 1
        self._progress(f"building {self._begun} of {len(self._models)}: {name}")
        started, hours = time.monotonic(), None
        try:
            # dbt itself begins and commits; an error ends the connection and takes all back.
            with another(self._warehouse) as own:
                for statement in self._statements[name]:
                    own.execute(statement)
                    if statement.type == duckdb.StatementType.SELECT:
                        hours = own.fetchall()
        except duckdb.Error as error:
            raise TransformError(f"{name} failed: {one_line(error)}") from error
        return time.monotonic() - started, hours


_Built = tuple[float, Hours | None]
"""The seconds that a model took, and the days and hours that it says it has changed."""


def _statements(
    warehouse: duckdb.DuckDBPyConnection, requests: list[str]
) -> Iterator[duckdb.Statement]:
    """Yield the statements of the requests that dbt sent, but not its questions."""
    for request in requests:
        statements = warehouse.extract_statements(request)
        if any(statement.type != duckdb.StatementType.SELECT for statement in statements):
            yield from statements


def _relation(model: Any) -> str:
    return f"{model.schema}.{model.alias}"
