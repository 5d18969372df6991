"""What the templates are about: the semantic models, metrics and columns of the dbt project."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from medallion.outputs.bi.formula import (
    Formula,
    Named,
    OneValueOnly,
    Quotient,
    aggregate,
    columns,
    combination,
)
from medallion.settings import DBT_PROJECT

SERVER = "YOUR_ACCOUNT.snowflakecomputing.com"
WAREHOUSE, ROLE, DATABASE, SCHEMA = "RETAIL_BI_WH", "RETAIL_READER", "RETAIL", "MARTS"
"""Where the templates connect to; the names are those of infra/snowflake.sql."""
IN_ONE_CURRENCY = "transaction currency"
"""Unit of metrics that are never added up across currencies (docs/metrics.md)."""


@dataclass(frozen=True)
class Field:
    """A column of a relation, of the type in its model's contract. An input is there for formulas
    only: people do not see it."""

    column: str
    label: str
    kind: str
    description: str
    is_input: bool = False


@dataclass(frozen=True)
class Metric:
    """A metric with its formula; `digits` decimals are shown, or it is shown as a percentage."""

    name: str
    label: str
    description: str
    formula: Formula
    is_share: bool
    digits: int


@dataclass(frozen=True)
class Join:
    """Every row finds at most one row of `table` where `column` = `to`."""

    column: str
    table: str
    to: str


@dataclass(frozen=True)
class Table:
    """A semantic model: a relation, what of it is used, and the metrics that come from it."""

    name: str
    label: str
    description: str
    relation: str
    is_view: bool
    fields: tuple[Field, ...]
    joins: tuple[Join, ...]
    metrics: tuple[Metric, ...]

    def field(self, column: str) -> Field:
        """The field of a column."""
        return next(f for f in self.fields if f.column == column)


@dataclass(frozen=True)
class Model:
    """All semantic models."""

    tables: tuple[Table, ...]

    def table(self, name: str) -> Table:
        """A semantic model by name."""
        return next(t for t in self.tables if t.name == name)

    def joined(self, table: Table) -> Iterator[tuple[Join, Table, list[Field]]]:
        """The tables that a table joins, with the fields that they bring."""
        for join in table.joins:
            other = self.table(join.table)
            yield join, other, [f for f in other.fields if f.column != join.to]


def read_model() -> Model:
    """The model of the project in this checkout."""
    folder = DBT_PROJECT / "models" / "marts"
    definitions = yaml.safe_load((folder / "metrics.yml").read_text(encoding="utf-8"))
    contracts = yaml.safe_load((folder / "marts.yml").read_text(encoding="utf-8"))["models"]
    project = yaml.safe_load((DBT_PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))
    marts = project["models"]["medallion"]["marts"]
    views = {
        name
        for name, how in marts.items()
        if isinstance(how, dict) and how.get("+materialized") == "view"
    }
    return build_model(definitions, {c["name"]: c["columns"] for c in contracts}, views)


def build_model(
    definitions: Mapping[str, Any], contracts: Mapping[str, list[dict[str, Any]]], views: set[str]
) -> Model:
    """The model of semantic models and metrics over the columns of contracts. Raises ValueError for
    what the templates cannot say, and for a field that is no column of its contract."""
    semantic = definitions["semantic_models"]
    measures = {m["name"]: (s, m) for s in semantic for m in s.get("measures", [])}
    metrics: dict[str, list[Metric]] = {s["name"]: [] for s in semantic}
    owners: dict[str, str] = {}
    for entry in definitions["metrics"]:
        metric, owner = _metric(entry, measures, owners)
        owners[entry["name"]] = owner
        metrics[owner].append(metric)
    tables = []
    for entry in semantic:
        relation = re.sub(r"\W|^ref", "", entry["model"])
        joins = tuple(_joins(entry, semantic))
        own = tuple(metrics[entry["name"]])
        fields = _fields(entry, contracts[relation], own)
        name, is_view = entry["name"], relation in views
        about = _plain(entry.get("description", ""))
        tables.append(Table(name, _label(entry), about, relation, is_view, fields, joins, own))
    return Model(tuple(t for t in tables if t.metrics or _is_joined(t, tables)))


def _metric(
    entry: dict[str, Any],
    measures: Mapping[str, tuple[dict[str, Any], dict[str, Any]]],
    owners: Mapping[str, str],
) -> tuple[Metric, str]:
    """A metric, and the semantic model that it is of."""
    parts, unit = entry["type_params"], entry["config"]["meta"]["unit"]
    formula: Formula
    if entry["type"] == "simple":
        source, measure = measures[parts["measure"]]
        owner = source["name"]
        formula = aggregate(measure["agg"], str(measure.get("expr", measure["name"])))
        if unit == IN_ONE_CURRENCY:
            formula = OneValueOnly("currency", formula)
    elif entry["type"] == "ratio":
        owner = owners[parts["numerator"]]
        formula = Quotient(Named(parts["numerator"]), Named(parts["denominator"]))
    else:
        owner = owners[parts["metrics"][0]]
        formula = combination(parts["expr"])
    is_whole = entry["type"] != "ratio" and not unit.endswith(("currency", "ratio"))
    label, about = _label(entry), _plain(entry["description"])
    is_share = unit == "share"
    return Metric(
        entry["name"], label, about, formula, is_share, 1 if is_share else 0 if is_whole else 2
    ), owner


def _fields(
    entry: dict[str, Any], contract: list[dict[str, Any]], metrics: tuple[Metric, ...]
) -> tuple[Field, ...]:
    """Keys and dimensions, then the inputs of the metrics."""
    known = {c["name"]: c for c in contract}
    shown = {str(e["expr"]): {"name": str(e["expr"])} for e in entry.get("entities", [])}
    shown |= {str(d.get("expr", d["name"])): d for d in entry.get("dimensions", [])}
    inputs = dict.fromkeys(c for m in metrics for c in columns(m.formula) if c not in shown)
    fields = []
    for column in (*shown, *inputs):
        if column not in known or not re.fullmatch("[a-z_][a-z0-9_]*", column):
            raise ValueError(f"{entry['name']} uses {column}, which is no column of its contract")
        kind, about = known[column]["data_type"], _plain(known[column].get("description", ""))
        field = Field(column, f"{column} (input)", kind, about, is_input=True)
        if column in shown:
            field = replace(field, label=_label(shown[column]), is_input=False)
        fields.append(field)
    return tuple(fields)


def _joins(entry: dict[str, Any], semantic: list[dict[str, Any]]) -> Iterator[Join]:
    """To each semantic model without measures whose primary entity the model has."""
    own = {e["name"]: e["expr"] for e in entry.get("entities", [])}
    for other in semantic:
        for entity in other.get("entities", []):
            is_target = entity["type"] == "primary" and not other.get("measures")
            if is_target and entity["name"] in own and other is not entry:
                yield Join(own[entity["name"]], other["name"], entity["expr"])


def _is_joined(table: Table, tables: list[Table]) -> bool:
    return any(join.table == table.name for other in tables for join in other.joins)


def _label(entry: Mapping[str, Any]) -> str:
    """The name for people."""
    name = entry["name"].replace("_", " ")
    return _plain(entry.get("label") or name[:1].upper() + name[1:])


def _plain(text: str) -> str:
    """On one line, without control characters, which no tool takes in a name."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
