"""The metrics, as dbt/models/marts/metrics.yml defines them; run, it prints docs/metrics.md."""

from __future__ import annotations

import ast
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from itertools import groupby
from typing import Any

import yaml

from medallion.settings import DBT_PROJECT

DEFINITIONS = DBT_PROJECT / "models" / "marts" / "metrics.yml"


@dataclass(frozen=True)
class Metric:
    """One metric. `formula` is in terms of other metrics and of columns of the relation `source`;
    `parts` are the metrics or the measure that it is made of, by their role."""

    name: str
    label: str
    meaning: str
    formula: str
    unit: str
    source: str
    kind: str
    parts: dict[str, Any]


def metrics() -> list[Metric]:
    """All metrics, in the order in which they are defined."""
    found = yaml.safe_load(DEFINITIONS.read_text(encoding="utf-8"))["metrics"]
    return [_metric(entry) for entry in found]


@cache
def _by_name() -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics()}


def value(name: str, measures: Mapping[str, Decimal | int | None]) -> Decimal | None:
    """A metric worked out from the sums of its measures; None where a part of it is missing or its
    denominator is 0."""
    metric = _by_name()[name]
    if metric.kind == "simple":
        found = measures[metric.parts["measure"]]
        return None if found is None else Decimal(found)
    if metric.kind == "ratio":
        above, below = (value(metric.parts[p], measures) for p in ("numerator", "denominator"))
        return above / below if above is not None and below else None
    parts = {part: value(part, measures) for part in metric.parts["metrics"]}
    return _calculated(ast.parse(metric.parts["expr"], mode="eval").body, parts)


_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}


def _calculated(node: ast.expr, values: Mapping[str, Decimal | None]) -> Decimal | None:
    """The value of sums, differences and products of names; None where a name has none."""
    if isinstance(node, ast.Name):
        return values[node.id]
    if not isinstance(node, ast.BinOp) or type(node.op) not in _OPERATORS:
        raise ValueError(
            f"a metric's formula has {ast.unparse(node)}: only + - * of metrics can be"
        )
    left, right = _calculated(node.left, values), _calculated(node.right, values)
    if left is None or right is None:
        return None
    return Decimal(_OPERATORS[type(node.op)](left, right))


def _metric(entry: dict[str, Any]) -> Metric:
    # What only documents it may be missing: that is no reason to show nobody a figure.
    meta = (entry.get("config") or {}).get("meta") or {}
    meaning = " ".join((entry.get("description") or "").partition("Formula:")[0].split())
    return Metric(
        entry["name"],
        entry.get("label") or entry["name"],
        meaning,
        str(meta.get("formula", "")),
        meta.get("unit", ""),
        meta.get("source", ""),
        entry["type"],
        entry["type_params"],
    )


INTRODUCTION = """\
# Metrics

Each is defined once, in `dbt/models/marts/metrics.yml`; this page is made from it by
`python -m medallion.metrics > docs/metrics.md`. A formula names other metrics, or columns of the
relation that its section is headed by.

- Amounts in *transaction currency* are never added up across currencies: group by `currency`.
  Those with `reporting_` are converted at the rate that was valid at the sale; what has no rate is
  counted as `unconverted_lines` and is in none of them.
- A day is the day of the store (`sales_date`); `utc_date` is the other one. Tax is in no amount but
  `tax`.
- A ratio without a denominator is NULL, not 0.
"""


def page(found: Iterable[Metric]) -> str:
    """The metrics as a page of Markdown, a table for each relation."""
    lines = [INTRODUCTION]
    ordered = sorted(found, key=lambda m: _order(m.source))
    for source, members in groupby(ordered, key=lambda m: m.source):
        lines += [
            f"## {source}",
            "",
            "| metric | what it says | formula | unit |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| **{m.label}**<br>`{m.name}` | {m.meaning} | `{m.formula}` | {m.unit} |"
            for m in members
        ]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _order(source: str) -> tuple[bool, str]:
    """The sales first, then the other relations by name."""
    return source != "fct_sales_line", source
