"""A Snowflake account on this machine, set up by infra/snowflake.sql beside a bucket that announces
its objects; and what the tests do with it.

    with world(folder) as account:     # a bucket and an account that is still empty
        account.run_script()           # infra/snowflake.sql
        account.environment            # the variables that dbt and the command read
        account.landed()               # waits until all that was announced is loaded

The account needs the tools of tools.py, fetched once; its log is `folder`/snowflake.log."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from snowflake.connector.util_text import split_statements

from medallion.cli import main
from medallion.layers.staging import TABLES
from medallion.platforms import s3
from tests.conftest import ROOT
from tests.s3_here import S3, emulator
from tests.snowflake import dbt_here, standin

SCRIPT = ROOT / "infra" / "snowflake.sql"
PAGE = ROOT / "docs" / "snowflake.md"
DBT = ROOT / "dbt"
PIPES = tuple(table for table in TABLES if table not in ("loads", "settings", "superseded"))


def rendered(values: dict[str, str], text: str | None = None) -> str:
    """The script with its variables replaced, as the Snowflake CLI does it."""
    return re.sub(r"<%\s*(\w+)\s*%>", lambda m: values[m[1]], text or SCRIPT.read_text())


def statements(text: str) -> list[str]:
    """The statements of a script, split as the client splits them."""
    statements = (sql.strip() for sql, _ in split_statements(StringIO(text), remove_comments=True))
    return [sql for sql in statements if sql.strip(" ;\n")]


@dataclass(frozen=True)
class World:
    """An account and a bucket, and the keys of the user that dbt signs in as."""

    server: standin.Server
    s3: S3
    folder: Path
    values: dict[str, str]

    def run_script(self, text: str | None = None) -> None:
        """Runs the script, or another text with its variables, as the administrator."""
        with self.server.connect() as connection:
            for sql in statements(rendered(self.values, text)):
                connection.cursor().execute(sql)

    @contextmanager
    def session(self, role: str = "RETAIL_TRANSFORMER") -> Iterator[Any]:
        """A cursor of the administrator in another role."""
        warehouse = "RETAIL_TRANSFORM_WH" if role == "RETAIL_TRANSFORMER" else "RETAIL_BI_WH"
        with self.server.connect(role=role, warehouse=warehouse, database="RETAIL") as connection:
            yield connection.cursor()

    def rows(self, sql: str, role: str = "RETAIL_TRANSFORMER") -> list[tuple[Any, ...]]:
        """The rows of a query of the administrator in another role."""
        with self.session(role) as cursor:
            return cursor.execute(sql).fetchall()

    @property
    def process(self) -> dict[str, str]:
        """The environment of a process that knows the bucket and the account."""
        return os.environ | self.environment

    @cached_property
    def environment(self) -> dict[str, str]:
        """Return the variables of dbt: the account, the user, the key."""
        return (
            self.server.environment()
            | self.s3.environment()
            | {
                "MEDALLION_DBT_TARGET": "snowflake",
                "SNOWFLAKE_PRIVATE_KEY_PATH": str(self.folder / "dbt.p8"),
                "DBT_PROFILES_DIR": str(DBT),
            }
        )

    def clean(self, home: Path, code: int = 0) -> None:
        """Cleans what waits in the bucket, by the embedded cleaner in this process."""
        s3._client.cache_clear()
        result = CliRunner().invoke(main, ["clean", "--home", str(home)], env=self.environment)
        s3._client.cache_clear()
        assert result.exit_code == code, result.output

    def dbt(self, *arguments: str, project: Path = DBT, **variables: str) -> str:
        """Runs dbt on the account in a process of its own; what it printed."""
        options = ["--project-dir", project, "--target-path", self.folder / "target"]
        options += ["--log-path", self.folder / "logs"]
        code, output = dbt_here.run((*arguments, *options), self.process | variables)
        assert code == 0, output[-8000:]
        return output

    def deploy(self, project: Path | None = None) -> None:
        """Puts the files of the dbt project that are in git, or another project, into the account,
        as the page says and `snow dbt deploy` does."""
        version = re.search(r"--dbt-version ([\d.]+)", PAGE.read_text())
        assert version
        with self.session() as cursor:
            cursor.execute(
                "CREATE DBT PROJECT RETAIL.CONTROL.MEDALLION FROM '@deployed/dbt' "
                f"DEFAULT_TARGET = 'snowflake' DBT_VERSION = '{version[1]}'"
            )
        folder = project or self._committed()
        self.server.control(deploy="RETAIL.CONTROL.MEDALLION", files=str(folder))

    def _committed(self) -> Path:
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "dbt"]
        files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, files.split("\0")):
            target = self.folder / "deployed" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
        return self.folder / "deployed" / "dbt"

    def settled(self, seconds: float = 180, apart_from: str = "") -> None:
        """Waits until no pipe, or none but one, has anything left to do."""
        deadline = time.monotonic() + seconds
        sql = (
            "SELECT sum(pending_files + waiting_notices) FROM MONITORING.PIPE_STATUS "
            f"WHERE pipe <> '{apart_from}'"
        )
        with self.session("RETAIL_MONITOR") as cursor:
            while left := cursor.execute(sql).fetchone()[0]:
                assert time.monotonic() < deadline, left
                time.sleep(0.2)

    def told_errors(self) -> list[dict[str, Any]]:
        """Return the messages to the topic for failed files since the last call."""
        sqs = self.s3._client("sqs")
        url = sqs.get_queue_url(QueueName="told-errors")["QueueUrl"]
        notices = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                notices.append(json.loads(json.loads(message["Body"])["Message"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return notices

    def landed(self, seconds: float = 180) -> dict[str, int]:
        """Waits until every announced object is loaded or known as failed; objects by pipe."""
        self.settled(seconds)
        sql = (
            "SELECT table_name, count(DISTINCT file_name) FROM MONITORING.RECENT_LOADS "
            "GROUP BY table_name"
        )
        objects = {name.lower(): n for name, n in self.rows(sql, "RETAIL_MONITOR")}
        assert sum(objects.values()) == len(self.s3.objects("bronze/")), objects
        return objects


def fill(bucket: S3, folder: Path, events: int, seed: int) -> None:
    """Simulated purchases, 8 % of them with a fault, into a bucket. Of the other feeds come the
    lines of the first day and of the last eight in each object: every day is an object in bronze,
    and each costs its requests."""
    options = ("--events", str(events), "--faults", "0.08", "--seed", str(seed))
    simulate = ["simulate", *options, "--compression", "none", "--home", str(folder)]
    result = CliRunner().invoke(main, simulate, env={"MEDALLION_LAKE": None})
    assert result.exit_code == 0, result.output
    for path in sorted((folder / "raw").rglob("*.ndjson")):
        lines = path.read_bytes().splitlines(keepends=True)
        if "purchases" not in path.parts:
            days = [json.loads(line)["ts"][:10] for line in lines]
            chosen = sorted(set(days))[:1] + sorted(set(days))[-8:]
            lines = [line for line, day in zip(lines, days, strict=True) if day in chosen]
        bucket.put({path.relative_to(folder).as_posix(): b"".join(lines)})


def make_keys(folder: Path, name: str = "dbt") -> str:
    """A key pair: the private half in `folder`/name.p8, the public half as the account takes it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / f"{name}.p8").write_bytes(private)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return "".join(public.decode().splitlines()[1:-1])


