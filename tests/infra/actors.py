"""Everybody who may send requests to the bucket, in an account that enforces the applied
policies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.infra.account_here import MAY_ASSUME, ROOT_USER, Account, Keys, account, policy
from tests.infra.conftest import FIRST, SECOND, Trusted
from tests.infra.terraform_here import ACCOUNT

BUCKET = FIRST["bucket_name"]
NAME = "glue_job_cleaner.py"
PREFIXES = (
    "raw/purchases/",
    "raw/products/",
    "bronze/purchases/",
    "bronze/receipts/",
    "tmp/runs/",
    "glue/scripts/",
    "athena/",
    "firehose-errors/",
    "gold/",
    "",
)
SNOWFLAKE = {
    "snowflake_integration_role": SECOND["snowflake_external_id"],
    "snowflake_errors": SECOND["snowflake_error_external_id"],
}
SERVICES = ("glue_cleaner", "arrivals", "firehose")
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}
EVERY_USER = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}


@dataclass(frozen=True)
class Actors:
    """The account, and the keys of everyone in it."""

    account: Account
    keys: dict[str, Keys]

    def s3(self, who: str, secure: bool = True) -> Any:
        """The client of one of them."""
        return self.account.client("s3", self.keys[who], secure)


@pytest.fixture(scope="session")
def actors(
    bin: Path, tmp_path_factory: pytest.TempPathFactory, trusted: Trusted
) -> Iterator[Actors]:
    """The bucket with an object under each prefix, Snowflake's user, a stranger of the account, a
    producer, and every role. Snowflake's two are assumed as they are. Those that only a service can
    assume have a double with the same policies, which trusts the test."""
    with account(bin, tmp_path_factory.mktemp("account"), trusted.state) as aws:
        s3 = aws.client("s3", ROOT_USER)
        s3.create_bucket(Bucket=BUCKET)
        for prefix in PREFIXES:
            s3.put_object(Bucket=BUCKET, Key=prefix + NAME, Body=b"x")
        s3.put_bucket_policy(Bucket=BUCKET, Policy=aws.of("aws_s3_bucket_policy.retail")["policy"])
        keys = {"root": ROOT_USER, "snowflake": aws.user("snowflake", policy(MAY_ASSUME))}
        keys["stranger"] = aws.user("stranger", policy(MAY_ASSUME))
        keys["administrator"] = aws.user("administrator", policy(EVERYTHING))
        keys["producer"] = aws.user("producer", aws.of("aws_iam_policy.producer")["policy"])
        for role, external_id in SNOWFLAKE.items():
            arn = aws.role(role, *aws.role_of(role))
            keys[role] = aws.assume(arn, keys["snowflake"], ExternalId=external_id)
        tester = policy({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": EVERY_USER})
        for role in SERVICES:
            trust, policies = aws.role_of(role)
            aws.role(role, trust, [])
            arn = aws.role(f"test-{role}", tester, policies)
            keys[role] = aws.assume(arn, keys["stranger"])
        yield Actors(aws, keys)
