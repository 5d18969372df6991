"""S3 on this machine: an emulator in a process of its own, and a bucket that announces objects."""

from __future__ import annotations

import itertools
import json
import socket
import socketserver
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import boto3

from tests.processes import free_port, running, wait_for

REGION = "us-east-1"


class S3:
    """A bucket on an emulator, whose bronze/ announces new objects to a queue."""

    bucket = "retail"

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
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
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def keep_versions(self) -> None:
        """Switch on versioning: the bucket keeps what is replaced or deleted."""
        enabled = {"Status": "Enabled"}
        self._s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration=enabled)

    def settings(self) -> dict[str, str]:
        """Return the settings with which Spark finds the server."""
        return {
            "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
            "spark.hadoop.fs.s3a.endpoint": self.endpoint,
            "spark.hadoop.fs.s3a.path.style.access": "true",
            "spark.hadoop.fs.s3a.access.key": "testing",
            "spark.hadoop.fs.s3a.secret.key": "testing",
            "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
        }

    def environment(self) -> dict[str, str]:
        """Return the environment with which a client finds the server."""
        return {
            "MEDALLION_LAKE": f"s3://{self.bucket}",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
        }

    @contextmanager
    def restricted(self, allowed: dict[str, str]) -> Iterator[dict[str, str]]:
        """Credentials of a user who may do only what is allowed: actions, and on what of the
        bucket. As long as the block lasts, permissions are enforced for everyone."""
        iam, name = self._client("iam"), f"user-{time.monotonic_ns()}"
        arn = f"arn:aws:s3:::{self.bucket}"
        statements = [
            {"Effect": "Allow", "Action": action, "Resource": arn + on}
            for action, on in allowed.items()
        ]
        iam.create_user(UserName=name)
        iam.put_user_policy(
            UserName=name,
            PolicyName="only",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}),
        )
        key = iam.create_access_key(UserName=name)["AccessKey"]
        self._enforce("0")
        try:
            yield {
                "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            }
        finally:
            self._enforce("inf")

    def _enforce(self, after_actions: str) -> None:
        url = f"{self.endpoint}/moto-api/reset-auth"
        plain = {"Content-Type": "text/plain"}
        request = urllib.request.Request(url, after_actions.encode(), plain)
        urllib.request.urlopen(request, timeout=10).close()

    def empty(self) -> None:
        """Delete every object, and the notifications so far."""
        for key in self.objects(""):
            self._s3.delete_object(Bucket=self.bucket, Key=key)
        self.notices()

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
        notices: Counter[str] = Counter()
        while messages := self._sqs.receive_message(
            QueueUrl=self._queue, MaxNumberOfMessages=10
        ).get("Messages"):
            for message in messages:
                for record in json.loads(message["Body"]).get("Records", ()):
                    notices[unquote_plus(record["s3"]["object"]["key"])] += 1
                self._sqs.delete_message(
                    QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"]
                )
        return notices


@contextmanager
def shaky(endpoint: str, broken: int) -> Iterator[str]:
    """An endpoint that drops its first connections and hands the others on."""
    target = endpoint.removeprefix("http://").split(":")
    dropped = itertools.count()

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if next(dropped) < broken:
                return
            with socket.create_connection((target[0], int(target[1]))) as server:
                back = threading.Thread(target=_pipe, args=(server, self.request))
                back.start()
                _pipe(self.request, server)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay) as relay:
        relay.daemon_threads = True
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{relay.server_address[1]}"
        finally:
            relay.shutdown()
    assert next(dropped) > broken


def _pipe(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def emulator(folder: Path) -> Iterator[S3]:
    """An S3 emulator of its own for as long as the block lasts; its log goes to `folder`."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port)
    with running(folder / "s3.log", *command):
        wait_for(f"{endpoint}/moto-api/")
        yield S3(endpoint)
