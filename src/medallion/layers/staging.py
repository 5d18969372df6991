"""Staging: every bronze object is loaded once; rows and ledger are in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa

from medallion import __version__
from medallion.contract import FEEDS, INTEGER, LOAD, QUARANTINE, RECEIPT, TEXT, TIMESTAMP, Type
from medallion.errors import WarehouseError
from medallion.lake.orphans import retired
from medallion.lake.receipts import (
    RECEIPTS,
    SUFFIXES,
    Compaction,
    compactions,
    outputs_of,
    read_receipts,
    reason,
    receipts_table,
    stamps_of,
    table_of,
)
from medallion.lake.seals import Damaged, Stamp
from medallion.platforms.lake import Lake, grouped
from medallion.platforms.warehouse import Warehouse, transaction
from medallion.settings import Reporting

TABLES: dict[str, dict[str, Type]] = {
    **{name: feed.columns | LOAD for name, feed in FEEDS.items()},
    "quarantine": QUARANTINE | LOAD,
    "receipts": RECEIPT | LOAD,
    "loads": {"bronze_file": TEXT, "kind": TEXT, "row_count": INTEGER}
    | {"load_seq": INTEGER, "loaded_at": TIMESTAMP},
    "settings": {"reporting_currency": TEXT, "time_zone": TEXT}
    | {"load_seq": INTEGER, "loaded_at": TIMESTAMP},
    "superseded": {"source_file": TEXT, "ingested_at": TIMESTAMP, "load_seq": INTEGER},
}
"""The staging tables: name, then type by column. `loads` is the ledger. `settings` has a row for
each change of the reporting settings, with a load_seq of the same sequence. `superseded` has a row
for each version of a raw object that a newer version has replaced, with the load_seq of the newer
one. The rows of such a version stay in staging, but no model counts them."""


def current_rows(table: str) -> str:
    """Return a subquery of the rows of a table that are of the newest version of their object."""
    arrived = "modified_at" if table == "receipts" else "ingested_at"
    return (
        f"(SELECT staged.* FROM staging.{table} AS staged LEFT JOIN staging.superseded AS old "
        f"ON staged.source_file = old.source_file AND staged.{arrived} = old.ingested_at "
        "WHERE old.source_file IS NULL)"
    )


SUPERSEDE = """
INSERT INTO staging.superseded
SELECT DISTINCT versions.source_file, versions.modified_at, CAST($seq AS BIGINT)
FROM (
    SELECT source_file, modified_at FROM staging.receipts
    WHERE source_file IN (SELECT source_file FROM staging.receipts WHERE load_seq = $seq)
    QUALIFY modified_at < max(modified_at) OVER (PARTITION BY source_file)
) AS versions
LEFT JOIN staging.superseded AS old
    ON versions.source_file = old.source_file AND versions.modified_at = old.ingested_at
WHERE old.source_file IS NULL
RETURNING source_file"""
"""A statement that records which versions the receipts of a load have replaced: the version of a
raw object with the newest arrival counts."""

_NEXT_SEQ = """
SELECT coalesce(max(load_seq), 0) + 1 FROM (
    SELECT load_seq FROM staging.loads UNION ALL SELECT load_seq FROM staging.settings)"""

OBJECTS_PER_TRANSACTION, ROWS_PER_TRANSACTION = 1_000, 5_000_000
"""Limits of the objects of receipts, and of their rows, that are loaded at once. For each open file
DuckDB takes 160 KB of memory."""


@dataclass
class LoadReport:
    """The result of one pass of the loader.

    `superseded` is the number of raw objects of which a newer version now counts. `failures` says
    by receipt why its outputs could not be loaded; the next pass tries again.
    """

    objects: int = 0
    rows: int = 0
    superseded: int = 0
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, order=True)
class _Delivery:
    """A receipts object and the outputs that its receipts name, with the rows of each.

    A cluster writes many receipts into one object; several of them may name the same output.
    `contents` are the rows of the receipts object.
    """

    arrived: datetime
    receipts: str
    rows: dict[str, int] = field(compare=False)
    stamps: dict[str, Stamp] = field(compare=False)
    contents: list[dict[str, Any]] = field(compare=False)

    @property
    def rows_of_outputs(self) -> int:
        return sum(self.rows.values()) - self.rows[self.receipts]


def _delivery(key: str, receipts: list[dict[str, Any]]) -> _Delivery:
    rows, stamps = {key: len(receipts)}, dict[str, Stamp]()
    for receipt in receipts:
        stamps |= stamps_of(receipt)
        for output, count in outputs_of(receipt).items():
            rows[output] = rows.get(output, 0) + count
    first = min(receipt["modified_at"] for receipt in receipts)
    return _Delivery(first, key, rows, stamps, receipts)


class _Mismatch(Exception):
    """A bronze object has other rows than its receipt says."""


def create_tables(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Create the staging tables that are missing.

    Raises:
        WarehouseError: an existing one was made by another version.
    """
    require_current(warehouse)
    warehouse.execute("CREATE SCHEMA IF NOT EXISTS staging")
    for table, columns in TABLES.items():
        spelled = ", ".join(f"{name} {kind.duckdb}" for name, kind in columns.items())
        warehouse.execute(f"CREATE TABLE IF NOT EXISTS staging.{table} ({spelled})")


