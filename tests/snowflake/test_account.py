"""infra/snowflake.sql on an empty account: it runs, again without change, makes what the contract
says, and grants what is needed and nothing else."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from snowflake.connector.errors import ProgrammingError

from medallion.layers.staging import TABLES
from tests.conftest import ROOT
from tests.snowflake import tools
from tests.snowflake.account_here import (
    DBT,
    PAGE,
    PIPES,
    SCRIPT,
    World,
    rendered,
    statements,
    world,
)
from tests.snowflake.standin import HOST
from tests.snowflake.standin.dbt_projects import VERSIONS, check_version

GRAMMAR = Path(__file__).with_name("grammar.py")
UNKNOWN_TO_SQLFLUFF = (
    r"ALTER TAG \S+ SET MASKING POLICY \w+ FORCE;",
    r"GRANT APPLY ON TAG \S+ TO ROLE \w+;",
    r"ALTER NOTIFICATION INTEGRATION \S+ SET AWS_SNS_TOPIC_ARN = '\S+' AWS_SNS_ROLE_ARN = '\S+';",
    r"CREATE OR ALTER FILE FORMAT \S+ TYPE = PARQUET .* NULL_IF = \(\);",
    r"CREATE OR ALTER NETWORK RULE \S+ TYPE = IPV4 MODE = INGRESS VALUE_LIST = \('[^']*'\);",
    r"CREATE SNOWFLAKE\.CORE\.BUDGET IF NOT EXISTS [\w.]+\(\);",
    r"CALL [\w.]+!\w+\(.*\);",
)
"""Statements of Snowflake's reference that sqlfluff 4.5 does not know: FORCE of ALTER TAG, GRANT on
a tag, topic and role of a notification integration, an empty NULL_IF, CREATE OR ALTER NETWORK RULE,
budgets and calls of their methods."""
WITH_HISTORY = "STORAGE INTEGRATION|NOTIFICATION INTEGRATION|PIPE|STAGE|TABLE|TASK|STREAM|USER|ROLE"
OF_THE_LOAD = {"bronze_file": "VARCHAR", "scanned_at": "TIMESTAMP_LTZ(6)"}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("script")) as account:
        account.run_script()
        yield account


def test_a_statement_that_is_sent_again_runs_once(account: World) -> None:
    """The client does so when it has waited for a minute. It gets the first answer."""
    with account.server.connect(role="SYSADMIN", warehouse="RETAIL_BI_WH") as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE RETAIL.CONTROL.SENT (n NUMBER(38,0))")
        url = f"http://{HOST}:{account.server.port}/queries/v1/query-request?requestId=sent-twice"
        body = json.dumps({"sqlText": "INSERT INTO RETAIL.CONTROL.SENT SELECT 1"}).encode()
        headers = {"Authorization": f'Snowflake Token="{connection.rest.token}"'}
        with ThreadPoolExecutor() as threads:
            requests = [urllib.request.Request(url, body, headers) for _ in range(3)]
            answers = [
                json.load(answer) for answer in threads.map(urllib.request.urlopen, requests)
            ]
        assert answers[0]["success"] and answers == answers[:1] * 3
        assert cursor.execute("SELECT * FROM RETAIL.CONTROL.SENT").fetchall() == [(1,)]
        cursor.execute("DROP TABLE RETAIL.CONTROL.SENT")


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
    faults = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    wrong = {Path(path).name: len(found) for path, found in faults["violations"].items()}
    gaps = [known for known in map(gap, texts) if known]
    assert wrong == {"script": len(gaps), "typo": 1} and set(gaps) == set(UNKNOWN_TO_SQLFLUFF)
    assert faults["foreign"] == {str(tmp_path / "foreign"): ["sha256"]}


def gap(sql: str) -> str | None:
    """Return the known gap of the checker that a statement falls into."""
    text = " ".join(sql.split())
    return next((known for known in UNKNOWN_TO_SQLFLUFF if re.fullmatch(known, text)), None)


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


def test_settings_become_what_the_variables_say(account: World) -> None:
    """A second run with other values changes each of them; a pipe alone keeps its topic."""
    others = {
        "bucket": "other",
        "storage_role_arn": "arn:aws:iam::123456789012:role/other",
        "error_topic_arn": account.values["bronze_topic_arn"],
        "error_role_arn": "arn:aws:iam::123456789012:role/other-errors",
        "dbt_network": "10.0.0.0/8",
        "credit_quota": "7",
        "alert_user": "SVC_RETAIL_DBT",
        "alert_email": "other@example.com",
    }
    kept = dict(account.values)
    text = SCRIPT.read_text().replace("AUTO_SUSPEND = 60", "AUTO_SUSPEND = 120")
    text = text.replace(
        "SUSPEND_TASK_AFTER_NUM_FAILURES = 10", "SUSPEND_TASK_AFTER_NUM_FAILURES = 3"
    )
    before = account.server.state()["objects"]
    try:
        account.values.update(others)
        account.run_script(text)
        after = account.server.state()["objects"]
    finally:
        account.values.update(kept)
        account.run_script()
    changed = {name: str(after[name]) for name in after if after[name] != before[name]}
    for value in others.values():
        assert any(value in text for text in changed.values()), value
    assert {name.split()[-1] for name in changed} >= {
        "RETAIL_PIPE_ERRORS",
        "RETAIL_S3",
        "RETAIL_TRANSFORM_WH",
        "RETAIL_BI_WH",
        "RETAIL.LANDING.BRONZE",
        "RETAIL.CONTROL.BOOK_ARRIVALS",
        "RETAIL.CONTROL.DBT_NETWORK",
        "RETAIL.MONITORING.MONTH",
    }
    assert account.server.state()["objects"] == before


def test_nothing_with_a_history_is_replaced() -> None:
    replaced = re.findall(rf"CREATE OR REPLACE (?:{WITH_HISTORY})\b.*", SCRIPT.read_text(), re.I)
    assert replaced == []


def test_variables_are_those_of_the_cloud_side(account: World) -> None:
    """What the script asks for, Terraform's output names or the runbook explains."""
    asked = set(re.findall(r"<%\s*(\w+)\s*%>", SCRIPT.read_text()))
    outputs = (ROOT / "infra" / "terraform" / "outputs.tf").read_text()
    given = re.search(r'"snowflake_variables" {.*?value = {(.*?)}', outputs, re.S)
    assert given
    from_aws = set(re.findall(r"(\w+) *=", given[1]))
    assert asked == set(account.values)
    others = {"dbt_public_key", "dbt_network", "credit_quota", "alert_user", "alert_email"}
    assert asked - from_aws == others
    assert from_aws <= asked


