"""Amazon QuickSight as a CloudFormation template: data source, data sets, an analysis.

A data set queries Snowflake live. QuickSight has no booleans: the query returns each value that a
measure sums or counts as a column, and a metric is a calculated field over these columns. NULL in a
part makes the result NULL; formulas test for a denominator of 0 themselves.

Source: https://docs.aws.amazon.com/quicksight/latest/user/calculated-field-reference.html
"""

from __future__ import annotations

import json
import re
from typing import Any

from medallion.metrics.definitions import Metric
from medallion.metrics.formula import (
    Aggregate,
    Arithmetic,
    Case,
    Column,
    Formula,
    Named,
    Number,
    OneValueOnly,
    Quotient,
    Row,
)
from medallion.outputs.bi.quicksight_sheet import name, sheet
from medallion.outputs.bi.semantics import DATABASE, ROLE, SCHEMA, WAREHOUSE, Model, Table

_FUNCTIONS = {"sum": "sum", "max": "max", "count_distinct": "distinct_count"}
_READ = ["Describe{0}", "Describe{0}Permissions", "Update{0}", "Update{0}Permissions", "Delete{0}"]
_DATA_SET = ["PassDataSet", "DescribeIngestion", "ListIngestions", "CreateIngestion"]
_DATA_SET += ["CancelIngestion"]
_PARAMETERS: dict[str, dict[str, Any]] = {
    "SnowflakeHost": {
        "Type": "String",
        "Description": "Host of the account, such as xy12345.snowflakecomputing.com",
    },
    "SnowflakeDatabase": {"Type": "String", "Default": DATABASE},
    "SnowflakeWarehouse": {"Type": "String", "Default": WAREHOUSE},
    "SnowflakeRole": {"Type": "String", "Default": ROLE},
    "SignIn": {"Type": "String", "Default": "KEYPAIR", "AllowedValues": ["KEYPAIR", "PASSWORD"]},
    "SecretArn": {
        "Type": "String",
        "Description": "Secret with the credentials of a Snowflake user that has the role",
    },
    "PrincipalArn": {
        "Type": "String",
        "Description": "User or group of QuickSight that owns what is made",
    },
}


def quicksight(model: Model) -> str:
    """Return the template as JSON."""
    tables = [table for table in model.tables if table.metrics]
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Retail metrics in QuickSight, live on Snowflake",
        "Parameters": _PARAMETERS,
        "Resources": {
            "DataSource": _data_source(),
            **{resource(table): _data_set(model, table) for table in tables},
            "Analysis": _analysis(model, tables),
        },
        "Outputs": {"AnalysisArn": {"Value": {"Fn::GetAtt": ["Analysis", "Arn"]}}},
    }
    return json.dumps(template, indent=2, ensure_ascii=False) + "\n"


def resource(table: Table) -> str:
    """Return the name that the template gives the data set of a table."""
    return "".join(word.capitalize() for word in re.split(r"\W|_", table.name))


def inputs(model: Model, table: Table) -> dict[str, tuple[str, str]]:
    """Return the SQL and the contract's type of each column of a data set, by its name."""
    columns: dict[str, tuple[str, str]] = {}
    joined = [(other.name, f) for _, other, fields in model.joined(table) for f in fields]
    for alias, field in [("facts", f) for f in table.fields] + joined:
        if not field.is_input:
            columns[name(field.label)] = (f"{alias}.{field.column}", field.kind)
    for metric in table.metrics:
        if measured := _measured(metric.formula):
            columns[_input(metric)] = (_sql(measured), _kind(table, measured))
    return columns


def data_set_sql(model: Model, table: Table) -> str:
    """Return the query of a data set, in SQL that both Snowflake and DuckDB can run."""
    columns = [
        f"{sql} AS " + '"' + label.replace('"', '""') + '"'
        for label, (sql, _) in inputs(model, table).items()
    ]
    lines = ["SELECT", "  " + ",\n  ".join(columns), f"FROM {SCHEMA}.{table.relation} AS facts"]
    for join, other, _ in model.joined(table):
        lines.append(
            f"LEFT JOIN {SCHEMA}.{other.relation} AS {other.name} "
            f"ON facts.{join.column} = {other.name}.{join.to}"
        )
    return "\n".join(lines)


def quicksight_formula(table: Table, metric: Metric) -> str:
    """Return a metric as the expression of a calculated field."""
    return _formula(table, metric, metric.formula)


