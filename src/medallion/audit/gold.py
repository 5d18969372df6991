"""Comparison of silver with staging, and of gold with silver."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from medallion.audit.checks import LATE, MONEY, TWICE, Check, count, rows
from medallion.errors import SHOWN, shortened
from medallion.layers.staging import current_rows
from medallion.platforms.warehouse import Warehouse, relations


def silver_checks(db: Warehouse, waiting: dict[str, int]) -> Iterator[Check]:
    """Check that silver has one row per event, and that it is the first arrival."""
    bronze, silver = (count(db, f"{x}.purchases_{x}") for x in ("bronze", "silver"))
    repeated = rows(
        db,
        "SELECT event_id, count(*) FROM silver.purchases_silver "
        f"GROUP BY event_id HAVING count(*) > 1 ORDER BY event_id LIMIT {SHOWN}",
    )
    wrong = (f"{event}: {copies} rows in silver" for event, copies in repeated)
    yield Check(TWICE, "silver has one row per event", f"{silver:,} rows", shortened(wrong))
    # Rows loaded after the last build of silver wait; all earlier ones must be in it.
    ((late, withdrawn),) = rows(db, _LATE)
    waiting["rows not yet in silver"] = late
    waiting["rows that silver must let go"] = withdrawn
    yield Check(
        TWICE,
        "bronze rows - silver rows = duplicates",
        f"{bronze - late + withdrawn - silver:,} duplicates{_contradicting(db)}",
        shortened(_unlike_first_arrivals(db)),
    )


def _contradicting(db: Warehouse) -> str:
    """Return how many copies differ in content from the one that counts; an empty text for none."""
    if "ops.purchases_conflicts" not in relations(db):
        return ""
    number = count(db, "ops.purchases_conflicts")
    return f", {number:,} with another payload: 'medallion conflicts'" if number else ""


_STAGED = current_rows("purchases")
_WITHDRAWN = """
    SELECT old.event_id FROM staging.purchases AS old JOIN staging.superseded AS s
    ON old.source_file = s.source_file AND old.ingested_at = s.ingested_at
    WHERE s.load_seq > (SELECT coalesce(max(load_seq), 0) FROM {built})"""
"""The events of superseded versions that a model may not have processed yet."""

_LATE = f"""
SELECT
    (SELECT count(*) FROM {_STAGED} AS staged
     WHERE load_seq > (SELECT coalesce(max(load_seq), 0) FROM silver.purchases_silver)
     AND event_id NOT IN (SELECT event_id FROM silver.purchases_silver)),
    (SELECT count(*) FROM silver.purchases_silver AS silver JOIN staging.superseded AS s
     ON silver.source_file = s.source_file AND silver.ingested_at = s.ingested_at
     WHERE silver.event_id NOT IN (SELECT event_id FROM {_STAGED} AS staged))"""


def _differ(columns: Iterable[tuple[str, str]]) -> str:
    return " OR ".join(f"{one} IS DISTINCT FROM {other}" for one, other in columns)


_KEPT = (
    *("dt", "event_type", "currency", "quantity"),
    *("price", "discount_amount", "tax_amount", "total_amount"),
)

_COLUMNS = ", ".join(("event_id", *_KEPT))

# The first arrival of each event, from staging alone, compared with silver in both directions.
_WINNERS = f"""
WITH built AS (SELECT coalesce(max(load_seq), 0) AS seq FROM silver.purchases_silver),
staged AS {_STAGED},
repeated AS (SELECT event_id FROM staged GROUP BY event_id HAVING count(*) > 1),
firsts AS (
    SELECT {_COLUMNS}, load_seq, source_file, source_line FROM staged
    WHERE event_id NOT IN (SELECT event_id FROM repeated)
    UNION ALL
    SELECT {_COLUMNS}, load_seq, source_file, source_line FROM staged
    WHERE event_id IN (SELECT event_id FROM repeated)
    QUALIFY row_number() OVER (
        PARTITION BY event_id
        ORDER BY corrected_at DESC NULLS LAST, ingested_at, source_file, source_line) = 1)
SELECT coalesce(f.event_id, s.event_id), s.event_id IS NULL, f.source_file, f.source_line
FROM firsts AS f
FULL OUTER JOIN (
    SELECT {_COLUMNS}, old.load_seq IS NOT NULL AS is_superseded
    FROM silver.purchases_silver AS silver LEFT JOIN staging.superseded AS old
    ON silver.source_file = old.source_file AND silver.ingested_at = old.ingested_at
        AND old.load_seq > (SELECT seq FROM built)) AS s ON f.event_id = s.event_id
WHERE NOT coalesce(s.is_superseded, FALSE)
  AND (f.event_id IS NULL OR f.load_seq <= (SELECT seq FROM built) AND (s.event_id IS NULL OR
    {_differ((f"f.{c}", f"s.{c}") for c in _KEPT)}))
