"""The command line on a warehouse in Snowflake: the same words and numbers as on the embedded one,
and every refusal in one line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from medallion.cli import main
from medallion.platforms import s3, snowflake
from medallion.settings import SnowflakeAccount
from tests.conftest import ROOT, Cli
from tests.snowflake import tools
from tests.snowflake.account_here import World, fill, make_keys, world

SQL = "USE ROLE SYSADMIN; USE WAREHOUSE RETAIL_TRANSFORM_WH; USE SCHEMA RETAIL.CONTROL;\n"


@dataclass(frozen=True)
class Homes:
    """One lake in a bucket and two warehouses of it: in the account, and in the home `beside`."""

    account: World
    home: Path
    beside: Path

    def variables(self, home: Path) -> dict[str, str | None]:
        """Return the environment of the command; a variable that is None is not set."""
        strangers = [n for n in os.environ if n.startswith(("MEDALLION_", "SNOWFLAKE_"))]
        where = None if home == self.beside else "snowflake"
        return dict.fromkeys(strangers) | self.account.environment | {"MEDALLION_WAREHOUSE": where}

    def run(
        self, *arguments: str, home: Path | None = None, code: int = 0, **changes: str | None
    ) -> Result:
        """The command, in this process; it ends with an exit code."""
        home = home or self.home
        variables = self.variables(home) | changes
        result = CliRunner().invoke(main, [*arguments, "--home", str(home)], env=variables)
        assert result.exit_code == code, result.output + repr(result.exception)
        return result

    def process(
        self, home: Path, *arguments: object, start: tuple[str, ...] = ("-m", "medallion.cli")
    ) -> subprocess.Popen[str]:
        """The command in the environment of the tools, which has dbt-snowflake."""
        variables = os.environ | self.variables(home) | {"PYTHONPATH": str(ROOT / "src")}
        return subprocess.Popen(
            [str(part) for part in (tools.python(), *start, *arguments)],
            env={name: value for name, value in variables.items() if value is not None},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def refused(self, *arguments: str, **changes: str | None) -> str:
        """The one line of a refusal."""
        line = self.run(*arguments, code=2, **changes).stderr
        assert re.fullmatch(r"error: .+\n", line), line
        return line

    def both(self, *arguments: str) -> tuple[Any, Any]:
        """What the command says as JSON on the account and on the embedded warehouse."""
        snowflake, laptop = (
            json.loads(self.run(*arguments, "--json", home=home).stdout)
            for home in (self.home, self.beside)
        )
        return snowflake, laptop

    def administer(self, sql: str) -> None:
        """Statements of the owner of the tables."""
        self.account.run_script(SQL + sql)


def ended(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    """What a process said and complained of, ending with an exit code."""
    output, errors = process.communicate(timeout=300)
    assert process.returncode == code, output[-3000:] + errors[-3000:]
    return output, errors


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homes]:
    """600 simulated events, 8 % of them with a fault, in gold in both warehouses."""
    folder = tmp_path_factory.mktemp("account")
    with world(folder) as account:
        s3._client.cache_clear()
        fill(account.s3, folder / "simulated", 600, 3)
        account.run_script()
        homes = Homes(account, folder / "home", folder / "beside")
        homes.run("clean")
        homes.run("load", home=homes.beside)
        account.landed()
        started = [
            homes.process(home, "transform", "--home", home) for home in (homes.beside, homes.home)
        ]
        for process in started:
            output, errors = ended(process)
            assert re.search(r"built +\d\d models", output) and not errors
        yield homes
        s3._client.cache_clear()


def test_status_is_that_of_the_embedded_warehouse(homes: Homes) -> None:
    """Every layer, count and note; only the time of loading is another, and so the freshness."""
    snowflake, laptop = homes.both("status")
    assert [row["layer"] for row in snowflake] == [row["layer"] for row in laptop]
    for one, other in zip(snowflake, laptop, strict=True):
        differs = {"newest": None}
        if one["layer"] == "gold":
            for layer in (one, other):
                assert re.search(r"newest event \d.*, last batch \d", layer["note"])
            differs["note"] = None
        assert one | differs == other | differs
        assert (one["newest"] == other["newest"]) != (one["layer"] == "staging")
    assert all(row["count"] > 0 and not row["note"].endswith("waiting") for row in snowflake)


def test_the_audit_counts_what_it_counts_on_the_embedded_warehouse(homes: Homes) -> None:
    """Every check, with the same figure; only a home has a published snapshot."""
    snowflake, laptop = homes.both("audit")
    laptop["checks"] = [
        c for c in laptop["checks"] if c["name"] != "published files = their checksums"
    ]
    laptop["waiting"].pop("snapshots not yet current", None)
    assert snowflake["holds"] and snowflake == laptop
    assert len(snowflake["checks"]) == 12
    assert "all 12 checks hold" in homes.run("audit").stdout


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * EXCLUDE (load_seq) FROM gold.purchases_gold ORDER BY sales_date, currency",
        "SELECT event_id, ts, dt, price, quantity, total_amount, is_return, customer_id, "
        "ingested_at FROM silver.purchases_silver ORDER BY event_id LIMIT 200;",
        "SELECT feed, reason, raw FROM staging.quarantine ORDER BY source_file, source_line "
        "-- the bytes",
        "SELECT CAST(1.10 AS DECIMAL(9,2)) AS d, DATE '2026-01-02' AS day, NULL AS nothing, "
        "CAST('2026-01-02 03:04:05' AS TIMESTAMP) AS t, 1 < 2 AS yes, 'ä\"' AS text, -0.5 AS half",
    ],
)
def test_a_query_gives_the_same_json(homes: Homes, sql: str) -> None:
    """Decimals as strings, times in UTC, names in small letters."""
    snowflake, laptop = homes.both("query", sql)
    assert snowflake == laptop and snowflake


def test_a_moment_with_a_zone_is_shown_in_utc(homes: Homes) -> None:
    """Whatever zone it was loaded in."""
    sql = "SELECT max(scanned_at) AS at FROM landing.purchases"
    homes.administer("GRANT SELECT ON TABLE RETAIL.LANDING.PURCHASES TO ROLE RETAIL_TRANSFORMER;")
    (row,) = json.loads(homes.run("query", sql, "--json").stdout)
    assert row["at"].endswith("+00:00")


def test_the_quarantine_is_read(homes: Homes) -> None:
    """By reason, and with the original text."""
    snowflake, laptop = homes.both("quarantine", "list")
    assert snowflake == laptop and len(snowflake) > 3
    some = (
        "--reason",
        snowflake[0]["reason"],
        "--file",
        snowflake[0]["example"].rpartition(":")[0],
    )
    snowflake, laptop = homes.both("quarantine", "show", "--limit", "7", *some)
    assert snowflake == laptop and 0 < len(snowflake) <= 7


def test_only_queries_are_run(homes: Homes) -> None:
    """A statement that would write is refused, and one that is wrong, in one line each."""
    before = homes.account.rows("SELECT count(*) FROM SILVER.PURCHASES_SILVER")
    for sql in (
        "DELETE FROM silver.purchases_silver",
        "SELECT 1; DELETE FROM silver.purchases_silver",
        "SELECT 1) ; DELETE FROM silver.purchases_silver; SELECT (1",
        "DROP TABLE silver.purchases_silver",
    ):
        assert "one query is run here" in homes.refused("query", sql)
    assert homes.account.rows("SELECT count(*) FROM SILVER.PURCHASES_SILVER") == before
    assert "NOTHING" in homes.refused("query", "SELECT * FROM gold.nothing")


def test_load_says_that_snowpipe_loads(homes: Homes) -> None:
    """It triggers nothing, and tells what waits."""
    output = homes.run("load").stdout
    assert "Snowpipe loads what arrives; 0 bronze objects wait" in output
    report = json.loads(homes.run("load", "--json").stdout)
    assert report == {"objects": 0, "rows": 0, "failures": {}, "waiting": 0}


def test_a_lake_on_the_disk_is_audited_against_the_account(homes: Homes, tmp_path: Path) -> None:
    """A mirror of the bucket will do; an object that the account does not know waits."""
    stored = homes.account.s3.objects("")
    homes.account.s3.download(stored, tmp_path)
    for key, head in stored.items():
        moment = head["LastModified"].timestamp()
        os.utime(tmp_path / key, (moment, moment))
    report = json.loads(homes.run("audit", "--json", home=tmp_path, MEDALLION_LAKE=None).stdout)
    assert report["holds"] and report["waiting"]["raw objects not yet loaded"] == 0
    new = tmp_path / "bronze" / "receipts" / "new.parquet"
    new.write_bytes(next(new.parent.glob("*.parquet")).read_bytes())
    report = json.loads(homes.run("load", "--json", home=tmp_path, MEDALLION_LAKE=None).stdout)
    assert report["waiting"] == 1


def test_building_again_changes_nothing_and_the_data_tests_hold(homes: Homes) -> None:
    """An incremental run that finds nothing new."""
    sql = "SELECT * FROM GOLD.PURCHASES_GOLD ORDER BY 1, 2"
    before = homes.account.rows(sql)
    arguments = ("transform", "--select", "gold", "--test", "--home", homes.home)
    output, errors = ended(homes.process(homes.home, *arguments))
    assert output.startswith("built      1 models\ntested") and output.endswith(", 0 failed\n")
    assert errors == ""
    assert homes.account.rows(sql) == before


@contextmanager
def spoiled(homes: Homes, table: str, change: str) -> Iterator[None]:
    """A table with a fault for as long as the block lasts."""
    homes.administer(f"CREATE TABLE RETAIL.CONTROL.KEPT AS SELECT * FROM {table};\n{change};")
    try:
        yield
    finally:
        homes.administer(
            f"DELETE FROM {table};\nINSERT INTO {table} SELECT * FROM RETAIL.CONTROL.KEPT;\n"
            "DROP TABLE RETAIL.CONTROL.KEPT;"
        )


ONE_FILE = "(SELECT min(bronze_file) FROM RETAIL.LANDING.PURCHASES)"
PLANTED = {
    "a row staged twice": (
        "RETAIL.LANDING.PURCHASES",
        "INSERT INTO RETAIL.LANDING.PURCHASES SELECT * FROM RETAIL.LANDING.PURCHASES "
        f"WHERE bronze_file = {ONE_FILE} LIMIT 1",
        "staged rows = receipt rows",
    ),
    "an object loaded twice": (
        "RETAIL.LANDING.RECEIPTS",
        "INSERT INTO RETAIL.LANDING.RECEIPTS SELECT * FROM RETAIL.LANDING.RECEIPTS",
        "staged rows = receipt rows",
    ),
    "a quarantined line lost": (
        "RETAIL.LANDING.QUARANTINE",
        "DELETE FROM RETAIL.LANDING.QUARANTINE WHERE source_line = "
        "(SELECT min(source_line) FROM RETAIL.LANDING.QUARANTINE)",
        "every line staged once",
    ),
    "a quarantined text changed": (
        "RETAIL.LANDING.QUARANTINE",
        "UPDATE RETAIL.LANDING.QUARANTINE SET raw = TO_BINARY('7B7D', 'HEX') WHERE reason = "
        "'malformed_json'",
        "raw lines = receipt lines",
    ),
    "an event lost from silver": (
        "RETAIL.SILVER.PURCHASES_SILVER",
        "DELETE FROM RETAIL.SILVER.PURCHASES_SILVER WHERE event_id = "
        "(SELECT min(event_id) FROM RETAIL.SILVER.PURCHASES_SILVER)",
        "bronze rows - silver rows = duplicates",
    ),
    "a cent less in gold": (
        "RETAIL.GOLD.PURCHASES_GOLD",
        "UPDATE RETAIL.GOLD.PURCHASES_GOLD SET net_sales = net_sales - 0.01 WHERE sales_date = "
        "(SELECT max(sales_date) FROM RETAIL.GOLD.PURCHASES_GOLD)",
        "gold sums = silver sums, per day",
    ),
}


@pytest.mark.parametrize(("table", "change", "check"), PLANTED.values(), ids=PLANTED)
def test_a_planted_violation_is_caught(homes: Homes, table: str, change: str, check: str) -> None:
    """Exit 1, and the check that it breaks names what breaks it."""
    with spoiled(homes, table, change):
        report = json.loads(homes.run("audit", "--json", code=1).stdout)
    assert [c["offenders"][0] for c in report["checks"] if c["name"] == check], report


def test_a_grant_that_is_missing_is_one_line(homes: Homes) -> None:
    """It names the relation; nothing counts as empty that may not be seen."""
    view = "SELECT ON VIEW RETAIL.STAGING.RECEIPTS"
    homes.administer(f"REVOKE {view} FROM ROLE RETAIL_TRANSFORMER;")
    try:
        for verb in ("status", "audit"):
            assert "RECEIPTS" in homes.refused(verb)
    finally:
        homes.administer(f"GRANT {view} TO ROLE RETAIL_TRANSFORMER;")


def test_who_cannot_sign_in_hears_why_in_one_line(
    homes: Homes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key of somebody else, a role that was not granted, an address where nobody listens."""
    monkeypatch.setattr(snowflake, "_SECONDS_TO_SIGN_IN", 3)
    make_keys(tmp_path, "other")
    wrong_key = {"SNOWFLAKE_PRIVATE_KEY_PATH": str(tmp_path / "other.p8")}
    assert "as SVC_RETAIL_DBT in role" in homes.refused("status", **wrong_key)
    assert "cannot sign in" in homes.refused("transform", **wrong_key)
    assert "RETAIL_READER" in homes.refused("query", "SELECT 1", SNOWFLAKE_ROLE="RETAIL_READER")
    assert "Could not connect" in homes.refused("audit", SNOWFLAKE_PORT="9")


