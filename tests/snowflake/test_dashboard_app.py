"""The dashboard beside Snowflake: what is deployed, and what it shows with the rights of its owner.
That it reads the same relations as on a laptop is compared in test_command_line."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit
import yaml
from snowflake.connector.errors import ProgrammingError
from streamlit.testing.v1 import AppTest

from tests.conftest import ROOT
from tests.snowflake import tools
from tests.snowflake.account_here import World, world

SCRIPT = ROOT / "infra" / "dashboard.sql"
SOURCES = ROOT / "src"
MARTS = """
CREATE TABLE RETAIL.MARTS.DIM_CUSTOMERS (customer_id VARCHAR);
INSERT INTO RETAIL.MARTS.DIM_CUSTOMERS SELECT 'C1';
ALTER TABLE RETAIL.MARTS.DIM_CUSTOMERS MODIFY COLUMN customer_id
    SET TAG RETAIL.CONTROL.PERSONAL = 'customer';
CREATE TABLE RETAIL.MARTS.LIVE_CLOCK (staged_at TIMESTAMP_NTZ, as_of TIMESTAMP_NTZ);
INSERT INTO RETAIL.MARTS.LIVE_CLOCK SELECT NULL, NULL;
"""


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An account with both scripts, and two relations of the marts."""
    with world(tmp_path_factory.mktemp("app")) as account:
        account.run_script()
        account.run_script(SCRIPT.read_text())
        account.run_script(
            f"USE ROLE RETAIL_TRANSFORMER; USE WAREHOUSE RETAIL_TRANSFORM_WH;\n{MARTS}"
        )
        yield account


@pytest.fixture
def app() -> dict[str, Any]:
    """What is deployed."""
    (app,) = yaml.safe_load((SOURCES / "snowflake.yml").read_text())["entities"].values()
    return dict(app)


def test_every_file_is_there_and_every_package_has_the_tested_version(app: dict[str, Any]) -> None:
    """An import of another package would fail only in the account."""
    assert app["main_file"] in app["artifacts"]
    assert all((SOURCES / name).exists() for name in app["artifacts"])
    lock = (ROOT / "requirements-dashboard.lock").read_text()
    lines = (SOURCES / "requirements.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    for pin in pins:
        if pin != "snowflake-snowpark-python":  # of the account, whose session it is
            assert re.search(rf"^{re.escape(pin)} ", lock, re.M), pin
    code = (
        "import sys; known = set(sys.modules); import streamlit; own = set(sys.modules)\n"
        "import medallion.outputs.dashboard.views, medallion.outputs.dashboard.page\n"
        "print(*{getattr(sys.modules[n], '__file__', None) for n in set(sys.modules) - own})"
    )
    files = subprocess.run(
        [ROOT / ".venv/bin/python", "-c", code], capture_output=True, text=True, check=True
    ).stdout
    packages = set(re.findall(r"site-packages/(?:_)?(\w+)", files)) - {"duckdb"}
    names = {"yaml": "pyyaml"}
    assert {names.get(p, p) for p in packages} <= {pin.partition("==")[0] for pin in pins}


def test_the_script_can_be_run_again_and_makes_what_the_app_names(
    account: World, app: dict[str, Any]
) -> None:
    """With nothing but the rights of its owner the app is created, and a reader may look at it."""
    before = account.server.state()
    account.run_script(SCRIPT.read_text())
    assert account.server.state() == before
    name = "{database}.{schema}.{name}".format(**app["identifier"])
    with account.session("RETAIL_DASHBOARD") as cursor:
        cursor.execute(
            f"CREATE STREAMLIT {name} MAIN_FILE = '{app['main_file']}' "
            f"QUERY_WAREHOUSE = {app['query_warehouse']} "
            f"RUNTIME_NAME = '{app['runtime_name']}' COMPUTE_POOL = {app['compute_pool']} "
            f"EXTERNAL_ACCESS_INTEGRATIONS = ({', '.join(app['external_access_integrations'])})"
        )
    assert account.server.state()["objects"][f"STREAMLIT {name}"][0] == "RETAIL_DASHBOARD"


def test_the_owner_sees_digests_and_nothing_but_the_marts(account: World) -> None:
    """Whoever looks at the app, the masking policy asks for the role of its owner."""
    sql = "SELECT customer_id FROM MARTS.DIM_CUSTOMERS"
    assert account.rows(sql) == [("C1",)]
    ((digest,),) = account.rows(sql, "RETAIL_DASHBOARD")
    assert re.fullmatch("[0-9a-f]{64}", digest)
    for relation in ("STAGING.PURCHASES", "SILVER.PURCHASES_SILVER", "LANDING.PURCHASES"):
        with pytest.raises(ProgrammingError):
            account.rows(f"SELECT * FROM {relation}", "RETAIL_DASHBOARD")


def test_the_app_finds_its_session(account: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By Streamlit's own connection, whatever stands in the arguments of the process; an account
    without a load is a sentence on the page."""
    with account.server.connect(role="RETAIL_DASHBOARD", warehouse="RETAIL_BI_WH") as connection:

        class Connection:
            raw_connection = connection

        monkeypatch.setattr(streamlit, "connection", lambda name: Connection)
        monkeypatch.setattr("sys.argv", ["streamlit", "an argument of another program"])
        streamlit.cache_resource.clear()
        page = AppTest.from_file(str(SOURCES / "streamlit_app.py"), default_timeout=60).run()
        streamlit.cache_resource.clear()
    assert not page.exception
    bodies = [element.proto.body for element in page.main.get("html")]
    assert "Snowflake holds no load yet" in " ".join(bodies)


def test_grammar_of_the_script(tmp_path: Path) -> None:
    """By Snowflake's dialect, but for what is new to the checker."""
    command = [tools.python(), Path(__file__).with_name("grammar.py"), SCRIPT]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    unknown = [
        re.search(r"section: '(\w+(?: [A-Z]+)+)", text) for text in told["violations"][str(SCRIPT)]
    ]
    assert [match and match[1] for match in unknown] == [
        "CREATE COMPUTE POOL IF NOT EXISTS RETAIL",
        "GRANT USAGE ON COMPUTE POOL RETAIL",
        "CREATE EXTERNAL ACCESS INTEGRATION IF NOT EXISTS RETAIL",
    ]
    assert told["foreign"] == {}
