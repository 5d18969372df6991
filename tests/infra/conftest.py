"""Fixtures for the tests of the AWS half.

An apply takes a minute and a half, mostly waiting. So it is started first, and tests that need no
resources run meanwhile; the same is true for the destroy.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

import boto3
import pytest

from tests.infra.terraform_here import ACCOUNT, REGION, SECONDS, Terraform
from tests.infra.tools_here import clean_environment, tools
from tests.processes import free_port, running, start, wait_for

FIRST: dict[str, Any] = {
    "bucket_name": "retail-medallion-dev",
    "alert_email": "data@example.com",
    "firehose": True,
    "force_destroy": True,
}
SECOND = FIRST | {
    "snowflake_principal_arn": f"arn:aws:iam::{ACCOUNT}:user/snowflake",
    "snowflake_external_id": "RETAIL_SFCRole=2_abc=",
    "snowflake_error_external_id": "RETAIL_SFCRole=3_def=",
    "snowflake_subscriber_arn": f"arn:aws:iam::{ACCOUNT}:user/snowflake",
}
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
"""Of the emulator, which takes any."""


@dataclass
class Cloud:
    """An emulator of AWS, and the first apply to it, under way."""

    terraform: Terraform
    endpoint: str
    applying: Popen[bytes]
    log: Path

    def client(self, service: str) -> Any:
        """A client of the emulator."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )


@pytest.fixture(scope="session")
def bin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tools' programs."""
    return tools()


@pytest.fixture(scope="session")
def cloud(bin: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The emulator; the first apply has begun."""
    folder, port = tmp_path_factory.mktemp("cloud"), free_port()
    endpoint = f"http://127.0.0.1:{port}"
    terraform = Terraform(folder / "project", AWS_ENDPOINT_URL=endpoint, **KEYS)
    server = (bin / "python", Path(__file__).parent / "aws_here.py", "-H", "127.0.0.1", "-p", port)
    with running(folder / "aws.log", *server, environment=clean_environment()):
        wait_for(f"{endpoint}/moto-api/")
        settings = terraform.settings(FIRST, "first")
        log = terraform.folder / "apply.log"
        apply = terraform.command(
            "apply", "-auto-approve", "-no-color", "-lock=false", f"-var-file={settings}"
        )
        process = start(log, apply, terraform.environment)
        try:
            yield Cloud(terraform, endpoint, process, log)
        finally:
            _end(process)


@pytest.fixture(scope="session")
def applied(cloud: Cloud) -> Cloud:
    """The first apply has ended well."""
    code = cloud.applying.wait(SECONDS)
    assert code == 0, cloud.log.read_text()[-6000:]
    return cloud


@pytest.fixture(scope="session")
def again(applied: Cloud) -> dict[str, Any]:
    """The plan that follows the first apply, as JSON: every value in it is known."""
    return applied.terraform.planned(FIRST)


@dataclass(frozen=True)
class Trusted:
    """The second apply: what it planned, and the state after it."""

    changes: dict[str, str]
    before: dict[str, Any]
    state: dict[str, Any]


@pytest.fixture(scope="session")
def trusted(applied: Cloud, again: dict[str, Any]) -> Trusted:
    """Snowflake's user and external ids are known now."""
    terraform = applied.terraform
    plan = str(terraform.folder / "second.bin")
    changes = terraform.changes(SECOND, f"-out={plan}")
    terraform.run("apply", "-no-color", plan)
    return Trusted(changes, again["prior_state"], json.loads(terraform.run("show", "-json")))


@pytest.fixture(scope="session")
def leaving(trusted: Trusted, applied: Cloud) -> Iterator[Popen[bytes]]:
    """A destroy, under way: the tests that need no more than the plans and states run meanwhile."""
    terraform = applied.terraform
    settings = terraform.settings(SECOND, "second")
    options = ("-auto-approve", "-no-color", f"-var-file={settings}")
    log = terraform.folder / "destroy.log"
    process = start(log, terraform.command("destroy", *options), terraform.environment)
    try:
        yield process
    finally:
        _end(process)


def _end(process: Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
