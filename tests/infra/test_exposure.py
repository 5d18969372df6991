"""Nothing in the plan is public or a wildcard, and every policy means what it says."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.infra.exposure import exposures, policies
from tests.infra.terraform_here import resources
from tests.infra.tools_here import clean_environment

pytestmark = pytest.mark.usefixtures("leaving")
Change = Callable[[dict[str, Any]], None]
IDENTITY = ("aws_iam_role_policy", "aws_iam_policy")


def test_nothing_is_public_or_a_wildcard(again: dict[str, Any]) -> None:
    """Of all policies, buckets, topics and queues of the plan."""
    assert exposures(again) == []
    judged = [r["address"] for r in every(again) if list(policies(r))]
    assert len(judged) > 15


def every(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return list(resources(plan["planned_values"]["root_module"]))


def statement(policy: str = "policy", **changes: Any) -> Change:
    """A change of the first statement of a policy."""

    def change(values: dict[str, Any]) -> None:
        document = json.loads(values[policy])
        document["Statement"][0].update(changes)
        values[policy] = json.dumps(document)

    return change


def setting(**changes: Any) -> Change:
    """Changes attributes."""
    return lambda values: values.update(changes)


BUCKET = "arn:aws:s3:::retail-medallion-dev"
TRUST = "assume_role_policy"
PLANTED: list[tuple[str, Change, str]] = [
    ("aws_iam_role_policy.snowflake_reads", statement(Action=["s3:*"]), "wildcard of actions"),
    ("aws_iam_role_policy.snowflake_reads", statement(Action="s3:Get*"), "wildcard of actions"),
    ("aws_iam_role_policy.glue_cleaner", statement(Resource="*"), "wildcard of resources"),
    ("aws_iam_role_policy.glue_cleaner", statement(Resource=["arn:aws:s3:::*"]), "of resources"),
    ("aws_iam_policy.producer", statement(NotAction="s3:Delete*"), "NotAction allows all"),
    (
        "aws_iam_role.snowflake_integration_role",
        statement(TRUST, Effect="Allow", Principal={"AWS": "*"}),
        "anybody",
    ),
    (
        "aws_s3_bucket_policy.retail",
        statement(Effect="Allow", Action="s3:GetObject", Resource=f"{BUCKET}/*"),
        "anybody may do it",
    ),
    ("aws_s3_bucket_policy.retail", statement(Condition={}), "plain HTTP is not denied"),
    ("aws_sns_topic_policy.s3_notifications", statement(Condition={}), "for any account"),
    ("aws_sqs_queue_policy.snowpipe_queue", statement(Principal="*"), "anybody may do it"),
    ("aws_kms_key.retail", statement(Principal={"AWS": "*"}), "anybody may do it"),
    ("aws_s3_bucket_public_access_block.retail", setting(block_public_acls=False), "acls is off"),
    ("aws_s3_bucket_public_access_block.retail", setting(bucket="another"), "policy is off"),
    ("aws_sqs_queue.snowpipe_queue", setting(kms_master_key_id=None), "not encrypted"),
    ("aws_sns_topic.s3_notifications", setting(kms_master_key_id=""), "not encrypted"),
]


@pytest.mark.parametrize(
    ("address", "change", "told"), PLANTED, ids=[f"{a}-{t}" for a, _, t in PLANTED]
)
def test_a_planted_exposure_is_found(
    again: dict[str, Any], address: str, change: Change, told: str
) -> None:
    """One change to the plan, and the resource is named."""
    plan = copy.deepcopy(again)
    (values,) = [r["values"] for r in every(plan) if r["address"] == address]
    change(values)
    exposed = exposures(plan)
    assert any(told in sentence for sentence in exposed), exposed


def criticised(bin: Path, document: str) -> set[str]:
    """The kinds of finding that parliament has about a policy."""
    command = [bin / "parliament", "--string", document, "--json"]
    environment = clean_environment(PYTHONWARNINGS="ignore")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert not done.stderr.strip(), done.stderr
    return {json.loads(line)["issue"] for line in done.stdout.splitlines()}


def test_parliament_understands_every_policy(bin: Path, again: dict[str, Any]) -> None:
    """Every action exists, fits its resources and its conditions."""
    judged = 0
    for resource in every(again):
        if resource["type"] in IDENTITY:
            for _, document in policies(resource):
                assert criticised(bin, json.dumps(document)) == set(), resource["address"]
                judged += 1
    assert judged >= 6
    planted = {"Effect": "Allow", "Action": "s3:GetObjects", "Resource": f"{BUCKET}/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [planted]})
    assert "UNKNOWN_ACTION" in criticised(bin, document)
