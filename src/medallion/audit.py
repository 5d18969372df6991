"""Whether the promises hold: every line of every raw object is accounted for, every row counted
once, every sum exact. Everything is counted anew, from the raw bytes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from medallion.cleaning.lines import Source, Unreadable, read_blocks
from medallion.cleaning.receipts import RECEIPTS, receipt_key, stem
from medallion.contract import FEEDS, UNREADABLE
from medallion.layers.raw import raw_objects
from medallion.platforms.lake import Lake, LakeObject

SHOWN = 20
"""How many offenders a check names."""


@dataclass(frozen=True)
class Check:
    """One figure of the audit. `offenders` says in a line each what breaks it; the check holds
    when there is none."""

    promise: str
    name: str
    figure: str
    offenders: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return not self.offenders


@dataclass
class AuditReport:
    """All checks, and what still waits for its next stage (no violation)."""

    checks: list[Check] = field(default_factory=list)
    waiting: dict[str, int] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return all(check.holds for check in self.checks)


LOST, TWICE, MONEY, LATE = (
    "1 nothing is lost",
    "2 nothing is counted twice",
    "3 money is exact",
    "5 late events land on their own day",
)


def audit(
    lake: Lake, warehouse: duckdb.DuckDBPyConnection, *, progress: Callable[[str], None] = print
) -> AuditReport:
    """Counts everything anew. Reads only."""
    report = AuditReport()
    report.checks += _raw_checks(lake, warehouse, report.waiting, progress)
    report.checks += _bronze_checks(lake, warehouse, report.waiting)
    if _exists(warehouse, "purchases_silver"):
        report.checks += _silver_checks(warehouse, report.waiting)
    else:
        report.waiting["rows not yet in silver"] = _count(warehouse, "staging.purchases")
    if _exists(warehouse, "purchases_gold"):
        report.checks += _gold_checks(warehouse)
    return report


def _raw_checks(
    lake: Lake,
    db: duckdb.DuckDBPyConnection,
    waiting: dict[str, int],
    progress: Callable[[str], None],
) -> Iterator[Check]:
    """Raw objects against their receipts and against the rows that were staged."""
    receipts = _receipts(db)
    broken, lines, objects, not_loaded, seen = [], 0, 0, 0, set()
    cleaned = {o.key for o in lake.list(RECEIPTS)}
    known = {key for key, _ in receipts}
    for found in raw_objects(lake):
        progress(found.key)
        seen.add(found.key)
        recount = _recount(lake, db, found)
        if (promised := receipts.get((found.key, recount.checksum))) is None:
            if receipt_key(stem(found)) in cleaned and found.key in known:
                broken.append(f"{found.key}: its bytes are not those of its receipt")
            not_loaded += 1
            continue
        objects, lines = objects + 1, lines + recount.lines
        if recount.lines != promised:
            broken.append(f"{found.key}: {recount.lines} lines, receipt says {promised}")
        broken += recount.unlike
    broken += [
        f"{key}: its receipt is there, the raw object is gone" for key in sorted(known - seen)
    ]
    waiting["raw objects not yet loaded"] = not_loaded
    figure = f"{lines:,} in {objects:,} objects"
    yield Check(LOST, "raw lines = receipt lines", figure, _some(broken))
    yield _sums(db)
    yield _coverage(db)


def _sums(db: duckdb.DuckDBPyConnection) -> Check:
    accepted, quarantined, blank = db.execute(
        "SELECT coalesce(sum(accepted), 0)::BIGINT, coalesce(sum(quarantined), 0)::BIGINT, "
        "coalesce(sum(blank), 0)::BIGINT FROM staging.receipts"
    ).fetchall()[0]
    wrong = db.execute(
        "SELECT source_file || ': ' || lines || ' lines <> ' || accepted || ' accepted + ' || "
        "quarantined || ' quarantined + ' || blank || ' blank' FROM staging.receipts "
        "WHERE lines <> accepted + quarantined + blank ORDER BY ALL"
    ).fetchall()
    figure = f"{accepted:,} + {quarantined:,} + {blank:,}"
    return Check(LOST, "lines = accepted + quarantined + blank", figure, _rows(wrong))


def _coverage(db: duckdb.DuckDBPyConnection) -> Check:
    """Each line of an object is staged once, as accepted or as quarantined with a reason."""
    staged = " UNION ALL ".join(
        [
            f"SELECT source_file, ingested_at, source_line, NULL AS flaw FROM staging.{name}"
            for name in FEEDS
        ]
        + [
            "SELECT source_file, ingested_at, source_line, "
            "CASE WHEN raw IS NULL OR reason IS NULL THEN 1 END FROM staging.quarantine"
        ]
    )
    wrong = db.execute(
        f"""WITH staged AS ({staged}), found AS (
            SELECT source_file, ingested_at, count(*) AS n, count(DISTINCT source_line) AS lines,
                   min(source_line) AS low, max(source_line) AS high, count(flaw) AS flaws
            FROM staged GROUP BY ALL)
        SELECT coalesce(r.source_file, f.source_file) || ': ' || coalesce(f.lines, 0)
               || ' different lines in ' || coalesce(f.n, 0) || ' rows, '
               || coalesce((r.lines - r.blank)::VARCHAR, 'no receipt') || ' expected'
        FROM (FROM staging.receipts) r FULL JOIN found f
          ON r.source_file = f.source_file AND r.modified_at = f.ingested_at
        WHERE r.source_file IS NULL OR coalesce(f.n, 0) <> r.lines - r.blank
           OR f.lines <> f.n OR f.low < 1 OR f.high > r.lines OR f.flaws > 0 ORDER BY ALL"""
    ).fetchall()
    rows = sum(_count(db, f"staging.{name}") for name in (*FEEDS, "quarantine"))
    return Check(LOST, "every line staged once", f"{rows:,} rows", _rows(wrong))


_LEDGER = "SELECT bronze_file, sum(rows)::BIGINT FROM staging.loads GROUP BY ALL"


def _bronze_checks(
    lake: Lake, db: duckdb.DuckDBPyConnection, waiting: dict[str, int]
) -> Iterator[Check]:
    """Bronze objects, receipts, staged rows and ledger against each other."""
    stored, unreadable = _stored_rows(lake)
    db_rows = _staged_rows(db)
    ledger = dict(db.execute(_LEDGER).fetchall())
    promised = _promised_rows(db)
    wrong = [f"{key}: {why}" for key, why in unreadable.items()]
    for key in sorted(promised.keys() | db_rows.keys() | ledger.keys()):
        figures = {
            "receipt": promised.get(key),
            "object": stored.get(key),
            "staged": db_rows.get(key),
            "ledger": ledger.get(key),
        }
        if len(set(figures.values())) > 1 and key not in unreadable:
            wrong.append(f"{key}: rows by " + ", ".join(f"{k} {v}" for k, v in figures.items()))
    waiting["bronze objects not yet loaded"] = len(stored.keys() - ledger.keys())
    total = sum(db_rows.values())
    yield Check(
        TWICE, "staged rows = receipt rows", f"{total:,} in {len(db_rows):,} objects", _some(wrong)
    )


def _silver_checks(db: duckdb.DuckDBPyConnection, waiting: dict[str, int]) -> Iterator[Check]:
    bronze, silver = _count(db, "purchases_bronze"), _count(db, "purchases_silver")
    repeated = db.execute(
        "SELECT event_id || ': ' || count(*) || ' rows in silver' FROM purchases_silver "
        f"GROUP BY event_id HAVING count(*) > 1 ORDER BY ALL LIMIT {SHOWN}"
    ).fetchall()
    yield Check(TWICE, "silver has one row per event", f"{silver:,} rows", _rows(repeated))
    # What was loaded after silver was last built waits; whatever came before must be in it.
    late = db.execute(
        "SELECT count(*) FROM staging.purchases "
        "WHERE load_seq > (SELECT coalesce(max(load_seq), 0) FROM purchases_silver) "
        "AND event_id NOT IN (SELECT event_id FROM purchases_silver)"
    ).fetchall()[0][0]
    waiting["rows not yet in silver"] = late
    differing = db.execute(_WINNERS).fetchall()
    yield Check(
        TWICE,
        "bronze rows - silver rows = duplicates",
        f"{bronze - late - silver:,} duplicates",
        _rows(differing),
    )


_MONEY = ("price", "discount_amount", "tax_amount", "total_amount")

_KEPT = ", ".join(("dt", "event_type", "currency", "quantity", *_MONEY))

# Per event the first arrival, worked out from staging alone and held against silver, both ways.
_WINNERS = f"""
WITH built AS (SELECT coalesce(max(load_seq), 0) AS seq FROM purchases_silver),
repeated AS (SELECT event_id FROM staging.purchases GROUP BY event_id HAVING count(*) > 1),
firsts AS (
    SELECT event_id, load_seq, source_file, source_line, {_KEPT} FROM staging.purchases
    WHERE event_id NOT IN (FROM repeated)
    UNION ALL
    FROM (SELECT DISTINCT ON (event_id) event_id, load_seq, source_file, source_line, {_KEPT}
          FROM staging.purchases WHERE event_id IN (FROM repeated)
          ORDER BY event_id, ingested_at, source_file, source_line))
