"""Checks of the configuration before anything is applied."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.infra.conftest import Cloud
from tests.infra.terraform_here import SOURCE, terraform_environment, terraform_program

WRONG: dict[str, list[Any]] = {
    "bucket_name": ["Retail_Lake", "ab", "-retail", "retail.lake", "retail-s3alias"],
    "region": ["europe", "eu-central", "eu-central-1a", "", "cn-north-1", "us-gov-west-1"],
    "name": ["Retail", "9lives", "r"],
    "tags": [{"aws:owner": "me"}],
    "allowed_account_ids": [["12345"], ["12345678901x"]],
    "snowflake_principal_arn": ["arn:aws:iam::1:user/x", "*", "arn:aws:iam::123456789012:root"],
    "snowflake_external_id": ["has spaces", "x", "x" * 1225],
    "snowflake_error_external_id": ["*", "ab\ncd", "y" * 1225],
    "snowflake_subscriber_arn": ["arn:aws:s3:::bucket", "AIDAEXAMPLE"],
    "bucket_encryption": ["none", "aws:kms:dsse"],
    "access_log_bucket": ["Logs", "retail-lake"],
    "raw_days": [{"infrequent": 7}, {"infrequent": 30, "delete": 30}],
    "bronze_days": [{"infrequent": 29}, {"infrequent": 90, "delete": 10}],
    "old_version_days": [0, 1.5],
    "package_path": ["medallion.whl"],
    "glue_worker_type": ["Standard", "G.025X"],
    "glue_workers": [1, 2.5, 300],
    "glue_python_modules": ["", "numba", "numba==1, llvmlite==1", "s3://b/numba.zip", "numba>=0.6"],
    "glue_timeout_minutes": [0, 4.5, 2881],
    "glue_retries": [-1, 11],
    "arrivals_per_run": [0, 101],
    "arrival_window_seconds": [0, 901],
    "sweep_cron": [
        "40 * * * *",
        "40 * * * * *",
        "61 * * * ? *",
        "0 24 * * ? *",
        "rate(1 hour)",
        "cron(40 * * * ? *)",
    ],
    "log_days": [2, 0],
    "first_day": ["2020-02-30", "01.01.2020"],
    "athena_scan_limit_gb": [0, 10001],
    "alert_email": ["nobody", "a b@example.com"],
    "no_data_hours": [0, 25],
    "queue_age_minutes": [-1, 0.5],
    "monthly_budget_usd": [0],
}
"""Values of each variable that must be refused; what looks at two variables is below."""

ALONE = ("snowflake_principal_arn", "access_log_bucket")
USER = "arn:aws:iam::123456789012:user/abc1-b-self1234"


RIGHT: list[dict[str, Any]] = [
    {},
    {"region": "ap-southeast-7", "bucket_name": "a1b", "name": "ab", "log_days": 3653},
    {"sweep_cron": "0/15 6-22 ? * MON-FRI *", "raw_days": {"infrequent": 30, "delete": 31}},
    {"sweep_cron": "5,35 0 L * ? 2027", "glue_flex": True, "glue_worker_type": "G.2X"},
    {"glue_python_modules": "s3://b/w/numba-0.68.1-cp311.whl,s3://b/all.gluewheels.zip,x==1.0+b"},
    {"snowflake_principal_arn": USER, "snowflake_external_id": "x" * 1224},
    {"snowflake_principal_arn": USER, "snowflake_error_external_id": "y" * 1224},
    {"snowflake_principal_arn": USER.replace("aws", "aws-cn"), "snowflake_external_id": "A=2_/+"},
]
TOGETHER: list[tuple[dict[str, Any], str]] = [
    ({"snowflake_external_id": "RETAIL_1"}, "snowflake_principal_arn and an external id belong"),
    ({"snowflake_principal_arn": USER}, "snowflake_principal_arn and an external id belong"),
    ({"glue_flex": True, "glue_worker_type": "G.4X"}, "glue_flex works with the worker types"),
]


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], set[str]]:
    """What Terraform says to some variables: a function that gives the sentences. The variables
    alone need neither a provider nor an account."""
    folder, program = tmp_path_factory.mktemp("variables"), terraform_program()
    shutil.copy(SOURCE / "variables.tf", folder)
    settings = folder / "test.tfvars.json"

    def plan(variables: dict[str, Any]) -> set[str]:
        settings.write_text(json.dumps({"bucket_name": "retail-lake"} | variables))
        command = [program, "plan", "-json", f"-var-file={settings}"]
        environment = terraform_environment()
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        errors = [line["diagnostic"]["detail"] for line in lines if line["@level"] == "error"]
        assert bool(errors) is bool(done.returncode), done.stdout
        return {detail.split("\n")[0] for detail in errors}

    return plan


Refused = Callable[[dict[str, Any]], set[str]]


def test_every_wrong_variable_is_refused_with_a_sentence(refused: Refused) -> None:
    """The sentence names the variable and the form that is taken. One plan is given the first wrong
    value of each variable, the next one the second, and so on; a variable whose validation looks at
    others has its own plans, because it is not validated when those are wrong."""
    rounds = [
        {n: v[place] for n, v in WRONG.items() if place < len(v) and n not in ALONE}
        for place in range(max(map(len, WRONG.values())))
    ]
    for wrong in rounds + [{name: value} for name in ALONE for value in WRONG[name]]:
        sentences = refused(wrong)
        for name, value in wrong.items():
            own = [s for s in sentences if re.match(rf"{name}\b", s)]
            assert own and all(s.endswith(".") for s in own), (name, value, sentences)


@pytest.mark.parametrize(("together", "sentence"), TOGETHER)
def test_variables_that_contradict_each_other_are_refused(
    refused: Refused, together: dict[str, Any], sentence: str
) -> None:
    """One needs the other."""
    (refusal,) = refused(together)
    assert refusal.startswith(sentence)


@pytest.mark.parametrize("right", RIGHT)
def test_right_variables_are_taken(refused: Refused, right: dict[str, Any]) -> None:
    """The defaults, and the outermost of what is allowed."""
    assert refused(right) == set()


def test_every_validation_is_tried() -> None:
    """A variable with a validation has a wrong value above."""
    text = (SOURCE / "variables.tf").read_text()
    blocks = re.findall(r'^variable "(\w+)" \{(.*?)^\}', text, re.MULTILINE | re.DOTALL)
    validated = {name for name, block in blocks if "validation {" in block}
    assert validated == WRONG.keys() | {"glue_flex"}
    for name, block in blocks:
        assert "description" in block and "type " in block, name


def test_the_job_s_compiler_is_that_of_the_tests() -> None:
    """The versions that the job installs are those that the cleaner is tested with."""
    text = (SOURCE / "variables.tf").read_text()
    (pinned,) = re.findall(r'default = "(numba==[^"]+)"', text)
    assert pinned == ",".join(f"{name}=={version(name)}" for name in ("numba", "llvmlite"))


def test_the_configuration_is_formatted_and_valid(cloud: Cloud) -> None:
    """`terraform fmt -check` and `terraform validate`, of the bootstrap too."""
    terraform = cloud.terraform
    terraform.run("fmt", "-check", "-recursive", "-diff", str(SOURCE))
    assert json.loads(terraform.run("validate", "-json"))["diagnostics"] == []
    for name in (".terraform", ".terraform.lock.hcl"):
        (terraform.folder / "bootstrap" / name).symlink_to(terraform.folder / name)
    output = terraform.run("-chdir=bootstrap", "validate", "-json")
    assert json.loads(output)["diagnostics"] == []
    assert "2 passed, 0 failed" in terraform.run("-chdir=bootstrap", "test", "-no-color")


def test_only_what_a_rule_writes_is_tied_to_the_rule() -> None:
    """EventBridge creates a log stream in no rule's name: its condition stands on PutLogEvents."""
    text = (SOURCE / "alarms.tf").read_text()
    (document,) = re.findall(r'"job_failures" \{\n  statement.*?\n}\n', text, re.DOTALL)
    tied = {
        action: "condition {" in statement
        for statement in document.split("statement {")[1:]
        for action in re.findall(r'"(logs:\w+)"', statement)
    }
    assert tied == {"logs:CreateLogStream": False, "logs:PutLogEvents": True}