def take_over(warehouse: duckdb.DuckDBPyConnection, reporting: Reporting) -> bool:
    """Copy the settings of the home into staging; return whether they have changed.

    If so, the next build converts everything that depends on them.
    """
    create_tables(warehouse)
    if staged_settings(warehouse) == reporting:
        return False
    ((seq,),) = warehouse.execute(_NEXT_SEQ).fetchall()
    now = datetime.now(UTC).replace(tzinfo=None)
    warehouse.execute(
        "INSERT INTO staging.settings VALUES (?, ?, ?, ?)",
        [reporting.reporting_currency, reporting.time_zone, seq, now],
    )
    return True


def staged_settings(warehouse: Warehouse) -> Reporting:
    """Return the settings that the models use."""
    rows = warehouse.execute(
        "SELECT reporting_currency, time_zone FROM staging.settings ORDER BY load_seq DESC LIMIT 1"
    ).fetchall()
    return Reporting(*rows[0]) if rows else Reporting()


def require_current(warehouse: Warehouse) -> None:
    """Raise WarehouseError when another version made the staging tables.

    One of them lacks a column, would round the decimals of one, or has a column that this version
    does not know and would leave empty. Or there is a table of a feed that it does not know.
    """
    existing: dict[str, dict[str, int | None]] = {}
    for table, column, scale in warehouse.execute(
        "SELECT lower(table_name), lower(column_name), numeric_scale "
        "FROM information_schema.columns WHERE lower(table_schema) = 'staging'"
    ).fetchall():
        existing.setdefault(table, {})[column] = scale
    for table, columns in TABLES.items():
        if table not in existing:
            continue
        staged = existing[table]
        lacking = sorted(columns.keys() - staged.keys())
        whole = [n for n, kind in columns.items() if kind.scale and not staged.get(n)]
        if lacking or whole:
            what = f"has no {', '.join(lacking or whole)}" + " with decimals" * (not lacking)
            raise WarehouseError(
                f"another version of medallion has made this home (staging.{table} {what}): "
                "'medallion rebuild' makes it again from raw/"
            )
    unknown = [
        f"staging.{table}" if table not in TABLES else f"staging.{table}.{column}"
        for table, staged in existing.items()
        for column in staged
        if column not in TABLES.get(table, {})
    ]
    if unknown:
        raise WarehouseError(
            f"a newer version of medallion has made this home (this one does not know "
            f"{min(unknown)}): use that version, or 'medallion rebuild' makes it again from raw/"
        )


def other_versions(warehouse: Warehouse) -> list[tuple[str, int]]:
    """Return how many raw objects were cleaned by other versions of the cleaner, by version."""
    rows = warehouse.execute(
        "SELECT cleaner_version, count(*) FROM staging.receipts WHERE cleaner_version <> ? "
        "GROUP BY cleaner_version ORDER BY cleaner_version",
        [__version__],
    ).fetchall()
    return [(version, int(count)) for version, count in rows]


def waiting_objects(lake: Lake, warehouse: Warehouse) -> int:
    """Return how many bronze objects are not loaded yet."""
    stored = {o.key for o in lake.list("bronze/")}
    return len(stored - loaded_objects(warehouse, compactions(lake)))


