"""infra/alerts.sql, the alarms as alerts of the account: it is what the thresholds say, it runs,
and each alert is silent on clean data and sends an e-mail about what is planted."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from snowflake.connector.errors import ProgrammingError

from medallion.operations.alarms.rules import RECENT
from medallion.outputs.snowflake_alerts import RULES, SCHEDULE, main, script
from medallion.settings import ALARM_RULES, Thresholds
from tests.conftest import ROOT
from tests.snowflake import runbook, tools
from tests.snowflake.account_here import World, rendered, statements, world

SCRIPT = ROOT / "infra" / "alerts.sql"
GRAMMAR = Path(__file__).with_name("grammar.py")
UNKNOWN_TO_SQLFLUFF = (
    r"(CREATE|ALTER) NOTIFICATION INTEGRATION .*",
    r"GRANT EXECUTE ALERT, EXECUTE MANAGED ALERT ON ACCOUNT TO ROLE \w+;",
    r"GRANT CREATE ALERT, CREATE VIEW ON SCHEMA \S+ TO ROLE \w+;",
    r"GRANT MONITOR, OPERATE ON ALERT \S+ TO ROLE \w+;",
    r"CREATE OR ALTER ALERT .*",
)
"""Statements of Snowflake's reference that sqlfluff 4.5 does not know; the stand-in reads them."""
NAMES = {rule: f"RETAIL.CONTROL.ALARM_{rule.upper().replace(' ', '_')}" for rule in ALARM_RULES}
DIGITS = " UNION ALL ".join(f"SELECT {n} AS n" for n in range(10))
COLUMNS = (
    "event_id, event_type, ts, store_id, product_id, basket_id, currency, price, quantity, "
    "discount_amount, tax_amount, total_amount, schema_version, source_file, source_line, "
    "ingested_at, dt, bronze_file, scanned_at"
)


