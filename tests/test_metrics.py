"""The metrics: one definition, from which figures, templates and documents are made."""

from __future__ import annotations

import copy
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import yaml

from medallion.errors import MetricError
from medallion.metrics import DEFINITIONS, Definitions, value
from medallion.metrics.formula import combination, text
from medallion.metrics.page import page
from medallion.outputs.bi.dax import dax
from medallion.outputs.bi.semantics import MARTS, build_model

SUMS = {"returns": Decimal(3), "gross_sales": Decimal(12), "discounts": Decimal(2)}


def changed(change: Callable[[dict[str, Any]], object]) -> Definitions:
    """The definitions of the project, with a change to those of the metrics, by name."""
    document = copy.deepcopy(yaml.safe_load(DEFINITIONS.read_text(encoding="utf-8")))
    change({metric["name"]: metric for metric in document["metrics"]})
    return Definitions(document)


def test_one_definition_changes_figure_template_and_page() -> None:
    """A denominator that is changed in one place is another one everywhere."""

    def of_gross(metrics: dict[str, Any]) -> None:
        metrics["return_rate"]["type_params"]["denominator"] = "gross_sales"

    contracts = yaml.safe_load((MARTS / "marts.yml").read_text(encoding="utf-8"))["models"]
    columns = {c["name"]: c["columns"] for c in contracts}
    for definitions, share, formula in (
        (changed(lambda metrics: None), Decimal("0.3"), "returns / sales_before_returns"),
        (changed(of_gross), Decimal("0.25"), "returns / gross_sales"),
    ):
        assert value("return_rate", SUMS, definitions) == share
        assert f"`{formula}`" in page(definitions)
        assert f"Formula: {formula}. Unit: share." in definitions.metric("return_rate").description
        table = build_model(definitions, columns, set()).table("sales_lines")
        denominator = "[Gross sales]" if share == Decimal("0.25") else "[Sales before returns]"
        assert denominator in dax(table, definitions.metric("return_rate").formula)


@pytest.mark.parametrize(
    "returns, gross, expected", [(None, 12, None), (3, 2, None), (0, 12, 0), (3, None, None)]
)
def test_a_missing_part_or_an_empty_denominator_is_unknown(
    returns: int | None, gross: int | None, expected: int | None
) -> None:
    """Never 0; and 0 stays 0."""
    sums = {"returns": returns, "gross_sales": gross, "discounts": 2}
    assert value("return_rate", sums) == expected


@pytest.mark.parametrize(
    "name, part, wrong, reason",
    [
        ("returns", "measure", "no_such", "no semantic model has the measure no_such"),
        ("return_rate", "numerator", "no_such", "there is no metric no_such"),
        ("return_rate", "denominator", "customers", "must be of one semantic model"),
        ("gross_margin", "expr", "net_sales ** 2", "got 'net_sales ** 2'"),
        ("gross_margin", "expr", "net_sales / lines", "x / nullif(y, 0)"),
        ("gross_margin", "expr", "net_sales -", "must be a formula of metrics"),
    ],
)
def test_a_mistake_is_named_and_leaves_the_others(
    name: str, part: str, wrong: str, reason: str
) -> None:
    """The sentence names the metric; every metric that does not stand on it has its value."""
    definitions = changed(lambda metrics: metrics[name]["type_params"].update({part: wrong}))
    with pytest.raises(MetricError, match=f"the metric {name} cannot be worked out") as raised:
        definitions.metric(name)
    assert reason in str(raised.value)
    assert value("discount_rate", SUMS, definitions) == Decimal(2) / 12


def test_a_measure_that_is_not_given_is_named() -> None:
    """Instead of a figure over less."""
    with pytest.raises(MetricError, match=r"return_rate .* no value for measure 'discounts'"):
        value("return_rate", {"returns": 1, "gross_sales": 2})


@pytest.mark.parametrize(
    "expression, shown",
    [
        ("a - b - c", "a - b - c"),
        ("a - (b - c)", "a - (b - c)"),
        ("(a + b) * c", "(a + b) * c"),
        ("(a - b) / nullif(b * c, 0)", "(a - b) / (b * c)"),
    ],
)
def test_a_formula_is_shown_with_the_brackets_that_it_needs(expression: str, shown: str) -> None:
    """And with no others around sums."""
    assert text(combination(expression)) == shown
