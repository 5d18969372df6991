"""Alerts on a schedule: CREATE ALERT, ALTER ALERT, and what happens when all of them fall due.

The rules are those of docs.snowflake.com/en/sql-reference/sql/create-alert, .../sql/alter-alert and
.../stored-procedures/system_send_snowflake_notification."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any, NamedTuple

from tests.snowflake.standin.account import (
    ACCOUNT,
    Thing,
    plain,
    read_properties,
    refusal,
)
from tests.snowflake.standin.session import DONE, Session, said

_CREATE = re.compile(
    r"CREATE\s+(?P<how>OR\s+REPLACE\s+|OR\s+ALTER\s+)?ALERT\s+(?P<if_missing>IF\s+NOT\s+EXISTS\s+)?"
    r"(?P<name>[\w.]+)\s+(?P<properties>.*?)\s*\bIF\s*\(\s*EXISTS\s*\((?P<condition>.*)\)\s*\)"
    r"\s*THEN\s+(?P<action>.*)",
    re.I | re.S,
)
_ALTER = re.compile(
    r"ALTER\s+ALERT\s+(?P<if_there>IF\s+EXISTS\s+)?(?P<name>[\w.]+)\s+(?P<verb>RESUME|SUSPEND)",
    re.I,
)
_CALL = re.compile(
    r"CALL\s+SYSTEM\$SEND_SNOWFLAKE_NOTIFICATION\s*\(\s*'((?:[^']|'')*)'\s*,\s*'((?:[^']|'')*)'\s*\)",
    re.I,
)
_EVERY = re.compile(r"(\d+)\s+(?:M|MINUTE)", re.I)
_CRON = re.compile(r"USING\s+CRON(\s+[\w*/,-]+){5}\s+[\w/+-]+", re.I)
PROPERTIES = {"SCHEDULE", "WAREHOUSE", "COMMENT", "RUNBOOK", "SUSPEND_ALERT_AFTER_NUM_FAILURES"}
LONGEST = 11_520
"""Minutes; an alert with a longer interval would never be evaluated."""
CONTENT_TYPES = {"text/plain", "text/html", "application/json"}


class Run(NamedTuple):
    """One evaluation of an alert; what a failed one ended with, or what was sent."""

    name: str
    state: str
    outcome: Any
    at: datetime


class Alerts:
    """The alerts of an account; they fall due when the world says so."""

    def __init__(self, standin: Any) -> None:
        self._standin, self._account = standin, standin.account
        self._runs: list[Run] = []

    def run(self, session: Session, sql: str) -> str:
        """CREATE ALERT and ALTER ALERT."""
        if match := _ALTER.fullmatch(sql):
            return self._resume(session, match)
        if not (match := _CREATE.fullmatch(sql)):
            raise refusal(f"syntax error or unknown to the stand-in: '{sql[:80]}'")
        how, key = (match["how"] or "").upper().split(), ("ALERT", session.full_name(match["name"]))
        if how and match["if_missing"]:
            raise refusal(f"syntax error: IF NOT EXISTS beside {' '.join(how)}")
        old = self._account.things.get(key)
        if old and how:
            session.require("OWNERSHIP", key)
        if not (old and how == ["OR", "ALTER"]):
            session.require("CREATE ALERT", ("SCHEMA", key[1].rpartition(".")[0]))
        if old and not how:
            if match["if_missing"]:
                return said(f"{key[1]} already exists, statement succeeded.")
            raise refusal(f"Object '{key[1]}' already exists.", 2002, "42710")
        thing = Thing(session.role, read_properties(match["properties"], PROPERTIES))
        _check_schedule(plain(thing.properties.get("SCHEDULE")))
        self._may_run(thing)
        thing.body = " ".join(match["action"].split())
        thing.state["condition"] = match["condition"].strip()
        if old and how == ["OR", "ALTER"]:  # grants stay, and whether it runs
            thing.owner = old.owner
            thing.state["started"] = old.state.get("started", False)
            self._account.things[key] = thing
            return said(f"Alert {key[1]} successfully altered.")
        self._account.add(key, thing)
        return said(f"Alert {key[1]} successfully created.")

    def _may_run(self, thing: Thing) -> None:
        """Raise unless the owner may run an alert: serverless, or in its warehouse."""
        self._account.require(thing.owner, "EXECUTE ALERT", ACCOUNT)
        if warehouse := thing.properties.get("WAREHOUSE"):
            self._account.require(thing.owner, "USAGE", ("WAREHOUSE", warehouse.upper()))
        else:
            self._account.require(thing.owner, "EXECUTE MANAGED ALERT", ACCOUNT)

    def _resume(self, session: Session, match: re.Match[str]) -> str:
        key = ("ALERT", session.full_name(match["name"]))
        if match["if_there"] and key not in self._account.things:
            return DONE
        session.require("OPERATE", key)
        thing, resumes = self._account.things[key], match["verb"].upper() == "RESUME"
        if resumes:
            self._may_run(thing)
        thing.state["started"] = resumes
        return DONE

    def fall_due(self) -> dict[str, Any]:
        """Evaluate every alert that is not suspended, as its owner.

        Returns, by name, the state that ALERT_HISTORY would show, and what was sent or the error:
        condition and action are looked at only now.
        """
        done = {
            name: self._evaluate(name, thing)
            for (kind, name), thing in list(self._account.things.items())
            if kind == "ALERT" and thing.state.get("started")
        }
        now = self._standin.loader.now()
        self._runs += [Run(name, state, problem, now) for name, (state, problem) in done.items()]
        return done

    def history(self, role: str, since: datetime, limit: int) -> list[Run]:
        """Return the newest runs, as ALERT_HISTORY shows them: to ACCOUNTADMIN and to the owners
        (docs.snowflake.com/en/sql-reference/functions/alert_history)."""
        runs = [
            run
            for run in reversed(self._runs)
            if run.at >= since
            and ("ALERT", run.name) in self._account.things
            and role in ("ACCOUNTADMIN", self._account.things["ALERT", run.name].owner)
        ]
        return runs[:limit]

    def _evaluate(self, name: str, thing: Thing) -> tuple[str, Any]:
        warehouse = thing.properties.get("WAREHOUSE", "").upper()
        session = self._standin.system_session(thing.owner, name, warehouse or None)
        session.serverless = not warehouse
        try:
            self._may_run(thing)
            prepared = self._standin.prepare(session, thing.state["condition"])
            rows = session.engine.cursor().execute(prepared.sql).fetchall()
        except Exception as error:
            return "CONDITION_FAILED", str(error)
        if not rows:
            return "CONDITION_FALSE", None
        try:
            return "TRIGGERED", self._sent(session, thing.body)
        except Exception as error:
            return "ACTION_FAILED", str(error)

    def _sent(self, session: Session, action: str) -> dict[str, Any]:
        """Return text and recipients of what an action sends."""
        if not (call := _CALL.fullmatch(action)):
            raise refusal(f"the stand-in does not know {action[:80]!r}")
        message, configuration = (json.loads(text.replace("''", "'")) for text in call.groups())
        ((name, options),) = configuration.items()
        key = ("INTEGRATION", name.upper())
        session.require("USAGE", key)
        if unknown := set(message) - CONTENT_TYPES:
            raise refusal(f"unknown content type {sorted(unknown)}")
        properties = self._account.things[key].properties
        if options or properties.get("TYPE", "").upper() != "EMAIL":
            raise refusal("the stand-in knows e-mails to the default recipients only")
        recipients = re.findall(r"'([^']*)'", properties.get("DEFAULT_RECIPIENTS", ""))
        allowed = re.findall(r"'([^']*)'", properties.get("ALLOWED_RECIPIENTS", ""))
        if not recipients or (allowed and not set(recipients) <= set(allowed)):
            raise refusal("no recipient, or one that is not allowed")
        return {"message": message, "to": recipients}


def _check_schedule(schedule: str) -> None:
    """Raise unless a schedule can be used. Alerts on new data, without one, are not known here."""
    every = _EVERY.fullmatch(schedule)
    if not (_CRON.fullmatch(schedule) or (every and 0 < int(every[1]) <= LONGEST)):
        raise refusal(f"invalid SCHEDULE {schedule!r}")
