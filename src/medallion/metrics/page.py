"""docs/metrics.md, made from the definitions."""

from __future__ import annotations

from itertools import groupby

from medallion.metrics.definitions import Definitions, Metric
from medallion.metrics.formula import text

INTRODUCTION = """\
# Metrics

Each metric is defined once, in `dbt/models/marts/metrics.yml`; this page is made from it by
`python -m medallion.metrics > docs/metrics.md`. A formula names other metrics, or columns of the
relation in the title of its section.

- Amounts in *transaction currency* are never added up across currencies: group by `currency`.
  Amounts with `reporting_` are converted at the rate that was valid at the sale. Lines without a
  rate are left out of them, and counted as `unconverted_lines`.
- A day is the store-local day (`sales_date`); `utc_date` is the UTC day. Only `tax` includes tax.
- A ratio without a denominator is NULL, not 0.
"""


def page(definitions: Definitions) -> str:
    """Return the page in Markdown, with a table for each relation: sales first."""

    def order(metric: Metric) -> tuple[bool, str]:
        relation = definitions.relation(metric)
        return relation != "fct_sales_line", relation

    lines = [INTRODUCTION]
    for (_, relation), metrics in groupby(sorted(definitions.metrics, key=order), key=order):
        lines += [
            f"## {relation}",
            "",
            "| metric | what it says | formula | unit |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| **{m.label}**<br>`{m.name}` | {m.meaning} | `{text(m.formula)}` | {m.unit} |"
            for m in metrics
        ]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"