def loaded_objects(warehouse: Warehouse, compacted: Iterable[Compaction]) -> set[str]:
    """Return the bronze objects whose rows are loaded, also under their names before compaction."""
    answer = warehouse.execute("SELECT DISTINCT bronze_file FROM staging.loads").fetchall()
    loaded = {key for (key,) in answer}
    for compaction in compacted:
        if compaction.receipts <= loaded:
            loaded |= {compaction.key, *compaction.outputs.values()}
        elif compaction.key in loaded:
            loaded |= {*compaction.receipts, *compaction.outputs}
    return loaded


class Loader:
    """A loader of the outputs that receipts name and the ledger lacks; it remembers both."""

    def __init__(self, lake: Lake, warehouse: duckdb.DuckDBPyConnection) -> None:
        self._lake, self._db = lake, warehouse
        create_tables(warehouse)
        rows = warehouse.execute(
            "SELECT bronze_file FROM staging.loads WHERE kind IN ('receipts', 'compacted')"
        ).fetchall()
        self._loaded = {key for (key,) in rows}
        receipts = {o.key for o in lake.list(RECEIPTS) if o.key.endswith(SUFFIXES)}
        self._waiting = receipts - self._loaded
        self._refused: dict[str, str] = {}
        if self._waiting:
            self._leave_out_compacted()

    def _leave_out_compacted(self) -> None:
        """Record compacted objects in the ledger whose rows were loaded under their old names.

        So no row is loaded twice, neither under the old nor under the new name.
        """
        for compaction in compactions(self._lake):
            key, loaded = compaction.key, compaction.receipts & self._loaded
            self._waiting -= compaction.receipts
            if key in self._loaded or not loaded:
                continue
            self._waiting.remove(key)
            if loaded == compaction.receipts:
                self._db.execute(
                    f"INSERT INTO staging.loads SELECT ?, 'compacted', 0, seq, now()::TIMESTAMP "
                    f"FROM ({_NEXT_SEQ}) AS next (seq)",
                    [key],
                )
                self._loaded.add(key)
            else:
                self._refused[key] = (
                    f"the warehouse holds {len(loaded):,} of the {len(compaction.receipts):,} "
                    "receipts that were compacted here: move warehouse.duckdb away, and 'medallion "
                    "run --events 0' loads all of bronze"
                )

    def load(self, receipts: Iterable[str] = ()) -> LoadReport:
        """Load every waiting receipt with its outputs.

        Args:
            receipts: keys of receipts that are newer than this loader. It lists the lake only once,
                because a listing takes longer the more history there is.
        """
        self._waiting |= set(receipts) - self._loaded
        report = LoadReport(failures=dict(self._refused))
        for batch in grouped(
            self._deliveries(report),
            lambda delivery: delivery.rows_of_outputs,
            OBJECTS_PER_TRANSACTION,
            ROWS_PER_TRANSACTION,
        ):
            self._load_or_split(batch, report)
        return report

    def _deliveries(self, report: LoadReport) -> list[_Delivery]:
        """Return the objects of receipts that wait, by the arrival of their raw objects."""
        deliveries = []
        for key in sorted(self._waiting):
            try:
                with self._lake.open(key) as stream:
                    deliveries.append(_delivery(key, read_receipts(stream, key)))
            except (Damaged, OSError, ValueError, TypeError) as error:
                report.failures[key] = reason(error)
        return sorted(deliveries)

    def _load_or_split(self, batch: list[_Delivery], report: LoadReport) -> None:
        """Load a batch in one transaction; if it fails, load each delivery in its own."""
        try:
            report.superseded += self._load(batch)
        except (duckdb.Error, OSError, _Mismatch, Damaged) as error:
            if len(batch) == 1:
                report.failures[batch[0].receipts] = self._why(error)
                return
            for delivery in batch:
                self._load_or_split([delivery], report)
            return
        for delivery in batch:
            self._waiting.remove(delivery.receipts)
            self._loaded.add(delivery.receipts)
            report.objects += len(delivery.rows)
            report.rows += delivery.rows_of_outputs

    def _load(self, batch: list[_Delivery]) -> int:
        """Load a batch in one transaction; return how many raw objects have a new version."""
        expected = {key: rows for delivery in batch for key, rows in delivery.rows.items()}
        stamps = {key: stamp for delivery in batch for key, stamp in delivery.stamps.items()}
        tables: dict[str, list[str]] = {}
        for key in expected.keys() - {delivery.receipts for delivery in batch}:
            tables.setdefault(table_of(key), []).append(key)
        with transaction(self._db):
            ((seq,),) = self._db.execute(_NEXT_SEQ).fetchall()
            now = datetime.now(UTC).replace(tzinfo=None)
            staged = self._insert_receipts(batch, seq, now)
            for table, keys in tables.items():
                staged |= self._insert(table, keys, stamps, seq, now)
            self._book(expected, staged, seq, now)
            superseded = self._db.execute(SUPERSEDE, {"seq": seq}).fetchall()
        return len(set(superseded))

    def _insert_receipts(self, batch: list[_Delivery], seq: int, now: datetime) -> dict[str, int]:
        """Insert the receipts that were checked, and return how many by object.

        The files are not read a second time.

        DuckDB and Arrow differ over some damaged files, and so the audit could hold over a receipt
        that a new warehouse refuses.
        """
        names = ", ".join(RECEIPT)
        checked = receipts_table([receipt for delivery in batch for receipt in delivery.contents])
        files = [delivery.receipts for delivery in batch for _ in delivery.contents]
        self._db.register("checked", checked.append_column("bronze_file", pa.array(files)))
        answer = self._db.execute(
            f"INSERT INTO staging.receipts ({names}, bronze_file, load_seq, loaded_at) "
            f"SELECT {names}, bronze_file, $seq, $now FROM checked",
            {"seq": seq, "now": now},
        ).fetchall()
        self._db.unregister("checked")
        return self._staged("receipts", [delivery.receipts for delivery in batch], seq, answer)

    def _insert(
        self, table: str, keys: list[str], stamps: dict[str, Stamp], seq: int, now: datetime
    ) -> dict[str, int]:
        """Insert the rows of outputs, and return how many by object."""
        names = ", ".join(name for name in TABLES[table] if name not in LOAD)
        with self._lake.fetched(keys) as paths:
            for key, path in zip(keys, paths, strict=True):
                if key in stamps:
                    stamps[key].require(key, Stamp.of_file(path))
            answer = self._db.execute(
                f"INSERT INTO staging.{table} ({names}, bronze_file, load_seq, loaded_at) "
                f"SELECT {names}, bronze_file, $seq, $now "
                "FROM read_parquet($paths, filename = true, hive_partitioning = false) "
                "JOIN (SELECT unnest($paths) AS filename, unnest($keys) AS bronze_file) "
                "USING (filename)",
                {"keys": keys, "paths": [str(path) for path in paths], "seq": seq, "now": now},
            ).fetchall()
        return self._staged(table, keys, seq, answer)

    def _staged(
        self, table: str, keys: list[str], seq: int, inserted: list[tuple[int]]
    ) -> dict[str, int]:
        """Return the rows of each of these objects in a load, given those that were inserted."""
        if len(keys) == 1:
            return {keys[0]: inserted[0][0]}
        return dict(
            self._db.execute(
                f"SELECT bronze_file, count(*) FROM staging.{table} "
                "WHERE load_seq = ? GROUP BY ALL",
                [seq],
            ).fetchall()
        )

    def _book(
        self, expected: dict[str, int], staged: dict[str, int], seq: int, now: datetime
    ) -> None:
        """Write the ledger; raise _Mismatch when an object has other rows than its receipt says."""
        for key, rows in expected.items():
            if staged.get(key, 0) != rows:
                raise _Mismatch(f"{key} has {staged.get(key, 0)} rows, its receipt says {rows}")
        self._db.execute(
            "INSERT INTO staging.loads "
            "SELECT unnest($keys), unnest($kinds), unnest($rows), $seq, $now",
            {
                "keys": list(expected),
                "kinds": [table_of(key) for key in expected],
                "rows": list(expected.values()),
                "seq": seq,
                "now": now,
            },
        )

    def _why(self, error: Exception) -> str:
        """Return why a delivery was not loaded, on one line."""
        text = str(error).splitlines()[0]
        if isinstance(error, FileNotFoundError) and (day := retired(self._lake).bronze_before):
            return (
                f"bronze of what arrived before {day:%Y-%m-%d} was retired, and only the warehouse "
                f"that had loaded it holds its rows: bring that back from a backup ({text})"
            )
        if isinstance(error, duckdb.BinderException):
            return f"another version has made it, 'medallion rebuild' makes it again: {text}"
        return text
