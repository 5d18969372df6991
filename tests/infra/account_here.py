"""An AWS account on this machine that enforces its policies: ministack with AUTH=true."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.infra.terraform_here import ACCOUNT, REGION, resources
from tests.infra.tools_here import clean_environment
from tests.processes import free_port, running, wait_for

Keys = tuple[str, str, str | None]
ROOT_USER: Keys = ("test", "test", None)
MAY_ASSUME = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
REFUSALS = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "403"}


class Account:
    """Users, roles and clients of the account; what it holds comes from an applied state."""

    def __init__(self, endpoint: str, state: dict[str, Any]) -> None:
        self.endpoint = endpoint
        self._state = {r["address"]: r["values"] for r in resources(state["values"]["root_module"])}
        self.iam = self.client("iam", ROOT_USER)

    def client(self, service: str, keys: Keys, secure: bool = True) -> Any:
        """A client. Its requests count as TLS when they say so, as behind a proxy that ends TLS."""
        client = boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=keys[0],
            aws_secret_access_key=keys[1],
            aws_session_token=keys[2],
            config=Config(retries={"total_max_attempts": 1}),
        )
        if secure:

            def through_tls(request: Any, **_: Any) -> None:
                request.headers["X-Forwarded-Proto"] = "https"

            client.meta.events.register("before-send", through_tls)
        return client

    def of(self, address: str) -> dict[str, Any]:
        """The attributes of a resource, as applied."""
        return self._state[address]

    def role_of(self, name: str) -> tuple[str, list[str]]:
        """The trust of a role and its inline policies, as applied."""
        one, each = f"aws_iam_role.{name}", f"aws_iam_role.{name}["
        (role,) = [v for a, v in self._state.items() if a == one or a.startswith(each)]
        policies = [v for a, v in self._state.items() if a.startswith("aws_iam_role_policy.")]
        return role["assume_role_policy"], [
            v["policy"] for v in policies if v["role"] == role["name"]
        ]

    def user(self, name: str, *policies: str) -> Keys:
        """A user with inline policies."""
        self.iam.create_user(UserName=name)
        for number, document in enumerate(policies):
            self.iam.put_user_policy(
                UserName=name, PolicyName=f"p{number}", PolicyDocument=document
            )
        key = self.iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"], None

    def role(self, name: str, trust: str, policies: list[str]) -> str:
        """A role with inline policies; its ARN."""
        role = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
        for number, document in enumerate(policies):
            self.iam.put_role_policy(
                RoleName=name, PolicyName=f"p{number}", PolicyDocument=document
            )
        return str(role["Role"]["Arn"])

    def assume(self, arn: str, keys: Keys, **options: str) -> Keys:
        """The keys of a session."""
        sts = self.client("sts", keys)
        session = sts.assume_role(RoleArn=arn, RoleSessionName="session", **options)["Credentials"]
        return session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"]


def allowed(call: Callable[[], Any]) -> bool:
    """Whether the account lets it happen; any other failure than a refusal is raised."""
    try:
        call()
    except ClientError as error:
        if error.response["Error"]["Code"] in REFUSALS:
            return False
        raise
    return True


def policy(*statements: dict[str, Any]) -> str:
    """A policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


@contextmanager
def account(
    bin: Path, folder: Path, state: dict[str, Any], behind_tls: bool = False
) -> Iterator[Account]:
    """The account for as long as the block lasts; `behind_tls` for clients that cannot say so."""
    port = free_port()
    variables = {
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        "IOT_MTLS_ENABLED": "false",  # it would listen on every address
        "SFTP_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "BEHIND_TLS": str(behind_tls).lower(),
        "TMPDIR": str(folder),
        "STATE_DIR": str(folder / "state"),
        "S3_DATA_DIR": str(folder / "s3"),
        "PATH": f"{bin}:/usr/bin:/bin",
    }
    server = (bin / "python", Path(__file__).parent / "account_server.py")
    with running(folder / "account.log", *server, environment=clean_environment(**variables)):
        wait_for(f"http://127.0.0.1:{port}/_ministack/health")
        yield Account(f"http://127.0.0.1:{port}", state)
