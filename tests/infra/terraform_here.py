"""Terraform on this machine: the program, its provider, and a copy of the configuration to run."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.conftest import ROOT
from tests.infra.tools_here import clean_environment

SOURCE = ROOT / "infra" / "terraform"
PROVIDER = "registry.terraform.io/hashicorp/aws"
PARTS = ("infra/terraform", "src/glue", "src/medallion")
ACCOUNT, REGION = "123456789012", "us-east-1"
SECONDS = 240


def missing(what: str) -> NoReturn:
    """Says how to get it: a failure in CI, a skipped test elsewhere."""
    sentence = f"{what}. Terraform 1.10 or newer: https://developer.hashicorp.com/terraform/install"
    if os.environ.get("CI"):
        pytest.fail(sentence)
    pytest.skip(sentence)


def plugins() -> Path | None:
    """A folder that mirrors the registry: MEDALLION_TF_PLUGINS, or one in a usual place. Terraform
    knows more places on its own."""
    if named := os.environ.get("MEDALLION_TF_PLUGINS"):
        return Path(named)
    roots = [Path("/", *parts) for parts in (("opt",), ("usr", "share"), ("usr", "local", "share"))]
    paths = itertools.chain.from_iterable(root.glob(f"*/{PROVIDER}") for root in roots)
    return next((path.parents[2] for path in paths), None)


def terraform_program() -> str:
    """Where Terraform is."""
    return shutil.which("terraform") or missing("terraform is not on the path")


def terraform_environment(**variables: str) -> dict[str, str]:
    """Return the environment of Terraform. A settings file that is named but missing would cause a
    warning in every answer."""
    switches = {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1", "TF_INPUT": "0"}
    environment = clean_environment(**switches, **variables)
    if not Path(environment.get("TF_CLI_CONFIG_FILE", "/")).exists():
        del environment["TF_CLI_CONFIG_FILE"]
    return environment


class Terraform:
    """A copy of infra/terraform with what it uploads, its state beside it."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._program = terraform_program()
        self.folder = folder / "infra" / "terraform"
        hidden = shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars", "__pycache__")
        for part in PARTS:
            shutil.copytree(ROOT / part, folder / part, ignore=hidden)
        script = folder / "src" / "glue" / "package.py"
        subprocess.run([sys.executable, script, folder / "build" / "medallion.zip"], check=True)
        local = 'terraform {\n  backend "local" {}\n}\n'
        (self.folder / "backend_override.tf").write_text(local)
        self.environment = terraform_environment(**environment)
        self._init()

    def _init(self) -> None:
        folder = None if "TF_CLI_ARGS_init" in self.environment else plugins()
        mirror = (f"-plugin-dir={folder}",) if folder else ()
        done = self.call("init", "-no-color", *mirror)
        if done.returncode:
            missing(
                f"terraform init cannot get the provider: {done.stderr[-600:]}\nWithout the "
                f"registry, `terraform providers mirror DIR` elsewhere and MEDALLION_TF_PLUGINS=DIR"
            )

    def command(self, *arguments: str) -> list[str]:
        """The whole command line."""
        return [self._program, *arguments]

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end, whatever that is."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )

    def run(self, *arguments: str) -> str:
        """What a command printed that must end well."""
        done = self.call(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
        return done.stdout

    def planned(self, variables: dict[str, Any], *options: str) -> dict[str, Any]:
        """A plan as JSON."""
        settings, plan = self.settings(variables), self.folder / "plan.bin"
        self.run("plan", "-no-color", f"-out={plan}", f"-var-file={settings}", *options)
        return json.loads(self.run("show", "-json", str(plan)))

    def changes(self, variables: dict[str, Any], *options: str) -> dict[str, str]:
        """What a plan would do, by address; what stays is left out. What was seen at the last
        refresh counts: nothing is asked of the account."""
        settings = self.settings(variables)
        output = self.run("plan", "-json", "-refresh=false", f"-var-file={settings}", *options)
        lines = [json.loads(line) for line in output.splitlines()]
        changes = [line["change"] for line in lines if line["type"] == "planned_change"]
        return {change["resource"]["addr"]: change["action"] for change in changes}

    def settings(self, variables: dict[str, Any], name: str = "test") -> Path:
        """A file of variables."""
        path = self.folder.parent / f"{name}.tfvars.json"
        path.write_text(json.dumps(variables))
        return path


def resources(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every resource under a module of `terraform show -json`."""
    yield from module.get("resources", ())
    for child in module.get("child_modules", ()):
        yield from resources(child)
