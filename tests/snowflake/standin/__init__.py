"""A stand-in for a Snowflake account, for tests: fakesnow's server for rows, and around it what an
account is besides rows. It knows what this project uses and refuses everything else."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.processes import free_port, running, wait_for
from tests.snowflake import tools

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Server:
    """A stand-in that runs."""

    port: int

    def connect(self, user: str = "ADMIN", **how: Any) -> Any:
        """A connection of the real client. ADMIN signs in by password and has ACCOUNTADMIN."""
        import snowflake.connector

        if user == "ADMIN":
            how.setdefault("password", "admin")
        return snowflake.connector.connect(
            account="standin",
            user=user,
            host=HOST,
            port=self.port,
            protocol="http",
            login_timeout=10,
            network_timeout=60,
            session_parameters={"CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False},
            **how,
        )

    def environment(self) -> dict[str, str]:
        """What a process must be told to find it."""
        return {
            "SNOWFLAKE_ACCOUNT": "standin",
            "SNOWFLAKE_HOST": HOST,
            "SNOWFLAKE_PORT": str(self.port),
            "SNOWFLAKE_PROTOCOL": "http",
        }

    def state(self) -> dict[str, Any]:
        """Everything in the account but rows."""
        with urllib.request.urlopen(f"http://{HOST}:{self.port}/standin/state") as answer:
            reply: dict[str, Any] = json.loads(answer.read())
        return reply

    def control(self, **order: Any) -> dict[str, Any]:
        """Lets days pass (`days=65`), puts the files of a dbt project there (`deploy=NAME`,
        `files=FOLDER`), or lets tasks (`tick=True`) or alerts (`alerts=True`) fall due."""
        url = f"http://{HOST}:{self.port}/standin/control"
        request = urllib.request.Request(url, json.dumps(order).encode())
        with urllib.request.urlopen(request, timeout=600) as answer:
            reply: dict[str, Any] = json.loads(answer.read())
        return reply


@contextmanager
def start(folder: Path, s3_endpoint: str) -> Iterator[Server]:
    """An empty account for as long as the block lasts: ADMIN, the system roles, nothing else. Its
    buckets, queues and topics are those of the emulator at `s3_endpoint`; its log goes to
    `folder`/snowflake.log."""
    port = free_port()
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    command = (tools.python(), "-m", f"{__name__}.server", port, s3_endpoint)
    with running(folder / "snowflake.log", *command, environment=environment):
        wait_for(f"http://{HOST}:{port}/standin/state")
        yield Server(port)
