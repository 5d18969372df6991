"""The Power BI project (.pbip): a semantic model in TMDL over Snowflake, by DirectQuery.

Source: https://learn.microsoft.com/power-bi/developer/projects/projects-overview and
https://learn.microsoft.com/analysis-services/tmdl/tmdl-overview (one tab per level; names
that are not plain words stand in single quotes; `///` describes what follows).
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

from medallion.metrics.definitions import Metric
from medallion.outputs.bi.dax import dax
from medallion.outputs.bi.powerbi_report import report
from medallion.outputs.bi.semantics import (
    DATABASE,
    ROLE,
    SCHEMA,
    SERVER,
    WAREHOUSE,
    Field,
    Model,
    Table,
)

_SCHEMAS = "https://developer.microsoft.com/json-schemas/fabric/"
_PARAMETERS = {
    "SnowflakeServer": SERVER,
    "SnowflakeWarehouse": WAREHOUSE,
    "SnowflakeRole": ROLE,
    "SnowflakeDatabase": DATABASE,
}


def power_bi(model: Model) -> dict[str, str]:
    """Return the text of each file of the project, by its path."""
    definition = "Retail.SemanticModel/definition"
    files = {
        "Retail.pbip": _json(
            "pbip/pbipProperties/1.0.0",
            version="1.0",
            artifacts=[{"report": {"path": "Retail.Report"}}],
            settings={"enableAutoRecovery": True},
        ),
        "Retail.SemanticModel/.platform": _platform("SemanticModel"),
        "Retail.SemanticModel/definition.pbism": _json(
            "item/semanticModel/definitionProperties/1.0.0", version="4.2", settings={}
        ),
        f"{definition}/database.tmdl": "database\n\tcompatibilityLevel: 1600\n",
        f"{definition}/model.tmdl": _model(model),
        f"{definition}/expressions.tmdl": "\n".join(_parameters()),
        f"{definition}/relationships.tmdl": "\n".join(_relationships(model)),
        "Retail.Report/.platform": _platform("Report"),
        "Retail.Report/definition.pbir": _json(
            "item/report/definitionProperties/2.0.0",
            version="4.0",
            datasetReference={"byPath": {"path": "../Retail.SemanticModel"}},
        ),
    }
    for table in model.tables:
        files[f"{definition}/tables/{table.name}.tmdl"] = "\n".join(_table(table))
    return files | {
        f"Retail.Report/definition/{path}": _json(f"item/report/definition/{schema}", **content)
        for path, (schema, content) in report(model).items()
    }


def _json(schema: str, **content: Any) -> str:
    document = {"$schema": f"{_SCHEMAS}{schema}/schema.json"} | content
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _platform(kind: str) -> str:
    return _json(
        "gitIntegration/platformProperties/2.0.0",
        metadata={"type": kind, "displayName": "Retail"},
        config={"version": "2.0", "logicalId": _tag(kind)},
    )


def _model(model: Model) -> str:
    lines = [
        "model Model",
        "\tculture: en-US",
        "\tdefaultPowerBIDataSourceVersion: powerBI_V3",
        "\tsourceQueryCulture: en-US",
        "\tdataAccessOptions",
        "\t\tlegacyRedirects",
        "\t\treturnErrorValuesAsNull",
        "",
        *(f"ref table {_name(table.label)}" for table in model.tables),
    ]
    return "\n".join(lines) + "\n"


def _parameters() -> Iterator[str]:
    kind = 'meta [IsParameterQuery=true, Type="Text", IsParameterQueryRequired=true]'
    for name, value in _PARAMETERS.items():
        yield f"expression {name} = {_text(value)} {kind}"
        yield f"\tlineageTag: {_tag(name)}"
        yield ""


def _relationships(model: Model) -> Iterator[str]:
    for table in model.tables:
        for join in table.joins:
            other = model.table(join.model)
            yield f"relationship {_tag(table.name, join.model)}"
            yield f"\tfromColumn: {_place(table, join.column)}"
            yield f"\ttoColumn: {_place(other, join.to)}"
            yield ""


def _table(table: Table) -> Iterator[str]:
    yield from _description(table.description, "")
    yield f"table {_name(table.label)}"
    yield f"\tlineageTag: {_tag(table.name)}"
    yield ""
    for metric in table.metrics:
        yield from _measure(table, metric)
    for field in table.fields:
        yield from _column(table, field)
    yield f"\tpartition {_name(table.label)} = m"
    yield "\t\tmode: directQuery"
    yield "\t\tsource ="
    yield from (f"\t\t\t\t{line}" for line in _query(table))
    yield ""


def _measure(table: Table, metric: Metric) -> Iterator[str]:
    digits = "#####" if metric.digits is None else "0" * metric.digits
    number = "#,0" + (f".{digits}" if digits else "")
    percent = f"0.{digits}%"
    yield from _description(metric.description, "\t")
    yield f"\tmeasure {_name(metric.label)} = {dax(table, metric.formula)}"
    yield f"\t\tformatString: {percent if metric.is_share else number}"
    yield f"\t\tlineageTag: {_tag(table.name, 'metric', metric.name)}"
    yield ""


def _column(table: Table, field: Field) -> Iterator[str]:
    kind, format_string = _kind(field.kind)
    yield from _description(field.description, "\t")
    yield f"\tcolumn {_name(field.label)}"
    yield f"\t\tdataType: {kind}"
    if field.is_input:
        yield "\t\tisHidden"
    if format_string:
        yield f"\t\tformatString: {format_string}"
    yield f"\t\tlineageTag: {_tag(table.name, 'column', field.column)}"
    yield "\t\tsummarizeBy: none"
    yield f"\t\tsourceColumn: {field.column.upper()}"
    yield ""


def _kind(kind: str) -> tuple[str, str | None]:
    """Return the data type and the format of a type in the contract.

    Power BI's decimal is fixed: 19 digits, 4 of them behind the point.
    """
    if scale := re.fullmatch(r"decimal\(\d+,(\d+)\)", kind):
        return ("decimal" if int(scale[1]) <= 4 else "double"), None
    return {
        "varchar": ("string", None),
        "bigint": ("int64", "0"),
        "integer": ("int64", "0"),
        "boolean": ("boolean", None),
        "date": ("dateTime", "yyyy-mm-dd"),
        "timestamp": ("dateTime", "yyyy-mm-dd hh:nn:ss"),
    }[kind]


def _query(table: Table) -> Iterator[str]:
    """Yield the query in M that reads the used columns of a relation."""
    columns = ", ".join(_text(f.column.upper()) for f in table.fields)
    kind = "View" if table.is_view else "Table"
    yield "let"
    yield (
        "    Source = Snowflake.Databases(SnowflakeServer, SnowflakeWarehouse, "
        '[Role=SnowflakeRole, Implementation="2.0"]),'
    )
    yield '    Database = Source{[Name=SnowflakeDatabase, Kind="Database"]}[Data],'
    yield f'    Schema = Database{{[Name={_text(SCHEMA)}, Kind="Schema"]}}[Data],'
    yield f'    Relation = Schema{{[Name={_text(table.relation.upper())}, Kind="{kind}"]}}[Data],'
    yield f"    Used = Table.SelectColumns(Relation, {{{columns}}})"
    yield "in"
    yield "    Used"


def _description(text: str, indent: str) -> Iterator[str]:
    if text:
        yield f"{indent}/// {text}"


def _place(table: Table, column: str) -> str:
    return f"{_name(table.label)}.{_name(table.field(column).label)}"


def _name(name: str) -> str:
    if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        return name
    return "'" + name.replace("'", "''") + "'"


def _text(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


def _tag(*parts: str) -> str:
    """Return an identity that stays the same each time the files are generated."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "retail/" + "/".join(parts)))
