"""What goes wrong with loads, and the runbook of docs/snowflake.md: its SQL, as it stands on the
page, mends each mishap on the account."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from snowflake.connector.errors import Error, ProgrammingError

from medallion.contract import FEEDS
from tests.conftest import event
from tests.snowflake import runbook, tools
from tests.snowflake.account_here import (
    DBT,
    World,
    announce,
    make_keys,
    rendered,
    statements,
    world,
)

DAYS = ("2026-03-01", "2026-03-02", "2026-03-03")
AGAIN = "run --full-refresh --select silver+"
"""What the page has dbt do when a day was loaded again."""
FIELDS = ("name", "receipt", "day", "time", "new", "old", "subject", "audience", "user")
"""The placeholders of the page."""
FOLLOWED: set[str] = set()
"""The paragraphs whose SQL some test has run."""


@dataclass
class Shop:
    """An account with a few purchases on three days, and a till that goes on selling."""

    account: World
    home: Path
    sold: int = 0

    def sell(self, day: str, events: int = 2, **fields: object) -> str:
        """Puts purchases of a day into bronze; the key of their object there."""
        before = set(self.account.s3.objects("bronze/purchases/"))
        fields["ts"] = f"{day}T10:00:00Z"
        lines = [event(event_id=f"e{self.sold + n}", **fields) for n in range(events)]
        self.account.s3.put({f"raw/till-{self.sold}.ndjson": "\n".join(lines).encode() + b"\n"})
        self.sold += events
        self.account.clean(self.home)
        (key,) = set(self.account.s3.objects("bronze/purchases/")) - before
        return key

    def state(self) -> tuple[int, int]:
        """Purchases in staging when all is settled, and raw objects that do not hold."""
        self.account.settled()
        return self.staged()

    def staged(self) -> tuple[int, int]:
        """Purchases in staging now, and raw objects that do not hold."""
        ((rows,),) = self.account.rows("SELECT count(*) FROM STAGING.PURCHASES")
        ((broken,),) = self.account.rows("SELECT count(*) FROM OPS.CONSERVATION WHERE NOT holds")
        return int(rows), int(broken)

    def whole(self) -> tuple[int, int]:
        """What `state` must be when every line is there once."""
        return self.sold, 0

    def follow(self, title: str, block: int = 0, **values: str) -> list[list[tuple[object, ...]]]:
        """Runs a block of the page."""
        FOLLOWED.add(f"{title}/{block}")
        return runbook.follow(self.account, runbook.blocks()[title][block], **values)

    def pipe(self, role: str, change: str) -> None:
        """Alters the pipe of the purchases."""
        with self.account.session(role) as cursor:
            cursor.execute(f"ALTER PIPE LANDING.PURCHASES {change}")

    def pause(self) -> None:
        """Stops the pipe of the purchases, as somebody might and forget it."""
        self.pipe("RETAIL_MONITOR", "SET PIPE_EXECUTION_PAUSED = TRUE")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Two purchases a day in staging, and their conservation."""
    folder = tmp_path_factory.mktemp("runbook")
    with world(folder) as account:
        account.run_script()
        shop = Shop(account, folder / "home")
        for day in DAYS:
            shop.sell(day)
        account.settled()
        account.dbt("run", "--select", "conservation")
        yield shop


def moment() -> str:
    """Return the current time in whole seconds, as the page writes it and S3 reports it."""
    time.sleep(1 - time.time() % 1)
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_all_is_well(shop: Shop) -> None:
    """What the page asks first has answers, and they are good ones."""
    fresh, pipes, failed_loads, failed_runs, credits_used = shop.follow("3. Is it well?")[2:]
    assert {row[0]: row[2] for row in fresh}["purchases"] == shop.sold
    assert len(pipes) == len(FEEDS) + 2 and {row[1] for row in pipes} == {"RUNNING"}
    assert failed_loads == failed_runs == credits_used == []
    assert shop.follow("An alert that fails")[-1] == []
    assert shop.state() == shop.whole()


def test_replayed_object_is_loaded_once(shop: Shop, tmp_path: Path) -> None:
    """A notice that comes again, and the same object written again, bring no row."""
    s3 = shop.account.s3
    key = min(s3.objects("bronze/purchases/"))
    s3.download([key], tmp_path)
    for _ in range(3):
        s3.put({key: (tmp_path / key).read_bytes()})
    assert shop.state() == shop.whole()


