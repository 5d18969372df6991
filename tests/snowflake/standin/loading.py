"""COPY INTO a table from Parquet in a stage, by column name, with a load history."""

from __future__ import annotations

import io
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from snowflake.connector.errors import ProgrammingError

from tests.snowflake.standin.account import missing, plain, read_properties, refusal
from tests.snowflake.standin.buckets import Aws, S3Object
from tests.snowflake.standin.objects import PROPERTIES
from tests.snowflake.standin.session import Session, rows_sql, said

HISTORY = "_fs_global.main.load_history"
HISTORY_COLUMNS = (
    "table_name VARCHAR, pipe_name VARCHAR, file_name VARCHAR, etag VARCHAR, status VARCHAR, "
    "row_count BIGINT, first_error_message VARCHAR, last_load_time TIMESTAMP"
)
DAYS_OF_A_TABLE, DAYS_OF_A_PIPE = 64, 14
"""How long the load history of a table (COPY) and of a pipe is kept."""

RESULT = [
    "file",
    "status",
    "rows_parsed",
    "rows_loaded",
    "error_limit",
    "errors_seen",
    "first_error",
    "first_error_line",
    "first_error_character",
    "first_error_column_name",
]
METADATA = {
    "METADATA$FILENAME",
    "METADATA$FILE_ROW_NUMBER",
    "METADATA$FILE_CONTENT_KEY",
    "METADATA$FILE_LAST_MODIFIED",
    "METADATA$START_SCAN_TIME",
}
_COPY = re.compile(
    r"COPY\s+INTO\s+([\w.\"]+)\s+FROM\s+@([\w.\"]+)(/[\w./=-]*)?(\s.*)?", re.I | re.S
)
OPTIONS = {
    "FILE_FORMAT",
    "PATTERN",
    "FILES",
    "ON_ERROR",
    "FORCE",
    "MATCH_BY_COLUMN_NAME",
    "INCLUDE_METADATA",
}
NOT_IN_PIPES = {"FILES", "FORCE"}


@dataclass(frozen=True)
class Copy:
    """A COPY statement that was read and whose objects exist."""

    table: str
    stage: str
    path: str
    url: str
    options: dict[str, str]
    format: dict[str, str]

    @property
    def includes(self) -> dict[str, str]:
        """Column by column of the table: the metadata that goes there."""
        text = self.options.get("INCLUDE_METADATA", "()")[1:-1]
        pairs = [part.split("=") for part in text.split(",") if part.strip()]
        return {name.strip().upper(): value.strip().upper() for name, value in pairs}


def read_copy(session: Session, sql: str, *, pipe: bool = False) -> Copy:
    """Reads a COPY statement. Raises on all that the stand-in does not do."""
    match = _COPY.fullmatch(sql.strip())
    if not match:
        raise refusal(f"the stand-in knows COPY INTO table FROM @stage only: '{sql[:80]}'")
    options = read_properties(match[4] or "", OPTIONS - (NOT_IN_PIPES if pipe else set()))
    table, stage = session.full_name(match[1]), session.full_name(match[2])
    for key in (("TABLE", table), ("STAGE", stage)):
        if key not in session.account.things:
            raise missing(*key)
    at = session.account.things["STAGE", stage]
    path = (match[3] or "").lstrip("/")
    url = plain(at.properties["URL"]).rstrip("/") + "/" + path
    described = options.get("FILE_FORMAT") or at.properties.get("FILE_FORMAT", "()")
    copy = Copy(table, stage, path, url, options, _format(session, described))
    if copy.format.get("TYPE", "CSV").upper() != "PARQUET":
        raise refusal("the stand-in loads Parquet only")
    if options.get("MATCH_BY_COLUMN_NAME", "NONE").upper() != "CASE_INSENSITIVE":
        raise refusal(
            "PARQUET file format can produce one and only one column of type variant, object, or "
            "array. Load data into separate columns using the MATCH_BY_COLUMN_NAME copy option.",
            2019,
            "0A000",
        )
    if unknown := set(copy.includes.values()) - METADATA:
        raise refusal(f"invalid metadata column {sorted(unknown)}")
    return copy


def _format(session: Session, text: str) -> dict[str, str]:
    given = read_properties(text[1:-1], {"FORMAT_NAME"} | PROPERTIES["FILE FORMAT"])
    if "FORMAT_NAME" not in given:
        return given
    name = session.full_name(plain(given["FORMAT_NAME"]))
    session.require("USAGE", ("FILE FORMAT", name))
    return session.account.things["FILE FORMAT", name].properties