def test_the_configuration_s_own_tests_pass(cloud: Cloud) -> None:
    """`terraform test`, whose provider asks nothing of AWS."""
    output = cloud.terraform.run("test", "-no-color")
    assert re.search(r"Success! [5-9] passed, 0 failed", output), output


def test_every_skipped_check_has_a_reason() -> None:
    """`#checkov:skip=CHECK:reason`, on one line."""
    for path in SOURCE.rglob("*.tf"):
        for line in path.read_text().splitlines():
            if "checkov:skip" in line:
                assert re.search(r"#checkov:skip=CKV2?_[A-Z]+_\d+:[A-Z].{20,}\.$", line), line


def test_checkov_finds_nothing(bin: Path, tmp_path: Path) -> None:
    """Nothing but the checks that are skipped with a reason; a bucket beside them, planted, without
    protection, it does find."""
    for path in SOURCE.rglob("*.tf"):
        copy = tmp_path / path.relative_to(SOURCE)
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(path.read_text())
    planted = 'resource "aws_s3_bucket" "planted" {\n  bucket = "planted"\n}\n'
    (tmp_path / "planted.tf").write_text(planted)
    options = ["--framework", "terraform", "--compact", "--quiet", "--skip-download"]
    command = [bin / "checkov", "-d", tmp_path, *options, "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    report = json.loads(done.stdout)
    failed = {(c["resource"], c["check_id"]) for c in report["results"]["failed_checks"]}
    assert {check for check in failed if check[0] != "aws_s3_bucket.planted"} == set()
    assert ("aws_s3_bucket.planted", "CKV2_AWS_6") in failed
    assert report["summary"]["passed"] > 80


def test_no_private_file_is_committed() -> None:
    """The lock file names a registry; states and settings are the owner's."""
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {".terraform.lock.hcl", "*.tfstate*", "*.tfvars"} <= set(ignored)


def test_the_guide_shows_the_costs() -> None:
    """README.md has the table that costs.py prints, and the drawing is of the same figures."""
    command = [sys.executable, SOURCE / "costs.py"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed in (SOURCE / "README.md").read_text()
    drawn = subprocess.run([*command, "--svg"], capture_output=True, text=True, check=True).stdout
    assert drawn == (ROOT / "docs" / "images" / "costs.svg").read_text()


def test_the_guide_leads_somewhere() -> None:
    """Files and variables that the guide names are there."""
    guide = (SOURCE / "README.md").read_text()
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", guide):
        assert (SOURCE / link).exists(), link
    known = "".join(path.read_text() for path in SOURCE.rglob("*.tf"))
    for word in re.findall(r"(?:-var |[ `]output (?:-raw )?)([a-z_]+)", guide):
        assert re.search(rf'(variable|output) "{word}"', known), word


def test_the_workflow_deploys_without_keys() -> None:
    """Actions are pinned to commits; only the apply has its role, from main, by OIDC."""
    text = (ROOT / ".github" / "workflows" / "deploy.yml").read_text()
    workflow = yaml.safe_load(text)
    assert "secrets." not in text and "aws-access-key" not in text
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["permissions"] == {"contents": "read", "id-token": "write"}
        for step in job["steps"]:
            assert re.search(r"@[0-9a-f]{40}$", step.get("uses", "@" + "0" * 40)), step
            assert "${{" not in step.get("run", ""), "an expression in a script may be an injection"
    plan, apply, snowflake = (workflow["jobs"][name] for name in ("plan", "apply", "snowflake"))
    assert snowflake["environment"] == "production" and "push" in snowflake["if"]
    assert snowflake["env"]["SNOWFLAKE_AUTHENTICATOR"] == "WORKLOAD_IDENTITY"
    assert "pull_request" in plan["if"] and "push" in apply["if"]
    assert "terraform apply" not in str(plan) and "AWS_APPLY_ROLE" not in str(plan)
    assert workflow[True]["push"]["branches"] == ["main"]
    assert apply["environment"] == "production"
