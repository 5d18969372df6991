"""A session: who is signed in, in which role, with which warehouse."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.snowflake.standin.account import Account, Key, missing


@dataclass
class Session:
    """One connection of a client; `engine` is fakesnow's side of it."""

    account: Account
    engine: Any
    user: str
    role: str
    warehouse: str | None = None
    query_tag: str = ""
    search_path: tuple[str, ...] = ()
    autocommit: bool = True
    serverless: bool = False
    state: dict[str, Any] = field(default_factory=dict)

    def full_name(self, name: str) -> str:
        """A name of a schema's object with its database and schema, in capitals."""
        parts = [part.strip().strip('"').upper() for part in name.split(".")]
        before = [self.engine.database or "", self.engine.schema or ""]
        return ".".join([*before[: 3 - len(parts)], *parts]) if len(parts) < 3 else ".".join(parts)

    def schema_name(self, name: str) -> str:
        """A name of a schema with its database, in capitals."""
        parts = [part.strip().strip('"').upper() for part in name.split(".")]
        return ".".join(parts if len(parts) > 1 else [self.engine.database or "", *parts])

    def require(self, privilege: str, key: Key) -> None:
        """Raises unless the role of the session holds a privilege."""
        self.account.require(self.role, privilege, key)

    def compute(self) -> None:
        """Raises unless there is a warehouse that the role may use, or none is needed."""
        if self.serverless:
            return
        if not self.warehouse:
            raise missing("WAREHOUSE", "(none selected in this session)")
        self.require("USAGE", ("WAREHOUSE", self.warehouse))


def literal(value: Any) -> str:
    """A value as SQL text."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return str(value)
    return "'" + str(value).replace("\\", "\\\\").replace("'", "''") + "'"


def rows_sql(columns: list[str], rows: list[list[Any]]) -> str:
    """A query that yields these rows."""
    if not rows:
        empty = ", ".join(f'NULL::VARCHAR AS "{c}"' for c in columns)
        return f"SELECT {empty} WHERE 1 = 0"
    return " UNION ALL ".join(
        "SELECT "
        + ", ".join(
            f'{literal(v)}{"::VARCHAR" if v is None else ""} AS "{c}"'
            for c, v in zip(columns, row, strict=True)
        )
        for row in rows
    )


def said(message: str) -> str:
    """A query that yields one line of status."""
    return rows_sql(["status"], [[message]])


DONE = said("Statement executed successfully.")
