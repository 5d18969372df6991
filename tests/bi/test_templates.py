"""The templates under bi/: current, valid by the vendors' rules, and with columns that exist."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from medallion.metrics import Definitions
from medallion.outputs.bi.__main__ import BI, templates
from medallion.outputs.bi.semantics import build_model, read_model
from medallion.settings import DBT_PROJECT
from tests.bi import tmdl
from tests.bi.template_tools import TOOLS
from tests.bi.vendors import power_bi_complaints, quicksight_complaints, tableau_complaints
from tests.conftest import ROOT

MARTS = DBT_PROJECT / "models" / "marts"
HOSTILE = "Net \"sales\" [x]] 'y' {z} <&> =@+ ]] \\ %s ${AWS::Region} é 漢\u202e"
Complaints = Callable[[dict[str, str]], list[str]]


def committed() -> dict[str, str]:
    """What lies under bi/, without the pages for people."""
    return {
        p.relative_to(BI).as_posix(): p.read_text(encoding="utf-8")
        for p in BI.rglob("*")
        if p.is_file() and p.name != "README.md"
    }


def test_the_templates_are_current() -> None:
    """bi/ is what `python -m medallion.outputs.bi` makes of the definitions; if not, run it."""
    written = templates(read_model())
    assert committed().keys() == written.keys()
    for path, text in written.items():
        assert committed()[path] == text, f"{path}: python -m medallion.outputs.bi makes it anew"


def power_bi(files: dict[str, str]) -> list[str]:
    """All complaints of a Power BI project, by Microsoft's schemas and the reader of TMDL."""
    complaints = []
    for path, text in files.items():
        if path.startswith("powerbi/") and not path.endswith(".tmdl"):
            complaints += [f"{path}: {c}" for c in power_bi_complaints(text)]
    try:
        model = tmdl.read_model({p: t for p, t in files.items() if p.startswith("powerbi/")})
    except tmdl.TmdlError as error:
        return [*complaints, str(error)]
    known = {(t.name, c.name) for t in model.all("table") for c in t.children}
    for path, text in files.items():
        for entity, name in re.findall(
            r'"Entity": ("(?:[^"\\]|\\.)*")[^:]*?"Property": ("(?:[^"\\]|\\.)*")', text
        ):
            if (json.loads(entity), json.loads(name)) not in known:
                complaints.append(f"{path}: the model has no {name}")
    return complaints


def tableau(files: dict[str, str]) -> list[str]:
    """All complaints of the workbook, and of each data source as the only one of a workbook."""
    workbook = files["tableau/retail.twb"]
    complaints = tableau_complaints(workbook)
    for path, text in files.items():
        if path.endswith(".tds"):
            source = re.sub("^<\\?xml.*\n", "", text)
            source = source.replace("formatted-name=", "name=", 1)
            alone = re.sub(
                "<datasources>.*?</datasources>",
                lambda _, inner=source: f"<datasources>{inner}</datasources>",
                workbook,
                count=1,
                flags=re.DOTALL,
            )
            complaints += [f"{path}: {c}" for c in tableau_complaints(alone)]
    return complaints


def quicksight(files: dict[str, str]) -> list[str]:
    """All complaints of the template, by the service's model and by its own names."""
    template = json.loads(files["quicksight/retail.template.json"])
    if complaints := quicksight_complaints(template):
        return complaints
    sources = TOOLS["quicksight"](files)["fct_sales_line"]
    known = {*sources.columns, *sources.formulas}
    text = json.dumps(template["Resources"]["Analysis"]["Properties"]["Definition"]["Sheets"])
    for name in re.findall(r'"ColumnName": ("(?:[^"\\]|\\.)*")', text):
        if json.loads(name) not in known:
            complaints.append(f"the data set has no {name}")
    return complaints


_STRING = r"'(?:[^'\\\\]|''|\\\\.)*'"
_EXPRESSION = (
    rf"(\w+\.\w+) AS ((?:[\w.,=() +*/-])+?) WITH SYNONYMS = \({_STRING}\)(?: COMMENT = {_STRING})?"
)
_CLAUSES = {
    "TABLES": rf"\w+ AS RETAIL\.MARTS\.\w+(?: PRIMARY KEY \(\w+\))?(?: COMMENT = {_STRING})?",
    "RELATIONSHIPS": r"\w+ \(\w+\) REFERENCES \w+ \(\w+\)",
    "DIMENSIONS": _EXPRESSION,
    "METRICS": _EXPRESSION,
}
"""The clauses of CREATE SEMANTIC VIEW that are used, in the order that Snowflake demands."""


