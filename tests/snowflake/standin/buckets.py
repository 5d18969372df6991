"""The AWS side of the account: objects of a bucket, queues, topics, all on an emulator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import unquote_plus

REGION = "us-east-1"


@dataclass(frozen=True)
class S3Object:
    """An object as a listing shows it; `url` is its bucket and key, `data` its bytes where they
    came along."""

    url: str
    key: str
    etag: str
    modified: datetime
    data: bytes | None = None


@dataclass(frozen=True)
class Notice:
    """A message of a queue: new objects, when they were told of, how to settle it."""

    urls: list[str]
    sent: datetime
    handle: str


class Aws:
    """Clients of the emulator at `endpoint`."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.shut_out = False

    @cache  # noqa: B019 (one for the life of the process)
    def client(self, service: str) -> Any:
        """A client that signs as the account does."""
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="snowflake",
            aws_secret_access_key="snowflake",
        )

    def list(self, url: str) -> Iterator[S3Object]:
        """The objects under s3://bucket/prefix."""
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        pages = self.client("s3").get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=prefix):
            for o in page.get("Contents", ()):
                yield S3Object(
                    f"s3://{bucket}/{o['Key']}", o["Key"], o["ETag"].strip('"'), o["LastModified"]
                )

    def find(self, url: str) -> S3Object | None:
        """One object with its bytes, or None when it is gone."""
        from botocore.exceptions import ClientError

        bucket, _, key = url.removeprefix("s3://").partition("/")
        if self.shut_out:  # no role to read with: the file is known, and cannot be loaded
            return S3Object(url, key, "", datetime.now(UTC))
        try:
            stored = self.client("s3").get_object(Bucket=bucket, Key=key)
        except ClientError:
            return None
        etag, body = stored["ETag"].strip('"'), stored["Body"].read()
        return S3Object(url, key, etag, stored["LastModified"], body)

    def read(self, file: S3Object) -> bytes:
        """An object's bytes."""
        if self.shut_out:
            raise PermissionError(f"Access Denied to '{file.url}'")
        stored = file if file.data is not None else self.find(file.url)
        if stored is None or stored.data is None:
            raise FileNotFoundError(f"Remote file '{file.url}' was not found.")
        return stored.data

    def queue(self, name: str, topic: str | None) -> tuple[str, str]:
        """A queue that hears a topic from now on: its URL and its name in AWS."""
        sqs = self.client("sqs")
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        self.settle(url, self.notices(url))  # which a pipe of that name before has heard
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        arn = attributes["Attributes"]["QueueArn"]
        if topic:
            self.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        return url, arn

    def notices(self, queue: str) -> list[Notice]:
        """All that a queue tells of."""
        notices: list[Notice] = []
        while messages := self._received(queue):
            notices += map(_notice, messages)
        return notices

    def _received(self, queue: str) -> list[dict[str, Any]]:
        answer = self.client("sqs").receive_message(
            QueueUrl=queue, MaxNumberOfMessages=10, AttributeNames=["SentTimestamp"]
        )
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages

    def settle(self, queue: str, notices: list[Notice]) -> None:
        """Takes notices out of the queue."""
        for first in range(0, len(notices), 10):
            some = enumerate(notices[first : first + 10])
            entries = [{"Id": str(n), "ReceiptHandle": notice.handle} for n, notice in some]
            self.client("sqs").delete_message_batch(QueueUrl=queue, Entries=entries)

    def waiting(self, queue: str) -> tuple[int, int]:
        """How many notices of a queue nobody has taken yet, and how many are taken, not settled."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)
        waiting, taken = (int(answer["Attributes"][name]) for name in names)
        return waiting, taken

    def publish(self, topic: str, message: dict[str, Any]) -> None:
        """Sends a message to a topic."""
        self.client("sns").publish(TopicArn=topic, Message=json.dumps(message))


def _notice(message: dict[str, Any]) -> Notice:
    body = json.loads(message["Body"])
    if body.get("Type") == "Notification":
        body = json.loads(body["Message"])
    urls = [
        f"s3://{r['s3']['bucket']['name']}/{unquote_plus(r['s3']['object']['key'])}"
        for r in body.get("Records", ())
        if r.get("eventName", "").startswith("ObjectCreated")
    ]
    sent = datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC)
    return Notice(urls, sent, message["ReceiptHandle"])
