"""The report of the Power BI project (PBIR): one page, with a file for each visual."""

from __future__ import annotations

import uuid
from typing import Any

from medallion.outputs.bi.page import LINE, PAGE, TABLE, TITLE, Visual
from medallion.outputs.bi.semantics import Field, Model, Table

_WIDTH, _HEIGHT, _GAP = 1280, 720, 12


def report(model: Model) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the schema and the content of each file of the report's definition, by its path."""
    page = _identity("page")
    files: dict[str, tuple[str, dict[str, Any]]] = {
        "version.json": ("versionMetadata/1.0.0", {"version": "2.0.0"}),
        "report.json": ("report/3.0.0", {"themeCollection": {}}),
        "pages/pages.json": (
            "pagesMetadata/1.0.0",
            {"pageOrder": [page], "activePageName": page},
        ),
        f"pages/{page}/page.json": (
            "page/2.0.0",
            {
                "name": page,
                "displayName": TITLE,
                "displayOption": "FitToPage",
                "height": _HEIGHT,
                "width": _WIDTH,
            },
        ),
    }
    for visual in PAGE:
        name = _identity(visual.name)
        content = _visual(model, visual, name)
        files[f"pages/{page}/visuals/{name}/visual.json"] = ("visualContainer/2.0.0", content)
    return files


def _visual(model: Model, visual: Visual, name: str) -> dict[str, Any]:
    table = model.table(TABLE)
    label = next(m.label for m in table.metrics if m.name == visual.metric)
    metric = _projection("Measure", table, label)
    if visual.by is None:
        kind, state = "card", {"Values": {"projections": [metric]}}
    else:
        owner, field = _owner_and_field(model, visual.by)
        category = _projection("Column", owner, field.label) | {"active": True}
        kind = "lineChart" if visual.by == LINE else "clusteredBarChart"
        state = {"Category": {"projections": [category]}, "Y": {"projections": [metric]}}
    return {
        "name": name,
        "position": _position(visual),
        "visual": {
            "visualType": kind,
            "query": {"queryState": state},
            "drillFilterOtherVisuals": True,
        },
    }


def _position(visual: Visual) -> dict[str, int]:
    column, row = _WIDTH // 12, _HEIGHT // 9
    return {
        "x": visual.x * column + _GAP // 2,
        "y": visual.y * row + _GAP // 2,
        "z": 0,
        "width": visual.width * column - _GAP,
        "height": visual.height * row - _GAP,
        "tabOrder": PAGE.index(visual),
    }


def _owner_and_field(model: Model, column: str) -> tuple[Table, Field]:
    """Return the table that holds a column, and the field of the column."""
    table = model.table(TABLE)
    for owner in (table, *(other for _, other, _ in model.joined(table))):
        for field in owner.fields:
            if field.column == column:
                return owner, field
    raise ValueError(f"the page shows {column}, which the sales lines do not have")


def _projection(kind: str, table: Table, label: str) -> dict[str, Any]:
    source = {"SourceRef": {"Entity": table.label}}
    return {
        "field": {kind: {"Expression": source, "Property": label}},
        "queryRef": f"{table.label}.{label}",
        "nativeQueryRef": label,
    }


def _identity(name: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"retail/report/{name}").hex[:20]
