"""Statements on rows as fakesnow can run them, where it cannot run them as they stand."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

from tests.snowflake.standin.account import refusal
from tests.snowflake.standin.dbt_projects import VERSIONS
from tests.snowflake.standin.session import Session, rows_sql

_TEMPORARY = re.compile(
    r"(CREATE\s+(?:OR\s+REPLACE\s+)?)(?:TEMPORARY|TEMP)\s+(?=(?:TABLE|VIEW)\s)", re.I
)
_RECENT = re.compile(
    r"TABLE\(\s*[\w.]*INFORMATION_SCHEMA\.COPY_HISTORY\(\s*TABLE_NAME\s*=>\s*'([\w.]+)'\s*,\s*"
    r"START_TIME\s*=>\s*DATEADD\('day',\s*-14,\s*CURRENT_TIMESTAMP\(\)\)\s*\)\s*\)",
    re.I,
)
_GRAPHS = re.compile(
    r"TABLE\(\s*(\w+)\.INFORMATION_SCHEMA\.CURRENT_TASK_GRAPHS\(\s*ROOT_TASK_NAME\s*=>\s*'(\w+)'"
    r"\s*\)\s*\)",
    re.I,
)
_ALERTS = re.compile(
    r"TABLE\(\s*\w+\.INFORMATION_SCHEMA\.ALERT_HISTORY\(\s*SCHEDULED_TIME_RANGE_START\s*=>\s*"
    r"DATEADD\('day',\s*-(\d+),\s*CURRENT_TIMESTAMP\(\)\)\s*(?:,\s*RESULT_LIMIT\s*=>\s*(\d+)\s*)?\)"
    r"\s*\)",
    re.I,
)
_HISTORY = re.compile(r"\bSNOWFLAKE\.ACCOUNT_USAGE\.COPY_HISTORY\b", re.I)
_PIPE_STATUS = re.compile(r"SYSTEM\$PIPE_STATUS\s*\(\s*'([^']+)'\s*\)", re.I)


def rewritten(standin: Any, session: Session, sql: str) -> str:
    """The statement in words that fakesnow knows. Nothing is left out that changes rows."""
    # DuckDB has no temporary table in a schema; the names are those of one run alone.
    sql = _TEMPORARY.sub(r"\1", sql)
    for name in _PIPE_STATUS.findall(sql):
        session.require("MONITOR", ("PIPE", session.full_name(name)))
    sql = _PIPE_STATUS.sub(r"system_pipe_status('\1')", sql)
    sql = _RECENT.sub(lambda match: _recent(session, match[1]), sql)
    sql = re.sub(r"\bCURRENT_ROLE\(\)", f"'{session.role}'", sql, flags=re.I)
    versions = json.dumps([{"dbt_version": version} for version in VERSIONS])
    sql = re.sub(r"SYSTEM\$SUPPORTED_DBT_VERSIONS\(\)", f"'{versions}'", sql, flags=re.I)
    sql = _ALERTS.sub(
        lambda match: _alerts(standin, session, int(match[1]), int(match[2] or 100)), sql
    )
    sql = _GRAPHS.sub(lambda match: _graphs(standin, session, match[2]), sql)
    # COPY_HISTORY shows only tables on which the role (of a view: its owner) holds a privilege
    # (docs.snowflake.com/en/sql-reference/account-usage/copy_history).
    return _HISTORY.sub(
        rf"(SELECT * FROM \g<0> WHERE standin_sees('{session.role}', TABLE_CATALOG_NAME || '.' || "
        "TABLE_SCHEMA_NAME || '.' || TABLE_NAME)) AS copies",
        sql,
    )


def _recent(session: Session, table: str) -> str:
    """COPY_HISTORY of one table, at once, of the last 14 days."""
    name = session.full_name(table)
    session.account.reach(session.role, ("TABLE", name))
    return (
        f"(SELECT * FROM SNOWFLAKE.ACCOUNT_USAGE.ALL_COPIES WHERE full_name = '{name}' "
        f"AND standin_sees('{session.role}', full_name))"
    )


def _alerts(standin: Any, session: Session, days: int, limit: int) -> str:
    """ALERT_HISTORY: the runs of alerts within some days, at most seven."""
    if days > 7:
        raise refusal("the time range is not within the last 7 days")
    columns = ["name", "state", "sql_error_message", "scheduled_time"]
    since = standin.loader.now() - timedelta(days=days)
    rows = [
        [run.name.split(".")[-1], run.state, run.outcome if "FAILED" in run.state else None, run.at]
        for run in standin.alerts.history(session.role, since, limit)
    ]
    return f"({rows_sql(columns, rows)}) AS runs"


def _graphs(standin: Any, session: Session, root: str) -> str:
    """CURRENT_TASK_GRAPHS: the runs of a root task that execute now, to who has a privilege on it
    (docs.snowflake.com/en/sql-reference/functions/current_task_graphs)."""
    running = [
        name
        for name in standin.tasks.executing
        if name.endswith(f".{root.upper()}") and session.account.sees(session.role, ("TASK", name))
    ]
    rows = [[name, "EXECUTING"] for name in running]
    return f"({rows_sql(['root_task_name', 'state'], rows)}) AS graphs"
