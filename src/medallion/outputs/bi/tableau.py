"""Tableau data sources (.tds) over Snowflake, a file for each semantic model with metrics.

A metric is a calculated field. NULL in a part makes a result NULL in Tableau as in SQL; formulas
test for a denominator of 0 themselves. The format is that of Tableau's own XSD of workbooks.
"""

from __future__ import annotations

from xml.etree import ElementTree as Xml

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

CONNECTION = "snowflake.retail"
_FUNCTIONS = {"sum": "SUM", "max": "MAX", "count_distinct": "COUNTD"}
_REMOTE = {
    "string": "129",
    "integer": "131",
    "real": "131",
    "boolean": "11",
    "date": "7",
    "datetime": "135",
}
"""The OLE DB type numbers, which Tableau uses as the types of a database."""


def tableau_sources(model: Model) -> dict[str, str]:
    """Return the text of each data source, by its path."""
    files = {}
    for table in model.tables:
        if table.metrics:
            source = datasource(model, table)
            del source.attrib["name"], source.attrib["caption"]
            source.set("formatted-name", identity(table))
            files[f"{table.name}.tds"] = document(source)
    return files


def document(root: Xml.Element) -> str:
    """Return an element as the text of a file."""
    Xml.indent(root, "  ")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + Xml.tostring(root, "unicode") + "\n"


def identity(table: Table) -> str:
    """Return the name of a table's data source inside a workbook."""
    return f"federated.{table.name}"


def fields(model: Model, table: Table) -> list[tuple[Table, Field]]:
    """Return every field of a data source, with the table that it comes from."""
    joined = [(other, f) for _, other, added in model.joined(table) for f in added]
    return [(table, f) for f in table.fields] + joined


def datasource(model: Model, table: Table) -> Xml.Element:
    """Return a data source as a workbook holds it."""
    root = Xml.Element(
        "datasource", caption=table.label, inline="true", name=identity(table), version="18.1"
    )
    root.append(_connection(model, table))
    Xml.SubElement(root, "aliases", enabled="yes")
    for metric in table.metrics:
        root.append(calculated(table, metric))
    for _, field in fields(model, table):
        root.append(column(field))
    return root


def calculated(table: Table, metric: Metric) -> Xml.Element:
    """Return a metric as a calculated field."""
    attributes = {"caption": metric.label, "datatype": "real"}
    if metric.digits is not None:  # without a format Tableau shows the digits that a value has
        digits = f".{'0' * metric.digits}" if metric.digits else ""
        attributes["default-format"] = f"p0{digits}%" if metric.is_share else f"n#,##0{digits}"
    attributes |= {"name": calculation(metric), "role": "measure", "type": "quantitative"}
    root = Xml.Element("column", attributes)
    formula = tableau_formula(table, metric.formula)
    Xml.SubElement(root, "calculation", {"class": "tableau", "formula": formula})
    return root


def column(field: Field) -> Xml.Element:
    """Return a field as a column; one that only formulas use is hidden."""
    kind = tableau_type(field)
    is_time = kind in ("date", "datetime")
    attributes = {
        "caption": field.label,
        "datatype": kind,
        "name": in_brackets(field.column.upper()),
        "role": "measure" if field.is_input and kind in ("real", "integer") else "dimension",
        "type": "ordinal" if is_time or kind == "integer" else "nominal",
    }
    if attributes["role"] == "measure":
        attributes["type"] = "quantitative"
    if field.is_input:
        attributes["hidden"] = "true"
    return Xml.Element("column", attributes)


def calculation(metric: Metric) -> str:
    """Return the internal name of a calculated field, which users do not see."""
    return in_brackets(f"Calculation_{metric.name}")


def in_brackets(name: str) -> str:
    """Return the name of a field in the notation of Tableau."""
    return "[" + name.replace("]", "]]") + "]"


def tableau_type(field: Field) -> str:
    """Return the type of a field in Tableau, which has no decimal type."""
    if field.kind.startswith("decimal"):
        return "real"
    types = {"varchar": "string", "bigint": "integer", "timestamp": "datetime"}
    return types.get(field.kind, field.kind)