@pytest.mark.parametrize("table", PIPES)
def test_tables_are_typed_from_the_contract(account: World, table: str) -> None:
    """LANDING has the columns of the bronze objects with the contract's types; STAGING shows them
    under the names that the models know."""
    script = SCRIPT.read_text()
    table_match = re.search(rf"LANDING\.{table.upper()} \((.*?)\n\)\n", script, re.S)
    assert table_match
    written = dict(
        line.strip().rstrip(",").split(" ", 1) for line in table_match[1].strip().splitlines()
    )
    load = ("bronze_file", "load_seq", "loaded_at")
    objects = {n: kind.snowflake for n, kind in TABLES[table].items() if n not in load}
    assert written == objects | OF_THE_LOAD
    with account.session() as cursor:
        cursor.execute(f"SELECT * FROM STAGING.{table}")
        assert [c[0].lower() for c in cursor.description] == list(TABLES[table])


def test_version_of_dbt() -> None:
    """Task, page and workflow name one version, which the account offers and the project allows.
    What runs where none is named does not compile the project."""
    places = (SCRIPT, PAGE, ROOT / ".github" / "workflows" / "deploy.yml")
    pattern = re.compile(r"(?:DBT_VERSION = '|--dbt-version )([\d.]+)")
    versions = {path.name: set(pattern.findall(path.read_text())) for path in places}
    assert len(set().union(*versions.values())) == 1 and all(versions.values()), versions
    (version,) = versions[SCRIPT.name]
    assert version in VERSIONS
    (required,) = re.findall(r'"dbt-core(.*?)"', (ROOT / "pyproject.toml").read_text())
    assert SpecifierSet(required).contains(version)
    check_version(version, DBT)
    with pytest.raises(ProgrammingError, match="arguments"):
        check_version("", DBT)