def test_a_key_that_cannot_be_read_is_one_line(homes: Homes) -> None:
    """No file, and no key."""
    for path, why in (("/none/key.p8", "No such file"), (__file__, "no private key")):
        assert why in homes.refused("status", SNOWFLAKE_PRIVATE_KEY_PATH=path)


@pytest.mark.parametrize(
    ("verb", "module"),
    [("status", "snowflake.connector"), ("transform", "dbt.adapters.snowflake")],
)
def test_without_the_extra_one_line_says_how_to_install_it(
    homes: Homes, monkeypatch: pytest.MonkeyPatch, verb: str, module: str
) -> None:
    """The connector is imported only by who needs it, and the adapter only by who builds."""
    monkeypatch.setitem(sys.modules, module, None)
    line = homes.refused(verb)
    assert module in line and "pip install -e '.[snowflake]'" in line


@pytest.fixture
def unreached(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that names an account which nobody will reach."""
    for name in [n for n in os.environ if n.startswith(("SNOWFLAKE_", "MEDALLION_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MEDALLION_WAREHOUSE", "snowflake")
    monkeypatch.setenv("SNOWFLAKE_ACCOUNT", "org-account")
    monkeypatch.setenv("SNOWFLAKE_PRIVATE_KEY_PATH", "/none/key.p8")
    return monkeypatch


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SNOWFLAKE_ACCOUNT", ""),
        ("SNOWFLAKE_PRIVATE_KEY_PATH", ""),
        ("SNOWFLAKE_PORT", "https"),
        ("SNOWFLAKE_DATABASE", "RETAIL; DROP"),
        ("MEDALLION_WAREHOUSE", "snowflakes"),
    ],
)
def test_a_variable_that_is_missing_or_wrong_is_named(
    unreached: pytest.MonkeyPatch, cli: Cli, tmp_path: Path, variable: str, value: str
) -> None:
    """Before anything is asked or written."""
    unreached.setenv(variable, value)
    result = cli(tmp_path / "home", "status")
    assert result.exit_code == 2 and variable in result.stderr
    assert result.stderr.count("\n") == 1 and not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("up", "--no-dashboard"),
        ("dashboard",),
        ("export", "out"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_needs_a_warehouse_in_the_home_says_so(
    unreached: pytest.MonkeyPatch, cli: Cli, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """One line, and no event is simulated."""
    result = cli(tmp_path, *arguments)
    assert result.exit_code == 2, result.output
    assert "a warehouse in the home" in result.stderr and result.stderr.count("\n") == 1
    assert not (tmp_path / "raw").exists()


def test_dbt_and_the_command_line_read_the_same_variables() -> None:
    """The defaults stand in two places; here they are held together."""
    profile = yaml.safe_load((ROOT / "dbt" / "profiles.yml").read_text())
    target = profile["medallion"]["outputs"]["snowflake"]
    roles = {}
    for value in target.values():
        if match := re.search(r"env_var\('(SNOWFLAKE_\w+)', '(.*?)'\)", str(value)):
            roles[match[1]] = match[2]
    account = SnowflakeAccount(account="", private_key_path="")
    assert roles == {
        f"SNOWFLAKE_{f.name.upper()}": getattr(account, f.name) for f in fields(account)
    }


COMPARISON = """
import json, os, sys
from dataclasses import asdict
from pathlib import Path
import snowflake.connector
from medallion.outputs.dashboard.choice import Choice
from medallion.outputs.dashboard.snapshot import Board
from medallion.outputs.dashboard.sources import PublishedSnapshots, SnowflakeRelations
from medallion.platforms.snowflake import _options
from medallion.settings import SnowflakeAccount
account = SnowflakeAccount.from_environment(os.environ)
connection = snowflake.connector.connect(**_options(account))
there, here = SnowflakeRelations(connection), PublishedSnapshots(Path(sys.argv[1]))
assert there.version() == there.read().version
relations = [source.read().tables for source in (there, here)]
"""


def test_the_dashboard_reads_in_the_account_what_it_reads_in_snapshots(homes: Homes) -> None:
    """Each relation, row by row and with its types; and an empty one has types too."""
    script = COMPARISON + (
        "for name, table in relations[1].items():\n"
        "    remote = relations[0][name]\n"
        "    assert remote.column_names == table.column_names, name\n"
        "    assert remote.num_rows == table.num_rows, name\n"
        "    moved = {'staged_at', 'load_seq'} & set(table.column_names)\n"
        "    both = [t.drop_columns(list(moved)) for t in (remote, table.cast(remote.schema))]\n"
        "    order = [(c, 'ascending') for c in both[0].column_names]\n"
        "    assert both[0].sort_by(order).equals(both[1].sort_by(order)), name\n"
        "print(len(relations[1]))\n"
    )
    process = homes.process(homes.home, homes.beside, start=("-c", script))
    assert ended(process)[0] == "8\n"


def test_relations_are_found_without_their_schema(homes: Homes) -> None:
    """As on the embedded warehouse."""
    sql = "SELECT count(*) AS n FROM purchases_gold g JOIN dim_stores ON TRUE WHERE g.lines > 0"
    snowflake, laptop = homes.both("query", sql)
    assert snowflake == laptop and snowflake[0]["n"]