def test_failed_object_is_told_and_loaded_by_name_when_it_is_mended(
    shop: Shop, tmp_path: Path
) -> None:
    """It stops nothing else; monitoring and the topic name it. The pipe knows its name, so neither
    the notice of its mended version nor a refresh loads that; COPY does."""
    account, whole = shop.account, shop.whole()
    key = min(account.s3.objects("bronze/purchases/"))
    account.s3.download([key], tmp_path)
    broken = "bronze/purchases/dt=2026-01-01/broken.parquet"
    account.s3.put({broken: b"PAR1 is not all that a file needs"})
    account.settled()
    sql = f"SELECT status, pipe_name FROM MONITORING.RECENT_LOADS WHERE file_name = '{broken}'"
    assert account.rows(sql, "RETAIL_MONITOR") == [("Load failed", "PURCHASES")]
    (message,) = account.told_errors()
    assert message["pipeName"] == "RETAIL.LANDING.PURCHASES"
    assert message["messages"][0]["fileName"] == broken
    assert shop.staged() == whole

    account.s3.put({broken: (tmp_path / key).read_bytes()})
    assert shop.state() == whole
    shop.pipe("RETAIL_LOADER", "REFRESH")
    assert shop.state() == whole
    shop.follow("A file failed", name=broken.removeprefix("bronze/purchases/"))
    rows, not_held = shop.state()
    assert rows > whole[0] and not_held  # the mended one is a copy: its rows are there twice
    with account.session("SYSADMIN") as cursor:
        cursor.execute("USE WAREHOUSE RETAIL_TRANSFORM_WH")
        cursor.execute(f"DELETE FROM LANDING.PURCHASES WHERE bronze_file = '{broken}'")
    account.s3._s3.delete_object(Bucket=account.s3.bucket, Key=broken)
    assert shop.staged() == whole


def test_object_that_cannot_be_read_reaches_the_account(shop: Shop) -> None:
    """A damaged archive is one rejected line without a text: an empty one would stop its file."""
    account = shop.account
    account.s3.put({"raw/cut.ndjson.gz": b"\x1f\x8b\x08 and no more"})
    account.clean(shop.home, code=1)
    assert shop.state() == shop.whole()
    sql = "SELECT raw, raw_size FROM STAGING.QUARANTINE WHERE reason = 'unreadable_file'"
    assert account.rows(sql) == [(None, 15)]
    assert (
        account.rows(
            "SELECT status FROM MONITORING.RECENT_LOADS WHERE status = 'Load failed' "
            "AND table_name = 'QUARANTINE'",
            "RETAIL_MONITOR",
        )
        == []
    )


def test_text_that_looks_like_null_stays_a_text(shop: Shop) -> None:
    r"""\N is a product like others, and not what Snowflake's file formats take for NULL."""
    line = event(event_id="null", product_id=r"\N", ts=f"{DAYS[0]}T10:00:00Z")
    shop.account.s3.put({"raw/null.ndjson": line.encode() + b"\n"})
    shop.account.clean(shop.home)
    shop.sold += 1
    assert shop.state() == shop.whole()
    sql = "SELECT product_id FROM STAGING.PURCHASES WHERE event_id = 'null'"
    assert shop.account.rows(sql) == [(r"\N",)]


def test_paused_pipe_goes_on(shop: Shop) -> None:
    """What came while it was paused waits, as PIPE_STATUS says, and is loaded then."""
    whole = shop.whole()
    shop.pause()
    shop.sell(DAYS[0])
    sql = "SELECT execution_state, waiting_notices FROM MONITORING.PIPE_STATUS"
    ((state, waiting),) = shop.account.rows(f"{sql} WHERE pipe = 'purchases'", "RETAIL_MONITOR")
    assert state == "PAUSED" and waiting > 0
    shop.account.settled(apart_from="purchases")
    assert shop.staged() == (whole[0], 1)  # its receipt came through another pipe
    shop.follow("A pipe is paused or was revoked")
    assert shop.state() == shop.whole()


@contextmanager
def unheard(shop: Shop) -> Iterator[None]:
    """The bucket announces nothing as long as the block lasts."""
    bucket = shop.account.s3.bucket
    shop.account.s3._s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={}
    )
    try:
        yield
    finally:
        announce(shop.account.s3)


