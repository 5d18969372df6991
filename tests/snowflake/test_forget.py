"""Erasure of a customer in the account: the id is in no table, every count stays, and wherever the
act is stopped it can be finished."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from medallion.cli import main
from medallion.operations.erasure.account import AccountEraser
from medallion.platforms import s3
from medallion.platforms.snowflake import SnowflakeWarehouse
from tests.conftest import event
from tests.snowflake.account_here import DBT, World, world

ID = "CUST-4711"
DAY = "2026-03-01T10:00:00Z"
MODEL = """{{ config(materialized='table') }}
select event_id, customer_id, quantity, source_file from RETAIL.STAGING.PURCHASES"""
"""Stands for the project, whose own models other tests build: here the act itself is tried."""
COUNTS = """
SELECT (SELECT COUNT(*) FROM LANDING.PURCHASES), (SELECT COUNT(*) FROM LANDING.QUARANTINE),
    (SELECT COUNT(*) FROM LANDING.RECEIPTS), (SELECT COUNT(*) FROM OPS.SALES),
    (SELECT SUM(quantity) FROM OPS.SALES), (SELECT COUNT(DISTINCT customer_id) FROM OPS.SALES)
"""
PIPES_STATE = "SELECT DISTINCT execution_state FROM MONITORING.PIPE_STATUS"
STEPS = (
    "require_running",
    "pause",
    "rewrite_landing",
    "_rewrite_quarantine",
    "resume_pipes",
    "build",
    "places",
    "resume_task",
)


class Killed(BaseException):
    """What stops the command without any clean-up of its own."""


@dataclass
class Shop:
    """An account in which customers have bought, and a home beside its bucket."""

    account: World
    home: Path
    sold: int = 0

    def sell(self, customer: str) -> None:
        """Let a customer buy, be rejected, and be named in a field that no contract knows."""
        n, self.sold = self.sold, self.sold + 1
        lines = [
            event(event_id=f"e{n}-1", customer_id=customer, ts=DAY, quantity=2),
            event(event_id=f"e{n}-2", customer_id="somebody", ts=DAY, **{customer: 1}),
            event(event_id=f"e{n}-3", customer_id=customer, ts="soon"),
        ]
        self.account.s3.put({f"raw/till-{n}.ndjson": "\n".join(lines).encode() + b"\n"})
        self.account.clean(self.home)
        self.account.settled()
        told = self.account.server.control(tick=True)
        assert set(told.values()) == {"SUCCEEDED"}, told

    def forget(self, *arguments: str, code: int = 0, **changes: str) -> Result:
        """Run the command as an administrator with a key."""
        environment = self.account.environment | {
            "MEDALLION_WAREHOUSE": "snowflake",
            "SNOWFLAKE_USER": "JANE",
            "SNOWFLAKE_ROLE": "SYSADMIN",
        }
        s3._client.cache_clear()
        words = ["forget", *arguments, "--home", str(self.home)]
        result = CliRunner().invoke(main, words, env=environment | changes)
        if isinstance(result.exception, Killed):
            raise result.exception
        assert result.exit_code == code, result.output + repr(result.exception)
        return result

    def counts(self) -> tuple[Any, ...]:
        """Return what an erasure must not change."""
        (row,) = self.account.rows(COUNTS, "SYSADMIN")
        return tuple(row)

    def places(self, customer: str) -> set[str]:
        """Return the columns of every table in which a text or bytes hold the id."""
        found = set()
        with self.account.session("SYSADMIN") as cursor:
            cursor.execute("SHOW TABLES IN DATABASE RETAIL")
            names = [column.name for column in cursor.description]
            tables = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
            for table in tables:
                name = f"{table['schema_name']}.{table['name']}"
                cursor.execute(f"SELECT * FROM {name}")
                for column, values in zip(
                    cursor.description, zip(*cursor.fetchall(), strict=True), strict=False
                ):
                    texts = (v if isinstance(v, bytearray) else str(v).encode() for v in values)
                    if any(customer.encode() in text for text in texts):
                        found.add(f"{name}.{column.name}".lower())
        return found

    def is_running(self) -> bool:
        """Return whether all pipes and the task run."""
        pipes = self.account.rows(PIPES_STATE, "RETAIL_MONITOR")
        tasks = self.account.rows("SHOW TASKS LIKE 'BOOK_ARRIVALS' IN SCHEMA CONTROL", "SYSADMIN")
        return pipes == [("RUNNING",)] and tasks == [("BOOK_ARRIVALS", "started")]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """An account with an administrator who has a key, and a project of one model."""
    folder = tmp_path_factory.mktemp("forget")
    with world(folder) as account:
        account.s3.keep_versions()
        account.run_script()
        key = account.values["dbt_public_key"]
        account.run_script(
            f"CREATE USER JANE TYPE = SERVICE RSA_PUBLIC_KEY = '{key}';\n"
            "GRANT ROLE SYSADMIN TO USER JANE;\n"
        )
        project = folder / "project"
        (project / "models").mkdir(parents=True)
        (project / "models" / "sales.sql").write_text(MODEL)
        (project / "dbt_project.yml").write_text("{name: one, profile: medallion, version: 1.0.0}")
        shutil.copy(DBT / "dbt_projects_profiles.yml", project)
        account.deploy(project)
        yield Shop(account, folder / "home")
        s3._client.cache_clear()


def test_the_id_is_nowhere_and_every_count_stays(shop: Shop, monkeypatch: Any) -> None:
    """It is found before and not after, no statement names it, and what Snowflake keeps is told.
    The pipes have forgotten the objects, so that they load what is rewritten once more."""
    statements: list[str] = []
    execute = SnowflakeWarehouse.execute

    def heard(self: Any, sql: str, parameters: Any = (), /) -> Any:
        statements.append(f"{sql} {parameters}")
        return execute(self, sql, parameters)

    shop.sell(ID)
    for _ in range(2):
        shop.account.server.control(days=8)
        shop.account.server.control(tick=True)
    before = shop.counts()
    assert {
        "landing.purchases.customer_id",
        "landing.quarantine.raw",
        "landing.receipts.unknown_fields",
        "ops.sales.customer_id",
    } <= shop.places(ID)
    monkeypatch.setattr(SnowflakeWarehouse, "execute", heard)
    said = shop.forget("--customer", ID).output
    assert shop.places(ID) == set() and shop.counts() == before
    assert "2 landed rows rewritten" in said and "the id is in 0 places" in said
    assert "Time Travel keeps" in said and "Fail-safe" in said
    assert statements and not [text for text in statements if ID in text]
    assert shop.is_running()
    held = shop.account.s3.objects("bronze/receipts/")
    loaded = shop.account.rows("SELECT bronze_file FROM STAGING.RECEIPTS", "RETAIL_TRANSFORMER")
    assert {name for (name,) in loaded} == set(held)


def test_an_act_that_was_killed_is_finished(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before every step, one after the other; what was built is not built again."""
    customer = f"{ID}-2"
    shop.sell(customer)
    before = shop.counts()
    builds: list[str] = []
    build = AccountEraser.build
    monkeypatch.setattr(AccountEraser, "build", lambda self: builds.append("") or build(self))
    arguments = ["--customer", customer]
    for step in STEPS:

        def killed(*_: Any) -> Any:
            raise Killed

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(AccountEraser, step, killed)
            shop.forget(*arguments)
        if (shop.home / ".forget.json").exists():
            arguments = ["--resume"]
            assert not shop.is_running() or step in ("require_running", "pause")
    shop.forget(*arguments)
    assert shop.places(customer) == set() and shop.counts() == before
    assert shop.is_running() and len(builds) == 1


def test_refusals_change_nothing(shop: Shop) -> None:
    """A role that cannot, a pipe that rests, a customer who never was: one line each."""
    state = shop.account.server.state()
    dbt = {"SNOWFLAKE_USER": "SVC_RETAIL_DBT", "SNOWFLAKE_ROLE": "RETAIL_TRANSFORMER"}
    assert "SNOWFLAKE_ROLE=SYSADMIN" in shop.forget("--customer", ID, code=2, **dbt).stderr
    with shop.account.session("RETAIL_MONITOR") as cursor:
        cursor.execute("ALTER PIPE LANDING.STORES SET PIPE_EXECUTION_PAUSED = TRUE")
    assert "the pipe STORES is PAUSED" in shop.forget("--customer", ID, code=2).stderr
    with shop.account.session("RETAIL_MONITOR") as cursor:
        cursor.execute("ALTER PIPE LANDING.STORES SET PIPE_EXECUTION_PAUSED = FALSE")
    assert not (shop.home / ".forget.json").exists()
    assert "no customer NOBODY" in shop.forget("--customer", "NOBODY", code=2).stderr
    assert shop.account.server.state() == state and shop.is_running()
