"""The audit: each planted violation makes it fail, with the offender named."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medallion.audit import snapshots
from medallion.audit.last import LAST_AUDIT, last_audit
from medallion.lake.receipts import SCHEMA
from medallion.platforms.warehouse import warehouse_path
from tests.conftest import Cli, drop, event


def test_the_audit_of_a_built_home_holds(built: Path, cli: Cli) -> None:
    """Every check holds and prints its figure."""
    result = cli(built, "audit", "--json")
    report = json.loads(result.stdout)
    assert result.exit_code == 0 and report["holds"], result.output
    assert len(report["checks"]) >= 9
    assert not any(check["offenders"] for check in report["checks"])


def test_what_waits_is_no_violation(copy: Path, cli: Cli) -> None:
    """A raw file that nobody has cleaned yet is said to wait."""
    drop(copy, "new.json", event())
    result = cli(copy, "audit")
    assert result.exit_code == 0
    assert "1 raw objects not yet loaded" in result.output


def test_the_home_keeps_the_result_of_the_last_audit(copy: Path, cli: Cli) -> None:
    """When it was and what each check found, but not what breaks one, which may name a customer."""
    assert last_audit(copy).broken == 0  # `run` audits, too.
    before = last_audit(copy).at
    change(copy, "DELETE FROM staging.purchases WHERE rowid = 0")
    result = cli(copy, "audit", "--json")
    checks = json.loads(result.stdout)["checks"]
    kept = last_audit(copy)
    assert result.exit_code == 1 and kept.at > before
    assert [(c["name"], c["figure"], len(c["offenders"])) for c in checks] == [
        (c.name, c.figure, c.offenders) for c in kept.checks
    ]
    assert kept.broken == sum(bool(c["offenders"]) for c in checks) > 0
    assert not any(o in (copy / LAST_AUDIT).read_text() for c in checks for o in c["offenders"])
    (copy / LAST_AUDIT).write_text('{"at"')
    assert last_audit(copy) is None


def test_a_large_object_is_audited_in_parts(tmp_path: Path, cli: Cli) -> None:
    """It has a dozen blocks, with rejected lines in the first and the last: all lines are counted,
    and of the values no more is compared than the sample and the rest of a block."""
    lines = [event(event_id=f"e{line}", note="x" * 600) for line in range(35_998)]
    drop(tmp_path, "large.ndjson", "the first line", *lines, "the last line")
    result = cli(tmp_path, "run", "--events", "0")
    assert result.exit_code == 0, result.output
    printed = re.search(r"cleaned anew +([\d,]+) of ([\d,]+) lines", result.output)
    assert printed
    compared, all_lines = (int(figure.replace(",", "")) for figure in printed.groups())
    assert all_lines == 36_000
    assert 20_000 <= compared < 24_000


def first(home: Path, pattern: str) -> Path:
    return sorted(home.glob(pattern))[0]


def change(home: Path, sql: str) -> None:
    with duckdb.connect(str(warehouse_path(home))) as db:
        db.execute(sql)


def rewrite_raw(home: Path) -> None:
    path = first(home, "raw/purchases/**/*.zst")
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    import os

    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def flip(path: Path) -> None:
    """Flips a bit in the middle of a file, which may have other names."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)


def alter_receipt(home: Path) -> None:
    path = first(home, "bronze/receipts/*.parquet")
    rows = pq.read_table(path).to_pylist()
    rows[0]["engine"] = "another"
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path)


def shorten_parquet(home: Path) -> None:
    path = first(home, "bronze/purchases/**/*.parquet")
    pq.write_table(pq.ParquetFile(path).read().slice(1), path)


