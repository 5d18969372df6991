"""The unmodified Glue script with the service's own Python library, on real file systems."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import boto3
import pytest

from glue.harness import Glue, free_port, running, s3a_jars, wait_for
from glue.lakes import clean_here, differences, hostile_objects, write_lake
from spark_here import SPARK_HOME

REGION = "us-east-1"


def test_package_needs_only_what_the_service_has(glue: Glue) -> None:
    """The zip alone, without the laptop's engines, is enough to import the job's code."""
    program = (
        "import sys\n"
        f"sys.path.insert(0, {str(glue.package)!r})\n"
        "for name in ('duckdb', 'numpy', 'dbt', 'click', 'rich'): sys.modules[name] = None\n"
        "import medallion.layers.bronze_cluster as job\n"
        "print(job.__file__)"
    )
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=glue.logs)
    assert found.stdout.startswith(str(glue.package))


def test_cluster_gives_what_the_laptop_gives(glue: Glue, tmp_path: Path) -> None:
    """On a standalone cluster of one master and two workers, over file://: both executors take
    tasks, and bronze equals the laptop's, row for row."""
    lake, home = tmp_path / "lake", tmp_path / "home"
    write_lake(lake, hostile_objects(), {})
    subprocess.run(["cp", "-a", lake, home], check=True)
    clean_here(home)
    with cluster(tmp_path) as master:
        settings = {"spark.executor.memory": "512m", "spark.cores.max": "2"}
        settings |= {"spark.executor.cores": "1", "spark.eventLog.enabled": "true"}
        settings |= {"spark.eventLog.dir": tmp_path.as_uri()}
        replace(glue, master=master, settings=settings).submit(lake.as_uri()).wait()
    assert differences(home, lake) == []
    assert not list((lake / "tmp").rglob("*.json"))
    tasks = executors_of_tasks(tmp_path)
    assert len(tasks) == 2 and min(tasks.values()) > 5, tasks


def test_killed_jobs_lose_and_repeat_nothing(glue: Glue, s3: S3, tmp_path: Path) -> None:
    """On S3: killed while it computes, killed again while it publishes, the job ends with what the
    laptop gives; each bronze object was announced once."""
    raw = hostile_objects()
    s3.put(raw)
    home, copy = tmp_path / "home", tmp_path / "copy"
    write_lake(home, raw, {key: o["LastModified"] for key, o in s3.objects("raw/").items()})
    clean_here(home)
    job = replace(glue, jars=s3a_jars(), settings=s3.settings())
    lake = f"s3://{s3.bucket}"
    job.submit(lake).kill_when(lambda: any("/out/" in k for k in s3.objects("tmp/")))
    assert not s3.objects("bronze/")
    job.submit(lake).kill_when(lambda: len(s3.objects("bronze/")) >= 2)
    before = s3.objects("bronze/")
    assert not [key for key in before if key.startswith("bronze/receipts/")]
    log = job.submit(lake).wait()
    assert "takes up run-" in log
    assert "begins run-" not in log
    after = s3.objects("bronze/")
    kept = {key: o["LastModified"] for key, o in after.items() if key in before}
    assert kept == {key: o["LastModified"] for key, o in before.items()}
    s3.download(after, copy)
    assert differences(home, copy) == []
    assert not [key for key in s3.objects("tmp/") if not key.endswith("/")]
    assert s3.notices() == Counter(after.keys())


class S3:
    """A bucket on an emulator, whose bronze/ announces new objects to a queue."""

    bucket = "retail"

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._s3 = self._client("s3")
        self._sqs = self._client("sqs")
        self._s3.create_bucket(Bucket=self.bucket)
        self._queue = self._sqs.create_queue(QueueName="notices")["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(
            QueueUrl=self._queue, AttributeNames=["QueueArn"]
        )
        rule = {"Key": {"FilterRules": [{"Name": "prefix", "Value": "bronze/"}]}}
        target = {
            "QueueArn": attributes["Attributes"]["QueueArn"],
            "Events": ["s3:ObjectCreated:*"],
            "Filter": rule,
        }
        self._s3.put_bucket_notification_configuration(
            Bucket=self.bucket, NotificationConfiguration={"QueueConfigurations": [target]}
        )

    def _client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self._endpoint,
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def settings(self) -> dict[str, str]:
        """What Spark must be told to find it."""
        return {
            "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
            "spark.hadoop.fs.s3a.endpoint": self._endpoint,
            "spark.hadoop.fs.s3a.path.style.access": "true",
            "spark.hadoop.fs.s3a.access.key": "testing",
            "spark.hadoop.fs.s3a.secret.key": "testing",
            "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
        }

    def put(self, objects: dict[str, bytes]) -> None:
        """Uploads objects."""
        for key, data in objects.items():
            self._s3.put_object(Bucket=self.bucket, Key=key, Body=data)

    def objects(self, prefix: str) -> dict[str, dict[str, Any]]:
        """The objects under a prefix, as a listing shows them, by key."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix
        )
        return {o["Key"]: o for page in pages for o in page.get("Contents", ())}

    def download(self, keys: Any, folder: Path) -> None:
        """Copies objects into a local folder."""
        for key in keys:
            path = folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            self._s3.download_file(self.bucket, key, str(path))

    def notices(self) -> Counter[str]:
        """How often each new object was announced."""
        found: Counter[str] = Counter()
        while messages := self._sqs.receive_message(
            QueueUrl=self._queue, MaxNumberOfMessages=10
        ).get("Messages"):
            for message in messages:
                for record in json.loads(message["Body"]).get("Records", ()):
                    found[unquote_plus(record["s3"]["object"]["key"])] += 1
                self._sqs.delete_message(
                    QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"]
                )
        return found


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3]:
    """An S3 emulator of its own."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port)
    with running(tmp_path / "s3.log", *command):
        wait_for(f"{endpoint}/moto-api/")
        yield S3(endpoint)


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A standalone cluster of one master and two workers of one core; its URL."""
    spark_class, deploy = SPARK_HOME / "bin" / "spark-class", "org.apache.spark.deploy"
    port, page = free_port(), free_port()
    master = f"spark://127.0.0.1:{port}"
    at = ("--host", "127.0.0.1")
    command = (spark_class, f"{deploy}.master.Master", *at, "--port", port, "--webui-port", page)
    worker = (spark_class, f"{deploy}.worker.Worker", *at, "-c", "1", "-m", "1g")
    work = ("--work-dir", folder / "work")
    one, two = free_port(), free_port()
    with (
        running(folder / "master.log", *command),
        running(folder / "worker-1.log", *worker, *work, "--webui-port", one, master),
        running(folder / "worker-2.log", *worker, *work, "--webui-port", two, master),
    ):
        wait_for(f"http://127.0.0.1:{page}/json/", lambda b: json.loads(b)["aliveworkers"] == 2)
        yield master


def executors_of_tasks(folder: Path) -> Counter[str]:
    """How many tasks each executor ended well, by the application's event log."""
    (log,) = folder.glob("app-*")
    found: Counter[str] = Counter()
    for line in log.read_text().splitlines():
        event = json.loads(line)
        if (
            event["Event"] == "SparkListenerTaskEnd"
            and event["Task End Reason"]["Reason"] == "Success"
        ):
            found[event["Task Info"]["Executor ID"]] += 1
    return found
