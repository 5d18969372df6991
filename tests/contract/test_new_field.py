"""How to add a field, following the steps of CONTRIBUTING.md: two files are edited, one command is
run, and the field is in silver."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.contributing import FIELD, case_of_the_field, checkout_with_a_field, environment

EVENTS = [
    {"event_id": "with", "promotion_id": " spring sale "},
    {"event_id": "without"},
    {"event_id": "rejected", "promotion_id": [1]},
]
SALE = {"ts": "2026-03-14T15:09:26Z", "store_id": "S1", "product_id": "P1", "price": 1}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout in which somebody has followed the steps."""
    return checkout_with_a_field(tmp_path_factory.mktemp("field"))


def test_the_field_reaches_silver(checkout: Path, tmp_path: Path) -> None:
    """An event that has it shows it in silver; one without it has none; one with a value that it
    cannot take is rejected for it."""
    raw = tmp_path / "raw" / "purchases"
    raw.mkdir(parents=True)
    lines = (json.dumps(SALE | {"quantity": 1} | event) + "\n" for event in EVENTS)
    (raw / "till.ndjson").write_text("".join(lines))
    medallion(checkout, tmp_path, "clean")
    medallion(checkout, tmp_path, "load")
    python(checkout / "dbt", tmp_path, "-m", "dbt.cli.main", "run", "--select", "bronze", "silver")
    sql = f"SELECT event_id, {FIELD} FROM purchases_silver ORDER BY event_id"
    assert json.loads(medallion(checkout, tmp_path, "query", sql, "--json")) == [
        {"event_id": "with", FIELD: "SPRING SALE"},
        {"event_id": "without", FIELD: None},
    ]
    reasons = json.loads(
        medallion(checkout, tmp_path, "query", "SELECT reason FROM staging.quarantine", "--json")
    )
    assert reasons == [{"reason": f"bad_{FIELD}"}]


def medallion(checkout: Path, home: Path, *arguments: str) -> str:
    """Run a command of the copy; return what it printed."""
    return python(checkout, home, "-m", "medallion.cli", *arguments)


def python(folder: Path, home: Path, *arguments: str) -> str:
    """Run Python in a folder of the copy; return what it printed."""
    checkout = folder.parent if folder.name == "dbt" else folder
    variables = environment(checkout) | {
        "MEDALLION_HOME": str(home),
        "DBT_TARGET_PATH": str(home / "target"),
        "DBT_LOG_PATH": str(home / "logs"),
    }
    done = subprocess.run(
        [sys.executable, *arguments], env=variables, cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_file_that_repeats_the_contract_names_the_field(checkout: Path) -> None:
    """Documents, schemas and scripts have it, and two files alone were edited by hand."""
    files = {path.relative_to(checkout) for path in checkout.rglob("*") if path.is_file()}
    names = {
        str(path)
        for path in files
        if not (ROOT / path).exists()
        or (checkout / path).read_bytes() != (ROOT / path).read_bytes()
    }
    names = {name for name in names if "__pycache__" not in name}
    assert names == {
        "src/medallion/contract.py",
        case_of_the_field(),
        "contracts/mapping.schema.json",
        "contracts/purchases.schema.json",
        "contracts/retail.odcs.yaml",
        "dbt/models/ops/ops.yml",
        "dbt/models/schema.yml",
        "dbt/models/sources.yml",
        "docs/contract.md",
        "infra/snowflake.sql",
        "infra/terraform/tables.json",
    }
    assert all(FIELD in (checkout / name).read_text() for name in names)


def test_the_tests_of_the_contract_hold_again(checkout: Path) -> None:
    """In the copy every reason has a case, every field is accepted somewhere, the JSON Schemas
    decide the cases as the cleaner does, and nothing that repeats the contract is stale."""
    chosen = (
        "test_every_reason_has_a_case or test_every_field_is_accepted_somewhere "
        "or test_schemas_decide or test_what_repeats_the_contract_is_current"
    )
    files = ("conformance/test_conformance.py", "contract/test_contract_files.py", "test_house.py")
    command = [sys.executable, "-m", "pytest", *(f"tests/{file}" for file in files), "-k", chosen]
    done = subprocess.run(
        command, env=environment(checkout), cwd=checkout, capture_output=True, text=True
    )
    assert done.returncode == 0 and "4 passed" in done.stdout, done.stdout + done.stderr
