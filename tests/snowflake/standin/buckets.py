"""The AWS side of the account: objects of a bucket, queues, topics, all on an emulator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import unquote_plus

REGION = "us-east-1"


@dataclass(frozen=True)
class S3Object:
    """An object as a listing shows it; `url` is its bucket and key."""

    url: str
    key: str
    etag: str
    modified: datetime


class Aws:
    """Clients of the emulator at `endpoint`."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

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
        """One object, or None when it is gone."""
        from botocore.exceptions import ClientError

        bucket, _, key = url.removeprefix("s3://").partition("/")
        try:
            found = self.client("s3").head_object(Bucket=bucket, Key=key)
        except ClientError:
            return None
        return S3Object(url, key, found["ETag"].strip('"'), found["LastModified"])

    def read(self, url: str) -> bytes:
        """An object's bytes."""
        bucket, _, key = url.removeprefix("s3://").partition("/")
        body: bytes = self.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def queue(self, name: str, topic: str | None) -> tuple[str, str]:
        """A queue that hears a topic: its URL and its name in AWS."""
        sqs = self.client("sqs")
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        arn = attributes["Attributes"]["QueueArn"]
        if topic:
            self.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        return url, arn

    def notices(self, queue: str) -> tuple[list[str], list[str]]:
        """Some of the new objects that a queue tells of, and the handles to settle them with."""
        answer = self.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        urls, handles = list[str](), list[str]()
        for message in answer.get("Messages", ()):
            handles.append(message["ReceiptHandle"])
            body = json.loads(message["Body"])
            if body.get("Type") == "Notification":
                body = json.loads(body["Message"])
            urls += [
                f"s3://{r['s3']['bucket']['name']}/{unquote_plus(r['s3']['object']['key'])}"
                for r in body.get("Records", ())
                if r.get("eventName", "").startswith("ObjectCreated")
            ]
        return urls, handles

    def settle(self, queue: str, handles: list[str]) -> None:
        """Takes notices out of the queue."""
        entries = [{"Id": str(n), "ReceiptHandle": h} for n, h in enumerate(handles)]
        self.client("sqs").delete_message_batch(QueueUrl=queue, Entries=entries)

    def waiting(self, queue: str) -> int:
        """How many notices a queue holds."""
        name = "ApproximateNumberOfMessages"
        found = self.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=[name])
        return int(found["Attributes"][name])

    def publish(self, topic: str, message: dict[str, Any]) -> None:
        """Sends a message to a topic."""
        self.client("sns").publish(TopicArn=topic, Message=json.dumps(message))