SELECT coalesce(f.event_id, s.event_id) || ': ' || CASE
    WHEN s.event_id IS NULL THEN 'missing in silver, from ' || f.source_file
    WHEN f.event_id IS NULL THEN 'in silver, but not in staging'
    ELSE 'silver does not hold its first arrival, ' || f.source_file || ' line ' || f.source_line
    END
FROM firsts f
FULL JOIN (SELECT event_id, {_KEPT} FROM purchases_silver) s ON f.event_id = s.event_id
WHERE f.event_id IS NULL OR f.load_seq <= (FROM built) AND (s.event_id IS NULL OR
    ({", ".join(f"f.{c}" for c in _KEPT.split(", "))})
    IS DISTINCT FROM ({", ".join(f"s.{c}" for c in _KEPT.split(", "))}))
ORDER BY ALL LIMIT {SHOWN}"""


def _gold_checks(db: duckdb.DuckDBPyConnection) -> Iterator[Check]:
    floats = db.execute(
        "SELECT table_schema || '.' || table_name || '.' || column_name || ' is ' || data_type "
        "FROM information_schema.columns WHERE data_type IN ('FLOAT', 'DOUBLE') "
        "AND regexp_matches(column_name, "
        "'(amount|price|cost|sales|revenue|discount|returns|tax|margin)') "
        "AND NOT regexp_matches(column_name, '(rate|pct|percent|share|ratio)') ORDER BY ALL"
    ).fetchall()
    yield Check(MONEY, "every amount is DECIMAL", f"{len(floats)} floats", _rows(floats))
    wrong = db.execute(_DAYS).fetchall()
    total = db.execute(
        "SELECT count(DISTINCT sales_date), count(*) FROM purchases_gold WHERE currency IS NOT NULL"
    ).fetchall()[0]
    figure = f"{total[1]:,} days and currencies"
    yield Check(MONEY, "gold sums = silver sums, per day", figure, _rows(wrong))
    yield Check(
        LATE,
        "gold has the days of silver",
        f"{total[0]:,} days",
        _rows(
            db.execute(
                "SELECT 'day ' || coalesce(s.dt, g.sales_date) || ' is only in ' "
                "|| CASE WHEN s.dt IS NULL THEN 'gold' ELSE 'silver' END "
                "FROM (SELECT DISTINCT dt FROM purchases_silver) s FULL JOIN (SELECT DISTINCT "
                "sales_date FROM purchases_gold WHERE currency IS NOT NULL) g "
                "ON s.dt = g.sales_date "
                "WHERE s.dt IS NULL OR g.sales_date IS NULL ORDER BY ALL"
            ).fetchall()
        ),
    )


_DAYS = """
WITH silver AS (
    SELECT dt, currency, count(*) AS lines,
           sum(CASE event_type WHEN 'return' THEN -total_amount ELSE total_amount END) AS net,
           sum(CASE event_type WHEN 'return' THEN 0 ELSE discount_amount END) AS discounts,
           sum(CASE event_type WHEN 'return' THEN -tax_amount ELSE tax_amount END) AS tax
    FROM purchases_silver GROUP BY ALL)
