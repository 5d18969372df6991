"""A strict reader of the part of TMDL that the templates use. Microsoft offers no schema, and no
parser without .NET. The reader refuses what it does not know.

Source: https://learn.microsoft.com/analysis-services/tmdl/tmdl-overview and the properties of the
Tabular Object Model that the names stand for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath

_NAME = r"'(?:[^']|'')+'|[A-Za-z_]\w*"
_OBJECT = re.compile(rf"(ref table|[a-z]\w*)(?: ({_NAME}|[0-9a-f-]{{36}}))?(?: =(?: (\S.*))?)?")
_PROPERTY = re.compile(r"([a-z]\w*): (\S(?:.*\S)?)")
_KNOWN: dict[str, tuple[set[str], set[str], set[str]]] = {
    "": ({"database", "model", "table", "relationship", "expression", "ref table"}, set(), set()),
    "database": (set(), {"compatibilityLevel"}, set()),
    "model": (
        {"dataAccessOptions"},
        {"culture", "defaultPowerBIDataSourceVersion", "sourceQueryCulture"},
        set(),
    ),
    "dataAccessOptions": (set(), set(), {"legacyRedirects", "returnErrorValuesAsNull"}),
    "table": ({"measure", "column", "partition"}, {"lineageTag"}, set()),
    "measure": (set(), {"formatString", "lineageTag"}, set()),
    "column": (
        set(),
        {"dataType", "formatString", "lineageTag", "summarizeBy", "sourceColumn"},
        {"isHidden"},
    ),
    "partition": (set(), {"mode", "source"}, set()),
    "relationship": (set(), {"fromColumn", "toColumn"}, set()),
    "expression": (set(), {"lineageTag"}, set()),
    "ref table": (set(), set(), set()),
}
"""Of each kind of object: kinds of objects in it, properties, flags."""
_VALUES = {
    "dataType": {"string", "int64", "decimal", "double", "boolean", "dateTime"},
    "summarizeBy": {"none"},
    "mode": {"directQuery"},
}


class TmdlError(ValueError):
    """A line that is no TMDL, or nothing that this reader knows."""


@dataclass
class Node:
    """An object of the model."""

    kind: str
    name: str = ""
    expression: str = ""
    description: str = ""
    properties: dict[str, str] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    children: list[Node] = field(default_factory=list)

    def all(self, kind: str) -> list[Node]:
        """The objects of a kind in it."""
        return [c for c in self.children if c.kind == kind]


def read(text: str) -> Node:
    """The objects of one file. Raises TmdlError."""
    root = Node("")
    stack, described = [root], ""
    block: list[str] | None = None
    for number, line in enumerate(text.split("\n"), 1):
        depth = len(line) - len(line.lstrip("\t"))
        content = line[depth:]
        if content != content.strip() and block is None:
            raise TmdlError(f"line {number}: spaces around {content!r}")
        if not content:
            continue
        if block is not None and depth > len(stack):
            block.append(line[len(stack) + 1 :])
            continue
        if block is not None:
            stack[-1].properties["source"] = "\n".join(block)
            block = None
        if content.startswith("/// "):
            described = content[4:]
            continue
        if depth >= len(stack):
            raise TmdlError(f"line {number}: too deep: {content!r}")
        del stack[depth + 1 :]
        parent = stack[-1]
        if content == "source =" and parent.kind == "partition":
            block = []
            continue
        if node := _line(content, parent, number):
            node.description, described = described, ""
            parent.children.append(node)
            stack.append(node)
        if described:
            raise TmdlError(f"line {number}: a description of no object")
    if block is not None:
        stack[-1].properties["source"] = "\n".join(block)
    return root


def _line(content: str, parent: Node, number: int) -> Node | None:
    """An object; or None when the line was a property or flag of the parent."""
    kinds, properties, flags = _KNOWN[parent.kind]
    if content in flags:
        parent.flags.add(content)
        return None
    if (match := _PROPERTY.fullmatch(content)) and match[1] in properties:
        name, value = match.groups()
        if name in parent.properties or value not in _VALUES.get(name, {value}):
            raise TmdlError(f"line {number}: {content!r} again, or with no such value")
        parent.properties[name] = value
        return None
    match = _OBJECT.fullmatch(content)
    if not match or match[1] not in kinds:
        raise TmdlError(f"line {number}: {content!r} cannot be in {parent.kind or 'a file'}")
    kind, name, expression = match.groups(default="")
    if kind in ("measure", "expression", "partition") and not expression:
        raise TmdlError(f"line {number}: {kind} without an expression")
    return Node(kind, unquoted(name), expression)


def unquoted(name: str) -> str:
    """A name without its quotes."""
    return name[1:-1].replace("''", "'") if name.startswith("'") else name


def read_model(files: dict[str, str]) -> Node:
    """All .tmdl files of a semantic model as one. Raises TmdlError when they do not fit."""
    model = Node("")
    for path, text in files.items():
        if PurePosixPath(path).suffix == ".tmdl":
            model.children += read(text).children
    tables = {t.name: {c.name for c in t.all("column")} for t in model.all("table")}
    if sorted(t.name for t in model.all("ref table")) != sorted(tables):
        raise TmdlError("the model does not name its tables")
    for relationship in model.all("relationship"):
        for end in ("fromColumn", "toColumn"):
            table, column = split_place(relationship.properties[end])
            if column not in tables.get(table, ()):
                raise TmdlError(f"a relationship with {table}.{column}, which is not there")
    _refuse_twice(model)
    return model


def split_place(place: str) -> tuple[str, str]:
    """Table and column of `table.column`."""
    match = re.fullmatch(rf"({_NAME})\.({_NAME})", place)
    if not match:
        raise TmdlError(f"{place!r} is no column of a table")
    return unquoted(match[1]), unquoted(match[2])


def _refuse_twice(model: Node) -> None:
    """Names, and identities, that may be there once only; Power BI takes A and a for one."""
    measures = [m.name for t in model.all("table") for m in t.all("measure")]
    names = [[t.name for t in model.all("table")], measures]
    names += [[c.name for c in t.children if c.kind != "partition"] for t in model.all("table")]
    objects = [o for t in model.all("table") for o in (t, *t.children)] + model.all("expression")
    names.append([o.properties["lineageTag"] for o in objects if o.kind != "partition"])
    for group in names:
        folded = [name.casefold() for name in group]
        if twice := {name for name in folded if folded.count(name) > 1}:
            raise TmdlError(f"twice: {twice}")
