"""EXECUTE DBT PROJECT: the real dbt, as the account would run it. Rules are those of
docs.snowflake.com/en/sql-reference/sql/execute-dbt-project and of the pages under
.../user-guide/data-engineering/dbt-projects-on-snowflake."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.snowflake import dbt_here
from tests.snowflake.standin.account import Thing, missing, plain, read_properties, refusal
from tests.snowflake.standin.session import Session, said

VERSIONS = ("1.9.4", "1.10.15", "1.11.11", "1.12.3", "2.0.0")
"""dbt-projects-on-snowflake-dbt-core-versions; the first runs where none is named."""
COMMANDS = frozenset(
    {"build", "compile", "deps", "docs", "list", "parse", "run", "run-operation", "seed"}
    | {"show", "snapshot", "source", "test"}
)
REFUSED_OPTIONS = ("--profiles-dir", "--project-dir", "--log-format", "--log-format-file")
PROFILES = ("dbt_projects_profiles.yml", "profiles.yml")
"""The first that is there is used."""
LITERALS = {"type", "role", "warehouse", "database", "schema", "account", "user"} | {
    "threads",
    "query_tag",
    "client_session_keep_alive",
}
_EXECUTE = re.compile(r"EXECUTE\s+DBT\s+PROJECT\s+([\w.]+)\s*(.*)", re.I | re.S)


def runs_dbt(sql: str) -> bool:
    """Return whether a statement is EXECUTE DBT PROJECT."""
    return bool(re.match(r"\s*EXECUTE\s+DBT\s", sql, re.I))


class DbtProjects:
    """Runs the dbt projects of an account."""

    def __init__(self, standin: Any) -> None:
        self._standin, self._account = standin, standin.account

    def execute(self, session: Session, sql: str) -> str:
        """EXECUTE DBT PROJECT."""
        if not (match := _EXECUTE.fullmatch(sql)):
            raise refusal(f"syntax error: '{sql[:80]}'")
        key = ("DBT PROJECT", session.full_name(match[1]))
        if key not in self._account.things:
            raise missing(*key)
        session.require("USAGE", key)
        session.compute()
        given = read_properties(match[2], {"ARGS", "DBT_VERSION", "WRITEBACK"})
        thing = self._account.things[key]
        files = Path(thing.state["files"])
        check_version(plain(given.get("DBT_VERSION") or thing.properties.get("DBT_VERSION")), files)
        arguments = shlex.split(plain(given.get("ARGS"))) or ["run"]
        if arguments[0] not in COMMANDS or set(arguments) & set(REFUSED_OPTIONS):
            raise refusal(f"dbt {' '.join(arguments)} cannot run in the account")
        with tempfile.TemporaryDirectory() as folder:
            project = Path(folder, "project")
            shutil.copytree(files, project)
            profiles = self._profiles(session, project, Path(folder))
            options = ["--project-dir", project, "--profiles-dir", profiles]
            options += ["--target-path", folder, "--log-path", folder]
            # No variable of the machine: inside the account there is none. Nor does it report.
            known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
            known["DBT_SEND_ANONYMOUS_USAGE_STATS"] = "false"
            code, output = dbt_here.run((*arguments, *options), known)
        if code:
            raise refusal(f"dbt {' '.join(arguments)} failed:\n{output[-4000:]}")
        return said("dbt succeeded")

    def _profiles(self, session: Session, project: Path, folder: Path) -> Path:
        """Write the profile that dbt reads: the project's own, and how its user signs in here."""
        name = next((name for name in PROFILES if (project / name).exists()), None)
        if name is None:
            raise refusal("the project has no profiles.yml")
        text = (project / name).read_text()
        profiles = yaml.safe_load(text)
        for profile in profiles.values():
            for target in profile["outputs"].values():
                self._check(session, name, target)
                target |= self._signed_in(session, folder)
        (project / "profiles.yml").unlink(missing_ok=True)
        (folder / "profiles.yml").write_text(yaml.safe_dump(profiles))
        return folder

    def _check(self, session: Session, name: str, target: dict[str, Any]) -> None:
        """Raise unless a target is one that the account can use: literals, a schema that exists
        (snowflake-cli/data-pipelines/dbt-projects) and a role that the caller has."""
        if unknown := set(target) - LITERALS:
            raise refusal(f"{name}: {sorted(unknown)} means nothing inside the account")
        if target.get("type") != "snowflake" or "{{" in str(target):
            raise refusal(f"{name}: type snowflake and literal values are needed")
        schema = f"{target['database']}.{target['schema']}".upper()
        if ("SCHEMA", schema) not in self._account.things:
            raise refusal(f"{name}: schema {schema} does not exist")
        if target["role"].upper() not in self._account.active(session.role):
            raise refusal(f"{name}: role {target['role']} is not granted to {session.role}")
        self._account.require(
            target["role"].upper(), "USAGE", ("WAREHOUSE", target["warehouse"].upper())
        )

    def _signed_in(self, session: Session, folder: Path) -> dict[str, Any]:
        """Return the connection of a user of the account itself, which has the role of the session
        and no other."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        path = folder / "key.p8"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        text = "".join(public.decode().splitlines()[1:-1])
        self._account.things["USER", "SYSTEM_TASK"] = Thing(
            "SYSTEM", {"TYPE": "SERVICE", "RSA_PUBLIC_KEY": f"'{text}'"}
        )
        self._account.users["SYSTEM_TASK"] = {session.role}
        return {
            "account": "standin",
            "host": "127.0.0.1",
            "port": self._standin.port,
            "protocol": "http",
            "user": "SYSTEM_TASK",
            "private_key_path": str(path),
        }


def check_version(version: str, files: Path) -> None:
    """Raise unless a version of dbt is offered and can compile the files: `arguments:` of a data
    test came with 1.10."""
    version = version or VERSIONS[0]
    if version not in VERSIONS:
        raise refusal(f"dbt version '{version}' is not supported: {', '.join(VERSIONS)}")
    if int(version.split(".")[1]) < 10 and version < "2":
        for path in files.rglob("*.yml"):
            if re.search(r"^\s+arguments:", path.read_text(), re.M):
                raise refusal(f"dbt {version}: {path.name}: test arguments are not known")
