"""The public parts and wildcards of a plan, read from `terraform show -json`: every policy is
judged as it would be applied."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.infra.terraform_here import resources

Statement = dict[str, Any]
BLOCKS = (
    "block_public_acls",
    "block_public_policy",
    "ignore_public_acls",
    "restrict_public_buckets",
)
OF_AMAZON = "arn:aws:iam::aws:policy/"


def exposures(plan: dict[str, Any]) -> list[str]:
    """A sentence for each thing that is public, a wildcard or unprotected."""
    planned = list(resources(plan["planned_values"]["root_module"]))
    exposed = list(_buckets(planned))
    for resource in planned:
        address, values = resource["address"], resource["values"]
        if (
            resource["type"] in ("aws_sns_topic", "aws_sqs_queue")
            and not values["kms_master_key_id"]
        ):
            exposed.append(f"{address}: not encrypted with our key")
        if resource["type"] == "aws_sqs_queue_policy" and not _denies_plain_http(values["policy"]):
            exposed.append(f"{address}: plain HTTP is not denied")
        if "attachment" in resource["type"] and OF_AMAZON in str(values.get("policy_arn")):
            exposed.append(f"{address}: a policy of Amazon's, which grows")
        for name, statement in statements(resource):
            exposed += [
                f"{address}.{name}: {fault}" for fault in faults(resource["type"], statement)
            ]
    return exposed


def statements(resource: dict[str, Any]) -> Iterator[tuple[str, Statement]]:
    """Each statement of each policy among the attributes, whatever the attribute is called."""
    for name, document in policies(resource):
        for statement in _several(document["Statement"]):
            yield name, statement


def policies(resource: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each attribute that is a policy."""
    for name, value in resource["values"].items():
        if isinstance(value, str) and value.startswith("{"):
            document = json.loads(value)
            if "Statement" in document:
                yield name, document


def faults(kind: str, statement: Statement) -> Iterator[str]:
    """What is wrong with a statement that allows something."""
    if statement["Effect"] == "Allow":
        yield from _wildcards(kind, statement)
        yield from _principals(statement)


def _wildcards(kind: str, statement: Statement) -> Iterator[str]:
    """Yield the wildcards of a policy. In a key's policy "*" means only that key; metrics are put
    under a namespace, which has no ARN."""
    for key in statement:
        if key.startswith("Not"):
            yield f"{key} allows all the rest"
    actions = _several(statement.get("Action", []))
    for action in actions:
        if "*" in action:
            yield f"a wildcard of actions, {action}"
    metrics = actions == ["cloudwatch:PutMetricData"] and "namespace" in _conditions(statement)
    if kind != "aws_kms_key" and not metrics:
        for resource in _several(statement.get("Resource", [])):
            if resource.split(":", 5)[-1].startswith("*"):
                yield f"a wildcard of resources, {resource}"


def _principals(statement: Statement) -> Iterator[str]:
    """A service acts for whoever asks it, unless the statement says for whom. Who may assume a role
    is another question: a service takes only roles that its caller may pass on."""
    principal = statement.get("Principal", {})
    if principal == "*" or "*" in _several(principal.get("AWS", [])):
        yield "anybody may do it"
    elif principal.get("Service") and "Resource" in statement:
        bounds = _conditions(statement)
        # EventBridge creates a log stream in no rule's name; what it writes there has one.
        creates = statement["Action"] == "logs:CreateLogStream"
        if not creates and "aws:Source" not in bounds and "aws:logs:arn" not in bounds:
            yield "a service may do it for any account"


def _conditions(statement: Statement) -> str:
    return json.dumps(statement.get("Condition", {}))


def _buckets(planned: list[dict[str, Any]]) -> Iterator[str]:
    """Each bucket blocks all that is public, by four blocks, and denies plain HTTP."""
    for bucket in (r for r in planned if r["type"] == "aws_s3_bucket"):
        name = bucket["values"]["bucket"]
        of_bucket = {r["type"]: r["values"] for r in planned if r["values"].get("bucket") == name}
        blocks = of_bucket.get("aws_s3_bucket_public_access_block", {})
        for block in BLOCKS:
            if blocks.get(block) is not True:
                yield f"{bucket['address']}: {block} is off"
        if not _denies_plain_http(of_bucket.get("aws_s3_bucket_policy", {}).get("policy", "{}")):
            yield f"{bucket['address']}: plain HTTP is not denied"
        if "aws_s3_bucket_acl" in of_bucket or "aws_s3_bucket_website_configuration" in of_bucket:
            yield f"{bucket['address']}: has an access list or a website"


def _denies_plain_http(policy: str) -> bool:
    condition = {"Bool": {"aws:SecureTransport": "false"}}
    return any(
        s["Effect"] == "Deny" and s["Principal"] == "*" and s.get("Condition") == condition
        for s in _several(json.loads(policy).get("Statement", []))
    )


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
