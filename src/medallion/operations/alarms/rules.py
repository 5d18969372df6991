"""The rules of the alarms. Each compares the present of a home with its past.

Each rule needs a minimum of lines, because with few sales a change may be chance. A rule that needs
more history than the home has raises no alarm.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from medallion.audit import warehouse_checks
from medallion.layers.staging import current_rows
from medallion.operations.freshness import Clock, State, duration, freshness
from medallion.operations.status import newest
from medallion.platforms.heartbeat import Runner
from medallion.platforms.warehouse import Warehouse, relations
from medallion.settings import Thresholds

DEFAULTS = Thresholds()
WEEK = timedelta(days=7)
WEEKS = 4
"""The number of past weeks that define what is usual, at the same weekday and hour."""
FEWEST_WEEKS = 2
SHIFTS = (timedelta(hours=-1), timedelta(), timedelta(hours=1))
"""Shifts of the usual times. Times are UTC, but shops open by clocks that change by an hour twice a
year: what would be usual an hour earlier or later is no alarm."""
SPANS = (timedelta(minutes=10), timedelta(minutes=60))
"""The lengths in minutes of the periods whose sales are compared."""
PATIENCE = 1.5
"""The least length of a silence, as a multiple of the usual time between two raw objects."""
SPREAD, CHANCE = 0.12, 1.5
"""The least spread: a share of the usual sales, and the effect of chance on n lines, which is
CHANCE / sqrt(n). CHANCE is the spread of the amounts of lines divided by their mean, with a
margin."""
RECENT, PAST = timedelta(minutes=15), timedelta(days=7)
"""The period of recent arrivals, and the period before it that defines what is usual."""
AUDIT = "audit"


Weeks = list[tuple[int, float]]
"""The lines and net sales of the same period in several weeks."""


@dataclass(frozen=True)
class Alarm:
    """What is wrong: the rule, what it concerns, and a sentence for people."""

    rule: str
    subject: str
    message: str


@dataclass(frozen=True)
class _Moment:
    """The input of the rules: only what had arrived by `now`. Times are UTC, without a zone."""

    warehouse: Warehouse
    now: datetime
    clock: Clock
    runner: Runner | None
    thresholds: Thresholds

    def rows(self, sql: str, *parameters: datetime) -> list[tuple[Any, ...]]:
        return self.warehouse.execute(sql, [p.isoformat(" ") for p in parameters]).fetchall()


def look(
    warehouse: Warehouse,
    now: datetime,
    runner: Runner | None = None,
    without: Collection[str] = (),
    thresholds: Thresholds = DEFAULTS,
) -> list[Alarm]:
    """Return the alarms at a moment.

    Args:
        warehouse: the warehouse.
        now: the time, with its zone.
        runner: the last heartbeat of the runner of the home, if there is one.
        without: rules to leave out, besides those that are off in the thresholds.
        thresholds: the limits of the rules.
    """
    built = relations(warehouse)
    moment = _Moment(warehouse, now.replace(tzinfo=None), newest(warehouse), runner, thresholds)
    left_out = {*without, *thresholds.off}
    due = [rule for name, (needs, rule) in RULES.items() if needs <= built and name not in left_out]
    return [alarm for rule in due for alarm in rule(moment)]


def _silence(moment: _Moment) -> Iterator[Alarm]:
    """Yield an alarm if there is no sale for longer than at the same time of any past week."""
    ((last,),) = moment.rows(
        "SELECT max(ts) FROM silver.purchases_silver WHERE ts > CAST(? AS TIMESTAMP) "
        "AND ts <= ingested_at AND ingested_at <= CAST(? AS TIMESTAMP)",
        moment.now - WEEK,
        moment.now,
    )
    brief = timedelta(minutes=moment.thresholds.silence_minutes)
    if last is None or moment.now - last < max(brief, PATIENCE * _between_arrivals(moment)):
        return  # a home at rest, or of history alone; or the next object is not due yet
    _, usual = _sales(moment, last, moment.now).get("", ((0, 0.0), {}))
    lines = [count for weeks in usual.values() for count, _ in weeks]
    if usual and min(lines) >= moment.thresholds.silence_lines:
        quiet = duration((moment.now - last).total_seconds())
        yield Alarm(
            "silence",
            "sales",
            f"no sale for {quiet}; the same time of the last weeks had {min(lines):,} to "
            f"{max(lines):,} lines",
        )


def _between_arrivals(moment: _Moment) -> timedelta:
    """Return the usual time from one raw object of purchases to the next."""
    ((seconds,),) = moment.rows(
        "SELECT median(gap) FROM (SELECT datediff('second', lag(modified_at) "
        "OVER (ORDER BY modified_at), modified_at) AS gap FROM staging.receipts "
        "WHERE feed = 'purchases' AND modified_at > CAST(? AS TIMESTAMP) "
        "AND modified_at <= CAST(? AS TIMESTAMP)) AS gaps",
        moment.now - PAST,
        moment.now,
    )
    return timedelta(seconds=float(seconds or 0))


def _sales_far(moment: _Moment) -> Iterator[Alarm]:
    """Yield an alarm if net sales are far above or below the same minutes of the last weeks."""
    seen = set[str]()
    for span in SPANS:
        by_currency = _sales(moment, moment.now - span, moment.now, by_currency=True)
        for currency, ((_, net), usual) in by_currency.items():
            if not usual or currency in seen:
                continue
            # Far from the usual at every shift, and always in the same direction.
            far = {_far(net, weeks, moment.thresholds) for weeks in usual.values()}
            if far in ({1}, {-1}):
                seen.add(currency)
                weeks = usual[timedelta()]
                yield Alarm(
                    "sales",
                    currency,
                    f"net sales of the last {duration(span.total_seconds())} are {net:,.2f} "
                    f"{currency}; at this time of the last {len(weeks)} weeks "
                    f"{median(amount for _, amount in weeks):,.2f} were usual",
                )


def _far(net: float, weeks: Weeks, thresholds: Thresholds) -> int:
    """Return 1 or -1 for net sales far above or below those of some weeks, else 0."""
    lines, middle = (median(values) for values in zip(*weeks, strict=True))
    if lines < thresholds.sales_lines or middle <= 0:
        return 0
    deviation = 1.4826 * median(abs(amount - middle) for _, amount in weeks)
    spread = max(deviation, middle * max(SPREAD, CHANCE / lines**0.5))
    if abs(net - middle) <= thresholds.sales_spreads * spread:
        return 0
    return 1 if net > middle else -1


def _sales(
    moment: _Moment, first: datetime, last: datetime, *, by_currency: bool = False
) -> dict[str, tuple[tuple[int, float], dict[timedelta, Weeks]]]:
    """Return the lines and net sales of a period and of the same period of past weeks, by shift.

    They are by currency. The name "" stands for all currencies together; only its lines are
    meaningful. With less history than FEWEST_WEEKS there are no weeks.
    """
    ((begun,),) = moment.rows("SELECT min(ts) FROM silver.purchases_silver")
    if begun is None:
        return {}
    weeks = [k for k in range(1, WEEKS + 1) if begun <= first - k * WEEK - max(SHIFTS)]
    shifts = SHIFTS if len(weeks) >= FEWEST_WEEKS else ()
    places = [(0, timedelta()), *((k, shift) for shift in shifts for k in weeks)]
    spans = [(first - k * WEEK + shift, last - k * WEEK + shift) for k, shift in places]
    # One query for each span: the warehouse skips the blocks of all other times.
    sql = " UNION ALL ".join(
        f"SELECT {'currency' if by_currency else chr(39) * 2} AS name, {number} AS place, count(*) "
        "AS lines, sum(CAST(net_amount AS DOUBLE)) AS net FROM silver.purchases_silver "
        "WHERE ts > CAST(? AS TIMESTAMP) AND ts <= CAST(? AS TIMESTAMP) "
        "AND ingested_at <= CAST(? AS TIMESTAMP) GROUP BY name"
        for number in range(len(spans))
    )
    found: dict[str, list[tuple[int, float]]] = {}
    for name, place, lines, net in moment.rows(
        sql, *(edge for span in spans for edge in (*span, moment.now))
    ):
        found.setdefault(name, [(0, 0.0)] * len(spans))[place] = (int(lines), float(net))
    return {
        name: (
            sums[0],
            {
                shift: [s for (k, by), s in zip(places, sums, strict=True) if k and by == shift]
                for shift in shifts
            },
        )
        for name, sums in found.items()
    }


def _quarantine(moment: _Moment) -> Iterator[Alarm]:
    """Yield an alarm for a reason whose share of the lines has grown."""
    thresholds = moment.thresholds
    lines, reasons, past_lines, past_reasons = _arrivals(moment, "reasons")
    for (feed, reason), count in sorted(reasons.items()):
        share = count / lines[feed]
        usual = past_reasons[feed, reason] / past_lines[feed] if past_lines[feed] else 0.0
        too_much = max(thresholds.rejected_share, thresholds.share_times * usual)
        if count >= thresholds.share_lines and share > too_much:
            yield Alarm(
                "quarantine",
                f"{feed}: {reason}",
                f"{share:.1%} of the lines of {feed} are rejected as {reason} "
                f"({count:,} of {lines[feed]:,}); {usual:.1%} are usual",
            )


def _unknown_field(moment: _Moment) -> Iterator[Alarm]:
    """Yield an alarm for a field that the contract does not know and that no earlier line had."""
    lines, fields, past_lines, past_fields = _arrivals(moment, "unknown_fields")
    for (feed, field), count in sorted(fields.items()):
        is_new = past_lines[feed] and not past_fields[feed, field]
        least = moment.thresholds.unknown_field_share * lines[feed]
        if is_new and count >= max(moment.thresholds.share_lines, least):
            yield Alarm(
                "unknown field",
                f"{feed}: {field}",
                f"{count:,} lines of {feed} have a field {field}, which the contract does not know "
                "and no line had before",
            )


def _arrivals(moment: _Moment, column: str) -> tuple[Counter[Any], ...]:
    """Return lines by feed, and counts by feed and name, of recent arrivals and of earlier ones."""
    counts: tuple[Counter[Any], ...] = (Counter(), Counter(), Counter(), Counter())
    begin = moment.now - RECENT
    for feed, lines, names, is_recent in moment.rows(
        f"SELECT feed, sum(lines - blank), {column}, modified_at > CAST(? AS TIMESTAMP) AS recent "
        f"FROM {current_rows('receipts')} AS receipts "
        "WHERE modified_at > CAST(? AS TIMESTAMP) AND modified_at <= CAST(? AS TIMESTAMP) "
        f"GROUP BY feed, {column}, recent, source_file",
        begin,
        begin - PAST,
        moment.now,
    ):
        of_feed, of_name = counts[:2] if is_recent else counts[2:]
        of_feed[feed] += int(lines)
        for name, count in json.loads(names or "{}").items():
            of_name[feed, name] += count
    return counts


def _late(moment: _Moment) -> Iterator[Alarm]:
    """Yield an alarm if many sales are a day older than the median sale of their raw object."""
    shares = moment.rows(
        "SELECT recent, count(*), count(CASE WHEN ts < middle - INTERVAL '1 day' THEN 1 END) FROM ("
        "SELECT ts, ingested_at > CAST(? AS TIMESTAMP) AS recent, "
        "median(ts) OVER (PARTITION BY source_file, ingested_at) AS middle "
        "FROM staging.purchases WHERE ingested_at > CAST(? AS TIMESTAMP) "
        "AND ingested_at <= CAST(? AS TIMESTAMP)) AS arrived GROUP BY recent",
        moment.now - RECENT,
        moment.now - timedelta(days=1),
        moment.now,
    )
    by_time = {recent: (lines, late) for recent, lines, late in shares}
    (lines, late), (past, past_late) = by_time.get(True, (0, 0)), by_time.get(False, (0, 0))
    usual = past_late / past if past else 0.0
    thresholds = moment.thresholds
    too_much = max(thresholds.late_share, thresholds.share_times * usual)
    if late >= thresholds.share_lines and late / lines > too_much:
        yield Alarm(
            "late",
            "purchases",
            f"{late / lines:.1%} of the newest sales are more than a day late ({late:,} of "
            f"{lines:,}); {usual:.1%} are usual",
        )


def _freshness(moment: _Moment) -> Iterator[Alarm]:
    """Yield an alarm for a runner that is stalled, and for a layer that lacks older arrivals."""
    fresh = freshness(moment.clock, moment.runner, moment.now.replace(tzinfo=UTC))
    if fresh.state is State.STALLED:
        yield Alarm("freshness", "runner", f"the runner is stalled: {fresh.reason}")
    newer = (
        "FROM staging.purchases AS staged WHERE load_seq > (SELECT coalesce(max(load_seq), 0) "
        "FROM silver.purchases_silver) AND loaded_at <= CAST(? AS TIMESTAMP)"
    )
    # Silver does not change for a copy of an event that it has already.
    unknown = (
        "AND NOT EXISTS (SELECT 1 FROM silver.purchases_silver AS known "
        "WHERE known.event_id = staged.event_id)"
    )
    behind = timedelta(minutes=moment.thresholds.behind_minutes)
    if moment.rows(f"SELECT 1 {newer} LIMIT 1", moment.now - behind):
        ((waiting, since),) = moment.rows(
            f"SELECT count(*), min(loaded_at) {newer} {unknown}", moment.now
        )
        if waiting:
            yield _behind(waiting, moment.now - since)


def _behind(rows: int, age: timedelta) -> Alarm:
    ago = duration(age.total_seconds())
    return Alarm(
        "freshness", "silver", f"silver lacks {rows:,} rows that were loaded up to {ago} ago"
    )


def _audit(moment: _Moment) -> Iterator[Alarm]:
    """Yield an alarm for each failed check of the audit, of those that read only the warehouse."""
    for check in warehouse_checks(moment.warehouse, {}):
        if not check.holds:
            yield Alarm(AUDIT, check.name, f"{check.name}: {check.offenders[0]}")


_SILVER = {"silver.purchases_silver"}
_RECEIPTS = {"staging.receipts", "staging.superseded"}
RULES: dict[str, tuple[set[str], Callable[[_Moment], Iterator[Alarm]]]] = {
    "silence": (_SILVER | _RECEIPTS, _silence),
    "sales": (_SILVER, _sales_far),
    "quarantine": (_RECEIPTS, _quarantine),
    "unknown field": (_RECEIPTS, _unknown_field),
    "late": ({"staging.purchases"}, _late),
    "freshness": (_SILVER | {"staging.purchases"}, _freshness),
    AUDIT: (_SILVER, _audit),
}
"""The rules, each with the relations that it needs."""