PLANTED: dict[str, Callable[[Path], None]] = {
    "raw bytes changed": rewrite_raw,
    "raw object removed": lambda home: first(home, "raw/purchases/**/*.zst").unlink(),
    "bronze object removed": lambda home: first(home, "bronze/purchases/**/*.parquet").unlink(),
    "bronze object cut": lambda home: first(home, "bronze/purchases/**/*.parquet").write_bytes(b""),
    "bronze row removed": shorten_parquet,
    "receipt altered": alter_receipt,
    "published file altered": lambda home: flip(first(home, "gold/v1/*.parquet")),
    "checksums altered": lambda home: flip(first(home, "gold/v1/SHA256SUMS")),
    "pointer to no snapshot": lambda home: flip(home / "gold/CURRENT"),
    "a value that raw does not hold": lambda home: change(
        home, "UPDATE staging.purchases SET store_id = 'S?' WHERE rowid = 0"
    ),
    "a value of a reference feed": lambda home: change(
        home, "UPDATE staging.stores SET store_name = 'other' WHERE rowid = 0"
    ),
    "a staged receipt of other objects": lambda home: change(
        home, "UPDATE staging.receipts SET engine = 'another' WHERE rowid = 0"
    ),
    "staged row lost": lambda home: change(home, "DELETE FROM staging.purchases WHERE rowid = 0"),
    "staged object twice": lambda home: change(
        home,
        "INSERT INTO staging.purchases SELECT * FROM staging.purchases WHERE bronze_file = "
        "(SELECT min(bronze_file) FROM staging.purchases)",
    ),
    "ledger entry lost": lambda home: change(
        home,
        "DELETE FROM staging.loads WHERE bronze_file = (SELECT min(bronze_file) FROM "
        "staging.loads WHERE kind = 'purchases')",
    ),
    "quarantined line lost": lambda home: change(
        home, "DELETE FROM staging.quarantine WHERE rowid = 0"
    ),
    "receipt falsified": lambda home: change(
        home, "UPDATE staging.receipts SET blank = blank + 1 WHERE feed = 'purchases'"
    ),
    "event twice in silver": lambda home: change(
        home, "INSERT INTO silver.purchases_silver SELECT * FROM silver.purchases_silver LIMIT 1"
    ),
    "event lost from silver": lambda home: change(
        home,
        "DELETE FROM silver.purchases_silver WHERE event_id = "
        "(SELECT min(event_id) FROM silver.purchases_silver)",
    ),
    "a cent more in silver": lambda home: change(
        home,
        "UPDATE silver.purchases_silver SET total_amount = total_amount + 0.0001 WHERE "
        "event_id = (SELECT min(event_id) FROM silver.purchases_silver)",
    ),
    "a cent less in gold": lambda home: change(
        home,
        "UPDATE gold.purchases_gold SET net_sales = net_sales - 0.01 WHERE sales_date = "
        "(SELECT max(sales_date) FROM gold.purchases_gold)",
    ),
    "day lost from gold": lambda home: change(
        home,
        "DELETE FROM gold.purchases_gold WHERE sales_date = "
        "(SELECT min(sales_date) FROM gold.purchases_gold)",
    ),
    "live model left empty": lambda home: change(home, "DELETE FROM marts.live_sales"),
    "minute lost from the live model": lambda home: change(
        home,
        "DELETE FROM marts.live_sales WHERE minute_at = "
        "(SELECT max(minute_at) FROM marts.live_sales)",
    ),
    "basket too many in the live model": lambda home: change(
        home,
        "UPDATE marts.live_sales SET transactions = transactions + 1 WHERE rowid = "
        "(SELECT max(rowid) FROM marts.live_sales)",
    ),
    "a cent more in the live model": lambda home: change(
        home,
        "UPDATE marts.live_sales SET reporting_net_sales = reporting_net_sales + 0.01 WHERE "
        "rowid = (SELECT max(rowid) FROM marts.live_sales)",
    ),
    "newest sale unknown to the live model": lambda home: change(
        home, "UPDATE marts.live_sales SET last_sale_at = NULL"
    ),
    "amount as float": lambda home: change(
        home, "ALTER TABLE gold.purchases_gold ALTER net_sales TYPE DOUBLE"
    ),
}


def test_a_snapshot_before_its_pointer_waits(copy: Path, cli: Cli) -> None:
    """A publication that was killed between the two renamings."""
    shutil.copytree(copy / "gold/v1", copy / "gold/v2")
    result = cli(copy, "audit")
    assert result.exit_code == 0, result.output
    assert "1 snapshots not yet current" in result.output


def test_what_the_live_model_has_not_seen_waits(copy: Path, cli: Cli) -> None:
    """A build that was killed after silver and gold: no violation. What the marts have seen too and
    the live model has not is one."""
    change(
        copy,
        "UPDATE silver.purchases_silver SET load_seq = 99 WHERE event_id = "
        "(SELECT max_by(event_id, ts) FROM silver.purchases_silver)",
    )
    result = cli(copy, "audit")
    assert result.exit_code == 0, result.output
    assert "1 rows not yet in the live model" in result.output
    change(
        copy,
        "INSERT INTO marts.sales_hourly BY NAME (SELECT * REPLACE (99 AS load_seq) "
        "FROM marts.sales_hourly LIMIT 1); DELETE FROM marts.live_sales WHERE minute_at = "
        "(SELECT max(minute_at) FROM marts.live_sales)",
    )
    assert cli(copy, "audit").exit_code == 1


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_a_planted_violation_is_caught(copy: Path, cli: Cli, plant: Callable[[Path], None]) -> None:
    """Exit 1, and at least one offender in words."""
    plant(copy)
    result = cli(copy, "audit", "--json", "--all")
    assert result.exit_code == 1, result.output
    broken = [check for check in json.loads(result.stdout)["checks"] if check["offenders"]]
    assert broken and all(check["offenders"][0] for check in broken)


@pytest.mark.parametrize("text", [" ", "~"])
def test_a_changed_text_in_the_quarantine_is_named(copy: Path, cli: Cli, text: str) -> None:
    """Also without --all, whether it sorts before or after the text of the raw object."""
    change(copy, f"UPDATE staging.quarantine SET raw = '{text}'::BLOB WHERE rowid = 0")
    result = cli(copy, "audit")
    assert result.exit_code == 1
    assert re.search(r"line \d+ differs from the quarantine", result.output)


def test_a_rewritten_object_that_is_not_loaded_yet_waits(copy: Path, cli: Cli) -> None:
    """Its receipt is in bronze, its rows are not in the warehouse: as in the middle of a stream."""
    drop(copy, "till.jsonl", event())
    assert cli(copy, "clean").exit_code == cli(copy, "load").exit_code == 0
    drop(copy, "till.jsonl", event(), event(event_id="e2"))
    assert cli(copy, "clean").exit_code == 0
    result = cli(copy, "audit")
    assert result.exit_code == 0, result.output
    assert "1 raw objects not yet loaded" in result.output


def test_a_snapshot_that_is_replaced_while_it_is_read_is_looked_at_anew(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runner publishes several times a second, and keeps the last few alone."""
    gold, waiting = copy / "gold", dict[str, int]()
    old = (gold / "CURRENT").read_text()
    whole = snapshots.read_checksums

    def publish_meanwhile(folder: Path) -> dict[str, str]:
        if folder.name == old:
            folder.rename(gold / f"v{int(old[1:]) + 1}")
            (gold / "CURRENT").write_text(f"v{int(old[1:]) + 1}")
        return whole(folder)

    monkeypatch.setattr(snapshots, "read_checksums", publish_meanwhile)
    check = snapshots.snapshot_check(copy, waiting)
    assert check is not None and check.holds, check
    assert f"of v{int(old[1:]) + 1}" in check.figure
