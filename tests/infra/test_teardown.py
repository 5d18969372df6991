"""The destroy removes everything. This file runs last, because the destroy runs beside other
tests."""

from __future__ import annotations

import json
from subprocess import Popen

from tests.infra.conftest import Cloud
from tests.infra.terraform_here import SECONDS


def test_a_destroy_leaves_nothing(leaving: Popen[bytes], applied: Cloud) -> None:
    """No resource in the state; no bucket, queue, topic, role, job or policy in the account, though
    the bucket held data."""
    code = leaving.wait(SECONDS)
    assert code == 0, (applied.terraform.folder / "destroy.log").read_text()[-4000:]
    assert "values" not in json.loads(applied.terraform.run("show", "-json"))
    assert applied.client("s3").list_buckets()["Buckets"] == []
    assert "QueueUrls" not in applied.client("sqs").list_queues()
    assert applied.client("sns").list_topics()["Topics"] == []
    assert applied.client("iam").list_roles()["Roles"] == []
    assert applied.client("iam").list_policies(Scope="Local")["Policies"] == []
    assert applied.client("glue").get_jobs()["Jobs"] == []
