"""A metric over the rows of the warehouse: grouped by dimensions and periods, and compared.

One query for each side of a comparison sums up the measures; the formula is evaluated over these
sums as everywhere else. Days are store-local. A comparison goes day by day: an unfinished period is
compared with the same number of days.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from medallion.errors import SettingsError, did_you_mean
from medallion.metrics.definitions import Definitions, Metric, SemanticModel
from medallion.metrics.evaluation import project, value
from medallion.metrics.formula import (
    Aggregate,
    Arithmetic,
    Formula,
    Named,
    OneValueOnly,
    Quotient,
    columns,
    text,
)
from medallion.platforms.warehouse import Warehouse

GRAINS = {
    "day": ("retail_year", "(retail_week * 7 + day_of_week)"),
    "retail_week": ("retail_year", "retail_week"),
    "retail_month": ("retail_year", "retail_month"),
    "retail_quarter": ("retail_year", "retail_quarter"),
    "retail_year": ("retail_year", "0"),
    "month": ("year_number", "month_number"),
    "quarter": ("year_number", "quarter_number"),
    "year": ("year_number", "0"),
}
"""The periods: the column of the year that each belongs to, and of its number in that year, in
marts.dim_dates."""
_LABELS = {"retail_week": "-W{:02}", "retail_month": "-P{:02}", "month": "-{:02}"} | dict.fromkeys(
    ("retail_quarter", "quarter"), "-Q{}"
)
LAST_YEAR, BEFORE = "last_year", "before"
CALENDAR, DAY_KEY = "marts.dim_dates", "sales_day"


@dataclass(frozen=True)
class Selection:
    """A question about a metric.

    - `by`: dimensions or entities, such as store, category or currency.
    - `grain`: one of GRAINS, or empty for all days as one.
    - `first`, `last`: the days, both included; None for no bound.
    - `compare`: last_year, the same days of the retail year before (of the Gregorian one with a
      Gregorian grain); before, the period before, or without a grain as many days before; or empty.
    """

    metric: str
    by: tuple[str, ...] = ()
    grain: str = ""
    first: date | None = None
    last: date | None = None
    compare: str = ""


@dataclass(frozen=True)
class MetricRows:
    """The values of a metric. Each row is the group, then the value, and what it is compared with.

    `change` is a share of the value that it is compared with. A value is None where it is unknown.
    """

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def select(
    warehouse: Warehouse, selection: Selection, definitions: Definitions | None = None
) -> MetricRows:
    """Evaluate a metric.

    Raises:
        SettingsError: a name or a combination cannot be used.
        MetricError: the definition of the metric cannot be used.
    """
    definitions = definitions or project()
    query = _Query.of(selection, definitions)
    if selection.compare and selection.last is None:
        query.last = _newest_day(warehouse)
    values = query.run(warehouse, compared=False)
    keys = [*query.period_names, *query.by]
    if not selection.compare:
        rows = [(*group, amount) for group, amount in values.items()]
        return MetricRows((*keys, selection.metric), sorted(rows, key=_order))
    others = query.run(warehouse, compared=True)
    rows = []
    for group in values | others:
        now, then = values.get(group), others.get(group)
        difference = None if now is None or then is None else now - then
        change = difference / abs(then) if difference is not None and then else None
        rows.append((*group, now, then, difference, change))
    named = (selection.metric, selection.compare, "difference", "change")
    return MetricRows((*keys, *named), sorted(rows, key=_order))


def dimensions(metric: str, definitions: Definitions | None = None) -> list[str]:
    """Return the names that a metric can be grouped by."""
    definitions = definitions or project()
    return list(_columns(definitions, definitions.models[definitions.metric(metric).model]))


def described(metric: Metric, definitions: Definitions | None = None) -> dict[str, Any]:
    """Return the facts of a metric: name, label, meaning, formula, unit, and its dimensions."""
    definitions = definitions or project()
    has_days = DAY_KEY in definitions.models[metric.model].keys
    return {
        "name": metric.name,
        "label": metric.label,
        "meaning": metric.meaning,
        "formula": text(metric.formula),
        "unit": metric.unit,
        "relation": definitions.relation(metric),
        "by": dimensions(metric.name, definitions),
        "grains": list(GRAINS) if has_days else [],
    }


def require_metric(name: str, definitions: Definitions) -> None:
    """Raise SettingsError when there is no such metric."""
    names = definitions.names
    if name not in names:
        hint = did_you_mean(name, names) or "; 'medallion metric' lists them"
        raise SettingsError(f"there is no metric {name}{hint}")


def _order(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple((cell is None, str(cell) if isinstance(cell, bool) else cell) for cell in row[:-1])


@dataclass
class _Query:
    """The parts of the SQL of a selection."""

    selection: Selection
    definitions: Definitions
    model: SemanticModel
    by: dict[str, str]
    joins: list[str]
    day: str = ""
    last: date | None = None
    measures: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, selection: Selection, definitions: Definitions) -> _Query:
        require_metric(selection.metric, definitions)
        metric = definitions.metric(selection.metric)
        model = definitions.models[metric.model]
        known = _columns(definitions, model)
        for name in selection.by:
            if name not in known:
                hint = did_you_mean(name, known) or f"; it can be cut by {', '.join(known)}"
                raise SettingsError(f"{metric.name} cannot be cut by {name}{hint}")
        joined = [definitions.models[join.model] for join in model.joins]
        joins = [
            f"LEFT JOIN marts.{other.relation} AS {other.name} "
            f"ON facts.{join.column} = {other.name}.{join.to}"
            for join, other in zip(model.joins, joined, strict=True)
        ]
        query = cls(selection, definitions, model, {n: known[n] for n in selection.by}, joins)
        query.day = f"facts.{model.keys[DAY_KEY]}" if DAY_KEY in model.keys else ""
        query.last = selection.last
        for measure in _aggregates(metric.formula, definitions):
            query.measures |= measure
        query._require_possible()
        return query

    def _require_possible(self) -> None:
        asked = self.selection
        if asked.grain not in ("", *GRAINS):
            hint = did_you_mean(asked.grain, GRAINS)
            raise SettingsError(f"the grain must be one of {', '.join(GRAINS)}{hint}")
        if asked.compare not in ("", LAST_YEAR, BEFORE):
            raise SettingsError(f"compare must be {LAST_YEAR} or {BEFORE}; got {asked.compare!r}")
        if asked.first and asked.last and asked.first > asked.last:
            raise SettingsError(f"the first day {asked.first} is after the last, {asked.last}")
        if not self.day and (asked.grain or asked.compare or asked.first or asked.last):
            raise SettingsError(
                f"{asked.metric} is a figure of today: it has no days, so it takes no grain, range "
                "or comparison"
            )
        if asked.compare == BEFORE and not asked.grain and not asked.first:
            raise SettingsError("before what? Give the first day, or a grain")

    @property
    def period_names(self) -> tuple[str, ...]:
        grain = self.selection.grain
        return () if not grain else (grain,) if grain == "day" else (grain, "first_day")

    def run(self, warehouse: Warehouse, *, compared: bool) -> dict[tuple[Any, ...], Decimal | None]:
        """Return the value of each group."""
        periods = ["period.y", "period.n", "period.first_day"] if self.selection.grain else []
        groups = [*periods, *self.by.values()]
        days, parameters = self._compared_days() if compared else self._days()
        sql = [
            f"SELECT {', '.join([*groups, *self.measures.values()])}",
            f"FROM marts.{self.model.relation} AS facts",
            *self.joins,
            *days,
            *([f"GROUP BY {', '.join(groups)}"] if groups else []),
        ]
        rows = warehouse.execute("\n".join(sql), parameters).fetchall()
        return {self._named(row[: len(groups)]): self._value(row[len(groups) :]) for row in rows}

    def _days(self) -> tuple[list[str], list[str]]:
        """Return the clauses that choose the days, and their parameters."""
        bounds, parameters = self._bounds(self.day)
        if not (grain := self.selection.grain):
            return [bounds], parameters
        # A day that the calendar does not have is of no period, and is shown as such.
        period = f"LEFT JOIN ({_calendar(grain)}) AS period ON {self.day} = period.date_day"
        return [period, bounds], parameters

    def _compared_days(self) -> tuple[list[str], list[str]]:
        """Return the same for the days to compare with, each in the period in which it is shown."""
        first, last, grain = self.selection.first, self.last, self.selection.grain
        if self.selection.compare == BEFORE and not grain:
            assert first and last
            length = (last - first) + timedelta(days=1)
            moved = [(day - length).isoformat() for day in (first, last)]
            return [f"WHERE {self.day} BETWEEN CAST(? AS DATE) AND CAST(? AS DATE)"], moved
        calendar, (bounds, parameters) = _calendar(grain or "day"), self._bounds("shown.date_day")
        match = "other.y = shown.y - 1 AND other.n = shown.n"
        if self.selection.compare == BEFORE:
            match = "other.rank = shown.rank - 1"
        pairs = (
            f"SELECT other.date_day, shown.y, shown.n, shown.first_day FROM ({calendar}) AS shown "
            f"JOIN ({calendar}) AS other ON {match} AND other.place = shown.place {bounds}"
        )
        return [f"JOIN ({pairs}) AS period ON {self.day} = period.date_day"], parameters

    def _bounds(self, day: str) -> tuple[str, list[str]]:
        limits = {">=": self.selection.first, "<=": self.last}
        asked = {sign: limit.isoformat() for sign, limit in limits.items() if limit}
        where = " AND ".join(f"{day} {sign} CAST(? AS DATE)" for sign in asked)
        return f"WHERE {where}" if asked else "", list(asked.values())

    def _named(self, group: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return a group with its period as in 2026-W05, instead of year and number."""
        if not (grain := self.selection.grain):
            return group
        year, number, first, *rest = group
        if grain == "day":
            return (first, *rest)
        form = _LABELS.get(grain, "")
        return (None if first is None else f"{year}{form.format(number)}", first, *rest)

    def _value(self, measured: Sequence[Any]) -> Decimal | None:
        exact = [Decimal(str(v)) if isinstance(v, float) else v for v in measured]
        by_name = dict(zip(self.measures, exact, strict=True))
        return value(self.selection.metric, by_name, self.definitions)