SELECT 'day ' || coalesce(s.dt, g.sales_date) || ' ' || coalesce(s.currency, g.currency)
       || ': silver net ' || coalesce(s.net, 0) || ' in ' || coalesce(s.lines, 0)
       || ' lines, gold ' || coalesce(g.net_sales, 0) || ' in ' || coalesce(g.lines, 0)
FROM silver s FULL JOIN (FROM purchases_gold WHERE currency IS NOT NULL) g
  ON s.dt = g.sales_date AND s.currency = g.currency
WHERE (s.lines, s.net, s.discounts, s.tax) IS DISTINCT FROM
      (g.lines, g.net_sales, g.discounts, g.tax)
ORDER BY ALL LIMIT 20"""


@dataclass(frozen=True)
class _Recount:
    lines: int
    checksum: str
    unlike: list[str]


def _recount(lake: Lake, db: duckdb.DuckDBPyConnection, found: LakeObject) -> _Recount:
    """Reads a raw object again: its lines, its checksum, and where the quarantine's text is not
    that of the line."""
    kept = dict(
        db.execute(
            "SELECT source_line, raw FROM staging.quarantine WHERE source_file = ? "
            "AND ingested_at = ? AND reason <> ?",
            [found.key, _naive(found.modified), UNREADABLE],
        ).fetchall()
    )
    unlike, lines = [], 0
    with lake.open(found.key) as stream:
        source = Source(stream)
        try:
            for block in read_blocks(source, found.key):
                lines += len(block)
                here = range(block.first_line, block.first_line + len(block))
                for number in [n for n in kept if n in here] if kept else []:
                    if kept.pop(number) != block.line(number - block.first_line):
                        unlike.append(f"{found.key}: line {number} differs from the quarantine")
        except Unreadable:
            lines = 1
        return _Recount(lines, source.checksum(), unlike)


def _receipts(db: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], int]:
    """The lines of every receipt by raw key and checksum."""
    rows = db.execute("SELECT source_file, checksum, lines FROM staging.receipts").fetchall()
    return {(key, checksum): lines for key, checksum, lines in rows}


def _stored_rows(lake: Lake) -> tuple[dict[str, int], dict[str, str]]:
    """Rows of every bronze object by its own footer, and what could not be read."""
    rows, unreadable = {}, {}
    for found in lake.list("bronze/"):
        try:
            with lake.open(found.key) as stream:
                rows[found.key] = pq.read_metadata(stream).num_rows
        except (OSError, pa.ArrowException) as error:
            unreadable[found.key] = f"cannot be read: {str(error).splitlines()[0]}"
    return rows, unreadable


def _staged_rows(db: duckdb.DuckDBPyConnection) -> dict[str, int]:
    tables = (*FEEDS, "quarantine", "receipts")
    union = " UNION ALL ".join(f"SELECT bronze_file FROM staging.{t}" for t in tables)
    return dict(db.execute(f"SELECT bronze_file, count(*) FROM ({union}) GROUP BY 1").fetchall())


def _promised_rows(db: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Rows by bronze object as the loaded receipts say; a receipts object holds itself as rows."""
    return dict(
        db.execute(
            """SELECT key, sum(n)::BIGINT FROM (
                SELECT unnest(map_entries(CAST(outputs AS MAP(VARCHAR, BIGINT))), recursive := true)
                FROM (SELECT outputs::JSON AS outputs FROM staging.receipts))
                AS t(key, n) GROUP BY key
            UNION ALL SELECT bronze_file, count(*) FROM staging.receipts GROUP BY ALL"""
        ).fetchall()
    )


def _exists(db: duckdb.DuckDBPyConnection, relation: str) -> bool:
    found = "SELECT count(*) FROM information_schema.tables WHERE table_name = ?"
    return bool(db.execute(found, [relation]).fetchall()[0][0])


def _count(db: duckdb.DuckDBPyConnection, relation: str) -> int:
    return int(db.execute(f"SELECT count(*) FROM {relation}").fetchall()[0][0])


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


def _rows(found: list[tuple[str]]) -> tuple[str, ...]:
    return _some([text for (text,) in found])


def _some(offenders: list[str]) -> tuple[str, ...]:
    if len(offenders) <= SHOWN:
        return tuple(offenders)
    return (*offenders[:SHOWN], f"... and {len(offenders) - SHOWN} more")