class Loader:
    """Loads files and remembers which. Its clock may run ahead of the world's."""

    def __init__(self, engine: Any, aws: Aws) -> None:
        self._db, self.aws = engine, aws
        self._passed: list[tuple[datetime, timedelta]] = []
        self._db.execute(f"CREATE TABLE IF NOT EXISTS {HISTORY} ({HISTORY_COLUMNS})")

    def now(self) -> datetime:
        """The time by the account's clock, UTC without a zone."""
        return self.moment(datetime.now(UTC)).replace(tzinfo=None)

    def moment(self, at: datetime) -> datetime:
        """What the account's clock showed at a moment of the world's clock."""
        return at + sum((passed for since, passed in self._passed if since <= at), timedelta())

    def pass_time(self, passed: timedelta) -> None:
        """Lets time pass. Ends with the second that it began in: S3 tells whole seconds, and what
        is written from then on must be younger."""
        self._passed.append((datetime.now(UTC), passed))
        time.sleep(1 - time.time() % 1)

    def copy(self, session: Session, sql: str) -> str:
        """COPY INTO as a statement of a session."""
        copy = read_copy(session, sql)
        session.compute()
        self.may_load(session, copy)
        files = list(self.aws.list(copy.url))
        if "FILES" in copy.options:
            wanted = re.findall(r"'([^']*)'", copy.options["FILES"])
            named = {f.url[len(copy.url) :].lstrip("/"): f for f in files}
            if absent := [name for name in wanted if name not in named]:
                raise refusal(
                    f"Remote file '{copy.url}{absent[0]}' was not found.", 100016, "22000"
                )
            files = [named[name] for name in wanted]
        rows = self.load(session, copy, files)
        return rows_sql(RESULT, rows) if rows else said("Copy executed with 0 files processed.")

    def may_load(self, session: Session, copy: Copy) -> None:
        """Raises unless the role may insert into the table and read the stage."""
        session.require("INSERT", ("TABLE", copy.table))
        session.require("USAGE", ("STAGE", copy.stage))

    def load(
        self,
        session: Session,
        copy: Copy,
        files: list[S3Object],
        pipe: str | None = None,
        *,
        refresh: bool = False,
    ) -> list[list[Any]]:
        """Loads the files that the history does not know, the last name first: nobody may rely on
        an order (the account promises none), and the embedded loader takes the first one first."""
        rows, pattern = [], plain(copy.options.get("PATTERN")) or ".*"
        force = copy.options.get("FORCE", "FALSE").upper() == "TRUE"
        skips = (
            copy.options.get("ON_ERROR") or ("SKIP_FILE" if pipe else "ABORT_STATEMENT")
        ).upper()
        if skips not in ("SKIP_FILE", "ABORT_STATEMENT"):
            raise refusal(f"the stand-in does not know ON_ERROR = {skips}")
        for file in sorted(files, key=lambda f: f.key, reverse=True):
            if not re.fullmatch(pattern.replace("\\\\", "\\"), file.url[len(copy.url) :]):
                continue
            if not force and self._known(copy.table, pipe, file, refresh):
                if not pipe:
                    rows.append([file.key, "LOAD_SKIPPED", 0, 0, 1, 1, "File was loaded before."])
                continue
            rows.append(self._one(session, copy, file, pipe, skips == "SKIP_FILE"))
        return [row + [None] * (len(RESULT) - len(row)) for row in rows]

    def _known(self, table: str, pipe: str | None, file: S3Object, refresh: bool) -> bool:
        """A pipe knows a file by its name, whatever it holds now, and also where it could not load
        it (docs.snowflake.com/en/user-guide/data-load-snowpipe-ts, "Unable to reload modified
        data"); a table knows by name and content what a COPY has loaded into it."""
        now = self.now()
        by_pipe, by_table = (
            self._db.cursor()
            .execute(
                f"""SELECT count(*) FILTER (pipe_name IS NOT DISTINCT FROM $pipe AND pipe_name IS
                NOT NULL AND last_load_time > $pipe_since), count(*) FILTER (pipe_name IS NULL AND
                status = 'Loaded' AND etag = $etag AND last_load_time > $table_since) FROM {HISTORY}
                WHERE table_name = $table AND file_name = $file""",
                {
                    "pipe": pipe,
                    "etag": file.etag,
                    "table": table,
                    "file": file.key,
                    "pipe_since": now - timedelta(days=DAYS_OF_A_PIPE),
                    "table_since": now - timedelta(days=DAYS_OF_A_TABLE),
                },
            )
            .fetchall()[0]
        )
        return bool(by_pipe or (by_table and (refresh or not pipe)))

    def _one(
        self, session: Session, copy: Copy, file: S3Object, pipe: str | None, skip: bool
    ) -> list[Any]:
        try:
            count, problem = self._insert(session, copy, file), None
        except Exception as error:
            if not skip:
                raise ProgrammingError(msg=str(error), errno=100038, sqlstate="22018") from error
            count, problem = 0, str(error).splitlines()[0][:300]
        outcome = "Load failed" if problem else "Loaded"
        self._db.cursor().execute(
            f"INSERT INTO {HISTORY} VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [copy.table, pipe, file.key, file.etag, outcome, count, problem, self.now()],
        )
        state = "LOAD_FAILED" if problem else "LOADED"
        return [file.key, state, count, count, 1, int(bool(problem)), problem]

    def _insert(self, session: Session, copy: Copy, file: S3Object) -> int:
        rows = pq.read_table(io.BytesIO(self.aws.read(file)))
        columns = {name.upper(): name for name in rows.column_names}
        includes, db = copy.includes, self._db.cursor()
        targets = db.execute(f"DESCRIBE {copy.table}").fetchall()
        chosen = {}
        for name, kind, nullable, *_ in targets:
            if name.upper() in includes:
                chosen[name] = _METADATA_SQL[includes[name.upper()]]
            elif name.upper() in columns:
                source = columns[name.upper()]
                _readable(rows.column(source), source, kind, copy.format)
                chosen[name] = f"CAST({_value(rows.schema.field(source), copy)} AS {kind})"
            elif nullable == "NO":
                raise ValueError(f"NULL result in a non-nullable column {name}")
        if not set(columns) & {name.upper() for name in chosen}:
            raise ValueError("no column of the file is in the table")
        names, values = ", ".join(chosen), ", ".join(chosen.values())
        metadata = {
            "key": file.key,
            "etag": file.etag,
            "modified": self.moment(file.modified),
            "scan": self.now().replace(tzinfo=UTC),
        }
        db.register("_arriving", rows)
        used = {k: v for k, v in metadata.items() if f"${k}" in values}
        db.execute(f"INSERT INTO {copy.table} ({names}) SELECT {values} FROM _arriving", used)
        db.unregister("_arriving")
        return int(rows.num_rows)


