"""infra/snowflake.sql on an empty account: it runs, again without change, makes what the contract
says, and grants what is needed and nothing else."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from snowflake.connector.errors import ProgrammingError

from medallion.layers.staging import TABLES
from tests.conftest import ROOT
from tests.snowflake import tools
from tests.snowflake.account_here import PIPES, SCRIPT, World, rendered, statements, world

GRAMMAR = Path(__file__).with_name("grammar.py")
UNKNOWN_TO_SQLFLUFF = (
    r"ALTER TAG \S+ SET MASKING POLICY \w+ FORCE;",
    r"GRANT APPLY ON TAG \S+ TO ROLE \w+;",
    r"ALTER NETWORK RULE \S+ SET VALUE_LIST = \('[^']*'\);",
)
"""Statements of Snowflake's reference that sqlfluff 4.5 does not know: FORCE of ALTER TAG, GRANT on
a tag, ALTER NETWORK RULE."""
WITH_HISTORY = "STORAGE INTEGRATION|NOTIFICATION INTEGRATION|PIPE|STAGE|TABLE|TASK|STREAM|USER|ROLE"
OF_THE_LOAD = {"bronze_file": "VARCHAR", "scanned_at": "TIMESTAMP_LTZ(6)"}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("script")) as account:
        account.run_script()
        yield account


def test_grammar_of_the_script(account: World, tmp_path: Path) -> None:
    """Nothing but the known gaps of the checker; a typo and a foreign function are found."""
    texts = statements(rendered(account.values))
    (policy,) = (sql for sql in texts if sql.startswith("CREATE MASKING POLICY"))
    paths = {
        "script": "\n".join(texts),
        "typo": policy.replace("MASKING", "MASKNG"),
        "foreign": policy.replace("SHA2(", "SHA256("),
    }
    for name, sql in paths.items():
        (tmp_path / name).write_text(sql)
    command = [tools.python(), GRAMMAR, *(tmp_path / name for name in paths)]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    wrong = {Path(path).name: len(found) for path, found in told["violations"].items()}
    gaps = [sql for sql in texts if is_gap(sql)]
    assert wrong == {"script": len(gaps), "typo": 1} and len(gaps) == len(UNKNOWN_TO_SQLFLUFF)
    assert told["foreign"] == {str(tmp_path / "foreign"): ["sha256"]}


def is_gap(sql: str) -> bool:
    return any(re.fullmatch(known, " ".join(sql.split())) for known in UNKNOWN_TO_SQLFLUFF)


def test_script_runs_twice_without_change(account: World) -> None:
    """Every object, owner, grant and future grant is what it was."""
    before = account.server.state()
    account.run_script()
    after = account.server.state()
    assert {k: v for k, v in after.items() if before[k] != v} == {}
    assert len(after["objects"]) > 60 and len(after["grants"]) > 80


def test_typo_is_refused(account: World) -> None:
    """The account refuses a word that it does not know, wherever it stands."""
    for right, wrong in (
        ("AUTO_INGEST = TRUE", "AUTO_INJEST = TRUE"),
        ("RETAIL.LANDING.BRONZE/stores/", "RETAIL.LANDING.BRONZ/stores/"),
        ("TO ROLE RETAIL_READER", "TO ROLE RETAIL_READERS"),
    ):
        text = SCRIPT.read_text().replace("PIPE IF NOT EXISTS", "PIPE").replace(right, wrong)
        text = text.replace("CREATE PIPE ", "CREATE OR REPLACE PIPE ")
        with pytest.raises(ProgrammingError):
            account.run_script(text)
    account.run_script()


def test_nothing_with_a_history_is_replaced() -> None:
    found = re.findall(rf"CREATE OR REPLACE (?:{WITH_HISTORY})\b.*", SCRIPT.read_text(), re.I)
    assert found == []


def test_variables_are_those_of_the_cloud_side(account: World) -> None:
    """What the script asks for, Terraform's output names or the runbook explains."""
    asked = set(re.findall(r"<%\s*(\w+)\s*%>", SCRIPT.read_text()))
    outputs = (ROOT / "infra" / "terraform" / "outputs.tf").read_text()
    given = re.search(r'"snowflake_variables" {.*?value = {(.*?)}', outputs, re.S)
    assert given
    from_aws = set(re.findall(r"(\w+) *=", given[1]))
    assert asked == set(account.values)
    assert asked - from_aws == {"dbt_public_key", "dbt_network", "credit_quota"}
    assert from_aws <= asked


@pytest.mark.parametrize("table", PIPES)
def test_tables_are_typed_from_the_contract(account: World, table: str) -> None:
    """LANDING has the columns of the bronze objects with the contract's types; STAGING shows them
    under the names that the models know."""
    script = SCRIPT.read_text()
    made = re.search(rf"LANDING\.{table.upper()} \((.*?)\n\)\n", script, re.S)
    assert made
    written = dict(line.strip().rstrip(",").split(" ", 1) for line in made[1].strip().splitlines())
    load = ("bronze_file", "load_seq", "loaded_at")
    objects = {n: kind.snowflake for n, kind in TABLES[table].items() if n not in load}
    assert written == objects | OF_THE_LOAD
    with account.session() as cursor:
        cursor.execute(f"SELECT * FROM STAGING.{table}")
        assert [c[0].lower() for c in cursor.description] == list(TABLES[table])