@dataclass(frozen=True)
class Shop:
    """Sales of 2.00 USD, ten a minute, around one moment. Times are in minutes before it."""

    now: datetime

    def at(self, ago: float) -> str:
        """Return SQL for a time."""
        return f"'{(self.now - timedelta(minutes=ago)).isoformat(' ')}'::TIMESTAMP_NTZ"

    def scanned(self, ago: float) -> str:
        """Return SQL for a time of Snowpipe, which has a zone."""
        return f"DATEADD('second', {-ago * 60:.0f}, CURRENT_TIMESTAMP())"

    def landed(self, name: str, ts: str, count: int, arrived: float, loaded: float) -> str:
        """Return SQL that lands an object of sales.

        Args:
            name: of the object.
            ts: SQL for the time of sale n.
            count: of sales.
            arrived, loaded: when the object came into the bucket, and into LANDING.
        """
        return (
            f"INSERT INTO RETAIL.LANDING.PURCHASES ({COLUMNS}) SELECT '{name}-' || n, 'purchase', "
            f"{ts}, 'S1', 'P1', '{name}-' || n, 'USD', 2, 1, 0, 0, 2, 1, 'raw/{name}', n, "
            f"{self.at(arrived)}, ({ts})::DATE, 'bronze/purchases/{name}', {self.scanned(loaded)} "
            f"FROM RETAIL.LANDING.NUMBERS WHERE n < {count};"
        )

    def received(
        self,
        name: str,
        lines: int,
        arrived: float,
        loaded: float,
        *,
        reasons: str = "{}",
        unknown_fields: str = "{}",
    ) -> str:
        """Return SQL that lands the receipt of an object."""
        rejected = sum(json.loads(reasons).values())
        return (
            "INSERT INTO RETAIL.LANDING.RECEIPTS (source_file, feed, modified_at, lines, blank, "
            "accepted, quarantined, reasons, unknown_fields, bronze_file, scanned_at) SELECT "
            f"'raw/{name}', 'purchases', {self.at(arrived)}, {lines}, 0, {lines - rejected}, "
            f"{rejected}, '{reasons}', '{unknown_fields}', 'bronze/receipts/{name}', "
            f"{self.scanned(loaded)};"
        )

    def history(self) -> Iterator[str]:
        """Yield SQL for the same hours of five weeks: an object each, today of 40 minutes each."""
        yield "CREATE TABLE RETAIL.LANDING.NUMBERS (n NUMBER(38,0));"
        numbers = " CROSS JOIN ".join(f"({DIGITS}) AS {name}" for name in "abcd")
        yield (
            "INSERT INTO RETAIL.LANDING.NUMBERS "
            f"SELECT a.n * 1000 + b.n * 100 + c.n * 10 + d.n FROM {numbers};"
        )
        today = [(begin, max(begin - 40, 1)) for begin in range(240, 0, -40)]
        for week in range(5):
            for begin, end in [(240, -120)] if week else today:
                begin, end = (edge + week * 7 * 24 * 60 for edge in (begin, end))
                name, count = f"week-{week}-{begin}", (begin - end) * 10
                ts = f"DATEADD('second', 6 * n, {self.at(begin)})"
                yield self.landed(name, ts, count, end, end - 0.5)
                yield self.received(name, count, end, end - 0.5)

    def planted(self, rule: str) -> tuple[str, str, str]:
        """Return what is wrong for a rule: who writes it, SQL, and a part of the message."""
        recent = self.at(20)
        old_and_recent = f"DATEADD('day', CASE WHEN n < 20 THEN -3 ELSE 0 END, {recent})"
        silver = "RETAIL.SILVER.PURCHASES_SILVER"
        return {
            "silence": (
                "RETAIL_TRANSFORMER",
                f"DELETE FROM {silver} WHERE ts > {self.at(120)};",
                "no sale since",
            ),
            "sales": (
                "RETAIL_TRANSFORMER",
                f"UPDATE {silver} SET net_amount = net_amount * 4 WHERE ts > {self.at(75)};",
                "net sales of 60 minutes are",
            ),
            "quarantine": (
                "SYSADMIN",
                self.received("bad", 200, 16, 15, reasons='{"bad_price": 20}'),
                "20 of 200 lines of purchases are rejected as bad_price",
            ),
            "unknown field": (
                "SYSADMIN",
                self.received("odd", 200, 16, 15, unknown_fields='{"colour": 20}'),
                "20 lines of purchases have a field colour",
            ),
            "late": (
                "SYSADMIN",
                self.landed("late", old_and_recent, 200, 16, 15),
                "20 of the 200 newest sales are more than a day late",
            ),
            # The newest object of the history was loaded less than ten minutes ago.
            "freshness": (
                "RETAIL_TRANSFORMER",
                f"DELETE FROM {silver} WHERE ts >= {self.at(40)}; USE ROLE SYSADMIN;"
                + self.landed("unbuilt", recent, 200, 16, 15),
                "silver lacks 200 rows",
            ),
            "audit": (
                "RETAIL_TRANSFORMER",
                f"DELETE FROM {silver} WHERE event_id = 'week-1-10320-7';",
                "in gold and",
            ),
        }[rule]


def run(account: World, role: str, *texts: str) -> None:
    """Run statements as a role."""
    use = f"USE ROLE {role}; USE WAREHOUSE RETAIL_TRANSFORM_WH; USE SCHEMA RETAIL.CONTROL;"
    account.run_script("\n".join((use, *texts)))


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop(datetime.now(UTC).replace(tzinfo=None, microsecond=0))


