"""The semantic models, metrics and columns of the dbt project, which the templates show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from medallion.metrics.definitions import (
    Definitions,
    Join,
    Metric,
    SemanticModel,
    label_of,
    plain,
    read_definitions,
)
from medallion.metrics.formula import columns
from medallion.settings import DBT_PROJECT

SERVER = "YOUR_ACCOUNT.snowflakecomputing.com"
WAREHOUSE, ROLE, DATABASE, SCHEMA = "RETAIL_BI_WH", "RETAIL_READER", "RETAIL", "MARTS"
"""The Snowflake objects that the templates connect to, as infra/snowflake.sql names them."""
MARTS = DBT_PROJECT / "models" / "marts"


@dataclass(frozen=True)
class Field:
    """A column of a relation, with the data type that the relation's dbt contract gives it.

    An input is a column that only formulas use; templates hide it.
    """

    column: str
    label: str
    kind: str
    description: str
    is_input: bool = False


@dataclass(frozen=True)
class Table:
    """A semantic model: the columns of its relation that are used, its joins and its metrics."""

    name: str
    label: str
    description: str
    relation: str
    is_view: bool
    fields: tuple[Field, ...]
    joins: tuple[Join, ...]
    metrics: tuple[Metric, ...]

    def field(self, column: str) -> Field:
        """Return the field of a column."""
        return next(f for f in self.fields if f.column == column)


@dataclass(frozen=True)
class Model:
    """All semantic models."""

    tables: tuple[Table, ...]

    def table(self, name: str) -> Table:
        """Return a semantic model by name."""
        return next(t for t in self.tables if t.name == name)

    def joined(self, table: Table) -> Iterator[tuple[Join, Table, list[Field]]]:
        """Yield each table that a table joins, with the join and the fields that it adds."""
        for join in table.joins:
            other = self.table(join.model)
            yield join, other, [f for f in other.fields if f.column != join.to]


def read_model() -> Model:
    """Return the model of the dbt project in this checkout."""
    contracts = yaml.safe_load((MARTS / "marts.yml").read_text(encoding="utf-8"))["models"]
    project = yaml.safe_load((DBT_PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))
    marts = project["models"]["medallion"]["marts"]
    views = {
        name
        for name, how in marts.items()
        if isinstance(how, dict) and how.get("+materialized") == "view"
    }
    return build_model(read_definitions(), {c["name"]: c["columns"] for c in contracts}, views)


def build_model(
    definitions: Definitions, contracts: Mapping[str, list[dict[str, Any]]], views: set[str]
) -> Model:
    """Return the semantic models that have metrics, and the models that they join.

    Args:
        definitions: the semantic models and metrics.
        contracts: the columns of each relation, as dbt's YAML describes them.
        views: the names of the relations that are views.

    Raises:
        ValueError: a model uses a column that its relation's contract does not have.
        MetricError: the definition of a metric cannot be used.
    """
    metrics = definitions.metrics
    joined = {join.model for model in definitions.models.values() for join in model.joins}
    tables = []
    for model in definitions.models.values():
        own = tuple(metric for metric in metrics if metric.model == model.name)
        if own or model.name in joined:
            fields = _fields(model, contracts[model.relation], own)
            tables.append(
                Table(
                    model.name,
                    model.label,
                    model.description,
                    model.relation,
                    model.relation in views,
                    fields,
                    model.joins,
                    own,
                )
            )
    return Model(tuple(tables))


def _fields(
    model: SemanticModel, contract: list[dict[str, Any]], metrics: tuple[Metric, ...]
) -> tuple[Field, ...]:
    """Return the keys and dimensions of a model, then the inputs of its metrics."""
    contract_columns = {c["name"]: c for c in contract}
    labels = {column: label_of(column) for column in model.keys.values()}
    labels |= {dimension.column: dimension.label for dimension in model.dimensions}
    inputs = dict.fromkeys(c for m in metrics for c in columns(m.formula) if c not in labels)
    fields = []
    for column in (*labels, *inputs):
        if column not in contract_columns or not re.fullmatch("[a-z_][a-z0-9_]*", column):
            raise ValueError(f"{model.name} uses {column}, which is no column of its contract")
        described = contract_columns[column]
        kind, description = described["data_type"], described.get("description", "")
        label = labels.get(column, f"{column} (input)")
        fields.append(Field(column, label, kind, plain(description), column in inputs))
    return tuple(fields)
