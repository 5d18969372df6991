"""The Tableau workbook (.twb): a sheet for each visual of the page, and a dashboard with all."""

from __future__ import annotations

import uuid
from xml.etree import ElementTree as Xml

from medallion.metrics.definitions import Metric
from medallion.metrics.formula import columns, metrics_named
from medallion.outputs.bi.page import LINE, PAGE, TABLE, TITLE, Visual
from medallion.outputs.bi.semantics import Model, Table
from medallion.outputs.bi.tableau import (
    calculated,
    calculation,
    column,
    datasource,
    document,
    fields,
    identity,
    in_brackets,
)

VERSION = "26.1"
_WIDTH, _HEIGHT = 1280, 720


def tableau_workbook(model: Model) -> str:
    """Return the workbook, which contains all data sources."""
    root = Xml.Element(
        "workbook",
        {
            "original-version": VERSION,
            "source-build": "0.0.0 (0000.0.0.0)",
            "source-platform": "win",
            "version": VERSION,
        },
    )
    manifest = Xml.SubElement(root, "document-format-change-manifest")
    Xml.SubElement(manifest, "ManifestByVersion")
    sources = Xml.SubElement(root, "datasources")
    sources.extend(datasource(model, table) for table in model.tables if table.metrics)
    sheets = Xml.SubElement(root, "worksheets")
    sheets.extend(_sheet(model, visual) for visual in PAGE)
    Xml.SubElement(root, "dashboards").append(_dashboard(model))
    windows = Xml.SubElement(root, "windows")
    windows.append(_window("dashboard", TITLE))
    windows.extend(_window("worksheet", sheet_name(model, visual)) for visual in PAGE)
    explain = {"enabled-for-viewer": "false", "extreme-values-enabled-for-all": "false"}
    Xml.SubElement(Xml.SubElement(root, "explain-data", explain), "explanation-types")
    return document(root)


def sheet_name(model: Model, visual: Visual) -> str:
    """Return the name of a sheet: its metric, and the column that it is split by."""
    table = model.table(TABLE)
    metric = next(m.label for m in table.metrics if m.name == visual.metric)
    if visual.by is None:
        return metric
    label = next(f.label for _, f in fields(model, table) if f.column == visual.by)
    return f"{metric} by {label}"


def _sheet(model: Model, visual: Visual) -> Xml.Element:
    table = model.table(TABLE)
    metric = next(m for m in table.metrics if m.name == visual.metric)
    root = Xml.Element("worksheet", name=sheet_name(model, visual))
    body = Xml.SubElement(root, "table")
    view = Xml.SubElement(body, "view")
    used = Xml.SubElement(view, "datasources")
    Xml.SubElement(used, "datasource", caption=table.label, name=identity(table))
    needs = Xml.SubElement(view, "datasource-dependencies", datasource=identity(table))
    value, split = f"[usr:{calculation(metric)[1:-1]}:qk]", None
    if visual.by:
        split = _split(model, visual, needs)
    needs.extend(_parts(table, metric, visual.by))
    needs.append(_instance(calculation(metric), "User", value, is_continuous=True))
    Xml.SubElement(view, "aggregation", value="true")
    Xml.SubElement(body, "style")
    source = in_brackets(identity(table))
    pane = Xml.SubElement(Xml.SubElement(body, "panes"), "pane")
    Xml.SubElement(Xml.SubElement(pane, "view"), "breakdown", value="auto")
    mark = "Text" if split is None else "Line" if visual.by == LINE else "Bar"
    Xml.SubElement(pane, "mark", {"class": mark})
    rows, cols = (value, split) if mark == "Line" else (split, value)
    if mark == "Text":
        encodings = Xml.SubElement(pane, "encodings")
        Xml.SubElement(encodings, "text", column=f"{source}.{value}")
        rows = cols = None
    for shelf, instance in (("rows", rows), ("cols", cols)):
        Xml.SubElement(body, shelf).text = f"{source}.{instance}" if instance else None
    _identify(root, sheet_name(model, visual))
    return root


def _parts(table: Table, metric: Metric, split_column: str | None) -> list[Xml.Element]:
    """Return the elements of a metric and of the metrics and columns that it is made of.

    The column `split_column` is left out: the sheet declares it already.
    """
    calculations, read = [metric], []
    for part in calculations:
        read += [c for c in columns(part.formula) if c != split_column and c not in read]
        named = (m for m in table.metrics if m.name in metrics_named(part.formula))
        calculations += [m for m in named if m not in calculations]
    return [column(table.field(c)) for c in read] + [calculated(table, m) for m in calculations]


def _split(model: Model, visual: Visual, needs: Xml.Element) -> str:
    """Add the column that a sheet is split by to `needs`; return the name of its instance."""
    field = next(f for _, f in fields(model, model.table(TABLE)) if f.column == visual.by)
    name = in_brackets(field.column.upper())
    is_line = visual.by == LINE
    instance = f"[{'tdy' if is_line else 'none'}:{name[1:-1]}:{'qk' if is_line else 'nk'}]"
    needs.append(column(field))
    needs.append(_instance(name, "Day-Trunc" if is_line else "None", instance, is_line))
    return instance


def _instance(name: str, derivation: str, instance: str, is_continuous: bool) -> Xml.Element:
    kind = "quantitative" if is_continuous else "nominal"
    return Xml.Element(
        "column-instance", column=name, derivation=derivation, name=instance, pivot="key", type=kind
    )


def _dashboard(model: Model) -> Xml.Element:
    root = Xml.Element("dashboard", name=TITLE)
    Xml.SubElement(root, "style")
    width, height = str(_WIDTH), str(_HEIGHT)
    Xml.SubElement(root, "size", maxheight=height, maxwidth=width, minheight=height, minwidth=width)
    zones = Xml.SubElement(root, "zones")
    whole = {"h": "100000", "id": "1", "type-v2": "layout-basic", "w": "100000", "x": "0", "y": "0"}
    canvas = Xml.SubElement(zones, "zone", whole)
    for number, visual in enumerate(PAGE, 2):
        Xml.SubElement(
            canvas,
            "zone",
            h=str(visual.height * 100000 // 9),
            id=str(number),
            name=sheet_name(model, visual),
            w=str(visual.width * 100000 // 12),
            x=str(visual.x * 100000 // 12),
            y=str(visual.y * 100000 // 9),
        )
    _identify(root, TITLE)
    return root


def _window(kind: str, name: str) -> Xml.Element:
    root = Xml.Element("window", {"class": kind, "name": name})
    if kind == "dashboard":
        root.set("maximized", "true")
        Xml.SubElement(root, "viewpoints")
        Xml.SubElement(root, "active", id="-1")
    else:
        Xml.SubElement(root, "cards")
    _identify(root, f"window {name}")
    return root


def _identify(root: Xml.Element, name: str) -> None:
    """Add an identity that stays the same each time the workbook is generated."""
    number = uuid.uuid5(uuid.NAMESPACE_URL, f"retail/tableau/{name}")
    Xml.SubElement(root, "simple-id", uuid=f"{{{number}}}".upper())
