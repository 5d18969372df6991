"""The content of a template as its tool sees it, read back from its files: the sources of rows, the
visible columns, and the formulas."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as Xml

from tests.bi import tmdl
from tests.bi.formulas import dax_sql, parse, sql

Files = dict[str, str]


@dataclass
class Source:
    """One data set of a tool: rows in SQL, columns in SQL by label, formulas by label; `used` are
    the columns of relations that it reads."""

    rows: str
    columns: dict[str, str]
    formulas: dict[str, str]
    names: dict[str, str]
    used: set[tuple[str, str]]
    to_sql: Callable[..., str]

    def metrics(self) -> dict[str, str]:
        """Every metric as SQL over the rows; one may name those before it by `"metric LABEL"`."""
        selected: dict[str, str] = {}

        def select(label: str) -> None:
            if label not in selected:
                text = self.to_sql(parse(self.formulas[label]), resolve)
                selected[label] = f"{text} AS {_quoted(f'metric {label}')}"

        def resolve(name: str) -> str:
            label = self.names.get(name, name)
            if label not in self.formulas:
                return self.columns[name]
            select(label)
            return _quoted(f"metric {label}")

        for label in self.formulas:
            select(label)
        return selected


def power_bi(files: Files) -> dict[str, Source]:
    """By the relation of the facts."""
    model = tmdl.read_model({p: t for p, t in files.items() if p.startswith("powerbi/")})
    tables = {t.name: t for t in model.all("table")}
    ends = [
        [tmdl.split_place(r.properties[end]) for end in ("fromColumn", "toColumn")]
        for r in model.all("relationship")
    ]
    sources = {}
    for name, table in tables.items():
        rows, columns = f"MARTS.{_relation(table)} AS {_quoted(name)}", _own(table)
        for (start, column), (target, key) in ends:
            if start == name:
                other = _own(tables[target])
                rows += f" LEFT JOIN MARTS.{_relation(tables[target])} AS {_quoted(target)}"
                rows += f" ON {columns[column]} = {other[key]}"
                columns = {k: v for k, v in other.items() if k != key} | columns
        measures = {m.name: m.expression for m in table.all("measure")}
        used = {
            (_relation(t), c.properties["sourceColumn"].lower())
            for t in tables.values()
            for c in t.all("column")
        }
        sources[_relation(table)] = Source(rows, columns, measures, {}, used, dax_sql)
    return {relation: source for relation, source in sources.items() if source.formulas}


def _relation(table: tmdl.Node) -> str:
    (partition,) = table.all("partition")
    match = re.search(r'\[Name="(\w+)", Kind="(?:Table|View)"\]', partition.properties["source"])
    assert match, partition
    return match[1].lower()


def _own(table: tmdl.Node) -> dict[str, str]:
    return {
        c.name: f"{_quoted(table.name)}.{c.properties['sourceColumn'].lower()}"
        for c in table.all("column")
    }


def tableau(files: Files) -> dict[str, Source]:
    """By the relation of the facts."""
    sources = {}
    for path, text in files.items():
        if path.endswith(".tds"):
            root = Xml.fromstring(text.encode())
            relation = root.find("connection/relation")
            assert relation is not None
            columns, formulas, names = {}, {}, {}
            places = {m.get("key"): m.get("value") for m in root.iter("map")}
            for column in root.findall("column"):
                name, label = column.get("name", "")[1:-1], column.get("caption", "")
                if (calculation := column.find("calculation")) is not None:
                    formulas[label] = calculation.get("formula", "")
                    names[name.replace("]]", "]")] = label
                else:
                    columns[label] = columns[name] = _place(places[f"[{name}]"] or "")
            used = {tuple(c.replace('"', "").split(".")) for c in columns.values()}
            rows = _joined(relation)
            facts = re.search(r"MARTS\.(\w+)", rows)
            assert facts
            sources[facts[1]] = Source(rows, columns, formulas, names, used, sql)  # type: ignore[arg-type]
    return sources


def _place(text: str) -> str:
    table, column = re.findall(r"\[(\w+)\]", text)
    return f"{table.lower()}.{column.lower()}"


def _joined(relation: Xml.Element) -> str:
    if relation.get("type") == "table":
        schema, name = re.findall(r"\[(\w+)\]", relation.get("table", ""))
        return f"{schema}.{name.lower()} AS {name.lower()}"
    left, right = relation.findall("relation")
    a, b = (e.get("op", "") for e in relation.findall("clause/expression/expression"))
    return f"{_joined(left)} LEFT JOIN {_joined(right)} ON {_place(a)} = {_place(b)}"


def quicksight(files: Files) -> dict[str, Source]:
    """By the relation of the facts."""
    resources = json.loads(files["quicksight/retail.template.json"])["Resources"]
    definition = resources["Analysis"]["Properties"]["Definition"]
    sources = {}
    for declared in definition["DataSetIdentifierDeclarations"]:
        resource = resources[declared["DataSetArn"]["Fn::GetAtt"][0]]["Properties"]
        table: dict[str, Any] = resource["PhysicalTableMap"]["facts"]["CustomSql"]
        columns = {c["Name"]: _quoted(c["Name"]) for c in table["Columns"]}
        formulas = {
            f["Name"]: f["Expression"]
            for f in definition["CalculatedFields"]
            if f["DataSetIdentifier"] == declared["Identifier"]
        }
        query = table["SqlQuery"]
        aliases = {a: r for r, a in re.findall(r"MARTS\.(\w+) AS (\w+)", query)}
        used = {(aliases[a], c) for a, c in re.findall(r"\b(\w+)\.(\w+)\b", query) if a in aliases}
        rows = f"({query}) AS found"
        sources[aliases["facts"]] = Source(rows, columns, formulas, {}, used, sql)
    return sources


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class SqlSource(Source):
    """A semantic view of Snowflake, whose formulas are SQL."""

    def metrics(self) -> dict[str, str]:
        """Every metric as SQL; in it, the name of another metric means that metric."""
        selected: dict[str, str] = {}

        def select(label: str) -> None:
            if label in selected:
                return
            own = next(name for name, other in self.names.items() if other == label)
            text = re.sub(r"\b\w+\.\w+\b", lambda m: resolve(own, m[0]), self.formulas[label])
            selected[label] = f"{text} AS {_quoted(f'metric {label}')}"

        def resolve(own: str, name: str) -> str:
            if name == own or name not in self.names:
                return name
            select(self.names[name])
            return _quoted(f"metric {self.names[name]}")

        for label in self.formulas:
            select(label)
        return selected


_VIEW = re.compile(r"CREATE OR ALTER SEMANTIC VIEW (\S+)\n(.*?);\nGRANT", re.DOTALL)
_CLAUSE = re.compile(r"^    (\w+) \(\n(.*?)\n    \)", re.DOTALL | re.MULTILINE)
_NAMED = re.compile(r"(\w+\.\w+) AS (.*?) WITH SYNONYMS = \('((?:[^']|'')*)'\)")


def snowflake(files: Files) -> dict[str, Source]:
    """By the relation of the facts."""
    sources: dict[str, Source] = {}
    for _, text in _VIEW.findall(files["snowflake/semantic_views.sql"]):
        clauses = {name: body.split(",\n") for name, body in _CLAUSE.findall(text)}
        tables = dict(
            re.match(r"\s*(\w+) AS RETAIL\.MARTS\.(\w+)", line).groups()  # type: ignore[union-attr]
            for line in clauses["TABLES"]
        )
        rows = ""
        for alias, relation in tables.items():
            rows += (
                f" LEFT JOIN MARTS.{relation} AS {alias}"
                if rows
                else f"MARTS.{relation} AS {alias}"
            )
            for line in clauses.get("RELATIONSHIPS", ()):
                one, column, other, key = re.findall(r"\w+", line.replace("REFERENCES", ""))
                if other == alias:
                    rows += f" ON {one}.{column} = {other}.{key}"
        dimensions = [_NAMED.search(line) for line in clauses["DIMENSIONS"]]
        columns = {_unquoted(m[3]): m[2] for m in dimensions if m}
        metrics = [m for line in clauses["METRICS"] if (m := _NAMED.search(line))]
        used = {
            (tables[alias].lower(), column)
            for m in [*dimensions, *metrics]
            if m
            for alias, column in re.findall(r"(\w+)\.(\w+)", m[2])
        } - {(tables[m[1].split(".")[0]].lower(), m[1].split(".")[1]) for m in metrics}
        names = {m[1]: _unquoted(m[3]) for m in metrics}
        formulas = {_unquoted(m[3]): m[2] for m in metrics}
        relation = next(iter(tables.values())).lower()
        sources[relation] = SqlSource(rows, columns, formulas, names, used, sql)
    return sources


def _unquoted(text: str) -> str:
    return text.replace("''", "'").replace("\\\\", "\\")


TOOLS: dict[str, Callable[[Files], dict[str, Source]]] = {
    "snowflake": snowflake,
    "power_bi": power_bi,
    "tableau": tableau,
    "quicksight": quicksight,
}
