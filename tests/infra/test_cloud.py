"""The configuration applied to an emulator: nothing is left to change, and notifications arrive."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote_plus

from tests.infra.conftest import FIRST, SECOND, Cloud, Trusted
from tests.infra.terraform_here import SOURCE, resources

OWNED = {
    "aws_s3_bucket.retail_bucket",
    "aws_iam_role.snowflake_integration_role",
    "aws_glue_job.glue_cleaner",
    "aws_sns_topic.s3_notifications",
    "aws_sqs_queue.snowpipe_queue",
}
BUCKET = FIRST["bucket_name"]


def test_the_owner_s_resources_are_there(applied: Cloud, again: dict[str, Any]) -> None:
    """Under the names that the owner gave them, and a second plan finds nothing to do."""
    planned = {r["address"] for r in resources(again["planned_values"]["root_module"])}
    assert planned >= OWNED
    assert len(planned) > 45
    assert {c["change"]["actions"][0] for c in again["resource_changes"]} == {"no-op"}
    job = applied.client("glue").get_job(JobName="retail_glue_cleaner")["Job"]
    assert job["GlueVersion"] == "5.1"
    script, package = job["Command"]["ScriptLocation"], job["DefaultArguments"]["--extra-py-files"]
    assert job["DefaultArguments"]["--additional-python-modules"].startswith("numba==")
    for url in (script, package):
        bucket, _, key = url.removeprefix("s3://").partition("/")
        applied.client("s3").head_object(Bucket=bucket, Key=key)


def test_changed_code_is_uploaded(again: dict[str, Any], applied: Cloud) -> None:
    """One byte more in the script and in the package is a change of those two objects alone."""
    root = applied.terraform.folder.parents[1]
    paths = [root / "src/glue/glue_job_cleaner.py", root / "build/medallion.zip"]
    kept = [path.read_bytes() for path in paths]
    try:
        for path, data in zip(paths, kept, strict=True):
            path.write_bytes(data + b"\n")
        changes = applied.terraform.changes(FIRST)
    finally:
        for path, data in zip(paths, kept, strict=True):
            path.write_bytes(data)
    uploads = ("aws_s3_object.script", "aws_s3_object.package")
    assert changes == dict.fromkeys(uploads, "update")


def test_snowflake_s_script_gets_what_it_asks_for(again: dict[str, Any]) -> None:
    """Each variable of infra/snowflake.sql that AWS knows is in the output for it, with its value;
    the others are about keys, networks and money."""
    script = (SOURCE.parent / "snowflake.sql").read_text()
    asked = set(re.findall(r"<% (\w+) %>", script))
    given = again["planned_values"]["outputs"]["snowflake_variables"]["value"]
    others = {"dbt_public_key", "dbt_network", "credit_quota", "alert_user", "alert_email"}
    assert asked - given.keys() == others
    assert given.keys() <= asked
    assert given["bucket"] == BUCKET
    for name, service in (("role", "iam"), ("topic", "sns")):
        arns = [value for key, value in given.items() if key.endswith(f"_{name}_arn")]
        assert len(arns) == 2 and all(arn.startswith(f"arn:aws:{service}:") for arn in arns)


def received(cloud: Cloud, queue: str) -> list[dict[str, Any]]:
    """All messages of a queue; they are deleted."""
    sqs, announced = cloud.client("sqs"), []
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    while messages := sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1
    ).get("Messages"):
        for message in messages:
            announced.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return announced


def test_a_bronze_object_is_announced_once(applied: Cloud) -> None:
    """However it is written (put, copied, in parts), a published object is one message in the
    queue; what lies elsewhere, and what is no Parquet, is none."""
    s3 = applied.client("s3")
    received(applied, "retail-snowpipe")
    put, copy, parts = (f"bronze/purchases/dt=2026-03-01/{n}.parquet" for n in ("a b", "d", "e"))
    for key in (put, "bronze/purchases/_SUCCESS", "raw/purchases/a.json", "tmp/x.parquet"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"PAR1")
    s3.copy_object(Bucket=BUCKET, Key=copy, CopySource=f"{BUCKET}/tmp/x.parquet")
    where = {"Bucket": BUCKET, "Key": parts}
    upload = s3.create_multipart_upload(**where)["UploadId"]
    tag = s3.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"PAR1")["ETag"]
    done = {"Parts": [{"ETag": tag, "PartNumber": 1}]}
    s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload=done)
    records = [r for m in received(applied, "retail-snowpipe") for r in m["Records"]]
    assert sorted(unquote_plus(r["s3"]["object"]["key"]) for r in records) == sorted(
        (put, copy, parts)
    )


def test_a_raw_object_starts_the_workflow(applied: Cloud) -> None:
    """By EventBridge; an object of bronze/ does not."""
    s3, glue = applied.client("s3"), applied.client("glue")
    before = len(glue.get_workflow_runs(Name="retail-arrivals")["Runs"])
    s3.put_object(Bucket=BUCKET, Key="bronze/purchases/f.parquet", Body=b"PAR1")
    assert len(glue.get_workflow_runs(Name="retail-arrivals")["Runs"]) == before
    s3.put_object(Bucket=BUCKET, Key="raw/purchases/b.json", Body=b"{}")
    assert len(glue.get_workflow_runs(Name="retail-arrivals")["Runs"]) == before + 1


def test_trusting_snowflake_replaces_nothing(trusted: Trusted) -> None:
    """The second apply changes two trust policies and the topic's policy, in place; before it
    nobody could assume the roles, after it Snowflake's user with its external id alone."""
    assert trusted.changes == {
        "aws_iam_role.snowflake_integration_role": "update",
        "aws_iam_role.snowflake_errors": "update",
        "aws_sns_topic_policy.s3_notifications": "update",
    }
    for role, external_id in (
        ("aws_iam_role.snowflake_integration_role", SECOND["snowflake_external_id"]),
        ("aws_iam_role.snowflake_errors", SECOND["snowflake_error_external_id"]),
    ):
        before, after = (values(s, role) for s in (trusted.before, trusted.state))
        assert before["arn"] == after["arn"] and before["unique_id"] == after["unique_id"]
        (closed,) = json.loads(before["assume_role_policy"])["Statement"]
        assert closed["Effect"] == "Deny"
        (opened,) = json.loads(after["assume_role_policy"])["Statement"]
        assert opened["Principal"] == {"AWS": SECOND["snowflake_principal_arn"]}
        assert opened["Condition"] == {"StringEquals": {"sts:ExternalId": external_id}}


def values(state: dict[str, Any], address: str) -> dict[str, Any]:
    """The attributes of one resource of a state."""
    (statement,) = [
        r["values"] for r in resources(state["values"]["root_module"]) if r["address"] == address
    ]
    return statement
