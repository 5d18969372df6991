"""The semantic models and metrics of dbt/models/marts/metrics.yml, and their parser."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from medallion.errors import MetricError
from medallion.metrics.formula import (
    Aggregate,
    Formula,
    Named,
    OneValueOnly,
    Quotient,
    aggregate,
    combination,
    metrics_named,
    text,
)
from medallion.settings import DBT_PROJECT

DEFINITIONS = DBT_PROJECT / "models" / "marts" / "metrics.yml"
TRANSACTION_CURRENCY = "transaction currency"
"""Unit of the metrics that are never added up across currencies."""
UNITS = "units"
"""Unit of the metrics that are quantities, of which some are weights."""


@dataclass(frozen=True)
class Metric:
    """A metric over the rows of one semantic model, with the formula that it is evaluated by."""

    name: str
    label: str
    meaning: str
    unit: str
    model: str
    formula: Formula

    @property
    def description(self) -> str:
        """The meaning, the formula and the unit, as one text."""
        return f"{self.meaning} Formula: {text(self.formula)}. Unit: {self.unit}.".lstrip()

    @property
    def is_share(self) -> bool:
        """Whether it is shown as a percentage."""
        return self.unit == "share"

    @property
    def digits(self) -> int | None:
        """How many decimals are shown; None for quantities: as many as the value has."""
        if self.is_share:
            return 1
        is_fraction = isinstance(self.formula, Quotient)
        if self.unit == UNITS and not is_fraction:
            return None
        return 2 if is_fraction or self.unit.endswith(("currency", "ratio")) else 0


@dataclass(frozen=True)
class Dimension:
    """A column to group and filter by."""

    name: str
    label: str
    column: str


@dataclass(frozen=True)
class Join:
    """A semantic model that adds dimensions to another.

    Each row of the other has at most one row of `model` in which `to` equals its `column`.
    """

    column: str
    model: str
    to: str


@dataclass(frozen=True)
class SemanticModel:
    """A relation with its keys and dimensions, and those that it joins."""

    name: str
    label: str
    description: str
    relation: str
    keys: Mapping[str, str]
    """The column of each entity that the relation holds, by the entity's name."""
    dimensions: tuple[Dimension, ...]
    joins: tuple[Join, ...]


class Definitions:
    """The semantic models and metrics of one document.

    A metric is parsed when it is asked for, so that a mistake in one does not hide the others.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._models = document["semantic_models"]
        self._entries = {entry["name"]: entry for entry in document["metrics"]}
        self._metrics: dict[str, Metric] = {}

    @cached_property
    def models(self) -> dict[str, SemanticModel]:
        """The semantic models by name."""
        return {entry["name"]: self._model(entry) for entry in self._models}

    @property
    def names(self) -> list[str]:
        """The names of all metrics, in the order of their definitions."""
        return list(self._entries)

    @property
    def metrics(self) -> list[Metric]:
        """Return all metrics, in the order of their definitions.

        Raises:
            MetricError: a metric cannot be used; the first such one.
        """
        return [self.metric(name) for name in self._entries]

    def metric(self, name: str) -> Metric:
        """Return a metric by name. Raises MetricError when its definition cannot be used."""
        if name not in self._metrics:
            try:
                self._metrics[name] = self._metric(self._entries[name])
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise MetricError(
                    f"the metric {name} cannot be worked out from its definition in "
                    f"dbt/models/marts/metrics.yml: {_reason(error)}"
                ) from error
        return self._metrics[name]

    def relation(self, metric: Metric) -> str:
        """Return the relation whose rows a metric is of."""
        return self.models[metric.model].relation

    def _metric(self, entry: Mapping[str, Any]) -> Metric:
        # Label, description and unit only document a metric. It has a value without them.
        unit = ((entry.get("config") or {}).get("meta") or {}).get("unit", "")
        formula, model = self._formula(entry["type"], entry["type_params"], unit)
        meaning = plain(entry.get("description") or "")
        return Metric(entry["name"], _label(entry), meaning, unit, model, formula)

    def _formula(self, kind: str, parts: Mapping[str, Any], unit: str) -> tuple[Formula, str]:
        """Return the formula of a metric, and the semantic model that it is of."""
        if kind == "simple":
            measure, model = self._measure(parts["measure"])
            is_in_one = unit == TRANSACTION_CURRENCY
            return OneValueOnly("currency", measure) if is_in_one else measure, model
        formula: Formula
        if kind == "ratio":
            formula = Quotient(Named(parts["numerator"]), Named(parts["denominator"]))
        elif kind == "derived":
            formula = combination(parts["expr"])
        else:
            raise ValueError(f"type must be one of simple, ratio, derived; got {kind!r}")
        return formula, self._model_of(formula)

    def _measure(self, name: str) -> tuple[Aggregate, str]:
        """Return a measure, and the semantic model that it is of."""
        for model in self._models:
            for entry in model.get("measures", []):
                if entry["name"] == name:
                    expression = str(entry.get("expr", name))
                    return aggregate(name, entry["agg"], expression), model["name"]
        raise ValueError(f"no semantic model has the measure {name}")

    def _model_of(self, formula: Formula) -> str:
        names = sorted(metrics_named(formula))
        for name in names:
            if name not in self._entries:
                raise ValueError(f"there is no metric {name}")
        models = {self.metric(name).model for name in names}
        if len(models) != 1:
            raise ValueError(f"{', '.join(names)} must be of one semantic model")
        return models.pop()

    def _model(self, entry: Mapping[str, Any]) -> SemanticModel:
        keys = {e["name"]: str(e.get("expr", e["name"])) for e in entry.get("entities", [])}
        dimensions = tuple(
            Dimension(d["name"], _label(d), str(d.get("expr", d["name"])))
            for d in entry.get("dimensions", [])
        )
        return SemanticModel(
            entry["name"],
            _label(entry),
            plain(entry.get("description") or ""),
            re.sub(r"\W|^ref", "", entry["model"]),
            keys,
            dimensions,
            tuple(self._joins(entry, keys)),
        )

    def _joins(self, entry: Mapping[str, Any], keys: Mapping[str, str]) -> Iterator[Join]:
        """Yield a join to each model without measures whose primary entity this model holds."""
        for other in self._models:
            for entity in other.get("entities", []):
                is_target = entity["type"] == "primary" and not other.get("measures")
                if is_target and entity["name"] in keys and other is not entry:
                    to = str(entity.get("expr", entity["name"]))
                    yield Join(keys[entity["name"]], other["name"], to)


def read_definitions() -> Definitions:
    """Return the definitions of the project in this checkout."""
    return Definitions(yaml.safe_load(DEFINITIONS.read_text(encoding="utf-8")))


def label_of(name: str) -> str:
    """Return the label of what has none: `store_id` becomes `Store id`."""
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def _label(entry: Mapping[str, Any]) -> str:
    return plain(entry.get("label") or label_of(entry["name"]))


def plain(text: str) -> str:
    """Return a text on one line, without control characters, which no tool accepts in a name."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return str(error)