def snowflake(files: dict[str, str]) -> list[str]:
    """All complaints of the semantic views, by Snowflake's syntax and its rules for names."""
    complaints = []
    text = files["snowflake/semantic_views.sql"].partition("USE ROLE SYSADMIN;\n")[2]
    view = "CREATE OR ALTER SEMANTIC VIEW (?P<name>RETAIL\\.MARTS\\.\\w+)\n"
    for clause, item in _CLAUSES.items():
        listed = rf"\n        {item}(?:,\n        {item})*\n    "
        listed = re.sub(r"(?<!\\)\((?!\?)", "(?:", listed)
        view += rf"(?:    {clause} \((?P<{clause}>{listed})\)\n)?"
    view += rf"    COMMENT = {_STRING};\nGRANT SELECT ON SEMANTIC VIEW (?P=name) TO ROLE \w+;\n"
    while match := re.match(view, text):
        text = text[match.end() :]
        tables = set(re.findall(r"(\w+) AS RETAIL", match["TABLES"]))
        keys = set(re.findall(r"(\w+) AS \S+ PRIMARY KEY \((\w+)\)", match["TABLES"]))
        expressions = re.findall(_EXPRESSION, (match["DIMENSIONS"] or "") + match["METRICS"])
        names = [name for name, _ in expressions]
        complaints += [
            f"{name} is defined twice" for name in {n for n in names if names.count(n) > 1}
        ]
        for name, expression in expressions:
            for table in re.findall(r"(\w+)\.\w+", f"{name} {expression}"):
                if table not in tables:
                    complaints.append(f"{name}: there is no table {table}")
        for target in re.findall(r"REFERENCES (\w+) \((\w+)\)", match["RELATIONSHIPS"] or ""):
            if target not in keys:
                complaints.append(f"{target} is no primary key")
    return [*complaints, f"syntax error at {text[:60]!r}"] if text else complaints


@pytest.mark.parametrize("complaints", [power_bi, tableau, quicksight, snowflake])
def test_vendors_accept_the_templates(complaints: Complaints) -> None:
    """Microsoft's JSON schemas, Tableau's XSD, the service model of AWS."""
    assert complaints(committed()) == []


@pytest.mark.parametrize(
    ("complaints", "where", "right", "wrong"),
    [
        (power_bi, "visual.json", '"visualType"', '"visualTyp"'),
        (power_bi, "visual.json", '"Property": "Transactions"', '"Property": "Transaction"'),
        (power_bi, "report.json", '"themeCollection"', '"theme"'),
        (power_bi, ".pbip", '"artifacts"', '"artefacts"'),
        (power_bi, "sales_lines.tmdl", "\t\tdataType: decimal", "\t\tdataType: money"),
        (power_bi, "sales_lines.tmdl", "\tmeasure Returns", "\tmeasure Discounts"),
        (power_bi, "sales_lines.tmdl", "\tcolumn Category", "column Category"),
        (power_bi, "relationships.tmdl", "Stores.'Store id'", "Stores.'Shop id'"),
        (snowflake, ".sql", "METRICS (", "METRIC ("),
        (snowflake, ".sql", "PRIMARY KEY (store_id)", "PRIMARY KEY (store)"),
        (snowflake, ".sql", "SUM(sales_lines.reporting_tax)", "SUM(lines.reporting_tax)"),
        (tableau, ".twb", "<style />", "<styles />"),
        (tableau, ".twb", 'role="measure"', 'role="number"'),
        (tableau, "customers.tds", 'datatype="integer"', 'datatype="int"'),
        (quicksight, ".json", '"SubType": "FIXED"', '"SubType": "MONEY"'),
        (quicksight, ".json", '"DIRECT_QUERY"', '"LIVE"'),
        (quicksight, ".json", '"SqlQuery"', '"Sql"'),
        (quicksight, ".json", '"VisualId": "transactions"', '"VisualId": "a b"'),
        (quicksight, ".json", '"ColumnName": "Category"', '"ColumnName": "Kategorie"'),
    ],
)
def test_a_broken_template_is_refused(
    complaints: Complaints, where: str, right: str, wrong: str
) -> None:
    """Each planted fault is named."""
    files = committed()
    spoilt = {
        path: text.replace(right, wrong) if path.endswith(where) else text
        for path, text in files.items()
    }
    assert spoilt != files
    assert complaints(spoilt)


