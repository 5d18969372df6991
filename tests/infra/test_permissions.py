"""The permissions of all actors, in an account that enforces the policies of the applied state."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tests.infra.account_here import ROOT_USER, allowed
from tests.infra.actors import BUCKET, NAME, PREFIXES, Actors, actors

__all__ = ["actors"]

pytestmark = pytest.mark.usefixtures("leaving")
LAKE = {"raw/purchases/", "raw/products/", "bronze/purchases/", "bronze/receipts/"}
BRONZE = {"bronze/purchases/", "bronze/receipts/"}
WORK = BRONZE | {"tmp/runs/"}
RAW = {"raw/purchases/", "raw/products/"}
MAY: dict[str, dict[str, set[str]]] = {
    "snowflake_integration_role": {"get": LAKE, "list": LAKE},
    "snowflake_errors": {},
    "glue_cleaner": {
        "get": LAKE | WORK | {"glue/scripts/"},
        "put": WORK,
        "delete": {"tmp/runs/"},
        "list": set(PREFIXES),
    },
    "arrivals": {},
    "firehose": {
        "put": {"raw/purchases/", "firehose-errors/"},
        "list": set(PREFIXES),
    },
    "producer": {"put": RAW},
    "stranger": {},
}
"""On which prefixes each may get, put, delete and list. What is not here is refused."""

ACTIONS: dict[str, Callable[[Any, str], Any]] = {
    "get": lambda s3, prefix: s3.get_object(Bucket=BUCKET, Key=prefix + NAME),
    "put": lambda s3, prefix: s3.put_object(Bucket=BUCKET, Key=prefix + "new", Body=b""),
    "delete": lambda s3, prefix: s3.delete_object(Bucket=BUCKET, Key=prefix + "none"),
    "list": lambda s3, prefix: s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix),
}
TABLE = [
    pytest.param(who, action, prefix, prefix in may.get(action, ()), id=f"{who}-{action}-{prefix}")
    for who, may in MAY.items()
    for action, prefix in itertools.product(ACTIONS, PREFIXES)
]
ADMINISTRATION: dict[str, Callable[[Any], Any]] = {
    "delete the bucket": lambda s3: s3.delete_bucket(Bucket=BUCKET),
    "open the bucket": lambda s3: s3.delete_public_access_block(Bucket=BUCKET),
    "change its policy": lambda s3: s3.delete_bucket_policy(Bucket=BUCKET),
    "stop its versions": lambda s3: s3.put_bucket_versioning(
        Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"}
    ),
    "see other buckets": lambda s3: s3.list_buckets(),
    "give an object away": lambda s3: s3.put_object_acl(
        Bucket=BUCKET, Key=f"raw/purchases/{NAME}", ACL="public-read"
    ),
}


@pytest.mark.parametrize(("who", "action", "prefix", "expected"), TABLE)
def test_who_may_do_what_where(
    actors: Actors, who: str, action: str, prefix: str, expected: bool
) -> None:
    """Each actor, each action, each prefix of the bucket."""
    s3 = actors.s3(who)
    assert allowed(lambda: ACTIONS[action](s3, prefix)) is expected


@pytest.mark.parametrize("who", MAY)
def test_nobody_administers(actors: Actors, who: str) -> None:
    """Neither the bucket nor its versions, policy, blocks or access lists, nor any other."""
    s3 = actors.s3(who)
    assert [name for name, act in ADMINISTRATION.items() if allowed(lambda a=act: a(s3))] == []


@pytest.mark.parametrize("who", ["administrator", *MAY])
def test_plain_http_is_refused(actors: Actors, who: str) -> None:
    """Even what is allowed otherwise, and even to who may do anything."""
    s3 = actors.s3(who, secure=False)
    for action, prefix in itertools.product(ACTIONS, ("raw/purchases/", "tmp/runs/")):
        assert not allowed(lambda a=action, p=prefix: ACTIONS[a](s3, p)), action
    administrator = actors.s3("administrator")
    assert all(allowed(lambda a=a: a(administrator, "tmp/runs/")) for a in ACTIONS.values())


def test_snowflake_reads_versions_and_the_region(actors: Actors) -> None:
    """What the integration needs beside the objects."""
    s3 = actors.s3("snowflake_integration_role")
    assert allowed(lambda: s3.get_bucket_location(Bucket=BUCKET))
    assert not allowed(lambda: s3.list_objects_v2(Bucket=BUCKET))
    for prefix in ("raw", "bronze", "bronze/", "raw/x"):
        expected = "/" in prefix
        assert allowed(lambda p=prefix: s3.list_objects_v2(Bucket=BUCKET, Prefix=p)) is expected


@pytest.mark.parametrize(
    ("who", "topic", "expected"),
    [
        ("snowflake_errors", "pipe_errors", True),
        ("snowflake_errors", "s3_notifications", False),
        ("snowflake_integration_role", "pipe_errors", False),
        ("glue_cleaner", "pipe_errors", False),
    ],
)
def test_only_the_role_for_errors_publishes_them(
    actors: Actors, who: str, topic: str, expected: bool
) -> None:
    """And to no other topic."""
    name = actors.account.of(f"aws_sns_topic.{topic}")["name"]
    arn = actors.account.client("sns", ROOT_USER).create_topic(Name=name)["TopicArn"]
    sns = actors.account.client("sns", actors.keys[who])
    assert allowed(lambda: sns.publish(TopicArn=arn, Message="x")) is expected


def test_the_job_logs_under_its_own_names(actors: Actors) -> None:
    """In its log groups and nowhere else; nor does it put metrics among others. (That it may put
    Glue's the account here cannot tell: it does not know the name space of a request.)"""
    logs = actors.account.client("logs", actors.keys["glue_cleaner"])
    groups = [f"/aws-glue/jobs/retail_glue_cleaner/{n}" for n in ("error", "output")]
    for group in [*groups, "/aws-glue/jobs/other/error"]:
        actors.account.client("logs", ROOT_USER).create_log_group(logGroupName=group)
        where = {"logGroupName": group, "logStreamName": "jr_1"}
        assert allowed(lambda w=where: logs.create_log_stream(**w)) is (group in groups)
    metrics = actors.account.client("cloudwatch", actors.keys["glue_cleaner"])
    data = [{"MetricName": "m", "Value": 1.0}]
    assert not allowed(lambda: metrics.put_metric_data(Namespace="Other", MetricData=data))


def test_the_queue_takes_no_plain_http(actors: Actors) -> None:
    """Not even from who may do anything; and none from a stranger."""
    aws = actors.account
    sqs = aws.client("sqs", actors.keys["administrator"])
    name = aws.of("aws_sqs_queue.snowpipe_queue")["name"]
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    attributes = {"Policy": aws.of("aws_sqs_queue_policy.snowpipe_queue")["policy"]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
    plain = aws.client("sqs", actors.keys["administrator"], secure=False)
    for client, expected in ((sqs, True), (plain, False)):
        send = client.send_message
        assert allowed(lambda s=send: s(QueueUrl=url, MessageBody="x")) is expected
    stranger = aws.client("sqs", actors.keys["stranger"])
    assert not allowed(lambda: stranger.send_message(QueueUrl=url, MessageBody="x"))
