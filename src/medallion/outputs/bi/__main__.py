"""`python -m medallion.outputs.bi` generates the templates in bi/ of this checkout."""

from __future__ import annotations

from medallion.outputs.bi.powerbi import power_bi
from medallion.outputs.bi.quicksight import quicksight
from medallion.outputs.bi.semantics import Model, read_model
from medallion.outputs.bi.snowflake import semantic_views
from medallion.outputs.bi.tableau import tableau_sources
from medallion.outputs.bi.tableau_workbook import tableau_workbook
from medallion.settings import DBT_PROJECT

BI = DBT_PROJECT.parent / "bi"


def templates(model: Model) -> dict[str, str]:
    """Return the text of every generated file, by its path under bi/."""
    tableau = tableau_sources(model) | {"retail.twb": tableau_workbook(model)}
    return (
        {f"tableau/{path}": text for path, text in tableau.items()}
        | {f"powerbi/{path}": text for path, text in power_bi(model).items()}
        | {"quicksight/retail.template.json": quicksight(model)}
        | {"snowflake/semantic_views.sql": semantic_views(model)}
    )


def write() -> None:
    """Write all templates, and delete files that are no longer generated; README.md files stay."""
    texts = templates(read_model())
    for path in BI.rglob("*"):
        if path.is_file() and path.name != "README.md" and str(path.relative_to(BI)) not in texts:
            path.unlink()
    for name, text in texts.items():
        (BI / name).parent.mkdir(parents=True, exist_ok=True)
        (BI / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write()
