"""An installation without a clone: the wheel, and a home with a dbt project of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, Cli

Program = Callable[..., str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs; its requirements are those of this environment."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder / "dist", ROOT]
    subprocess.run(wheel, check=True)
    (built,) = (folder / "dist").glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", built], check=True)
    return folder / "site"


@pytest.fixture(scope="module")
def program(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Runs the installed program in an empty folder, on a home there."""
    empty = tmp_path_factory.mktemp("empty")

    def run(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "medallion.cli", *arguments],
            cwd=empty,
            env=os.environ | {"PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout

    return run


def files(folder: Path) -> Iterator[tuple[Path, int]]:
    """All files of a folder but Python's own caches, with their times of modification."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path, path.stat().st_mtime_ns


def test_the_wheel_brings_events_to_gold_without_a_clone(site: Path, program: Program) -> None:
    """It carries its dbt project, writes nothing beside its code, and its audit holds."""
    before = list(files(site))
    program("run", "--events", "500", "--seed", "3")
    audit = json.loads(program("audit", "--json"))
    assert audit["holds"]
    doctor = program("doctor")
    assert str(site / "medallion" / "project" / "dbt") in doctor
    assert list(files(site)) == before


def test_the_wheel_lays_out_a_home_and_says_where_its_templates_are(
    site: Path, program: Program, tmp_path: Path
) -> None:
    """Settings, mapping and dbt project come from the wheel."""
    output = program("init", str(tmp_path / "shop"), "--models")
    assert str(site / "medallion" / "project" / "bi") in output
    assert (site / "medallion" / "project" / "bi" / "tableau" / "retail.twb").exists()
    home = {str(p.relative_to(tmp_path / "shop")) for p in (tmp_path / "shop").rglob("*")}
    assert {"medallion.toml", "till.toml", "dbt/dbt_project.yml", "dbt/models/silver.sql"} <= home


def test_a_home_is_built_by_its_own_models(cli: Cli, tmp_path: Path) -> None:
    """A model that is changed there changes this home."""
    assert cli(tmp_path, "init", "--models").exit_code == 0
    models = tmp_path / "dbt" / "models"
    (models / "ours.sql").write_text("select 42 as answer\n")
    columns = "[{name: answer, data_type: integer}]"
    (models / "ours.yml").write_text(f"models: [{{name: ours, columns: {columns}}}]\n")
    assert cli(tmp_path, "run", "--events", "50", "--seed", "1").exit_code == 0
    assert json.loads(cli(tmp_path, "query", "select * from ours", "--json").stdout) == [
        {"answer": 42}
    ]
    again = cli(tmp_path, "init", "--models")
    assert again.exit_code == 2
    assert "already" in again.stderr


def test_models_of_another_contract_are_refused(cli: Cli, tmp_path: Path) -> None:
    """They would read columns that are not there: one line says what to take over."""
    assert cli(tmp_path, "init", "--models").exit_code == 0
    sources = tmp_path / "dbt" / "models" / "sources.yml"
    sources.write_text(sources.read_text().replace("customer_id", "client_id"))
    outcome = cli(tmp_path, "run", "--events", "50", "--seed", "1")
    assert outcome.exit_code == 2
    assert str(sources) in outcome.stderr
    assert "another version" in outcome.stderr
