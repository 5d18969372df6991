"""The formulas of every template give the numbers of the metric definitions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from medallion.metrics import DEFINITIONS, value
from medallion.outputs.bi.__main__ import templates
from medallion.outputs.bi.semantics import read_model
from tests.bi.template_tools import TOOLS, Source
from tests.conftest import Cli

CUTS = {
    "fct_sales_line": (
        (),
        ("currency",),
        ("sales_date", "currency"),
        ("category",),
        ("store_name", "currency"),
        ("retail_week",),
    ),
    "store_ranking": ((), ("store_name",)),
    "customer_rfm": ((), ("segment",)),
    "cohort_retention": (("cohort_month", "months_since"),),
    "basket_affinity": ((), ("product_id", "other_product_id")),
}
"""How the numbers of a relation are cut."""
PLANTED = """
INSERT INTO MARTS.fct_sales_line BY NAME
SELECT * FROM (VALUES
    -- A day with returns only; a day of nothing but a gift; a day without costs; a guest.
    ('r1', true, 'b1', DATE '2001-01-01', 'USD', 0, 1, 0.0, 0.0, 5.0, -5.0, 1.0, -4.0, 'S1'),
    ('g1', false, 'b2', DATE '2001-01-02', 'EUR', 1, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 'S1'),
    ('n1', false, 'b3', DATE '2001-01-03', 'USD', 2, 0, 7.5, 0.5, 0.0, 7.0, NULL, NULL, 'S2'),
    ('n2', false, 'b3', DATE '2001-01-03', 'USD', 1, 0, 1.5, 0.0, 0.0, 1.5, NULL, NULL, NULL)
) AS planted(event_id, is_return, basket_id, sales_date, currency, units_sold, units_returned,
    gross_sales, discounts, returns, net_sales, cost_of_sales, costed_net_sales, store_id)
"""


@pytest.fixture(scope="module")
def marts(built: Path, cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The relations of a built home, exported and read as MARTS, with some awkward lines more."""
    folder = tmp_path_factory.mktemp("export") / "marts"
    result = cli(built, "export", str(folder))
    assert result.exit_code == 0, result.output
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA MARTS")
        for path in folder.glob("*.parquet"):
            connection.execute(f"CREATE TABLE MARTS.{path.stem} AS FROM '{path}'")
        connection.execute(PLANTED)
        yield connection


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    """The templates of this checkout."""
    return templates(read_model())


@cache
def definitions() -> dict[str, Any]:
    """The semantic models and metrics."""
    return yaml.safe_load(DEFINITIONS.read_text(encoding="utf-8"))


def relation_of(metric: dict[str, Any]) -> str:
    """The relation whose rows a metric is of, straight from the definitions."""
    parts = metric["type_params"]
    if metric["type"] != "simple":
        part = parts.get("numerator") or parts["metrics"][0]
        return relation_of(next(m for m in definitions()["metrics"] if m["name"] == part))
    (model,) = [
        s["model"]
        for s in definitions()["semantic_models"]
        for m in s.get("measures", [])
        if m["name"] == parts["measure"]
    ]
    return re.sub(r"ref\('(\w+)'\)", r"\1", model)


def defined(metric: dict[str, Any]) -> str:
    """Return a metric in SQL over its relation, straight from the definitions. By name it may use
    metrics that are defined before it."""
    measures = {
        m["name"]: m for s in definitions()["semantic_models"] for m in s.get("measures", [])
    }
    parts = metric["type_params"]
    if metric["type"] == "simple":
        measure = measures[parts["measure"]]
        row = measure.get("expr", measure["name"])
        total = {"count_distinct": f"count(DISTINCT {row})"}.get(
            measure["agg"], f"{measure['agg']}({row})"
        )
        if metric["config"]["meta"]["unit"] != "transaction currency":
            return total
        return f"CASE WHEN count(DISTINCT facts.currency) = 1 THEN {total} END"
    if metric["type"] == "ratio":
        return f'"the {parts["numerator"]}" / nullif("the {parts["denominator"]}", 0)'
    return re.sub(r"\b(?!nullif)([a-z_]+)\b", r'"the \1"', parts["expr"])


def rows(marts: Any, select: list[str], cut: list[str], source: str) -> dict[Any, Any]:
    """The values of each group."""
    groups = f"GROUP BY {', '.join(cut)}" if cut else ""
    columns = ", ".join([*cut, *select])
    answer = marts.execute(f"SELECT {columns} FROM {source} {groups}").fetchall()
    return {row[: len(cut)]: row[len(cut) :] for row in answer}


