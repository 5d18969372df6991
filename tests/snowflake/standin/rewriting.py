"""Statements on rows as fakesnow can run them, where it cannot run them as they stand."""

from __future__ import annotations

import re
from typing import Any

from tests.snowflake.standin.session import Session

_TEMPORARY = re.compile(
    r"(CREATE\s+(?:OR\s+REPLACE\s+)?)(?:TEMPORARY|TEMP)\s+(?=(?:TABLE|VIEW)\s)", re.I
)
_PIPE_STATUS = re.compile(r"SYSTEM\$PIPE_STATUS\s*\(\s*'([^']+)'\s*\)", re.I)


def rewritten(standin: Any, session: Session, sql: str) -> str:
    """The statement in words that fakesnow knows. Nothing is left out that changes rows."""
    # DuckDB has no temporary table in a schema; the names are those of one run alone.
    sql = _TEMPORARY.sub(r"\1", sql)
    for name in _PIPE_STATUS.findall(sql):
        session.require("MONITOR", ("PIPE", session.full_name(name)))
    return _PIPE_STATUS.sub(r"system_pipe_status('\1')", sql)