def test_lost_notices_are_made_good_by_a_refresh(shop: Shop) -> None:
    """It takes what is under the prefix, as young as it must be, and not known yet."""
    early = moment()
    with unheard(shop):
        lost = [shop.sell(day) for day in DAYS[:2]]
    rows, _ = shop.state()
    assert rows == shop.sold - 4
    for key in lost:
        day = key.split("dt=")[1][:10]
        shop.follow("Notices were lost", day=day, time=early)
        rows += 2
        assert shop.state()[0] == rows
    with shop.account.session("RETAIL_LOADER") as cursor:
        cursor.execute(f"ALTER PIPE LANDING.RECEIPTS REFRESH MODIFIED_AFTER = '{early}'")
    assert shop.state() == shop.whole()


def test_pipe_made_anew_misses_nothing_and_doubles_nothing(shop: Shop) -> None:
    """What came before and after is there once."""
    since = moment()
    _, _, status, _ = shop.follow("A pipe must be made anew")
    state = json.loads(str(status[0][0]))
    assert (state["executionState"], state["pendingFileCount"]) == ("PAUSED", 0)
    shop.sell(DAYS[1])  # nobody hears of it
    shop.account.run_script()
    assert shop.state() == (shop.sold - 2, 1)
    shop.follow("A pipe must be made anew", 1, time=since)
    assert shop.state() == shop.whole()


def test_objects_that_were_loaded_twice_are_found_and_removed(shop: Shop) -> None:
    """A pipe that is made anew and told to load everything doubles every row; the counts of each
    object tell; the copies go, and what came meanwhile stays."""
    with shop.account.session("RETAIL_LOADER") as cursor:
        cursor.execute("DROP PIPE LANDING.PURCHASES")
    shop.account.run_script()
    since = moment()
    shop.pipe("RETAIL_LOADER", "REFRESH")
    rows, broken = shop.state()
    assert rows == 2 * shop.sold and broken > 1
    shop.sell(DAYS[2])
    assert shop.state()[0] == rows + 2
    shop.follow("Objects were loaded twice", time=since)
    assert shop.state() == shop.whole()


def test_day_is_loaded_again(shop: Shop) -> None:
    """Its rows are those of the bucket again, and gold is what it was, built anew."""
    account = shop.account
    account.dbt("run")
    gold = "SELECT * EXCLUDE (load_seq) FROM GOLD.PURCHASES_GOLD ORDER BY 1, 2"
    before = account.rows(gold)
    assert len(before) == len(DAYS)
    with account.session("SYSADMIN") as cursor:
        cursor.execute("USE WAREHOUSE RETAIL_TRANSFORM_WH")
        cursor.execute(
            f"UPDATE LANDING.PURCHASES SET price = 99 WHERE bronze_file LIKE '%dt={DAYS[1]}/%'"
        )
    shop.follow("A day must be loaded again", day=DAYS[1])
    assert shop.state() == shop.whole()
    assert f"`dbt {AGAIN}`" in runbook.PAGE.read_text()
    account.dbt(*AGAIN.split())
    assert account.rows(gold) == before
    ((prices,),) = account.rows("SELECT count(*) FROM STAGING.PURCHASES WHERE price = 99")
    assert prices == 0


def test_objects_that_came_while_it_was_shut_out_are_loaded_by_name(shop: Shop) -> None:
    """They failed, so notices and refreshes pass them over; monitoring names them."""
    before = shop.account.s3.objects("bronze/receipts/")
    shop.account.server.control(shut_out=True)
    key = shop.sell(DAYS[0])
    shop.account.settled()
    shop.account.server.control(shut_out=False)
    shop.pipe("RETAIL_LOADER", "REFRESH")
    assert shop.state() == (shop.sold - 2, 0)
    (receipt,) = set(shop.account.s3.objects("bronze/receipts/")) - set(before)
    names = {"receipt": receipt.removeprefix("bronze/receipts/")}
    names |= {"name": key.removeprefix("bronze/purchases/")}
    failed = shop.follow("Snowflake was shut out", **names)[2]
    assert {("PURCHASES", key), ("RECEIPTS", receipt)} <= set(failed)
    assert shop.state() == shop.whole()