def expected(marts: Any, relation: str, cut: tuple[str, ...]) -> tuple[list[str], dict[Any, Any]]:
    """The labels of a relation's metrics, and their values by group, by the definitions."""
    metrics = [m for m in definitions()["metrics"] if relation_of(m) == relation]
    metrics.sort(key=lambda m: ["simple", "derived", "ratio"].index(m["type"]))
    joined = f"MARTS.{relation} AS facts"
    if relation in ("fct_sales_line", "store_ranking"):
        joined += " LEFT JOIN MARTS.dim_stores AS stores USING (store_id)"
    if relation == "fct_sales_line":
        joined += " LEFT JOIN MARTS.dim_dates AS dates ON sales_date = date_day"
    groups = [
        {"currency": "facts.currency", "store_name": "stores.store_name"}.get(c, c) for c in cut
    ]
    select = [f'{defined(m)} AS "the {m["name"]}"' for m in metrics]
    return [m["label"] for m in metrics], rows(marts, select, groups, joined)


def differences(marts: Any, sources: dict[str, Source], relation: str) -> list[str]:
    """Where a tool's numbers are not those of the definitions."""
    differences, source = [], sources[relation]
    for cut in CUTS[relation]:
        labels, wanted = expected(marts, relation, cut)
        by = [source.columns[c.replace("_", " ").capitalize()] for c in cut]
        metrics = source.metrics()
        answer = rows(marts, list(metrics.values()), by, source.rows)
        order = [list(metrics).index(label) for label in labels]
        shown = {group: [values[i] for i in order] for group, values in answer.items()}
        assert wanted.keys() == shown.keys()
        assert wanted
        for group, values in wanted.items():
            for label, a, b in zip(labels, values, shown[group], strict=True):
                if not same(a, b):
                    differences.append(f"{label} of {group}: {a} by definition, {b} by the tool")
    return differences


def same(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    if isinstance(a, float) or isinstance(b, float):
        return abs(float(a) - float(b)) <= 1e-9 * max(1.0, abs(float(a)))
    return bool(Decimal(a) == Decimal(b))


@pytest.mark.parametrize("relation", CUTS)
@pytest.mark.parametrize("tool", TOOLS)
def test_a_template_computes_what_the_metrics_define(
    tool: str, relation: str, marts: Any, files: dict[str, str]
) -> None:
    """Every metric, by several cuts, with NULLs and zero denominators; sums to the last unit."""
    assert differences(marts, TOOLS[tool](files), relation) == []


def test_every_metric_is_in_every_template(files: dict[str, str]) -> None:
    """Under the relation that it comes from."""
    for tool, read in TOOLS.items():
        labels = {(r, label) for r, source in read(files).items() for label in source.formulas}
        wanted = {(relation_of(m), m["label"]) for m in definitions()["metrics"]}
        assert labels == wanted, tool


@pytest.mark.parametrize(
    ("tool", "right", "wrong"),
    [
        ("power_bi", "[Gross sales] - [Discounts]", "[Gross sales] + [Discounts]"),
        ("power_bi", "[is_return (input)] == FALSE()", "[is_return (input)] == TRUE()"),
        ("power_bi", "HASONEVALUE('Sales lines'[Currency])", "TRUE()"),
        ("snowflake", "CASE WHEN NOT sales_lines.is_return", "CASE WHEN sales_lines.is_return"),
        ("snowflake", "COUNT(DISTINCT sales_lines.currency) = 1", "1 = 1"),
        ("tableau", "IF NOT [IS_RETURN] THEN", "IF [IS_RETURN] THEN"),
        ("tableau", "COUNTD([CURRENCY]) = 1", "1 = 1"),
        ("quicksight", "WHEN NOT facts.is_return", "WHEN facts.is_return"),
        ("quicksight", "distinct_count({transactions (input)})", "sum({lines (input)})"),
    ],
)
def test_a_wrong_formula_is_seen(
    tool: str, right: str, wrong: str, marts: Any, files: dict[str, str]
) -> None:
    """Each planted fault changes a number."""
    spoilt = {path: text.replace(right, wrong) for path, text in files.items()}
    assert spoilt != files
    assert differences(marts, TOOLS[tool](spoilt), "fct_sales_line")


def test_the_dashboard_computes_the_same(marts: Any, files: dict[str, str]) -> None:
    """`metrics.value`, which the dashboard uses, from the sums of the measures."""
    model = definitions()
    (sales,) = [s for s in model["semantic_models"] if s["name"] == "sales_lines"]
    totals = {
        m["name"]: f"sum({m.get('expr', m['name'])})"
        if m["agg"] == "sum"
        else f"count(DISTINCT {m['expr']})"
        for m in sales["measures"]
    }
    by_day = rows(marts, list(totals.values()), ["sales_date", "currency"], "MARTS.fct_sales_line")
    labels, wanted = expected(marts, "fct_sales_line", ("sales_date", "currency"))
    names = {m["label"]: m["name"] for m in model["metrics"]}
    for group, sums in by_day.items():
        measures = dict(zip(totals, sums, strict=True))
        for label, right in zip(labels, wanted[group], strict=True):
            figure = value(names[label], measures)
            assert same(right, None if figure is None else float(figure)), (label, group)
