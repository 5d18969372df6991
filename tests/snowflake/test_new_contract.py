"""A field that is added to the contract, in an account that is there already."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.contributing import FIELD, checkout_with_a_field, environment
from tests.snowflake.account_here import World, world

SALE = {"ts": "2026-03-14T15:09:26Z", "store_id": "S1", "product_id": "P1"}
SALE |= {"price": "1", "quantity": "1"}
STAGED = SALE | {"event_id": "old", "event_type": "purchase", "basket_id": "old", "currency": "USD"}
STAGED |= {"discount_amount": "0", "tax_amount": "0", "total_amount": "1", "schema_version": "1"}
STAGED |= {"source_file": "raw/old.ndjson", "source_line": "1", "bronze_file": "bronze/old.parquet"}
STAGED |= dict.fromkeys(("ingested_at", "dt", "scanned_at"), "2026-03-14")
"""A row that the old contract has brought."""
PLACE = {"warehouse": "RETAIL_TRANSFORM_WH", "database": "RETAIL"}
SPINE = ("--select", "bronze", "silver")


def test_a_field_comes_into_an_account_that_is_there(tmp_path: Path) -> None:
    """The script of the new contract runs over the old one, the pipes load what the new cleaner
    writes, and the next run of dbt shows the field in silver: empty for what was there before."""
    checkout = checkout_with_a_field(tmp_path)
    with world(tmp_path) as account:
        account.run_script()
        with account.server.connect(**PLACE) as connection:
            values = ", ".join(f"'{value}'" for value in STAGED.values())
            connection.cursor().execute(
                f"INSERT INTO RETAIL.LANDING.PURCHASES ({', '.join(STAGED)}) SELECT {values}"
            )
        account.dbt("run", *SPINE)

        account.run_script((checkout / "infra" / "snowflake.sql").read_text())
        line = json.dumps(SALE | {"event_id": "new", FIELD: " spring "})
        account.s3.put({"raw/purchases/new.ndjson": line.encode()})
        clean(account, checkout, tmp_path / "home")
        account.landed()
        account.dbt("run", *SPINE, project=checkout / "dbt")
        sql = f"SELECT event_id, {FIELD} FROM SILVER.PURCHASES_SILVER ORDER BY event_id"
        assert account.rows(sql) == [("new", "SPRING"), ("old", None)]


def clean(account: World, checkout: Path, home: Path) -> None:
    """Clean what waits in the bucket with the cleaner of a checkout."""
    command = [sys.executable, "-m", "medallion.cli", "clean", "--home", str(home)]
    variables = environment(checkout) | account.environment
    done = subprocess.run(command, env=variables, cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
