"""Comparison of the model behind the dashboard with silver."""

from __future__ import annotations

from collections.abc import Iterator

from medallion.audit.checks import MONEY, Check, rows
from medallion.errors import shortened
from medallion.platforms.warehouse import Warehouse

NEEDED = {"marts.live_sales", "marts.sales_hourly", "marts.fct_sales_line"}
"""The relations that the check reads."""

DAYS = 9
"""The number of days before that of the newest sale whose lines the live model holds."""

# A build brings live_sales up to date before sales_hourly. So what sales_hourly has seen must be in
# live_sales; what neither has seen waits for the next build, with the days that it changes.
_WINDOW = f"""
WITH newest AS (
    SELECT max(CASE WHEN ts <= ingested_at THEN ts END) AS sold_at FROM silver.purchases_silver),
bounds AS (
    SELECT sold_at, coalesce(CAST(sold_at AS DATE) - {DAYS}, CAST('1970-01-01' AS DATE)) AS since
    FROM newest),
built AS (
    SELECT load_seq, rate_seq FROM marts.live_sales
    UNION ALL SELECT load_seq, rate_seq FROM marts.sales_hourly),
seen AS (
    SELECT coalesce(max(load_seq), 0) AS load_seq, coalesce(max(rate_seq), 0) AS rate_seq
    FROM built),
waiting AS (
    SELECT event_id, dt, load_seq > first_load_seq AS is_moved FROM silver.purchases_silver
    WHERE load_seq > (SELECT load_seq FROM seen) AND dt >= (SELECT since FROM bounds)),
withdrawn AS (
    SELECT old.event_id FROM staging.purchases AS old JOIN staging.superseded AS s
    ON old.source_file = s.source_file AND old.ingested_at = s.ingested_at
    WHERE s.load_seq > (SELECT load_seq FROM seen)),
lines AS (
    SELECT * FROM marts.fct_sales_line WHERE utc_date >= (SELECT since FROM bounds))"""

_WAITING = f"""{_WINDOW}
SELECT (SELECT count(*) FROM waiting), (SELECT count(*) FROM withdrawn)"""

_SUMS = f"""{_WINDOW},
changing AS (
    SELECT dt FROM waiting
    UNION SELECT dt FROM staging.purchases WHERE event_id IN (
        SELECT event_id FROM waiting WHERE is_moved UNION SELECT event_id FROM withdrawn)
    UNION SELECT utc_date FROM lines WHERE rate_seq > (SELECT rate_seq FROM seen)),
baskets AS (
    SELECT DISTINCT utc_date, store_id, currency, basket_id FROM lines WHERE NOT is_return),
begun AS (SELECT utc_date, count(*) AS baskets FROM baskets GROUP BY utc_date),
silver AS (
    SELECT utc_date, count(*) AS lines, sum(units_sold - units_returned) AS units,
           coalesce(sum(reporting_net_sales), 0) AS net
    FROM lines GROUP BY utc_date),
live AS (
    SELECT CAST(minute_at AS DATE) AS utc_date, sum(lines) AS lines,
           sum(units_sold - units_returned) AS units, sum(transactions) AS baskets,
           sum(reporting_net_sales) AS net
    FROM marts.live_sales WHERE CAST(minute_at AS DATE) >= (SELECT since FROM bounds)
    GROUP BY CAST(minute_at AS DATE)),
compared AS (
    SELECT coalesce(s.utc_date, l.utc_date) AS utc_date,
           coalesce(s.lines, 0) AS lines, coalesce(l.lines, 0) AS live_lines,
           coalesce(s.units, 0) AS units, coalesce(l.units, 0) AS live_units,
           coalesce(b.baskets, 0) AS baskets, coalesce(l.baskets, 0) AS live_baskets,
           coalesce(s.net, 0) AS net, coalesce(l.net, 0) AS live_net
    FROM silver AS s
    FULL OUTER JOIN live AS l ON s.utc_date = l.utc_date
    LEFT JOIN begun AS b ON s.utc_date = b.utc_date)
SELECT utc_date, lines, units, baskets, net, live_lines, live_units, live_baskets, live_net
FROM compared
WHERE utc_date NOT IN (SELECT dt FROM changing)
ORDER BY utc_date"""

_NEWEST = f"""{_WINDOW}
SELECT (SELECT sold_at FROM bounds), (SELECT max(last_sale_at) FROM marts.live_sales)"""


def live_checks(db: Warehouse, waiting: dict[str, int]) -> Iterator[Check]:
    """Check that the live model equals silver: lines, units, baskets, money and newest sale."""
    ((late, withdrawn),) = rows(db, _WAITING)
    waiting["rows not yet in the live model"] = late
    days = rows(db, _SUMS)
    wrong = [_unlike(row) for row in days if row[1:5] != row[5:9]]
    ((sold_at, live_sold_at),) = rows(db, _NEWEST)
    if not late and not withdrawn and sold_at != live_sold_at:
        wrong.append(
            f"the newest sale: {sold_at} in silver, {live_sold_at or 'none'} in the live model"
        )
    yield Check(MONEY, "live sums = silver sums, per day", f"{len(days):,} days", shortened(wrong))


def _unlike(row: tuple[object, ...]) -> str:
    day, lines, units, baskets, net, *live = row
    return (
        f"day {day}: silver {lines} lines, {units} units, {baskets} baskets, net {net}; live model "
        "{} lines, {} units, {} baskets, net {}".format(*live)
    )