@pytest.fixture(scope="module")
def account(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An account with both scripts and a clean history, built by dbt."""
    with world(tmp_path_factory.mktemp("alerts")) as account:
        account.run_script()
        run(account, "SYSADMIN", *shop.history())
        account.dbt("run", "--select", "bronze", "silver", "gold", "receipts", "conservation")
        account.run_script(SCRIPT.read_text())
        yield account


def due(account: World) -> dict[str, tuple[str, Any]]:
    """Return what each alert did, by rule."""
    done = account.server.control(alerts=True)
    return {rule: (done[name][0], done[name][1]) for rule, name in NAMES.items() if name in done}


def test_script_is_what_the_thresholds_say() -> None:
    """The file is what `python -m medallion.outputs.snowflake_alerts` prints, of every rule."""
    assert SCRIPT.read_text() == script(Thresholds())
    assert tuple(RULES) == ALARM_RULES


def test_nothing_falls_between_two_looks() -> None:
    """An alert may start up to five minutes late: `RECENT` reaches back to the look before."""
    assert timedelta(minutes=int(SCHEDULE.split()[0]) + 5) <= RECENT


def test_thresholds_of_a_settings_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each threshold changes the script; a rule that is off stays suspended."""
    usual = script(Thresholds())
    for name, value in vars(Thresholds()).items():
        other = '["sales"]' if name == "off" else value * 2 if value > 1 else value / 2
        other = 7 if name == "silence_minutes" else other
        settings = tmp_path / f"{name}.toml"
        settings.write_text(f"[alarms]\n{name} = {other}\n")
        assert main([str(settings)]) == 0
        changed = capsys.readouterr().out
        assert changed != usual, name
        assert ("ALTER ALERT RETAIL.CONTROL.ALARM_SALES SUSPEND" in changed) == (name == "off")


def test_a_settings_file_that_cannot_be_used(tmp_path: Path) -> None:
    """One sentence, exit 2, and no script."""
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[alarms]\nsales_spread = 3\n")
    for path, sentence in ((tmp_path / "nowhere.toml", "no file"), (wrong, "sales_spreads")):
        command = [sys.executable, "-m", "medallion.outputs.snowflake_alerts", path]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert sentence in done.stderr and done.stderr.count("\n") == 1


def test_grammar_of_the_script(account: World, tmp_path: Path) -> None:
    """Of every statement that the checker knows, the views among them; no foreign function."""
    texts = statements(rendered(account.values, SCRIPT.read_text()))
    unknown = [
        [sql for sql in texts if re.fullmatch(known, " ".join(sql.split()))]
        for known in UNKNOWN_TO_SQLFLUFF
    ]
    assert all(unknown)
    known = [sql for sql in texts if not any(sql in group for group in unknown)]
    assert len([sql for sql in known if " VIEW RETAIL." in sql]) > len(ALARM_RULES)
    (tmp_path / "script.sql").write_text("\n".join(known))
    command = [tools.python(), GRAMMAR, tmp_path / "script.sql"]
    faults = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert faults == {"violations": {}, "foreign": {}}


def test_script_runs_twice_without_change(account: World) -> None:
    before = account.server.state()
    account.run_script(SCRIPT.read_text())
    assert account.server.state() == before


def test_clean_data_raise_nothing(account: World) -> None:
    """All of the alerts run, and none of them sends anything."""
    assert due(account) == dict.fromkeys(ALARM_RULES, ("CONDITION_FALSE", None))
    assert account.rows("SELECT * FROM CONTROL.ALARMS", "RETAIL_MONITOR") == []


@pytest.fixture
def restored(account: World) -> Iterator[None]:
    """Put the tables that a test changes back."""
    tables = {
        "RETAIL.SILVER.PURCHASES_SILVER": "RETAIL_TRANSFORMER",
        "RETAIL.LANDING.PURCHASES": "SYSADMIN",
        "RETAIL.LANDING.RECEIPTS": "SYSADMIN",
    }
    for table, role in tables.items():
        run(account, role, f"CREATE TABLE {table}_KEPT AS SELECT * FROM {table};")
    yield
    for table, role in tables.items():
        run(account, role, f"DELETE FROM {table}; INSERT INTO {table} SELECT * FROM {table}_KEPT;")
        run(account, role, f"DROP TABLE {table}_KEPT;")


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("rule", ALARM_RULES)
def test_what_is_planted_is_sent(account: World, shop: Shop, rule: str) -> None:
    """The alert of the rule sends an e-mail, and its view says what is wrong."""
    role, sql, says = shop.planted(rule)
    run(account, role, sql)
    state, sent = due(account)[rule]
    assert state == "TRIGGERED", sent
    assert sent["to"] == [account.values["alert_email"]]
    assert NAMES[rule] in str(sent["message"])
    messages = account.rows(f"SELECT message FROM {NAMES[rule]}", "RETAIL_MONITOR")
    assert any(says in message for (message,) in messages), messages


@pytest.mark.usefixtures("restored")
def test_an_object_without_its_rows_breaks_the_audit(account: World, shop: Shop) -> None:
    run(account, "SYSADMIN", shop.received("lost", 5, 60, 59))
    assert due(account)["audit"][0] == "TRIGGERED"
    ((subject,),) = account.rows(f"SELECT subject FROM {NAMES['audit']}", "RETAIL_MONITOR")
    assert subject == "raw/lost"


def test_a_rule_that_is_off_is_suspended(account: World) -> None:
    """It is no longer looked at; who watches can pause an alert, too."""
    account.run_script(script(Thresholds(off=("late",))))
    assert set(due(account)) == set(ALARM_RULES) - {"late"}
    with account.session("RETAIL_MONITOR") as cursor:
        cursor.execute(f"ALTER ALERT {NAMES['sales']} SUSPEND")
    assert set(due(account)) == set(ALARM_RULES) - {"late", "sales"}
    account.run_script(SCRIPT.read_text())
    assert set(due(account)) == set(ALARM_RULES)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize(
    "lost",
    [
        "EXECUTE ALERT ON ACCOUNT",
        "EXECUTE MANAGED ALERT ON ACCOUNT",
        "USAGE ON INTEGRATION RETAIL_ALARMS",
        "CREATE ALERT ON SCHEMA RETAIL.CONTROL",
        "CREATE VIEW ON SCHEMA RETAIL.CONTROL",
    ],
)
def test_every_grant_is_needed(account: World, shop: Shop, lost: str) -> None:
    """Without it the script fails, or the e-mail is not sent."""
    text = SCRIPT.read_text().replace("CONTROL.ALARM", "CONTROL.OTHER")
    revoked = f"REVOKE {lost} FROM ROLE RETAIL_TRANSFORMER;\nUSE ROLE RETAIL_TRANSFORMER;"
    try:
        account.run_script(text.replace("USE ROLE RETAIL_TRANSFORMER;", revoked, 1))
    except ProgrammingError:
        pass
    else:
        run(account, *shop.planted("quarantine")[:2])
        done = account.server.control(alerts=True)
        assert done["RETAIL.CONTROL.OTHER_QUARANTINE"][0] == "ACTION_FAILED"
    finally:
        account.run_script(SCRIPT.read_text())


@pytest.mark.usefixtures("restored")
def test_an_alert_that_fails_is_shown_by_the_page(account: World, shop: Shop) -> None:
    """It sends nothing; its run is in the history, for its owner and not for whoever watches."""
    (block,) = runbook.blocks()["An alert that fails"]
    run(account, *shop.planted("quarantine")[:2])
    with account.session("ACCOUNTADMIN") as cursor:
        cursor.execute("REVOKE USAGE ON INTEGRATION RETAIL_ALARMS FROM ROLE RETAIL_TRANSFORMER")
    assert due(account)["quarantine"][0] == "ACTION_FAILED"
    newest = runbook.follow(account, block)[-1][0]
    assert newest[:2] == ("ALARM_QUARANTINE", "ACTION_FAILED") and "RETAIL_ALARMS" in str(newest[2])
    others = block.replace("ROLE RETAIL_TRANSFORMER", "ROLE RETAIL_MONITOR")
    assert runbook.follow(account, others.replace("TRANSFORM_WH", "BI_WH"))[-1] == []
    account.run_script(SCRIPT.read_text())


@pytest.mark.parametrize(
    "wrong",
    [
        ("SCHEDULE = '10 MINUTE'", "SCHEDULE = '0 MINUTE'"),
        ("SCHEDULE = '10 MINUTE'", "SCHEDULE = '11521 MINUTE'"),
        ("SCHEDULE = '10 MINUTE'", ""),
        ("SCHEDULE = '10 MINUTE'", "SHEDULE = '15 MINUTE'"),
        ("IF (EXISTS (SELECT", "IF (SELECT"),
        ("CREATE OR ALTER ALERT", "CREATE OR ALTER ALERTS"),
    ],
)
def test_a_slip_is_refused(account: World, wrong: tuple[str, str]) -> None:
    with pytest.raises(ProgrammingError):
        account.run_script(SCRIPT.read_text().replace(*wrong))
    account.run_script(SCRIPT.read_text())