_METADATA_SQL = {
    "METADATA$FILENAME": "$key",
    "METADATA$FILE_ROW_NUMBER": "row_number() OVER ()",
    "METADATA$FILE_CONTENT_KEY": "$etag",
    "METADATA$FILE_LAST_MODIFIED": "CAST($modified AS TIMESTAMPTZ)",
    "METADATA$START_SCAN_TIME": "CAST($scan AS TIMESTAMPTZ)",
}


def _value(column: pa.Field, copy: Copy) -> str:
    r"""Return SQL for a column of a file, with NULL for the texts of NULL_IF: \N unless the format
    names others (docs.snowflake.com/en/sql-reference/sql/copy-into-table, TYPE = PARQUET)."""
    value = f'"{column.name}"'
    if _is_text(column.type):
        for text in re.findall(r"'((?:[^']|'')*)'", copy.format.get("NULL_IF", r"('\N')")):
            value = f"NULLIF({value}, '{text}')"
    return value


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _readable(column: pa.ChunkedArray, name: str, kind: str, file_format: dict[str, str]) -> None:
    """Raise where the account would read a column otherwise than it was written, or not at all.

    An empty value in a column that is matched by name is an error (copy-into-table, Note under
    MATCH_BY_COLUMN_NAME, "Parquet data only"). The vectorized scanner reads logical types, and
    bytes as bytes, whatever else the format says (USE_VECTORIZED_SCANNER there).
    """
    if file_format.get("USE_VECTORIZED_SCANNER", "FALSE").upper() == "TRUE":
        file_format = {"USE_LOGICAL_TYPE": "TRUE", "BINARY_AS_TEXT": "FALSE"}
    if pa.types.is_timestamp(column.type):
        if file_format.get("USE_LOGICAL_TYPE", "FALSE").upper() != "TRUE":
            raise ValueError(f"{name}: a number without USE_LOGICAL_TYPE = TRUE")
        if column.type.tz and kind == "TIMESTAMP":
            raise ValueError(f"{name}: its zone would be that of the session")
    is_binary = pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)
    if is_binary and file_format.get("BINARY_AS_TEXT", "TRUE").upper() != "FALSE":
        raise ValueError(f"{name}: read as text without BINARY_AS_TEXT = FALSE")
    has_length = is_binary or _is_text(column.type)
    if has_length and pc.any(pc.equal(pc.binary_length(column), 0)).as_py():
        raise ValueError(f"{name}: an empty value cannot be loaded by column name")
