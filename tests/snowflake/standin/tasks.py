"""Streams, tasks and dbt projects: what runs when new rows lie there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.snowflake.standin.account import ACCOUNT, Key, Thing, missing, read_properties, refusal
from tests.snowflake.standin.session import DONE, Session, said

RUNS = "SNOWFLAKE.ACCOUNT_USAGE.TASK_HISTORY"
_STREAM = re.compile(
    r"CREATE\s+STREAM\s+(IF\s+NOT\s+EXISTS\s+)?([\w.]+)\s+ON\s+(TABLE|VIEW)\s+([\w.]+)\s*(.*)",
    re.I | re.S,
)
_TASK = re.compile(
    r"CREATE\s+TASK\s+(IF\s+NOT\s+EXISTS\s+)?([\w.]+)\s(.*?)"
    r"(?:\bAFTER\s+([\w.]+)\s+)?(?:\bWHEN\s+(.*?)\s+)?\bAS\s+((?:INSERT|EXECUTE)\s.*)",
    re.I | re.S,
)
_ALTER = re.compile(r"ALTER\s+TASK\s+(IF\s+EXISTS\s+)?([\w.]+)\s+(RESUME|SUSPEND)", re.I)
_WHEN = re.compile(r"SYSTEM\$STREAM_HAS_DATA\(\s*'([\w.]+)'\s*\)", re.I)
_DBT = re.compile(r"EXECUTE\s+DBT\s+PROJECT\s+([\w.]+)(?:\s+ARGS\s*=\s*'([^']*)')?", re.I)
PROPERTIES = {
    "WAREHOUSE",
    "SCHEDULE",
    "ALLOW_OVERLAPPING_EXECUTION",
    "SUSPEND_TASK_AFTER_NUM_FAILURES",
    "TASK_AUTO_RETRY_ATTEMPTS",
    "USER_TASK_TIMEOUT_MS",
    "COMMENT",
}


class Tasks:
    """The streams and tasks of an account; tasks run when the world says that time has passed."""

    def __init__(self, standin: Any) -> None:
        self._standin, self._account = standin, standin.account
        self._db = standin.loader._db

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
        thing.state |= {"reads": [key], "source": source}
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

    def consumed(self, name: str) -> None:
        """Moves a stream to the present, as DML that reads it does."""
        source = self._account.things["STREAM", name].state["source"]
        self._db.cursor().execute(
            f"CREATE OR REPLACE TABLE {self._seen(name)} AS SELECT * FROM {source}"
        )

    def _has_data(self, session: Session, name: str) -> bool:
        session.require("SELECT", ("STREAM", session.full_name(name)))
        found = self._db.cursor().execute(f"SELECT count(*) FROM {session.full_name(name)}")
        return bool(found.fetchall()[0][0])

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
        name = session.full_name(match[2])
        session.require("CREATE TASK", ("SCHEMA", name.rpartition(".")[0]))
        if ("TASK", name) in self._account.things and match[1]:
            return said(f"{name} already exists, statement succeeded.")
        thing = Thing(
            session.role, read_properties(match[3], PROPERTIES), " ".join(match[6].split())
        )
        session.require("USAGE", ("WAREHOUSE", thing.properties["WAREHOUSE"].upper()))
        if parent := match[4]:
            session.require("OWNERSHIP", ("TASK", session.full_name(parent)))
            thing.state["after"] = session.full_name(parent)
            self._root_rests(thing)
        elif "SCHEDULE" not in thing.properties:
            raise refusal("a root task needs a SCHEDULE")
        if match[5]:
            if not (condition := _WHEN.fullmatch(match[5].strip())):
                raise refusal("the stand-in knows WHEN SYSTEM$STREAM_HAS_DATA('...') only")
            thing.state["when"] = session.full_name(condition[1])
        self._account.add(("TASK", name), thing)
        return said(f"Task {name} successfully created.")

    def _resume(self, session: Session, name: str, resumes: bool) -> str:
        session.require("OPERATE", ("TASK", name))
        thing = self._account.things["TASK", name]
        self._account.require(thing.owner, "EXECUTE TASK", ACCOUNT)
        self._root_rests(thing)
        thing.state["started"] = resumes
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

    def tick(self) -> dict[str, str]:
        """The time of every root task has come: what each task that was due did."""
        told: dict[str, str] = {}
        for (kind, name), thing in list(self._account.things.items()):
            if kind == "TASK" and "after" not in thing.state and thing.state.get("started"):
                for task, state, problem in self._graph(name):
                    told[task] = f"{state} {problem}".strip()
                    self._book(task, state, problem)
        return told

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

    # ---- dbt

    def dbt(self, session: Session, sql: str) -> str:
        """EXECUTE DBT PROJECT: the real dbt, in the role and on the warehouse of the session."""
        if not (match := _DBT.fullmatch(sql)):
            raise refusal(f"syntax error: '{sql[:80]}'")
        key = ("DBT PROJECT", session.full_name(match[1]))
        if key not in self._account.things:
            raise missing(*key)
        session.require("USAGE", key)
        session.compute()
        project = Path(self._account.things[key].state["files"])
        with tempfile.TemporaryDirectory() as folder:
            environment = self._signed_in(session, Path(folder))
            arguments = shlex.split(match[2] or "run")
            options = ["--project-dir", project, "--profiles-dir", project]
            options += ["--target-path", folder, "--log-path", folder]
            command = [sys.executable, "-m", "dbt.cli.main", *arguments, *map(str, options)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise refusal(f"dbt {match[2]} failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
        return said("dbt succeeded")

    def _signed_in(self, session: Session, folder: Path) -> dict[str, str]:
        """A user of the account itself that has the role of the session and no other."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        path = folder / "key.p8"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        text = "".join(public.decode().splitlines()[1:-1])
        self._account.things["USER", "SYSTEM_TASK"] = Thing(
            "SYSTEM", {"TYPE": "SERVICE", "RSA_PUBLIC_KEY": f"'{text}'"}
        )
        self._account.users["SYSTEM_TASK"] = {session.role}
        return os.environ | {
            "SNOWFLAKE_ACCOUNT": "standin",
            "SNOWFLAKE_HOST": "127.0.0.1",
            "SNOWFLAKE_PORT": str(self._standin.port),
            "SNOWFLAKE_PROTOCOL": "http",
            "SNOWFLAKE_USER": "SYSTEM_TASK",
            "SNOWFLAKE_ROLE": session.role,
            "SNOWFLAKE_WAREHOUSE": session.warehouse or "",
            "SNOWFLAKE_PRIVATE_KEY_PATH": str(path),
        }