def _formula(table: Table, metric: Metric, formula: Formula) -> str:
    match formula:
        case Aggregate(function, _):
            return f"{_FUNCTIONS[function]}({{{_input(metric)}}})"
        case OneValueOnly(column, of):
            only = f"distinct_count({{{name(table.field(column).label)}}}) = 1"
            return f"ifelse({only}, {_formula(table, metric, of)}, NULL)"
        case Named(other):
            return f"{{{name(next(m.label for m in table.metrics if m.name == other))}}}"
        case Arithmetic(operator, left, right):
            parts = (_formula(table, metric, part) for part in (left, right))
            return "(" + f" {operator} ".join(parts) + ")"
        case Quotient(above, below):
            divisor = _formula(table, metric, below)
            return f"ifelse({divisor} <> 0, {_formula(table, metric, above)} / {divisor}, NULL)"


def _input(metric: Metric) -> str:
    return f"{metric.name} (input)"


def _measured(formula: Formula) -> Row | None:
    """Return the value of one row that a simple metric aggregates; None for other metrics."""
    inner = formula.of if isinstance(formula, OneValueOnly) else formula
    return inner.row if isinstance(inner, Aggregate) else None


def _sql(row: Row) -> str:
    match row:
        case Column(column):
            return f"facts.{column}"
        case Number(value):
            return str(value)
        case Case(flag, is_negated, then, otherwise):
            other = f" ELSE {_sql(otherwise)}" if otherwise else ""
            return f"CASE WHEN {'NOT ' * is_negated}facts.{flag} THEN {_sql(then)}{other} END"


def _kind(table: Table, row: Row) -> str:
    match row:
        case Column(column):
            return table.field(column).kind
        case Case(_, _, then, _):
            return _kind(table, then)
    return "bigint"


def _data_source() -> dict[str, Any]:
    snowflake = {
        "Host": {"Ref": "SnowflakeHost"},
        "Database": {"Ref": "SnowflakeDatabase"},
        "Warehouse": {"Ref": "SnowflakeWarehouse"},
        "AuthenticationType": {"Ref": "SignIn"},
        "DatabaseAccessControlRole": {"Ref": "SnowflakeRole"},
    }
    return _resource(
        "DataSource",
        "snowflake",
        Name="Retail on Snowflake",
        Type="SNOWFLAKE",
        DataSourceParameters={"SnowflakeParameters": snowflake},
        Credentials={"SecretArn": {"Ref": "SecretArn"}},
        Permissions=_owned("DataSource", "PassDataSource"),
    )


def _data_set(model: Model, table: Table) -> dict[str, Any]:
    sql = {
        "DataSourceArn": {"Fn::GetAtt": ["DataSource", "Arn"]},
        "Name": table.name,
        "SqlQuery": data_set_sql(model, table),
        "Columns": [
            {"Name": label} | _type(kind) for label, (_, kind) in inputs(model, table).items()
        ],
    }
    return _resource(
        "DataSet",
        table.name.replace("_", "-"),
        Name=f"Retail: {table.label}",
        ImportMode="DIRECT_QUERY",
        PhysicalTableMap={"facts": {"CustomSql": sql}},
        Permissions=_owned("DataSet", *_DATA_SET),
    )


def _analysis(model: Model, tables: list[Table]) -> dict[str, Any]:
    definition = {
        "DataSetIdentifierDeclarations": [
            {"Identifier": table.name, "DataSetArn": {"Fn::GetAtt": [resource(table), "Arn"]}}
            for table in tables
        ],
        "CalculatedFields": [
            {
                "DataSetIdentifier": table.name,
                "Name": name(metric.label),
                "Expression": quicksight_formula(table, metric),
            }
            for table in tables
            for metric in table.metrics
        ],
        "Sheets": [sheet(model)],
    }
    permissions = _owned("Analysis", "QueryAnalysis", "RestoreAnalysis")
    return _resource(
        "Analysis", "retail", Name="Retail", Definition=definition, Permissions=permissions
    )


def _resource(kind: str, identity: str, **properties: Any) -> dict[str, Any]:
    own = {
        "AwsAccountId": {"Ref": "AWS::AccountId"},
        f"{kind}Id": {"Fn::Sub": f"${{AWS::StackName}}-{identity}"},
    }
    return {"Type": f"AWS::QuickSight::{kind}", "Properties": own | properties}


def _owned(kind: str, *more: str) -> list[dict[str, Any]]:
    actions = [action.format(kind) for action in _READ] + list(more)
    return [
        {
            "Principal": {"Ref": "PrincipalArn"},
            "Actions": [f"quicksight:{action}" for action in actions],
        }
    ]


def _type(kind: str) -> dict[str, str]:
    """Return the type in QuickSight, whose fixed decimals have four places."""
    if scale := re.fullmatch(r"decimal\(\d+,(\d+)\)", kind):
        return {"Type": "DECIMAL", "SubType": "FIXED" if int(scale[1]) <= 4 else "FLOAT"}
    types = {"varchar": "STRING", "bigint": "INTEGER", "integer": "INTEGER"}
    return {"Type": types.get(kind, "DATETIME")}
