"""`medallion rebuild`: everything comes again from raw/ alone, and nothing is lost on the way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Cli, drop, event
from medallion import rebuild
from medallion.layers.marts import Transformer
from medallion.platforms.warehouse import open_warehouse

Query = Callable[[Path, str], list[dict[str, Any]]]
ROWS = (
    "SELECT * EXCLUDE (load_seq) FROM purchases_gold ORDER BY ALL",
    "SELECT event_id, ingested_at, source_file, source_line, net_amount FROM purchases_silver "
    "ORDER BY ALL",
    "SELECT feed, reason, raw, source_file, source_line FROM quarantine ORDER BY ALL",
    "SELECT sales_date, product_id, net_sales FROM sales_daily_product ORDER BY ALL",
)


def rows(home: Path, query: Query) -> list[list[dict[str, Any]]]:
    """What a home holds, but for the order and the time of loading."""
    return [query(home, sql) for sql in ROWS]


def told(cli: Cli, home: Path) -> dict[str, Any]:
    """What `medallion rebuild --json` says."""
    result = cli(home, "rebuild", "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def holds(cli: Cli, home: Path) -> bool:
    return cli(home, "audit").exit_code == 0


def test_a_rebuild_changes_nothing(built: Path, copy: Path, cli: Cli, query: Query) -> None:
    """The same bronze names, the same rows in every layer, a new snapshot; and it says so."""
    names = sorted(p.relative_to(copy) for p in (copy / "bronze").rglob("*.parquet"))
    snapshot = (copy / "gold" / "CURRENT").read_text()
    report = told(cli, copy)
    assert report["differences"] == {"silver": 0, "gold": 0, "quarantine": 0}
    assert report["audit"] and holds(cli, copy)
    assert rows(copy, query) == rows(built, query)
    assert sorted(p.relative_to(copy) for p in (copy / "bronze").rglob("*.parquet")) == names
    assert (copy / "gold" / "CURRENT").read_text() != snapshot
    assert not (copy / rebuild.BESIDE).exists()


def test_damage_is_mended_and_counted(built: Path, copy: Path, cli: Cli, query: Query) -> None:
    """A bronze object that is lost and a sum that is wrong: both are as they were before."""
    shutil.rmtree(next((copy / "bronze" / "purchases").glob("dt=*")))
    with open_warehouse(copy) as warehouse:
        warehouse.execute("UPDATE gold.purchases_gold SET net_sales = net_sales + 0.01")
        ((days,),) = warehouse.execute("SELECT count(*) FROM gold.purchases_gold").fetchall()
    assert not holds(cli, copy)
    assert told(cli, copy)["differences"] == {"silver": 0, "gold": 2 * days, "quarantine": 0}
    assert holds(cli, copy)
    assert rows(copy, query) == rows(built, query)


def test_what_waits_in_raw_is_taken(tmp_path: Path, cli: Cli, query: Query) -> None:
    """A home that was never run is built; a second rebuild tells what came since."""
    drop(tmp_path, "till.ndjson", event())
    assert told(cli, tmp_path)["differences"] is None
    drop(tmp_path, "later.ndjson", event(event_id="e2"), "no event")
    found = cli(tmp_path, "rebuild")
    assert "1 rows of silver" in found.stdout and "1 rows of quarantine" in found.stdout
    assert query(tmp_path, "SELECT count(*) AS n FROM purchases_silver") == [{"n": 2}]


def test_a_rebuild_that_breaks_a_promise_is_not_swapped_in(
    built: Path, copy: Path, cli: Cli, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The models of the new warehouse lose a row: one line names the check, the old home stays."""
    run = Transformer.run

    def losing(self: Transformer) -> Any:
        report = run(self)
        with open_warehouse(copy / rebuild.BESIDE) as new:
            new.execute(
                "DELETE FROM silver.purchases_silver WHERE event_id = "
                "(SELECT min(event_id) FROM silver.purchases_silver)"
            )
        return report

    monkeypatch.setattr(Transformer, "run", losing)
    result = cli(copy, "rebuild")
    assert result.exit_code == 2 and "everything stays as it was" in result.stderr
    assert "bronze rows - silver rows = duplicates" in result.stderr
    assert holds(cli, copy) and rows(copy, query) == rows(built, query)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_killed_while_it_swaps(
    built: Path,
    copy: Path,
    cli: Cli,
    query: Query,
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
) -> None:
    """Whatever was renamed by then, the next run completes the home from what is there."""
    done = []

    def move(old: Path, new: Path) -> None:
        if len(done) == steps:
            raise SystemExit(9)
        done.append(old)
        old.rename(new)

    monkeypatch.setattr(rebuild, "move", move)
    assert cli(copy, "rebuild").exit_code == 9
    assert cli(copy, "run", "--events", "0").exit_code == 0
    assert holds(cli, copy) and rows(copy, query) == rows(built, query)


def test_a_lake_in_a_bucket_is_refused(cli: Cli, tmp_path: Path, monkeypatch: Any) -> None:
    """One line, before anything is asked or written."""
    monkeypatch.setenv("MEDALLION_LAKE", "s3://retail")
    result = cli(tmp_path, "rebuild")
    assert result.exit_code == 2 and "rebuild works on a lake in the home" in result.stderr
    assert result.stderr.count("\n") == 1