def announce(s3: S3) -> tuple[str, str]:
    """Lets the bucket tell a topic of what is new under bronze/; that topic, and one for errors,
    whose messages wait in a queue."""
    sns = s3._client("sns")
    bronze, errors = (sns.create_topic(Name=name)["TopicArn"] for name in ("bronze", "errors"))
    sqs = s3._client("sqs")
    url = sqs.create_queue(QueueName="told-errors")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    sns.subscribe(TopicArn=errors, Protocol="sqs", Endpoint=arn)
    rule = {"Key": {"FilterRules": [{"Name": "prefix", "Value": "bronze/"}]}}
    target = {"TopicArn": bronze, "Events": ["s3:ObjectCreated:*"], "Filter": rule}
    s3._s3.put_bucket_notification_configuration(
        Bucket=s3.bucket, NotificationConfiguration={"TopicConfigurations": [target]}
    )
    return bronze, errors


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """An empty account beside an empty bucket; the script has not run yet."""
    with emulator(folder) as s3, standin.start(folder, s3.endpoint) as server:
        bronze, errors = announce(s3)
        values = {
            "bucket": s3.bucket,
            "storage_role_arn": "arn:aws:iam::123456789012:role/snowflake",
            "bronze_topic_arn": bronze,
            "error_topic_arn": errors,
            "error_role_arn": "arn:aws:iam::123456789012:role/snowflake-errors",
            "dbt_public_key": make_keys(folder),
            "dbt_network": "127.0.0.0/8",
            "credit_quota": "20",
            "alert_user": "ADMIN",
            "alert_email": "data@example.com",
        }
        yield World(server, s3, folder, values)
