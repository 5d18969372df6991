"""Least privilege: each role can do its duty, and each privilege that the script grants is needed
for it. A grant that is dropped from the script is noticed here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from snowflake.connector.errors import Error, ProgrammingError

from tests.snowflake.account_here import PIPES, SCRIPT, World, make_keys, statements, world

ROLES = ("RETAIL_LOADER", "RETAIL_TRANSFORMER", "RETAIL_READER", "RETAIL_MONITOR")
NOT_SHOWN = (
    ("SELECT", "ALL ", ""),  # of what was there before the script, if anything was
    ("INSERT", "ALL ", ""),
    ("MONITOR", "WAREHOUSE", "RETAIL_MONITOR"),  # load and queries, of which there are none here
    ("MONITOR", "TASK", "RETAIL_MONITOR"),  # runs; the stand-in has TASK_HISTORY only
    ("MONITOR", "PIPE", "RETAIL_MONITOR"),  # the owner of a view asks for the status here
    ("REFERENCES", "TABLE", "RETAIL_MONITOR"),  # without it loads are hidden, see below
)
"""Privilege, kind and role: grants whose lack the stand-in cannot show."""

# What each role is there for, in its own words. A statement may use all before it.
DUTIES: dict[str, list[str]] = {
    "RETAIL_LOADER": [
        *(
            "CREATE OR REPLACE PIPE LANDING.PROBE ERROR_INTEGRATION = RETAIL_PIPE_ERRORS AS "
            f"COPY INTO LANDING.{table} FROM @LANDING.BRONZE/{table}/ "
            "MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE; DROP PIPE LANDING.PROBE"
            for table in ("PURCHASES", "FRESH")
        ),
    ],
    "RETAIL_TRANSFORMER": [
        *(f"SELECT count(*) FROM STAGING.{table}" for table in ("PURCHASES", "FRESH")),
        *(
            f"CREATE OR REPLACE TABLE {layer}.PROBE (a VARCHAR); "
            f"CREATE OR REPLACE VIEW {layer}.PROBED AS SELECT * FROM {layer}.PROBE; "
            f"DROP VIEW {layer}.PROBED; DROP TABLE {layer}.PROBE"
            for layer in ("BRONZE", "SILVER", "GOLD", "MARTS", "OPS")
        ),
        "INSERT INTO CONTROL.ARRIVED SELECT bronze_file, 1, scanned_at FROM LANDING.ARRIVALS "
        "WHERE 1 = 0",
        "SELECT count(*) FROM CONTROL.NEW_ROWS",
        "CREATE TASK IF NOT EXISTS CONTROL.PROBE WAREHOUSE = RETAIL_TRANSFORM_WH "
        "SCHEDULE = '5 MINUTES' AS INSERT INTO CONTROL.ARRIVED SELECT * FROM CONTROL.ARRIVED; "
        "ALTER TASK CONTROL.PROBE RESUME",
        "ALTER TASK IF EXISTS CONTROL.TOLD SUSPEND; CREATE OR ALTER TASK CONTROL.TOLD "
        "WAREHOUSE = RETAIL_TRANSFORM_WH ERROR_INTEGRATION = RETAIL_PIPE_ERRORS "
        "WHEN SYSTEM$STREAM_HAS_DATA('CONTROL.NEW_ROWS') AS INSERT INTO CONTROL.ARRIVED "
        "SELECT * FROM CONTROL.ARRIVED",
        "CREATE OR REPLACE DBT PROJECT CONTROL.PROBE FROM '@nowhere/project'; "
        "DROP DBT PROJECT CONTROL.PROBE",
        "CREATE OR REPLACE TABLE MARTS.TAGGED (customer_id VARCHAR); "
        "ALTER TABLE MARTS.TAGGED MODIFY COLUMN customer_id SET TAG CONTROL.PERSONAL = 'customer'; "
        "DROP TABLE MARTS.TAGGED",
    ],
    "RETAIL_READER": [
        f"SELECT count(*) FROM {layer}.{kind}"
        for layer in ("GOLD", "MARTS")
        for kind in ("KEPT", "SHOWN")
    ],
    "RETAIL_MONITOR": [
        *(f"SELECT * FROM MONITORING.{view}" for view in ("LOAD_HISTORY", "TASK_RUNS", "CREDITS")),
        "SELECT * FROM MONITORING.PIPE_STATUS; SELECT * FROM MONITORING.RECENT_LOADS",
        "SELECT * FROM CONTROL.FRESHNESS",
        "SELECT * FROM CONTROL.ARRIVED",
        *(f"ALTER PIPE LANDING.{pipe} SET PIPE_EXECUTION_PAUSED = FALSE" for pipe in PIPES),
        "CREATE OR REPLACE VIEW MONITORING.PROBE AS SELECT * FROM CONTROL.FRESHNESS",
        "ALTER TASK CONTROL.BOOK_ARRIVALS SUSPEND; ALTER TASK CONTROL.BUILD SUSPEND; "
        "ALTER TASK CONTROL.BUILD RESUME; ALTER TASK CONTROL.BOOK_ARRIVALS RESUME",
    ],
    "SYSADMIN": [
        "CREATE OR REPLACE STAGE LANDING.PROBE URL = 's3://retail/bronze/' "
        "STORAGE_INTEGRATION = RETAIL_S3; DROP STAGE LANDING.PROBE",
        "USE SCHEMA CONTROL; ALTER TAG CONTROL.PERSONAL SET MASKING POLICY DIGEST FORCE",
        "SELECT count(*) FROM GOLD.KEPT; SELECT count(*) FROM MONITORING.CREDITS",
        "DESCRIBE TABLE LANDING.PURCHASES; ALTER PIPE LANDING.STORES SET "
        "PIPE_EXECUTION_PAUSED = FALSE; USE WAREHOUSE RETAIL_BI_WH; "
        "" + "; ".join(f"USE ROLE {role}; USE ROLE SYSADMIN" for role in ROLES),
    ],
}
SCENE = {
    "SYSADMIN": "CREATE OR REPLACE TABLE LANDING.FRESH (a VARCHAR); "
    "CREATE OR REPLACE VIEW STAGING.FRESH AS SELECT * FROM LANDING.FRESH",
    "RETAIL_TRANSFORMER": "; ".join(
        f"CREATE OR REPLACE TABLE {layer}.KEPT (a VARCHAR); "
        f"CREATE OR REPLACE VIEW {layer}.SHOWN AS SELECT * FROM {layer}.KEPT"
        for layer in ("GOLD", "MARTS")
    ),
}
"""What comes into being after the script, as dbt and later versions make it."""


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("grants")) as account:
        account.run_script()
        yield account


@pytest.fixture(scope="module")
def cursors(account: World) -> Iterator[dict[str, Any]]:
    """A cursor of the administrator in each role."""
    with ExitStack() as stack:
        roles = (*DUTIES, "SECURITYADMIN")
        yield {role: stack.enter_context(account.session(role)) for role in roles}


def run(cursor: Any, text: str) -> None:
    for sql in text.split("; "):
        cursor.execute(sql)


def privileges() -> list[tuple[str, str, str]]:
    """What the script grants on objects, one by one: privilege, object, role."""
    grants = []
    for sql in statements(SCRIPT.read_text()):
        grant = re.fullmatch(r"GRANT (.+?) ON (.+?) TO ROLE (\w+);", " ".join(sql.split()))
        if grant:
            grants += [(name.strip(), grant[2], grant[3]) for name in grant[1].split(",")]
    return grants


def is_shown(privilege: str, on: str, role: str) -> bool:
    return not any(
        privilege == name and on.startswith(kind) and role.startswith(whose)
        for name, kind, whose in NOT_SHOWN
    )


def duties(on: str, role: str) -> list[str]:
    """The duties of a role that have to do with an object, or all."""
    name = " " if on.startswith("WAREHOUSE") else on.rpartition(".")[2].split()[-1]
    return [duty for duty in DUTIES[role] if name in duty] or DUTIES[role]


def test_each_role_can_do_its_duty(cursors: dict[str, Any]) -> None:
    for role, text in SCENE.items():
        run(cursors[role], text)
    for role, texts in DUTIES.items():
        for text in texts:
            run(cursors[role], text)


def test_each_privilege_is_needed(cursors: dict[str, Any]) -> None:
    """Without it a duty fails; with it again, all go well."""
    idle = []
    for privilege, on, role in privileges():
        if not is_shown(privilege, on, role):
            continue
        cursors["SECURITYADMIN"].execute(f"REVOKE {privilege} ON {on} FROM ROLE {role}")
        try:
            for who, text in SCENE.items() if "FUTURE" in on else ():
                run(cursors[who], text)
            for duty in duties(on, role):
                run(cursors[role], duty)
            idle.append((privilege, on, role))
        except ProgrammingError as error:
            assert error.errno in (3001, 2003, 2037, 2043), (privilege, on, role, error)
        cursors["SECURITYADMIN"].execute(f"GRANT {privilege} ON {on} TO ROLE {role}")
        cursors[role].execute(f"USE ROLE {role}")
    assert not idle, "\n".join(map(str, idle))
    test_each_role_can_do_its_duty(cursors)


def test_monitoring_sees_loads_of_tables_with_a_grant_alone(account: World) -> None:
    """Both views of loads: without any privilege on a table, its loads are not shown. COPY_HISTORY
    shows them hours late."""
    account.s3.put({"bronze/stores/broken.parquet": b"PAR1 is not all that a file needs"})
    account.settled()
    count = "SELECT count(*) FROM MONITORING.{} WHERE table_name = 'STORES'"

    def shown() -> list[int]:
        views = ("RECENT_LOADS", "LOAD_HISTORY")
        return [account.rows(count.format(view), "RETAIL_MONITOR")[0][0] for view in views]

    assert shown() == [1, 0]
    account.server.control(days=1)
    assert shown() == [1, 1]
    grant = "REFERENCES ON TABLE RETAIL.LANDING.STORES {} ROLE RETAIL_MONITOR"
    with account.session("SECURITYADMIN") as cursor:
        cursor.execute(f"REVOKE {grant.format('FROM')}")
        assert shown() == [0, 0]
    account.run_script()
    assert shown() == [1, 1]


@pytest.mark.parametrize(
    ("role", "sql"),
    [
        ("RETAIL_LOADER", "SELECT * FROM STAGING.PURCHASES"),
        ("RETAIL_LOADER", "CREATE TABLE LANDING.OTHER (a VARCHAR)"),
        ("RETAIL_TRANSFORMER", "DELETE FROM LANDING.PURCHASES"),
        ("RETAIL_TRANSFORMER", "INSERT INTO LANDING.PURCHASES (event_id) SELECT 'e'"),
        ("RETAIL_TRANSFORMER", "GRANT SELECT ON TABLE GOLD.KEPT TO ROLE PUBLIC"),
        ("RETAIL_READER", "SELECT * FROM STAGING.PURCHASES"),
        ("RETAIL_READER", "SELECT * FROM LANDING.PURCHASES"),
        ("RETAIL_READER", "DROP TABLE GOLD.KEPT"),
        ("RETAIL_READER", "INSERT INTO GOLD.KEPT SELECT 'a'"),
        ("RETAIL_MONITOR", "SELECT * FROM STAGING.PURCHASES"),
        ("RETAIL_MONITOR", "SELECT * FROM GOLD.KEPT"),
    ],
)
def test_no_role_can_do_more(cursors: dict[str, Any], role: str, sql: str) -> None:
    for who, text in SCENE.items():
        run(cursors[who], text)
    with pytest.raises(ProgrammingError) as refused:
        cursors[role].execute(sql)
    assert refused.value.errno in (3001, 2003)


def test_the_service_user_signs_in_by_key_alone(account: World) -> None:
    """With its key, in its role; not with a password, another key, another role, elsewhere."""
    user, key = "SVC_RETAIL_DBT", str(account.folder / "dbt.p8")
    with account.server.connect(user, private_key_file=key) as connection:
        assert connection.role == "RETAIL_TRANSFORMER"
    other = account.folder / "other"
    other.mkdir(exist_ok=True)
    make_keys(other)
    for how in (
        {"password": "admin"},
        {"private_key_file": str(other / "dbt.p8")},
        {"private_key_file": key, "role": "SYSADMIN"},
    ):
        with pytest.raises(Error):
            account.server.connect(user, **how)
    account.run_script(
        "ALTER NETWORK RULE RETAIL.CONTROL.DBT_NETWORK SET VALUE_LIST = ('10.0.0.0/8');"
    )
    with pytest.raises(Error, match="not allowed"):
        account.server.connect(user, private_key_file=key)
    account.run_script()
    account.server.connect(user, private_key_file=key).close()