ORDER BY 1 LIMIT {SHOWN}"""


def _unlike_first_arrivals(db: Warehouse) -> Iterator[str]:
    for event, is_missing, file, line in rows(db, _WINNERS):
        if is_missing:
            yield f"{event}: missing in silver, from {file}"
        elif file is None:
            yield f"{event}: in silver, but not in staging"
        else:
            yield f"{event}: silver does not hold the copy that counts, {file} line {line}"


def gold_checks(db: Warehouse, waiting: dict[str, int]) -> Iterator[Check]:
    """Check that amounts are exact numbers, and that gold has the days and sums of silver.

    Days that changed in silver after the last build of gold wait for the next run.
    """
    ((waiting["days not yet in gold"],),) = rows(db, _WAITING_DAYS)
    floats = list(_floats(db))
    yield Check(MONEY, "every amount is DECIMAL", f"{len(floats)} floats", shortened(floats))
    ((days, sums),) = rows(
        db,
        "SELECT count(DISTINCT sales_date), count(*) FROM gold.purchases_gold "
        "WHERE currency IS NOT NULL",
    )
    wrong = (
        f"day {day} {currency}: silver net {net or 0} in {lines or 0} lines, gold {gold or 0} in "
        f"{gold_lines or 0}"
        for day, currency, net, lines, gold, gold_lines in rows(
            db, f"{_SUMS.format(f'NOT IN ({_WAITING})')} LIMIT {SHOWN}"
        )
    )
    figure = f"{sums:,} days and currencies"
    yield Check(MONEY, "gold sums = silver sums, per day", figure, shortened(wrong))
    lonely = (f"day {day} is only in {layer}" for day, layer in rows(db, _DAYS))
    yield Check(LATE, "gold has the days of silver", f"{days:,} days", shortened(lonely))


_AMOUNT = re.compile("amount|price|cost|sales|revenue|discount|returns|tax|margin", re.I)
_NO_AMOUNT = re.compile("rate|pct|percent|share|ratio", re.I)


def _floats(db: Warehouse) -> Iterator[str]:
    """Yield the columns of amounts whose type is not exact."""
    for schema, table, column, kind in rows(
        db,
        "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns "
        "WHERE data_type IN ('FLOAT', 'DOUBLE') ORDER BY 1, 2, 3",
    ):
        if _AMOUNT.search(column) and not _NO_AMOUNT.search(column):
            yield f"{schema}.{table}.{column}".lower() + f" is {kind}"


_NET = {
    "net": "CASE event_type WHEN 'return' THEN -total_amount ELSE total_amount END",
    "discounts": "CASE event_type WHEN 'return' THEN 0 ELSE discount_amount END",
    "tax": "CASE event_type WHEN 'return' THEN -tax_amount ELSE tax_amount END",
}
_NET_SUMS = ", ".join(f"CAST(sum({e}) AS DECIMAL(38,4)) AS {name}" for name, e in _NET.items())
_PAIRS = (("lines", "lines"), ("net", "net_sales"), ("discounts", "discounts"), ("tax", "tax"))

_CHANGED = """
SELECT dt FROM silver.purchases_silver
WHERE load_seq > (SELECT coalesce(max(load_seq), 0) FROM gold.purchases_gold)
UNION
SELECT dt FROM staging.purchases WHERE event_id IN (
    SELECT event_id FROM silver.purchases_silver
    WHERE load_seq > (SELECT coalesce(max(load_seq), 0) FROM gold.purchases_gold)
      AND load_seq > first_load_seq)"""
"""The days of new and replaced lines for which gold is not built yet, as dbt's macro changed_days
finds them."""

_LEFT = f"""
SELECT dt FROM staging.purchases
WHERE event_id IN ({_WITHDRAWN.format(built="gold.purchases_gold")})"""
"""The days of withdrawn lines. If all lines of an object were withdrawn, nothing shows whether gold
was built since. So these days count as waiting only while they differ."""

_WAITING = f"{_CHANGED} UNION {_LEFT}"

_SUMS = f"""
WITH sums AS (
    SELECT dt, currency, count(*) AS lines, {_NET_SUMS}
    FROM silver.purchases_silver GROUP BY dt, currency)
SELECT coalesce(s.dt, g.sales_date) AS sales_date, coalesce(s.currency, g.currency),
       s.net, s.lines, g.net_sales, g.lines
FROM sums AS s
FULL OUTER JOIN (SELECT * FROM gold.purchases_gold WHERE currency IS NOT NULL) AS g
  ON s.dt = g.sales_date AND s.currency = g.currency
WHERE ({_differ((f"s.{one}", f"g.{other}") for one, other in _PAIRS)})
  AND coalesce(s.dt, g.sales_date) {{}} ORDER BY 1, 2"""

_WAITING_DAYS = f"""
SELECT count(*) FROM (
    {_CHANGED}
    UNION SELECT sales_date FROM ({_SUMS.format(f"IN ({_LEFT})")}) AS differing) AS days"""

_DAYS = f"""
SELECT coalesce(s.dt, g.sales_date), CASE WHEN s.dt IS NULL THEN 'gold' ELSE 'silver' END
FROM (SELECT DISTINCT dt FROM silver.purchases_silver) AS s
FULL OUTER JOIN (SELECT DISTINCT sales_date FROM gold.purchases_gold
                 WHERE currency IS NOT NULL) AS g ON s.dt = g.sales_date
WHERE (s.dt IS NULL OR g.sales_date IS NULL)
  AND coalesce(s.dt, g.sales_date) NOT IN ({_WAITING}) ORDER BY 1"""