def test_failed_builds_are_told_and_suspend_the_tasks(shop: Shop, tmp_path: Path) -> None:
    """Each of ten failures goes to the topic, once; then nothing runs until somebody has built and
    resumed. One model stands for the project, which the task itself builds in test_two_homes."""
    account = shop.account
    root, build = "RETAIL.CONTROL.BOOK_ARRIVALS", "RETAIL.CONTROL.BUILD"
    account.told_errors()
    for _ in range(10):
        with account.session("SYSADMIN") as cursor:
            cursor.execute("USE WAREHOUSE RETAIL_TRANSFORM_WH")
            cursor.execute("INSERT INTO LANDING.FX_RATES (currency) SELECT 'EUR'")
        runs = account.server.control(tick=True)
        assert runs[root] == "SUCCEEDED" and runs[build].startswith("FAILED")
    assert [m["taskName"] for m in account.told_errors()] == [build] * 10
    assert account.server.control(tick=True) == {}
    with account.session("SYSADMIN") as cursor:
        cursor.execute("USE WAREHOUSE RETAIL_TRANSFORM_WH")
        cursor.execute("DELETE FROM LANDING.FX_RATES")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "built.sql").write_text("select 1 as one")
    (tmp_path / "dbt_project.yml").write_text("{name: one, profile: medallion, version: 1.0.0}")
    shutil.copy(DBT / "dbt_projects_profiles.yml", tmp_path)
    account.deploy(tmp_path)
    shop.follow("Builds fail")
    assert account.rows("SELECT one FROM OPS.BUILT") == [(1,)]
    assert account.server.control(tick=True) == {root: "SKIPPED"}


def test_currency_and_time_zone_are_set_in_the_account(shop: Shop) -> None:
    """The next build reports by them, all of history."""
    account, reports = shop.account, ("run", "--select", "+live_clock", "+sales_hourly")
    account.dbt(*reports)
    reported = "SELECT currency, time_zone FROM MARTS.LIVE_CLOCK"
    assert account.rows(reported) == [("USD", "UTC")]
    shop.follow("Currency and time zone")
    account.dbt(*reports)
    assert account.rows(reported) == [("EUR", "Europe/Berlin")]
    unconverted = "SELECT sum(unconverted_lines), sum(lines) FROM MARTS.SALES_HOURLY"
    ((without_rate, lines),) = account.rows(unconverted)
    assert without_rate == lines > 0


def test_key_is_rotated_without_locking_anybody_out(shop: Shop) -> None:
    """Both sign in while both are there; afterwards the old one does not; the script, given the new
    one, changes nothing."""
    account, title = shop.account, "Keys"
    new, old = make_keys(account.folder, "new"), account.values["dbt_public_key"]
    FOLLOWED.add(f"{title}/0")
    role, change, unset = runbook.filled(runbook.blocks()[title][0], new=new, old=old)

    def signs_in(name: str) -> bool:
        key = str(account.folder / f"{name}.p8")
        try:
            account.server.connect("SVC_RETAIL_DBT", private_key_file=key).close()
        except Error as error:
            assert "JWT" in str(error)
            return False
        return True

    assert signs_in("dbt") and not signs_in("new")
    with account.server.connect() as connection:
        cursor = connection.cursor()
        for sql in (role, change):
            cursor.execute(sql)
        assert signs_in("dbt") and signs_in("new")
        cursor.execute(unset)
    assert signs_in("new") and not signs_in("dbt")
    before = account.server.state()
    account.values["dbt_public_key"] = new
    account.run_script()
    assert account.server.state() == before
    assert signs_in("new") and not signs_in("dbt")


