"""Pipes: a COPY that runs by itself for every object that a topic tells of."""

from __future__ import annotations

import json
import re
import threading
import traceback
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from tests.snowflake.standin.account import (
    CONTAINED,
    Account,
    Thing,
    missing,
    plain,
    read_properties,
    refusal,
)
from tests.snowflake.standin.buckets import S3Object
from tests.snowflake.standin.loading import DAYS_OF_A_PIPE, HISTORY, Copy, Loader, read_copy
from tests.snowflake.standin.session import DONE, Session, rows_sql, said

PROPERTIES = {"AUTO_INGEST", "ERROR_INTEGRATION", "AWS_SNS_TOPIC", "COMMENT"}
_CREATE = re.compile(
    r"CREATE\s+(OR\s+REPLACE\s+)?PIPE\s+(IF\s+NOT\s+EXISTS\s+)?([\w.\"]+)\s(.*?)\bAS\s+(COPY\s+INTO\s.*)",
    re.I | re.S,
)
_ALTER = re.compile(
    r"ALTER\s+PIPE\s+(?:IF\s+EXISTS\s+)?([\w.\"]+)\s+(SET|REFRESH)\b(.*)", re.I | re.S
)
_DROP = re.compile(r"DROP\s+PIPE\s+(IF\s+EXISTS\s+)?([\w.\"]+)", re.I)
_RESUME = re.compile(
    r"SELECT\s+SYSTEM\$PIPE_FORCE_RESUME\s*\(\s*'([^']+)'\s*(?:,\s*'([^']*)'\s*)?\)", re.I
)
DAYS_OF_A_REFRESH = 7
_SECONDS_OF_REST = 20.0
"""Between two looks at the queues that nobody asked for; each look is a request for each pipe."""


