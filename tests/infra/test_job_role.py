"""The unmodified Glue script with the rights of its role and no others, in an account that enforces
them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import event
from tests.glue.harness import Glue, build_package, s3a_jars, stub_jar
from tests.glue.lakes import clean_here, differences, write_lake
from tests.infra.account_here import ROOT_USER, Account, Keys, account, policy
from tests.infra.actors import BUCKET, EVERY_USER
from tests.infra.conftest import Trusted
from tests.infra.terraform_here import REGION

pytestmark = pytest.mark.usefixtures("leaving")

WITHOUT = {
    "ReadRawAndCode": r"cannot read s3://\S+/tmp/runs/current\.json: AccessDenied",
    "ListTheLake": r"cannot list s3://\S+/bronze/receipts/: ",
    "WriteBronze": r"cannot write s3://\S+/tmp/runs/current\.json: AccessDenied",
    "ReadRawAndCode on raw/*": r"cannot work in \S+: s3://\S+/raw/purchases/",
    "ClearUp": r"cannot work in \S+: s3://\S+/tmp/runs/run-\S+/out/",
    "WriteBronze on bronze/*": r"cannot publish \S+ as s3://\S+/bronze/\S+: ",
}
"""What is taken from the role, a statement or a resource of one, and what the job then says. In
the order in which the job gets further."""


@dataclass
class Trials:
    """A bucket that the job has tried to clean with less than its role, and then with it."""

    s3: Any
    home: Path
    said: dict[str, str] = field(default_factory=dict)
    published: dict[str, list[str]] = field(default_factory=dict)

    def keys(self, prefix: str) -> list[str]:
        """What is in the bucket."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [o["Key"] for page in pages for o in page.get("Contents", ())]


@pytest.fixture(scope="module")
def trials(
    bin: Path, tmp_path_factory: pytest.TempPathFactory, trusted: Trusted
) -> Iterator[Trials]:
    """The job has run with each right taken away, and at last with its role; one lake."""
    folder = tmp_path_factory.mktemp("role")
    glue = Glue(stub_jar(), build_package(folder), folder, jars=s3a_jars())
    with account(bin, folder, trusted.state, behind_tls=True) as aws:
        s3 = aws.client("s3", ROOT_USER)
        fill(s3, aws.of("aws_s3_bucket_policy.retail")["policy"])
        trials = Trials(s3, folder / "home")
        _, (document,) = aws.role_of("glue_cleaner")
        tester = aws.user("tester", policy({"Effect": "Allow", "Action": "*", "Resource": "*"}))
        for number, taken in enumerate(WITHOUT):
            keys = session(aws, tester, f"less-{number}", without(document, taken))
            trials.said[taken] = submitted(glue, aws, keys).fail()
            trials.published[taken] = trials.keys("bronze/")
        submitted(glue, aws, session(aws, tester, "job", document)).wait()
        yield trials


def fill(s3: Any, bucket_policy: str) -> None:
    """The bucket as it is applied, with raw objects: plain, packed, and under a name that Spark
    takes for a pattern."""
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_policy(Bucket=BUCKET, Policy=bucket_policy)
    enabled = {"Status": "Enabled"}
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=enabled)
    lines = [event(event_id=f"e{n}", ts=f"2026-03-0{1 + n % 2}T10:00:00Z") for n in range(40)]
    body = "\n".join([*lines, event(price=-1), "no JSON"]).encode()
    for name in ("a.ndjson", "a [b]*.ndjson"):
        s3.put_object(Bucket=BUCKET, Key=f"raw/purchases/{name}", Body=body)


def without(document: str, taken: str) -> str:
    """A policy with one statement less, or with one resource less in a statement."""
    sid, _, resource = taken.partition(" on ")
    policy_document = json.loads(document)
    (statement,) = [s for s in policy_document["Statement"] if s["Sid"] == sid]
    if resource:
        (arn,) = [r for r in statement["Resource"] if r.endswith(f"/{resource}")]
        statement["Resource"].remove(arn)
    else:
        policy_document["Statement"].remove(statement)
    return json.dumps(policy_document)


def session(aws: Account, tester: Keys, name: str, document: str) -> Keys:
    """The keys of a session of a role that has this one policy."""
    trust = policy({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": EVERY_USER})
    return aws.assume(aws.role(name, trust, [document]), tester)


def submitted(glue: Glue, aws: Account, keys: Keys) -> Any:
    """The job, started with these keys and no others."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    variables = {"AWS_ENDPOINT_URL": aws.endpoint, "AWS_DEFAULT_REGION": REGION}
    variables |= dict(zip(names, map(str, keys), strict=True))
    s3a = {
        "endpoint": aws.endpoint,
        "path.style.access": "true",
        "connection.ssl.enabled": "false",
        "aws.credentials.provider": "com.amazonaws.auth.EnvironmentVariableCredentialsProvider",
    }
    settings = {f"spark.hadoop.fs.s3a.{name}": value for name, value in s3a.items()}
    settings["spark.hadoop.fs.s3.impl"] = "org.apache.hadoop.fs.s3a.S3AFileSystem"
    return replace(glue, settings=settings, variables=variables).submit(f"s3://{BUCKET}")


@pytest.mark.parametrize("taken", WITHOUT)
def test_without_one_of_its_rights_the_job_says_what_it_may_not(trials: Trials, taken: str) -> None:
    """It fails with one sentence that names the object, and no receipt says that it had not."""
    assert re.search(WITHOUT[taken], trials.said[taken]), trials.said[taken]
    assert not [key for key in trials.published[taken] if key.startswith("bronze/receipts/")]


def test_with_its_role_the_job_does_all_its_work(trials: Trials, tmp_path: Path) -> None:
    """What others left it takes up: bronze is what the laptop makes of the same objects, row for
    row, and nothing is left of the work."""
    stored = {}
    for key in trials.keys(""):
        answer = trials.s3.get_object(Bucket=BUCKET, Key=key)
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(answer["Body"].read())
        stored[key] = answer["LastModified"]
    raw = {key: (tmp_path / key).read_bytes() for key in stored if key.startswith("raw/")}
    write_lake(trials.home, raw, {key: stored[key] for key in raw})
    clean_here(trials.home)
    assert differences(trials.home, tmp_path) == []
    assert [key for key in stored if key.startswith("tmp/")] == ["tmp/runs/current.json"]
