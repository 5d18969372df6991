"""The erasure of an id from a Snowflake account, after its erasure from the lake.

Rows are updated in place, so that they keep their position in the order of arrival. No statement
contains the id: Snowflake keeps the text of a statement for a year and its bound values for seven
days (docs.snowflake.com/en/sql-reference/account-usage/query_history, and
.../functions/bind_values).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from medallion.contract import FEEDS, MAX_LINE_BYTES, PURCHASES, feed_of
from medallion.errors import SettingsError, WarehouseError
from medallion.lake.receipts import stem_of, stored_receipts
from medallion.operations.erasure.pseudonym import Replacement
from medallion.operations.erasure.search import OTHER_IDS
from medallion.platforms.lake import Lake
from medallion.platforms.snowflake import SnowflakeWarehouse, open_snowflake
from medallion.settings import SnowflakeAccount

ROLE = "SYSADMIN"
"""The role that owns LANDING and has the roles of the pipes and of dbt."""
PIPES = (*FEEDS, "quarantine", "receipts")
REWRITTEN = ("purchases", "quarantine", "receipts")
"""The tables of LANDING that can hold an id."""
TASK, PROJECT, TRANSFORMER = "CONTROL.BOOK_ARRIVALS", "CONTROL.MEDALLION", "RETAIL_TRANSFORMER"
FAIL_SAFE = timedelta(days=7)
"""docs.snowflake.com/en/user-guide/data-failsafe; transient tables have none."""

_ROWS_AT_A_TIME = 200
_SECONDS_BETWEEN_LOOKS = 1.0
_PATIENCE = 3600.0
_DIGITS = 4


@dataclass(frozen=True)
class Kept:
    """The time until which Snowflake keeps the old content, and the number of tables with it."""

    time_travel_until: datetime
    tables: int
    fail_safe_until: datetime
    permanent_tables: int


class AccountEraser:
    """The erasure of one id from an account, in steps that may be repeated."""

    def __init__(
        self, session: SnowflakeWarehouse, account: SnowflakeAccount, by: Replacement
    ) -> None:
        self._session, self._database, self._by = session, account.database, by

    def require_running(self) -> None:
        """Raise WarehouseError when a pipe is not running: its missing files would never arrive."""
        for pipe in PIPES:
            if (state := self._status(pipe)["executionState"]) != "RUNNING":
                raise WarehouseError(
                    f"the pipe {pipe.upper()} is {state}: resume it first, as docs/snowflake.md "
                    "shows under 'A pipe is paused or was revoked'"
                )

    def is_task_started(self) -> bool:
        """Return whether the root task runs when new rows have landed."""
        schema, _, name = TASK.partition(".")
        tasks = self._shown(f"SHOW TASKS LIKE '{name}' IN SCHEMA {self._database}.{schema}")
        return any(task["state"] == "started" for task in tasks)

    def pause(self) -> None:
        """Suspend the task and pause the pipes; wait until what they have begun is finished."""
        self._run(f"ALTER TASK {self._database}.{TASK} SUSPEND")
        for pipe in PIPES:
            self._set_paused(pipe, True)
        self._wait("a task or a pipe that is at work", lambda: not self._is_at_work())

    def newest(self) -> dict[str, str]:
        """Return the time of the newest row of each table that can hold the id."""
        newest = {}
        for table in REWRITTEN:
            ((moment,),) = self._rows(f"SELECT MAX(scanned_at) FROM {self._landing(table)}")
            if moment:
                newest[table] = moment.isoformat()
        return newest

    def rewrite_landing(self, lake: Lake, raw_keys: Sequence[str]) -> int:
        """Update the loaded rows that hold the id; return how many there were."""
        count = self._rewrite_purchases() + self._rewrite_quarantine()
        self._rewrite_receipts(lake, raw_keys)
        return count

    def resume_pipes(self, newest: dict[str, str]) -> None:
        """Resume the pipes, and delete the copies that they load of rewritten objects.

        A pipe remembers a name for 14 days. An object that was loaded earlier and is written again
        is loaded again (docs.snowflake.com/en/user-guide/data-load-snowpipe-intro).

        Args:
            newest: by table, the time of the newest row when the pipes were paused.
        """
        for pipe in PIPES:
            self._set_paused(pipe, False)
        self._wait("notices that wait in a pipe", lambda: not any(map(self._waiting, PIPES)))
        for table, moment in newest.items():
            name = self._landing(table)
            self._run(
                f"DELETE FROM {name} WHERE scanned_at > CAST(? AS TIMESTAMP_LTZ(6)) AND bronze_file"
                f" IN (SELECT bronze_file FROM {name} WHERE scanned_at <= "
                "CAST(? AS TIMESTAMP_LTZ(6)))",
                [moment, moment],
            )

    def build(self) -> None:
        """Build all models again, with the role that owns them."""
        self._run(f"USE ROLE {TRANSFORMER}")
        try:
            self._run(
                f"EXECUTE DBT PROJECT {self._database}.{PROJECT} "
                "ARGS = 'run --target snowflake --full-refresh'"
            )
        finally:
            self._run(f"USE ROLE {ROLE}")

    def resume_task(self) -> None:
        """Resume the task, so that it runs when new rows have arrived."""
        self._run(f"ALTER TASK {self._database}.{TASK} RESUME")

    def places(self) -> Iterator[str]:
        """Yield the columns of all tables that still hold the id, as schema.table.column.

        Views are skipped, because they store nothing.
        """
        columns = self._rows(
            "SELECT c.table_schema, c.table_name, c.column_name, c.data_type FROM "
            f"{self._database}.INFORMATION_SCHEMA.COLUMNS AS c JOIN "
            f"{self._database}.INFORMATION_SCHEMA.TABLES AS t ON t.table_schema = c.table_schema "
            "AND t.table_name = c.table_name WHERE t.table_type = 'BASE TABLE' "
            "AND t.table_schema <> 'INFORMATION_SCHEMA' ORDER BY 1, 2, c.ordinal_position"
        )
        tables: dict[str, dict[str, str]] = {}
        for schema, table, column, kind in columns:
            tables.setdefault(f"{schema}.{table}", {})[column.lower()] = kind
        for table, kinds in tables.items():
            for column, kind in kinds.items():
                if self._holds(f"{self._database}.{table}", column, kind, "source_file" in kinds):
                    yield f"{table}.{column}".lower()

    def kept(self, now: datetime) -> Kept:
        """Return until when Time Travel and Fail-safe keep changed and replaced rows."""
        tables = self._shown(f"SHOW TABLES IN DATABASE {self._database}")
        permanent = [table for table in tables if table["kind"] == "TABLE"]
        return Kept(
            now + _longest(tables),
            len(tables),
            now + _longest(permanent) + FAIL_SAFE,
            len(permanent),
        )

    def _rewrite_purchases(self) -> int:
        table = self._landing("purchases")
        rows = self._rows(
            f"SELECT source_file, source_line, ingested_at, customer_id FROM {table} "
            f"WHERE {self._is_near('customer_id')}"
        )
        places = [row[:3] for row in rows if row[3] == self._by.customer]
        for start in range(0, len(places), _ROWS_AT_A_TIME):
            some = places[start : start + _ROWS_AT_A_TIME]
            self._run(
                f"UPDATE {table} SET customer_id = ? WHERE {self._is_near('customer_id')} AND ("
                + " OR ".join([_PLACE] * len(some))
                + ")",
                [self._by.pseudonym, *(value for place in some for value in map(str, place))],
            )
        return len(places)

    def _rewrite_quarantine(self) -> int:
        table, count = self._landing("quarantine"), 0
        for source_file, line, ingested_at, raw, size in self._rows(
            f"SELECT source_file, source_line, ingested_at, raw, raw_size FROM {table} "
            "WHERE raw IS NOT NULL"
        ):
            new = self._by.line(raw, feed_of(source_file))
            if new != raw:
                self._run(
                    f"UPDATE {table} SET raw = TO_BINARY(?, 'HEX'), raw_size = ? WHERE {_PLACE}",
                    [
                        new[:MAX_LINE_BYTES].hex(),
                        size + len(new) - len(raw),
                        source_file,
                        str(line),
                        str(ingested_at),
                    ],
                )
                count += 1
        return count

    def _rewrite_receipts(self, lake: Lake, raw_keys: Sequence[str]) -> None:
        """Update the receipts of rewritten raw objects to the values that they have in the lake.

        From an old checksum somebody could find the id by trying.
        """
        for key, receipts in stored_receipts(lake, {}):
            for row in receipts:
                if row["source_file"] in raw_keys:
                    # A compacted object is not loaded: what it holds was loaded before.
                    renamed = ", bronze_file = ?" if stem_of(key) else ""
                    self._run(
                        f"UPDATE {self._landing('receipts')} SET size = ?, checksum = ?, "
                        f"unknown_fields = ?{renamed} WHERE source_file = ? AND modified_at = "
                        "CAST(? AS TIMESTAMP_NTZ(6))",
                        [
                            row["size"],
                            row["checksum"],
                            row["unknown_fields"],
                            *([key] if renamed else []),
                            row["source_file"],
                            str(row["modified_at"]),
                        ],
                    )

    def _holds(self, table: str, column: str, kind: str, has_source: bool) -> bool:
        """Return whether a column holds the id, by the same rules as the search in a home."""
        if kind == "BINARY":
            source = "source_file" if has_source else "NULL"
            rows = self._rows(f"SELECT {column}, {source} FROM {table} WHERE {column} IS NOT NULL")
            return any(
                self._by.line(line, feed_of(key) if key else PURCHASES) != line
                for line, key in rows
            )
        if kind not in ("TEXT", "VARCHAR") or column in OTHER_IDS:
            return False
        where = self._is_near(column) if column == "customer_id" else f"{column} IS NOT NULL"
        values = self._rows(f"SELECT DISTINCT {column} FROM {table} WHERE {where}")
        if column == "customer_id":
            return (self._by.customer,) in values
        return any(self._by.text(value) != value for (value,) in values)

    def _is_near(self, column: str) -> str:
        """Return SQL that is true for ids whose digest begins like that of the id.

        These are about one in 65,536.
        """
        digest = hashlib.sha256(self._by.customer.encode()).hexdigest()[:_DIGITS]
        return f"LEFT(SHA2({column}), {_DIGITS}) = '{digest}'"

    def _landing(self, table: str) -> str:
        return f"{self._database}.LANDING.{table.upper()}"

    def _set_paused(self, pipe: str, paused: bool) -> None:
        state = str(paused).upper()
        self._run(f"ALTER PIPE {self._landing(pipe)} SET PIPE_EXECUTION_PAUSED = {state}")

    def _status(self, pipe: str) -> dict[str, Any]:
        ((text,),) = self._rows(f"SELECT SYSTEM$PIPE_STATUS('{self._landing(pipe)}')")
        status: dict[str, Any] = json.loads(text)
        return status

    def _waiting(self, pipe: str) -> int:
        status = self._status(pipe)
        return int(status["pendingFileCount"]) + int(status["numOutstandingMessagesOnChannel"])

    def _is_at_work(self) -> bool:
        ((runs,),) = self._rows(
            f"SELECT COUNT(*) FROM TABLE({self._database}.INFORMATION_SCHEMA.CURRENT_TASK_GRAPHS("
            f"ROOT_TASK_NAME => '{TASK.partition('.')[2]}')) WHERE state = 'EXECUTING'"
        )
        return bool(runs) or any(self._status(pipe)["pendingFileCount"] for pipe in PIPES)

    def _wait(self, what: str, is_done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not is_done():
            if time.monotonic() > deadline:
                raise WarehouseError(
                    f"after an hour there still is {what}: see docs/snowflake.md, then 'medallion "
                    "forget --resume' goes on"
                )
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    def _run(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        return self._session.execute(sql, parameters)

    def _shown(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of a SHOW statement, by column."""
        answer = self._run(sql)
        names = [name for (name,) in answer.description]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]

    def _rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._session.execute(sql, parameters).fetchall()


_PLACE = (
    "(source_file = ? AND source_line = CAST(? AS NUMBER(38,0)) "
    "AND ingested_at = CAST(? AS TIMESTAMP_NTZ(6)))"
)


def _longest(tables: list[dict[str, Any]]) -> timedelta:
    return timedelta(days=max((int(table["retention_time"]) for table in tables), default=0))


@contextmanager
def account_eraser(account: SnowflakeAccount, by: Replacement) -> Iterator[AccountEraser]:
    """Open an eraser of an account.

    Raises:
        SettingsError: the role cannot write what the pipes have loaded.
    """
    if account.role.upper() != ROLE:
        raise SettingsError(
            f"forgetting in Snowflake needs the role {ROLE}, which owns LANDING: set "
            f"SNOWFLAKE_ROLE={ROLE}, and SNOWFLAKE_USER to a user with this role and your key"
        )
    with open_snowflake(account) as session:
        yield AccountEraser(session, account, by)