def tableau_formula(table: Table, formula: Formula) -> str:
    """Return a formula as the text of a calculated field."""
    match formula:
        case Aggregate(function, row):
            return f"{_FUNCTIONS[function]}({_row(row)})"
        case OneValueOnly(name, of):
            only = f"COUNTD({_row(Column(name))}) = 1"
            return f"IF {only} THEN {tableau_formula(table, of)} END"
        case Named(name):
            return calculation(next(m for m in table.metrics if m.name == name))
        case Arithmetic(operator, left, right):
            return f"({tableau_formula(table, left)} {operator} {tableau_formula(table, right)})"
        case Quotient(above, below):
            divisor = tableau_formula(table, below)
            return f"IF {divisor} <> 0 THEN {tableau_formula(table, above)} / {divisor} END"


def _row(row: Row | None) -> str:
    match row:
        case None:
            return "NULL"
        case Column(name):
            return in_brackets(name.upper())
        case Number(value):
            return str(value)
        case Case(flag, is_negated, then, otherwise):
            condition = ("NOT " if is_negated else "") + in_brackets(flag.upper())
            return f"IF {condition} THEN {_row(then)} ELSE {_row(otherwise)} END"


def _connection(model: Model, table: Table) -> Xml.Element:
    root = Xml.Element("connection", {"class": "federated"})
    names = Xml.SubElement(root, "named-connections")
    named = Xml.SubElement(names, "named-connection", caption=SERVER, name=CONNECTION)
    Xml.SubElement(
        named,
        "connection",
        {
            "authentication": "oauth",
            "class": "snowflake",
            "dbname": DATABASE,
            "odbc-connect-string-extras": "",
            "one-time-sql": "",
            "schema": SCHEMA,
            "server": SERVER,
            "service": ROLE,
            "warehouse": WAREHOUSE,
        },
    )
    root.append(_relation(model, table))
    map_ = Xml.SubElement(root, "cols")
    records = Xml.SubElement(root, "metadata-records")
    for number, (owner, field) in enumerate(fields(model, table), 1):
        local, parent = in_brackets(field.column.upper()), in_brackets(owner.relation.upper())
        Xml.SubElement(map_, "map", key=local, value=f"{parent}.{local}")
        records.append(_record(field, local, parent, number))
    return root


def _relation(model: Model, table: Table) -> Xml.Element:
    """Return the relation of a table, left-joined with each table that it joins."""
    root = _one_relation(table)
    for join, other, _ in model.joined(table):
        left, root = root, Xml.Element("relation", join="left", type="join")
        clause = Xml.SubElement(root, "clause", type="join")
        equal = Xml.SubElement(clause, "expression", op="=")
        for owner, name in ((table, join.column), (other, join.to)):
            place = f"{in_brackets(owner.relation.upper())}.{in_brackets(name.upper())}"
            Xml.SubElement(equal, "expression", op=place)
        root.extend((left, _one_relation(other)))
    return root


def _one_relation(table: Table) -> Xml.Element:
    name = table.relation.upper()
    place = f"{in_brackets(SCHEMA)}.{in_brackets(name)}"
    return Xml.Element("relation", connection=CONNECTION, name=name, table=place, type="table")


def _record(field: Field, local: str, parent: str, number: int) -> Xml.Element:
    kind = tableau_type(field)
    root = Xml.Element("metadata-record", {"class": "column"})
    values = {
        "remote-name": field.column.upper(),
        "remote-type": _REMOTE[kind],
        "local-name": local,
        "parent-name": parent,
        "remote-alias": field.column.upper(),
        "ordinal": str(number),
        "local-type": kind,
        "aggregation": {"real": "Sum", "integer": "Sum", "date": "Year", "datetime": "Year"}.get(
            kind, "Count"
        ),
        "contains-null": "true",
    }
    for name, value in values.items():
        Xml.SubElement(root, name).text = value
    return root