def lint(path: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("cfn-lint")
    return subprocess.run([command, path], capture_output=True, text=True, check=False)


def test_cloudformation_accepts_the_template(tmp_path: Path) -> None:
    """cfn-lint, with a broken template as control."""
    good = BI / "quicksight" / "retail.template.json"
    assert lint(good).returncode == 0, lint(good).stdout
    template = json.loads(good.read_text())
    template["Resources"]["DataSource"]["Properties"]["Type"] = "SNOWFLAKES"
    del template["Resources"]["SalesLines"]["Properties"]["PhysicalTableMap"]["facts"]["CustomSql"][
        "Name"
    ]
    bad = tmp_path / "bad.template.json"
    bad.write_text(json.dumps(template))
    output = lint(bad).stdout
    assert "SNOWFLAKES" in output
    assert "'Name' is a required property" in output


def test_every_field_is_a_column_of_a_contract() -> None:
    """Whatever a template reads is in the contract of the model that it names."""
    contracts = yaml.safe_load((MARTS / "marts.yml").read_text(encoding="utf-8"))["models"]
    known = {(m["name"], c["name"]) for m in contracts for c in m["columns"]}
    for tool, read in TOOLS.items():
        sources = read(committed())
        used = set().union(*(s.used for s in sources.values()))
        assert len(used) > 40, tool
        assert used <= known, (tool, used - known)


def test_a_field_that_is_no_column_is_refused() -> None:
    """Before anything is generated."""
    with pytest.raises(ValueError, match="sales_lines uses kategory, which is no column"):
        changed_model(lambda d: d["semantic_models"][0]["dimensions"].append({"name": "kategory"}))


def test_templates_connect_where_the_warehouse_is() -> None:
    """Database, schema, warehouse and role are those of infra/snowflake.sql."""
    script = (ROOT / "infra" / "snowflake.sql").read_text(encoding="utf-8")
    for name in ("SCHEMA IF NOT EXISTS RETAIL.MARTS", "RETAIL_BI_WH", "ROLE RETAIL_READER"):
        assert name in script
    text = "".join(committed().values())
    assert "RETAIL_BI_WH" in text
    assert "RETAIL_READER" in text


def test_views_are_named_as_views() -> None:
    """Power BI finds a relation of Snowflake by its kind."""
    project = yaml.safe_load((DBT_PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))
    marts = project["models"]["medallion"]["marts"]
    for path, text in committed().items():
        if "/tables/" in path:
            (name,) = re.findall(r'\[Name="(\w+)", Kind="(?:Table|View)"\]', text)
            how = marts.get(name.lower(), {}).get("+materialized", "table")
            assert f'Kind="{"View" if how == "view" else "Table"}"' in text, path


def test_exposures_name_the_models_of_each_template() -> None:
    """dbt knows who reads what."""
    exposures = yaml.safe_load((DBT_PROJECT / "models" / "exposures.yml").read_text())["exposures"]
    named = {e["name"]: set(re.findall(r"'(\w+)'", str(e["depends_on"]))) for e in exposures}
    for tool, read in TOOLS.items():
        used = {relation for s in read(committed()).values() for relation, _ in s.used}
        assert named[tool] == used, tool


def changed_model(change: Callable[[dict[str, Any]], object]) -> Any:
    """The model with its definitions changed."""
    definitions = yaml.safe_load((MARTS / "metrics.yml").read_text(encoding="utf-8"))
    contracts = yaml.safe_load((MARTS / "marts.yml").read_text(encoding="utf-8"))["models"]
    changed = copy.deepcopy(definitions)
    change(changed)
    columns = {m["name"]: m["columns"] for m in contracts}
    return build_model(Definitions(changed), columns, {"fct_sales_line"})


def test_hostile_names_stay_what_they_are() -> None:
    """Quotes, brackets, braces, markup, line ends in labels of tables, columns and metrics: every
    template is still accepted, and says the same name. QuickSight has no braces in names."""

    def spoil(definitions: dict[str, Any]) -> None:
        sales = definitions["semantic_models"][0]
        sales["label"] = f"T {HOSTILE}"
        sales["description"] = f"Everything\n/// {HOSTILE}\n\t"
        next(d for d in sales["dimensions"] if d["name"] == "category")["label"] = f"C {HOSTILE}\n"
        for metric in definitions["metrics"]:
            if metric["name"] == "reporting_net_sales":
                metric["label"], metric["description"] = f"\tM\n{HOSTILE}", f"-->\n]]> {HOSTILE}"

    files = templates(changed_model(spoil))
    for complaints in (power_bi, tableau, quicksight, snowflake):
        assert complaints(files) == []
    shown = HOSTILE.removesuffix("\u202e")
    for tool, read in TOOLS.items():
        name = shown.replace("{", "(").replace("}", ")") if tool == "quicksight" else shown
        source = read(files)["fct_sales_line"]
        assert f"M {name}" in source.formulas, tool
        assert f"C {name}" in source.columns, tool
        assert source.metrics()
