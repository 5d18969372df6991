"""Streams and tasks: what runs when new rows have landed. Rules are those of
docs.snowflake.com/en/sql-reference/sql/create-task and .../user-guide/tasks-triggered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

from tests.snowflake.standin.account import (
    ACCOUNT,
    Key,
    Thing,
    plain,
    read_properties,
    refusal,
)
from tests.snowflake.standin.dbt_projects import DbtProjects
from tests.snowflake.standin.session import DONE, Session, rows_sql, said

RUNS = "SNOWFLAKE.ACCOUNT_USAGE.TASK_HISTORY"
_STREAM = re.compile(
    r"CREATE\s+STREAM\s+(IF\s+NOT\s+EXISTS\s+)?([\w.]+)\s+ON\s+(TABLE|VIEW)\s+([\w.]+)\s*(.*)",
    re.I | re.S,
)
_TASK = re.compile(
    r"CREATE\s+(?P<alters>OR\s+ALTER\s+)?TASK\s+(IF\s+NOT\s+EXISTS\s+)?([\w.]+)\s(.*?)"
    r"(?:\bAFTER\s+([\w.]+)\s+)?(?:\bWHEN\s+(.*?)\s+)?\bAS\s+((?:INSERT|EXECUTE)\s.*)",
    re.I | re.S,
)
_ALTER = re.compile(r"ALTER\s+TASK\s+(IF\s+EXISTS\s+)?([\w.]+)\s+(RESUME|SUSPEND)", re.I)
_SHOW = re.compile(r"SHOW\s+TASKS\s+LIKE\s+'(\w+)'\s+IN\s+SCHEMA\s+([\w.]+)", re.I)
_WHEN = re.compile(r"SYSTEM\$STREAM_HAS_DATA\(\s*'([\w.]+)'\s*\)", re.I)
PROPERTIES = {
    "WAREHOUSE",
    "SCHEDULE",
    "OVERLAP_POLICY",
    "SUSPEND_TASK_AFTER_NUM_FAILURES",
    "TASK_AUTO_RETRY_ATTEMPTS",
    "ERROR_INTEGRATION",
    "USER_TASK_TIMEOUT_MS",
    "COMMENT",
}
OF_THE_ROOT = {"SCHEDULE", "OVERLAP_POLICY", "TASK_AUTO_RETRY_ATTEMPTS", "ERROR_INTEGRATION"}
DAYS_OF_A_STREAM = 14
"""How long a stream that nobody consumes can be read (streams-intro, Data retention period)."""


class Tasks:
    """The streams and tasks of an account; tasks run when the world says that time has passed."""

    def __init__(self, standin: Any) -> None:
        self._standin, self._account = standin, standin.account
        self._db = standin.loader._db
        self.executing: set[str] = set()
        """The root tasks whose graph runs now."""
        self.dbt = DbtProjects(standin).execute

    # ---- streams

    def stream(self, session: Session, sql: str) -> str:
        """CREATE STREAM: what is new in a table or view since it was last consumed."""
        if not (match := _STREAM.fullmatch(sql)):
            raise refusal(f"syntax error or unknown to the stand-in: '{sql[:80]}'")
        name, source = session.full_name(match[2]), session.full_name(match[4])
        session.require("CREATE STREAM", ("SCHEMA", name.rpartition(".")[0]))
        if ("STREAM", name) in self._account.things and match[1]:
            return said(f"{name} already exists, statement succeeded.")
        properties = read_properties(match[5], {"APPEND_ONLY"})
        if properties.get("APPEND_ONLY", "FALSE").upper() != "TRUE":
            raise refusal("the stand-in knows APPEND_ONLY = TRUE only")
        key = (match[3].upper(), source)
        session.require("SELECT", key)
        self._tracked(key)
        seen = self._seen(name)
        self._db.execute(f"CREATE OR REPLACE TABLE {seen} AS SELECT * FROM {source}")
        self._db.execute(
            f"CREATE OR REPLACE VIEW {name} AS "
            f"SELECT * FROM {source} EXCEPT ALL SELECT * FROM {seen}"
        )
        thing = Thing(session.role, properties, f"ON {match[3].upper()} {source}")
        thing.state |= {"reads": [key], "source": source, "read_at": self._now()}
        self._account.add(("STREAM", name), thing)
        return said(f"Stream {name} successfully created.")

    def _tracked(self, key: Key) -> None:
        """A stream needs change tracking on its source, and on what a view reads."""
        if not self._account.things[key].state.get("tracked"):
            raise refusal(f"Change tracking is not enabled or has been missing on '{key[1]}'.")
        for inner in self._account.things[key].state.get("reads", ()):
            self._tracked(inner)

    def _seen(self, name: str) -> str:
        return f'_fs_global.main."seen_{name}"'

    def _now(self) -> Any:
        return self._standin.loader.now()

    def check_stale(self, name: str) -> None:
        """Raise when a stream was not consumed, nor found empty, for longer than its table keeps
        changes: then it can only be created anew."""
        read_at = self._account.things["STREAM", name].state["read_at"]
        if read_at < self._now() - timedelta(days=DAYS_OF_A_STREAM):
            raise refusal(f"Stream {name} is stale. Recreate the stream.", 91901, "42601")

    def drop_stream(self, session: Session, sql: str) -> str:
        """DROP STREAM."""
        name = session.full_name(sql.split()[-1])
        session.require("OWNERSHIP", ("STREAM", name))
        self._account.forget(("STREAM", name))
        self._db.execute(f"DROP VIEW {name}")
        return said(f"{name} successfully dropped.")

    def consumed(self, name: str) -> None:
        """Moves a stream to the present, as DML that reads it does."""
        self._account.things["STREAM", name].state["read_at"] = self._now()
        source = self._account.things["STREAM", name].state["source"]
        self._db.cursor().execute(
            f"CREATE OR REPLACE TABLE {self._seen(name)} AS SELECT * FROM {source}"
        )

    def _has_data(self, session: Session, name: str) -> bool:
        key = ("STREAM", session.full_name(name))
        session.require("SELECT", key)
        self.check_stale(key[1])
        found = self._db.cursor().execute(f"SELECT count(*) FROM {key[1]}")
        has_data = bool(found.fetchall()[0][0])
        if not has_data:  # asking an empty stream keeps it from becoming stale
            self._account.things[key].state["read_at"] = self._now()
        return has_data

    # ---- tasks

    def task(self, session: Session, sql: str) -> str:
        """CREATE TASK and ALTER TASK."""
        if match := _ALTER.fullmatch(sql):
            name = session.full_name(match[2])
            if match[1] and ("TASK", name) not in self._account.things:
                return DONE
            return self._resume(session, name, match[3].upper() == "RESUME")
        if not (match := _TASK.fullmatch(sql)):
            raise refusal(f"syntax error or unknown to the stand-in: '{sql[:80]}'")
        _, if_missing, name, properties, parent, condition, body = match.groups()
        key = ("TASK", session.full_name(name))
        old = self._account.things.get(key)
        if old and match["alters"]:
            session.require("OWNERSHIP", key)
            self._rests(key[1], old)
        else:
            session.require("CREATE TASK", ("SCHEMA", key[1].rpartition(".")[0]))
            if old and if_missing:
                return said(f"{key[1]} already exists, statement succeeded.")
        thing = Thing(session.role, read_properties(properties, PROPERTIES), " ".join(body.split()))
        session.require("USAGE", ("WAREHOUSE", thing.properties["WAREHOUSE"].upper()))
        if integration := thing.properties.get("ERROR_INTEGRATION"):
            session.require("USAGE", ("INTEGRATION", integration.upper()))
        if parent:
            if wrong := OF_THE_ROOT & set(thing.properties):
                raise refusal(f"{sorted(wrong)} can be set on the root task of a graph only")
            session.require("OWNERSHIP", ("TASK", session.full_name(parent)))
            thing.state["after"] = session.full_name(parent)
            self._root_rests(thing)
        elif "SCHEDULE" not in thing.properties and not condition:
            raise refusal("a root task needs a SCHEDULE, or a stream that triggers it")
        if condition:
            if not (stream := _WHEN.fullmatch(condition.strip())):
                raise refusal("the stand-in knows WHEN SYSTEM$STREAM_HAS_DATA('...') only")
            thing.state["when"] = session.full_name(stream[1])
        if old and match["alters"]:  # grants stay, and whether it runs
            thing.state["started"] = old.state.get("started", False)
            thing.owner = old.owner
            self._account.things[key] = thing
            return said(f"Task {key[1]} successfully altered.")
        self._account.add(key, thing)
        return said(f"Task {key[1]} successfully created.")

    def _rests(self, name: str, thing: Thing) -> None:
        """A task must be suspended before it is altered (create-or-alter, Limitations)."""
        if "after" not in thing.state and thing.state.get("started"):
            raise refusal(f"Task {name} must be suspended first.")
        self._root_rests(thing)

    def _resume(self, session: Session, name: str, resumes: bool) -> str:
        session.require("OPERATE", ("TASK", name))
        thing = self._account.things["TASK", name]
        self._account.require(thing.owner, "EXECUTE TASK", ACCOUNT)
        self._root_rests(thing)
        thing.state["started"] = resumes
        if resumes:
            thing.state["failures"] = 0
        return DONE

    def _root_rests(self, thing: Thing) -> None:
        """A task that follows another can be changed only while the first of them is suspended."""
        name = thing.state.get("after")
        while name:
            root, name = name, self._account.things["TASK", name].state.get("after")
            if not name and self._account.things["TASK", root].state.get("started"):
                raise refusal(
                    f"Unable to update graph with root task {root} since that root task is not "
                    "suspended."
                )

    def show(self, session: Session, sql: str) -> str:
        """SHOW TASKS: those on which the role has a privilege, with their state."""
        if not (match := _SHOW.fullmatch(sql)):
            raise refusal(f"the stand-in does not know {sql[:60]!r}")
        key = ("TASK", f"{session.schema_name(match[2])}.{match[1].upper()}")
        thing = self._account.things.get(key)
        rows = []
        if thing and self._account.sees(session.role, key):
            rows = [[match[1].upper(), "started" if thing.state.get("started") else "suspended"]]
        return rows_sql(["name", "state"], rows)

    def tick(self) -> dict[str, str]:
        """The time of every root task has come: what each task that was due did."""
        told: dict[str, str] = {}
        for (kind, name), thing in list(self._account.things.items()):
            if kind == "TASK" and "after" not in thing.state and thing.state.get("started"):
                told |= self._run(name, thing)
        return told

    def _run(self, name: str, root: Thing) -> dict[str, str]:
        """Run a graph; what each of its tasks did. A failure goes to the root's topic; so many in a
        row suspend the root."""
        told: dict[str, str] = {}
        self.executing.add(name)
        for task, state, problem in self._graph(name):
            told[task] = f"{state} {problem}".strip()
            self._book(task, state, problem)
            if state == "FAILED":
                self._announce(root, task, problem)
        self.executing.discard(name)
        if any(text.startswith("FAILED") for text in told.values()):
            root.state["failures"] = root.state.get("failures", 0) + 1
            limit = int(root.properties.get("SUSPEND_TASK_AFTER_NUM_FAILURES", 10))
            if limit and root.state["failures"] >= limit:
                root.state["started"] = False
        elif "SKIPPED" not in told.values():
            root.state["failures"] = 0
        return told

    def _announce(self, root: Thing, task: str, problem: str) -> None:
        """Tell the topic of the error integration of the root (tasks-errors-integrate)."""
        if not (integration := root.properties.get("ERROR_INTEGRATION", "").upper()):
            return
        topic = self._account.things["INTEGRATION", integration].properties["AWS_SNS_TOPIC_ARN"]
        message = {
            "version": "1.0",
            "messageId": str(uuid4()),
            "messageType": "USER_TASK_FAILED",
            "taskName": task,
            "messages": [{"errorMessage": problem}],
        }
        self._standin.loader.aws.publish(plain(topic), message)

    def _graph(self, name: str) -> Iterator[tuple[str, str, str]]:
        thing = self._account.things["TASK", name]
        warehouse = thing.properties["WAREHOUSE"].upper()
        session = self._standin.system_session(thing.owner, name, warehouse)
        try:
            self._account.require(thing.owner, "EXECUTE TASK", ACCOUNT)
            if "when" in thing.state and not self._has_data(session, thing.state["when"]):
                yield name, "SKIPPED", ""
                return
            self._standin.execute(session, thing.body)
        except Exception as error:
            yield name, "FAILED", str(error)
            return
        yield name, "SUCCEEDED", ""
        for (kind, child), other in list(self._account.things.items()):
            if kind == "TASK" and other.state.get("after") == name and other.state.get("started"):
                yield from self._graph(child)

    def _book(self, task: str, state: str, problem: str) -> None:
        database, schema, name = task.split(".")
        now = self._standin.loader.now()
        self._db.cursor().execute(
            f"INSERT INTO {RUNS} VALUES (?, ?, ?, ?, ?, ?, ?)",
            [name, database, schema, state, problem or None, now, now],
        )
