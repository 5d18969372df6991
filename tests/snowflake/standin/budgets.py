"""Budgets: objects of the class SNOWFLAKE.CORE.BUDGET and their methods
(docs.snowflake.com/en/sql-reference/classes/budget). Settings are recorded; nothing is measured."""

from __future__ import annotations

import re

from tests.snowflake.standin.account import ACCOUNT, Thing, refusal
from tests.snowflake.standin.session import Session, said

_CREATE = re.compile(
    r"CREATE\s+SNOWFLAKE\.CORE\.BUDGET\s+(IF\s+NOT\s+EXISTS\s+)?([\w.]+)\s*\(\s*\)", re.I
)
_CALL = re.compile(r"CALL\s+([\w.]+)!(\w+)\s*\((.*)\)", re.I | re.S)
_REFERENCE = re.compile(
    r"\s*SELECT\s+SYSTEM\$REFERENCE\(\s*'(DATABASE|WAREHOUSE)'\s*,\s*'(\w+)'\s*,\s*'SESSION'\s*,"
    r"\s*'APPLYBUDGET'\s*\)\s*",
    re.I,
)


def create(session: Session, sql: str) -> str:
    """CREATE SNOWFLAKE.CORE.BUDGET. ACCOUNTADMIN may; others are not known here."""
    if not (match := _CREATE.fullmatch(sql)):
        raise refusal(f"syntax error: '{sql[:80]}'")
    key = ("BUDGET", session.full_name(match[2]))
    session.require("CREATE RESOURCE MONITOR", ACCOUNT)
    if key in session.account.things:
        if match[1]:
            return said(f"{key[1]} already exists, statement succeeded.")
        raise refusal(f"Object '{key[1]}' already exists.", 2002, "42710")
    session.account.add(key, Thing(session.role))
    return said(f"Budget {key[1]} successfully created.")


def call(session: Session, sql: str) -> str:
    """CALL of a method of a budget."""
    if not (match := _CALL.fullmatch(sql)):
        raise refusal(f"syntax error: '{sql[:80]}'")
    key = ("BUDGET", session.full_name(match[1]))
    session.require("OWNERSHIP", key)
    properties, method = session.account.things[key].properties, match[2].upper()
    if method == "ADD_RESOURCE" and (resource := _REFERENCE.fullmatch(match[3])):
        what = (resource[1].upper(), resource[2].upper())
        session.require("OWNERSHIP", what)
        properties[" ".join(what)] = "ADDED"
    elif method == "SET_SPENDING_LIMIT" and re.fullmatch(r"\d+", match[3]):
        properties["LIMIT"] = match[3]
    elif method == "SET_EMAIL_NOTIFICATIONS" and re.fullmatch(r"'[^']+@[^']+'", match[3]):
        properties["EMAIL"] = match[3]
    else:
        raise refusal(f"the stand-in does not know {sql[:80]!r}")
    return said(f"{method} succeeded.")