def test_workflow_signs_in_by_its_identity(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """GitHub's token for the environment of the workflow is enough to run the script; a token for
    another subject, another audience, or of another key is not."""
    account, issuer = shop.account, "https://token.actions.githubusercontent.com"
    subject, audience = "repo:octocat@1/retail@2:environment:production", "https://a.example"
    shop.follow("Deploying from GitHub", subject=subject, audience=audience)
    keys = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
    public = keys[0].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    account.server.control(issuer=issuer, key=public.decode())
    monkeypatch.setenv("SNOWFLAKE_WIF_ALLOWED_HOST_SUFFIXES", "127.0.0.1")

    def sign_in(key: rsa.RSAPrivateKey = keys[0], **changes: str) -> Any:
        now = int(time.time())
        claims = {"iss": issuer, "sub": subject, "aud": audience, "iat": now, "exp": now + 300}
        return account.server.connect(
            "SVC_RETAIL_DEPLOY",
            authenticator="WORKLOAD_IDENTITY",
            workload_identity_provider="OIDC",
            token=jwt.encode(claims | changes, key, algorithm="RS256"),
        )

    for wrong in ({"sub": "repo:octocat/retail:pull_request"}, {"aud": "snowflakecomputing.com"}):
        with pytest.raises(Error):
            sign_in(**wrong)
    with pytest.raises(Error):
        sign_in(keys[1])
    before = account.server.state()
    with sign_in() as connection:
        for sql in statements(rendered(account.values)):
            connection.cursor().execute(sql)
    assert account.server.state() == before


def test_an_administrator_gets_a_key(shop: Shop) -> None:
    """To forget a customer, which test_forget does."""
    public = make_keys(shop.account.folder, "jane")
    shop.follow("A customer must be forgotten", user="ADMIN", new=public)
    key = str(shop.account.folder / "jane.p8")
    with shop.account.server.connect(private_key_file=key, role="SYSADMIN") as connection:
        assert connection.role == "SYSADMIN"


def test_stale_pipe_is_forced_and_what_it_missed_is_loaded_by_name(shop: Shop) -> None:
    """After more than 14 days it refuses to go on as if nothing had been; notices that are older
    are gone, younger ones are not; a refresh reaches back for seven days only."""
    account = shop.account
    shop.pause()
    old = shop.sell(DAYS[0])
    account.settled(apart_from="purchases")
    account.server.control(days=15)
    shop.sell(DAYS[1])
    forced = "SELECT SYSTEM$PIPE_FORCE_RESUME('RETAIL.LANDING.PURCHASES')"
    with account.session("RETAIL_MONITOR") as cursor:
        for sql in ("ALTER PIPE LANDING.PURCHASES SET PIPE_EXECUTION_PAUSED = FALSE", forced):
            with pytest.raises(ProgrammingError, match="stale"):
                cursor.execute(sql)
    title = "A pipe was paused for more than 14 days"
    shop.follow(title)
    assert shop.state() == (shop.sold - 2, 1)
    shop.pipe("RETAIL_LOADER", "REFRESH")
    assert shop.state() == (shop.sold - 2, 1)
    missed = shop.follow(title, 1, name=old.removeprefix("bronze/purchases/"))[2]
    assert missed == [(old,)]
    assert shop.state() == shop.whole()


def test_quantities_of_version_1_take_fractions(shop: Shop) -> None:
    """Those that were staged keep their value, what is sold by weight comes in, and the script
    runs over it."""
    account, table = shop.account, "RETAIL.LANDING.PURCHASES"
    with account.server.connect(database="RETAIL") as connection:
        cursor = connection.cursor()
        cursor.execute(f"ALTER TABLE {table} DROP COLUMN quantity")
        cursor.execute(f"ALTER TABLE {table} ADD COLUMN quantity NUMBER(38,0)")
        cursor.execute("USE WAREHOUSE RETAIL_TRANSFORM_WH")
        cursor.execute(f"UPDATE {table} SET quantity = 7")
    shop.follow("Quantities of version 1")
    account.run_script()
    shop.sell(DAYS[0], quantity=0.345, total_amount=...)
    assert shop.state() == shop.whole()
    sql = "SELECT DISTINCT quantity FROM STAGING.PURCHASES ORDER BY 1"
    assert account.rows(sql) == [(Decimal("0.34500"),), (7,)]


def test_stale_stream_is_made_anew(shop: Shop) -> None:
    """Nobody has read it for 14 days: runs fail until it is dropped and created again."""
    account, root = shop.account, "RETAIL.CONTROL.BOOK_ARRIVALS"
    with account.session("RETAIL_MONITOR") as cursor:
        cursor.execute(f"ALTER TASK {root} SUSPEND")
    shop.sell(DAYS[0])
    account.settled()
    account.server.control(days=15)
    with account.session("RETAIL_MONITOR") as cursor:
        cursor.execute(f"ALTER TASK {root} RESUME")
    assert "stale" in account.server.control(tick=True)[root]
    shop.follow("The stream is stale")
    account.run_script()
    assert account.server.control(tick=True) == {root: "SKIPPED"}


def test_grammar_of_the_page(tmp_path: Path) -> None:
    """Snowflake's grammar and its functions, as far as the checker knows them."""
    for title, block in runbook.blocks().items():
        for n, sql in enumerate(block):
            texts = runbook.filled(sql, **dict.fromkeys(FIELDS, "x"))
            (tmp_path / f"{title.replace(' ', '-')}-{n}.sql").write_text("\n".join(texts))
    command = [tools.python(), runbook.GRAMMAR, *tmp_path.glob("*.sql")]
    faults = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert faults == {"violations": {}, "foreign": {}}


def test_every_block_of_the_page_was_run() -> None:
    """By the tests above: the page shows no SQL that nobody has tried."""
    shown = {f"{title}/{n}" for title, block in runbook.blocks().items() for n in range(len(block))}
    assert shown == FOLLOWED
