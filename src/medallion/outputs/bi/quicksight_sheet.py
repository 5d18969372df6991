"""The sheet of the QuickSight analysis: the visuals of the page in a grid."""

from __future__ import annotations

from typing import Any

from medallion.metrics.definitions import Metric
from medallion.outputs.bi.page import LINE, PAGE, TABLE, TITLE, Visual
from medallion.outputs.bi.semantics import Field, Model

_COLUMNS, _ROWS = 36, 2
"""QuickSight's grid is 36 columns wide; a ninth of the page's height is two of its rows."""


def name(label: str) -> str:
    """Return a label without braces: QuickSight's formulas put names between braces."""
    return label.replace("{", "(").replace("}", ")")


def sheet(model: Model) -> dict[str, Any]:
    """Return the definition of the sheet."""
    elements = [
        {
            "ElementId": _identity(visual),
            "ElementType": "VISUAL",
            "ColumnIndex": visual.x * _COLUMNS // 12,
            "ColumnSpan": visual.width * _COLUMNS // 12,
            "RowIndex": visual.y * _ROWS,
            "RowSpan": visual.height * _ROWS,
        }
        for visual in PAGE
    ]
    return {
        "SheetId": "retail",
        "Name": TITLE,
        "ContentType": "INTERACTIVE",
        "Visuals": [_visual(model, visual) for visual in PAGE],
        "Layouts": [{"Configuration": {"GridLayout": {"Elements": elements}}}],
    }


def _visual(model: Model, visual: Visual) -> dict[str, Any]:
    table = model.table(TABLE)
    metric = next(m for m in table.metrics if m.name == visual.metric)
    identity, value = _identity(visual), _value(metric, visual)
    own: dict[str, Any] = {"VisualId": identity, "Title": _title(metric.label)}
    if visual.by is None:
        wells = {"FieldWells": {"Values": [value]}}
        return {"KPIVisual": own | {"ChartConfiguration": wells}}
    joined = [f for _, _, fields in model.joined(table) for f in fields]
    field = next(f for f in (*table.fields, *joined) if f.column == visual.by)
    own["Title"] = _title(f"{metric.label} by {field.label}")
    kind = "Line" if visual.by == LINE else "Bar"
    filled = {"Category": [_category(field, visual)], "Values": [value]}
    chart: dict[str, Any] = {"FieldWells": {f"{kind}ChartAggregatedFieldWells": filled}}
    if kind == "Bar":
        chart["Orientation"] = "HORIZONTAL"
    return {f"{kind}ChartVisual": own | {"ChartConfiguration": chart}}


def _category(field: Field, visual: Visual) -> dict[str, Any]:
    own: dict[str, Any] = {"FieldId": f"{_identity(visual)}-by", "Column": _column(field.label)}
    if field.kind in ("date", "timestamp"):
        return {"DateDimensionField": own | {"DateGranularity": "DAY"}}
    is_text = field.kind == "varchar"
    return {"CategoricalDimensionField" if is_text else "NumericalDimensionField": own}


def _value(metric: Metric, visual: Visual) -> dict[str, Any]:
    """Return the calculated field of a metric. It aggregates by itself, so it needs no function."""
    kind = "Percentage" if metric.is_share else "Number"
    form: dict[str, Any] = {}
    if metric.digits is not None:
        form["DecimalPlacesConfiguration"] = {"DecimalPlaces": metric.digits}
    if kind == "Number":
        form["NumberScale"] = "NONE"
    shown = {f"{kind}DisplayFormatConfiguration": form}
    return {
        "NumericalMeasureField": {
            "FieldId": f"{_identity(visual)}-value",
            "Column": _column(metric.label),
            "FormatConfiguration": {"FormatConfiguration": shown},
        }
    }


def _column(label: str) -> dict[str, str]:
    return {"DataSetIdentifier": TABLE, "ColumnName": name(label)}


def _title(text: str) -> dict[str, Any]:
    return {"Visibility": "VISIBLE", "FormatText": {"PlainText": text}}


def _identity(visual: Visual) -> str:
    return visual.name.replace(" ", "-").replace("_", "-")
