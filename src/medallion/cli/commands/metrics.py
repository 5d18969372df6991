"""The verbs that ask for metrics: metric, mcp."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import click

from medallion.cli.commands.verbs import NOTHING_CHANGED, as_json, reading, verb
from medallion.cli.printing.output import print_answer
from medallion.cli.printing.report import print_json, print_rows
from medallion.errors import SettingsError
from medallion.metrics import Metric, project
from medallion.metrics.selection import (
    BEFORE,
    GRAINS,
    LAST_YEAR,
    MetricRows,
    Selection,
    described,
    dimensions,
    select,
)
from medallion.platforms.platform import Platform
from medallion.platforms.warehouse import Result

_DAY = click.DateTime(["%Y-%m-%d"])


@verb(stopped=NOTHING_CHANGED)
@click.argument("name", required=False)
@click.option("--by", "by", multiple=True, help="Cut by this dimension; may be given again.")
@click.option("--grain", type=click.Choice(list(GRAINS)), help="A row for each such period.")
@click.option("--from", "first", type=_DAY, help="The first day, store-local.")
@click.option("--to", "last", type=_DAY, help="The last day.")
@click.option(
    "--compare",
    type=click.Choice([LAST_YEAR, BEFORE]),
    help="With the same days of last year, or with the period before.",
)
@as_json
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, with a line of column names.")
def metric(
    platform: Platform,
    name: str | None,
    by: tuple[str, ...],
    grain: str | None,
    first: datetime | None,
    last: datetime | None,
    compare: str | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Evaluate a metric, cut by dimensions and periods; without NAME list the metrics."""
    if as_json and as_csv:
        raise SettingsError("give either --json or --csv")
    if name is None:
        if by or grain or first or last or compare or as_csv:
            raise SettingsError("give the NAME of a metric; 'medallion metric' lists them")
        _list(as_json)
        return
    selection = Selection(name, by, grain or "", _day(first), _day(last), compare or "")
    with reading(platform) as warehouse:
        answer = select(warehouse, selection)
    form = "json" if as_json else "csv" if as_csv else "table"
    if form == "table":
        answer = _rounded(answer, project().metric(name), bool(compare))
    print_answer(Result(list(answer.columns), iter([answer.rows])), form, None)


@verb(stopped=NOTHING_CHANGED)
def mcp(platform: Platform) -> None:
    """Answer an assistant by the Model Context Protocol, on standard input and output."""
    from medallion.outputs.mcp_server import serve

    if not platform.snowflake:
        platform.require_existing()
    serve(platform)


def _day(moment: datetime | None) -> date | None:
    return moment.date() if moment else None


def _list(as_json: bool) -> None:
    metrics = project().metrics
    if as_json:
        print_json([described(metric) for metric in metrics])
        return
    print_rows(
        "Metrics",
        ("metric", "unit", "what it says", "cut by"),
        [(m.name, m.unit, m.meaning, ", ".join(dimensions(m.name))) for m in metrics],
    )


def _rounded(found: MetricRows, metric: Metric, is_compared: bool) -> MetricRows:
    """Return rows for people: as many digits as the metric is shown with, shares in percent."""
    kinds = [metric.is_share] * 3 + [True] if is_compared else [metric.is_share]

    def shown(value: Decimal | None, is_share: bool) -> Any:
        if value is None:
            return None
        if is_share:
            return f"{value:,.1%}"
        return value.normalize() if metric.digits is None else round(value, metric.digits)

    rows = [(*row[: -len(kinds)], *map(shown, row[-len(kinds) :], kinds)) for row in found.rows]
    return MetricRows(found.columns, rows)