class Pipes:
    """The pipes of an account, and the thread that feeds them."""

    def __init__(self, account: Account, loader: Loader, lock: Any, new_session: Any) -> None:
        self._account, self._loader, self._lock = account, loader, lock
        self._new_session = new_session
        self._asked = threading.Event()
        threading.Thread(target=self._feed, daemon=True).start()

    def run(self, session: Session, sql: str) -> str:
        """CREATE, ALTER and DROP PIPE."""
        if match := _CREATE.fullmatch(sql):
            return self._create(session, match)
        if match := _ALTER.fullmatch(sql):
            return self._alter(session, match)
        if match := _DROP.fullmatch(sql):
            key = ("PIPE", session.full_name(match[2]))
            if key not in self._account.things and not match[1]:
                raise missing(*key)
            session.require("OWNERSHIP", key)
            self._gone(key[1])
            return said(f"{key[1]} successfully dropped.")
        raise refusal(f"syntax error: '{sql[:80]}'")

    def _gone(self, name: str) -> None:
        """A pipe takes its load history with it."""
        self._account.forget(("PIPE", name))
        self._loader._db.cursor().execute(f"DELETE FROM {HISTORY} WHERE pipe_name = ?", [name])

    def _create(self, session: Session, match: re.Match[str]) -> str:
        replace, if_missing, name = match[1], match[2], session.full_name(match[3])
        properties = read_properties(match[4], PROPERTIES)
        session.require("CREATE PIPE", ("SCHEMA", name.rpartition(".")[0]))
        if ("PIPE", name) in self._account.things:
            if if_missing:
                return said(f"{name} already exists, statement succeeded.")
            if not replace:
                raise refusal(f"Object '{name}' already exists.", 2002, "42710")
            session.require("OWNERSHIP", ("PIPE", name))
        copy = read_copy(session, match[5], pipe=True)
        self._may_run(session, copy)
        if errors := properties.get("ERROR_INTEGRATION"):
            session.require("USAGE", ("INTEGRATION", errors.upper()))
        self._gone(name)
        thing = Thing(session.role, properties, " ".join(match[5].split()))
        if properties.get("AUTO_INGEST", "FALSE").upper() == "TRUE":
            topic = plain(properties.get("AWS_SNS_TOPIC")) or None
            queue = f"sf-snowpipe-{name.replace('.', '-')}"
            thing.state["queue"], thing.state["arn"] = self._loader.aws.queue(queue, topic)
        assert "PIPE" in CONTAINED
        self._account.add(("PIPE", name), thing)
        return said(f"Pipe {name.split('.')[-1]} successfully created.")

    def _may_run(self, session: Session, copy: Copy) -> None:
        self._loader.may_load(session, copy)
        session.require("SELECT", ("TABLE", copy.table))

    def _alter(self, session: Session, match: re.Match[str]) -> str:
        name = session.full_name(match[1])
        session.require("OPERATE", ("PIPE", name))
        thing = self._account.things["PIPE", name]
        if match[2].upper() == "SET":
            given = read_properties(match[3], {"PIPE_EXECUTION_PAUSED"})
            if given["PIPE_EXECUTION_PAUSED"].upper() == "TRUE":
                thing.state.setdefault("paused", self._loader.now())
            elif self._is_stale(thing):
                raise refusal(f"Pipe {name} is stale; SYSTEM$PIPE_FORCE_RESUME resumes it.")
            else:
                thing.state.pop("paused", None)
            return DONE
        return self._refresh(session, name, read_properties(match[3], {"PREFIX", "MODIFIED_AFTER"}))

    def _refresh(self, session: Session, name: str, given: dict[str, str]) -> str:
        """Queues what was modified lately: of seven days, or after a time that is no longer ago."""
        copy = read_copy(session, self._account.things["PIPE", name].body, pipe=True)
        self._loader.may_load(session, copy)
        oldest = self._loader.now().replace(tzinfo=UTC) - timedelta(days=DAYS_OF_A_REFRESH)
        since = datetime.fromisoformat(plain(given.get("MODIFIED_AFTER")) or oldest.isoformat())
        if not since.tzinfo:
            raise refusal("the stand-in knows MODIFIED_AFTER with a time zone only")
        if since < oldest:
            raise refusal(f"MODIFIED_AFTER is more than {DAYS_OF_A_REFRESH} days ago.")
        stored = list(self._loader.aws.list(copy.url + plain(given.get("PREFIX"))))
        files = [f for f in stored if self._loader.moment(f.modified) >= since]
        self._begun(name, files)
        threading.Thread(target=self._ingest, args=(name, files, True), daemon=True).start()
        return rows_sql(["file", "status"], [[f.key, "SENT"] for f in files])

    def _is_stale(self, thing: Thing) -> bool:
        """Whether a pipe that hears of objects was paused for longer than notices are kept."""
        paused = thing.state.get("paused")
        return bool(paused and "queue" in thing.state and self._too_old(paused))

    def _too_old(self, moment: datetime) -> bool:
        return moment < self._loader.now() - timedelta(days=DAYS_OF_A_PIPE)

    def force_resume(self, session: Session, sql: str) -> str:
        """SYSTEM$PIPE_FORCE_RESUME: a stale pipe needs to be told that it may be stale."""
        if not (match := _RESUME.fullmatch(sql)):
            raise refusal(f"syntax error or unknown to the stand-in: '{sql[:80]}'")
        name, overrides = session.full_name(match[1]), (match[2] or "").upper().split(",")
        if unknown := {o.strip() for o in overrides} - {"", "STALENESS_CHECK_OVERRIDE"}:
            raise refusal(f"the stand-in does not know {sorted(unknown)}")
        session.require("OPERATE", ("PIPE", name))
        thing = self._account.things["PIPE", name]
        if self._is_stale(thing) and not match[2]:
            raise refusal(f"Pipe {name} is stale: STALENESS_CHECK_OVERRIDE is needed.")
        thing.state.pop("paused", None)
        return said("Pipe has been resumed.")

    def told(self, name: str) -> str:
        """The state of a pipe as JSON."""
        state = self._account.things["PIPE", name].state
        waiting, taken = self._loader.aws.waiting(state["queue"]) if "queue" in state else (0, 0)
        if waiting:
            self._asked.set()
        return json.dumps(
            {
                "executionState": "PAUSED" if state.get("paused") else "RUNNING",
                # Notices that are taken and not settled may each be a file.
                "pendingFileCount": state.get("pending") or taken,
                "notificationChannelName": state.get("arn"),
                "numOutstandingMessagesOnChannel": waiting,
                "lastReceivedMessageTimestamp": state.get("received"),
                "lastIngestedTimestamp": state.get("ingested"),
                "lastIngestedFilePath": state.get("file"),
            }
        )

    def _feed(self) -> None:
        """Looks for notices now and then, and at once where somebody sees that some wait."""
        while True:
            self._asked.clear()
            busy = False
            for (kind, name), thing in list(self._account.things.items()):
                if kind == "PIPE" and "queue" in thing.state and not thing.state.get("paused"):
                    try:
                        busy |= self._take(name, thing)
                    except Exception:
                        traceback.print_exc()
            if not busy:
                self._asked.wait(_SECONDS_OF_REST)

    def _take(self, name: str, thing: Thing) -> bool:
        notices = self._loader.aws.notices(thing.state["queue"])
        if notices:
            thing.state["received"] = str(self._loader.now())
            owner = self._new_session(thing.owner, name)
            place = read_copy(owner, thing.body, pipe=True).url
            kept = [n for n in notices if not self._too_old(self._moment(n.sent))]
            urls = [url for notice in kept for url in notice.urls if url.startswith(place)]
            stored = [self._loader.aws.find(url) for url in dict.fromkeys(urls)]
            files = [file for file in stored if file]
            self._begun(name, files)
            self._ingest(name, files)
            self._loader.aws.settle(thing.state["queue"], notices)
        return bool(notices)

    def _moment(self, at: datetime) -> datetime:
        return self._loader.moment(at).replace(tzinfo=None)

    def _begun(self, name: str, files: list[S3Object]) -> None:
        self._account.things["PIPE", name].state["pending"] = len(files)

    def _ingest(self, name: str, files: list[S3Object], refresh: bool = False) -> None:
        thing = self._account.things.get(("PIPE", name))
        if thing is None:
            return
        try:
            with self._lock:
                session = self._new_session(thing.owner, name)
                copy = read_copy(session, thing.body, pipe=True)
                self._may_run(session, copy)
                of_pipe = [f for f in files if f.url.startswith(copy.url)]
                rows = self._loader.load(session, copy, of_pipe, name, refresh=refresh)
        except Exception as error:
            thing.state["invalid"] = str(error)
            self._announce(thing, name, [["(pipe)", "LOAD_FAILED", 0, 0, 1, 1, str(error)]])
            return
        finally:
            thing.state["pending"] = 0
        if rows:
            thing.state |= {"ingested": str(self._loader.now()), "file": rows[-1][0]}
        self._announce(thing, name, [row for row in rows if row[1] == "LOAD_FAILED"])

    def _announce(self, thing: Thing, name: str, failed: list[list[Any]]) -> None:
        """Tells the topic of the error integration which files failed."""
        integration = thing.properties.get("ERROR_INTEGRATION", "").upper()
        if not failed or ("INTEGRATION", integration) not in self._account.things:
            return
        topic = self._account.things["INTEGRATION", integration].properties["AWS_SNS_TOPIC_ARN"]
        messages = [{"fileName": row[0], "firstError": row[6]} for row in failed]
        message = {"version": "1.0", "messageId": str(uuid4()), "messageType": "INGEST_FAILED_FILE"}
        self._loader.aws.publish(plain(topic), message | {"pipeName": name, "messages": messages})