def _calendar(grain: str) -> str:
    """Return a query of all days, each with its period, its place there, and the period's rank."""
    year, number = GRAINS[grain]
    return (
        f"SELECT date_day, {year} AS y, {number} AS n, "
        f"min(date_day) OVER (PARTITION BY {year}, {number}) AS first_day, "
        f"row_number() OVER (PARTITION BY {year}, {number} ORDER BY date_day) AS place, "
        f"dense_rank() OVER (ORDER BY {year}, {number}) AS rank FROM {CALENDAR}"
    )


def _newest_day(warehouse: Warehouse) -> date | None:
    """Return the day up to which a comparison goes: that of the newest sale."""
    ((newest,),) = warehouse.execute("SELECT last_date FROM marts.sales_clock").fetchall()
    return newest


def _columns(definitions: Definitions, model: SemanticModel) -> dict[str, str]:
    """Return the column of each entity and dimension that a model can be grouped by."""
    columns = {name: f"facts.{column}" for name, column in model.keys.items()}
    columns |= {dimension.name: f"facts.{dimension.column}" for dimension in model.dimensions}
    for join in model.joins:
        other = definitions.models[join.model]
        columns |= {d.name: f"{other.name}.{d.column}" for d in other.dimensions}
    return columns


def _aggregates(formula: Formula, definitions: Definitions) -> Iterator[dict[str, str]]:
    """Yield the SQL of each measure that a formula uses in the end, by the measure's name."""
    match formula:
        case Aggregate():
            yield {formula.measure: _total(formula)}
        case OneValueOnly(column, of):
            only = f"count(DISTINCT facts.{column}) = 1"
            yield {of.measure: f"CASE WHEN {only} THEN {_total(of)} END"}
        case Named(name):
            yield from _aggregates(definitions.metric(name).formula, definitions)
        case Arithmetic(_, left, right) | Quotient(left, right):
            yield from _aggregates(left, definitions)
            yield from _aggregates(right, definitions)


def _total(aggregate: Aggregate) -> str:
    """Return a measure as SQL, with its columns as those of the facts."""
    names = "|".join(set(columns(aggregate)))
    return re.sub(rf"\b({names})\b", r"facts.\1", text(aggregate)) if names else text(aggregate)
