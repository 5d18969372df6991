"""`medallion rebuild`: everything is built again from raw/ alone, and nothing is lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from medallion.layers.transform import Transformer
from medallion.platforms import home as home_module
from medallion.platforms.warehouse import open_warehouse
from tests.conftest import Cli, drop, event

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


def told(cli: Cli, home: Path, *options: str) -> dict[str, Any]:
    """What `medallion rebuild --json` says."""
    result = cli(home, "rebuild", "--json", *options)
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
    assert not (copy / home_module.BESIDE).exists()


def test_a_copied_home_is_the_same_home(
    built: Path, tmp_path: Path, cli: Cli, query: Query
) -> None:
    """A copy or restore gives every file a new time of modification, and that changes nothing: the
    next run takes nothing, a rebuild makes the same rows, and the audit still compares the text of
    rejected lines."""
    home = tmp_path / "restored"
    shutil.copytree(built, home, copy_function=shutil.copyfile)
    assert json.loads(cli(home, "clean", "--json").stdout)["objects"] == 0
    assert told(cli, home)["differences"] == {"silver": 0, "gold": 0, "quarantine": 0}
    assert rows(home, query) == rows(built, query) and holds(cli, home)
    with duckdb.connect(str(home / "warehouse.duckdb")) as warehouse:
        warehouse.execute("UPDATE staging.quarantine SET raw = 'another'::BLOB")
    assert not holds(cli, home)


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
    result = cli(tmp_path, "rebuild")
    assert "1 rows of silver" in result.stdout and "1 rows of quarantine" in result.stdout
    assert query(tmp_path, "SELECT count(*) AS n FROM purchases_silver") == [{"n": 2}]


def test_a_rebuild_that_breaks_a_promise_is_not_swapped_in(
    built: Path, copy: Path, cli: Cli, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The models of the new warehouse lose a row: one line names the check, the old home stays."""
    run = Transformer.run

    def losing(self: Transformer) -> Any:
        report = run(self)
        with open_warehouse(copy / home_module.BESIDE) as new:
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


def killed_after(monkeypatch: pytest.MonkeyPatch, renames: int) -> None:
    """Lets a swap end this process when it has renamed so much."""
    done = []

    def move(old: Path, new: Path) -> None:
        if len(done) == renames:
            raise SystemExit(9)
        done.append(old)
        old.rename(new)

    monkeypatch.setattr(home_module, "move", move)


@pytest.mark.parametrize("renames", range(5))
def test_killed_while_it_swaps(
    copy: Path, cli: Cli, query: Query, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    """Whatever was renamed by then, the next runner completes the home; also where bronze alone
    held rows, which raw/ cannot give again."""
    before = rows(copy, query)
    for path in purchases(copy)[:2]:
        path.unlink()
    with monkeypatch.context() as patched:
        killed_after(patched, renames)
        assert cli(copy, "rebuild", "--keep-missing").exit_code == 9
    finished = cli(copy, "clean") if renames else cli(copy, "rebuild", "--keep-missing")
    assert finished.exit_code == 0, finished.output
    assert holds(cli, copy) and rows(copy, query) == before
    assert not (copy / home_module.BESIDE).exists()


def purchases(home: Path) -> list[Path]:
    """The raw objects of sales."""
    return sorted(path for path in (home / "raw" / "purchases").rglob("*") if path.is_file())


def files(home: Path) -> dict[str, tuple[int, int]]:
    """Bronze, warehouse and snapshots, file by file."""
    paths = [*(home / "bronze").rglob("*"), *(home / "gold").rglob("*"), home / "warehouse.duckdb"]
    stats = {str(path.relative_to(home)): path.stat() for path in paths if path.is_file()}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}


def test_rows_that_raw_no_longer_holds_are_not_dropped(copy: Path, cli: Cli, query: Query) -> None:
    """Exit 1, one sentence, the objects by name and the rows behind them; nothing is touched."""
    gone = [path.relative_to(copy).as_posix() for path in purchases(copy)[:2]]
    ((accepted, rejected),) = (
        tuple(row.values())
        for row in query(
            copy,
            "SELECT sum(accepted)::BIGINT AS a, sum(quarantined)::BIGINT AS q FROM receipts "
            f"WHERE source_file IN ('{gone[0]}', '{gone[1]}')",
        )
    )
    for key in gone:
        (copy / key).unlink()
    before = files(copy)
    refused = cli(copy, "rebuild")
    assert refused.exit_code == 1
    sentence, *names = refused.stderr.splitlines()
    assert f"{accepted:,} accepted rows and {rejected:,} rejected lines" in sentence
    assert "--keep-missing" in sentence and [name.strip() for name in names] == gone
    assert files(copy) == before


def test_what_only_bronze_holds_is_carried_over(copy: Path, cli: Cli, query: Query) -> None:
    """Accepted rows, quarantine and receipts of every feed, unchanged; the audit holds and says
    so; a later rebuild carries them over unasked, and still refuses for what is missing since."""
    before, receipts = rows(copy, query), "SELECT * EXCLUDE (load_seq, loaded_at) FROM receipts"
    gone = [*purchases(copy)[:2], next((copy / "raw" / "products").rglob("*.zst"))]
    keys = sorted(path.relative_to(copy).as_posix() for path in gone)
    named = ", ".join(f"'{key}'" for key in keys)
    told_of = query(copy, f"{receipts} WHERE source_file IN ({named}) ORDER BY source_file")
    for path in gone:
        path.unlink()
    report = told(cli, copy, "--keep-missing")
    assert report["carried"] == keys and report["old_copy"] is None
    assert set(report["differences"].values()) == {0} and rows(copy, query) == before
    now = query(copy, f"{receipts} WHERE source_file IN ({named}) ORDER BY source_file")
    assert now == told_of
    audited = cli(copy, "audit", "--json")
    assert audited.exit_code == 0 and "3 more in bronze alone" in audited.output
    assert told(cli, copy)["carried"] == keys and rows(copy, query) == before
    purchases(copy)[0].unlink()
    assert cli(copy, "rebuild").exit_code == 1


def test_what_is_dropped_on_purpose_stays_in_the_old_copy(
    copy: Path, cli: Cli, query: Query
) -> None:
    """Its place and size are told by rebuild, status and doctor, until it is asked to go."""
    before = query(copy, "SELECT count(*) AS n FROM purchases_silver")
    gone = purchases(copy)[0]
    gone.unlink()
    report = told(cli, copy, "--drop-missing")
    assert report["dropped"] == [gone.relative_to(copy).as_posix()]
    assert query(copy, "SELECT count(*) AS n FROM purchases_silver")[0]["n"] < before[0]["n"]
    assert holds(cli, copy)
    old = Path(report["old_copy"])
    with duckdb.connect(str(old / "warehouse.duckdb"), read_only=True) as db:
        counted = db.execute("SELECT count(*) FROM silver.purchases_silver").fetchall()
    assert counted == [(before[0]["n"],)] and [*(old / "bronze" / "receipts").iterdir()]
    for verb in ("status", "doctor"):
        assert old.name in "".join(cli(copy, verb).output.split())
    refused = cli(copy, "forget", "--customer", "C00000001")
    assert refused.exit_code == 2 and "--remove-old" in refused.stderr
    assert cli(copy, "rebuild", "--remove-old").exit_code == 0
    assert not old.exists() and "old copy" not in cli(copy, "status").output
    assert "nothing" in cli(copy, "rebuild", "--remove-old").stdout


def test_an_object_with_other_bytes_by_now(tmp_path: Path, cli: Cli, query: Query) -> None:
    """The newest version speaks for it, before and after a rebuild: lines that it has lost count no
    more, and are no reason to refuse."""
    drop(tmp_path, "till.ndjson", event(), event(event_id="e2"), "no event")
    assert cli(tmp_path, "run", "--events", "0").exit_code == 0
    drop(tmp_path, "till.ndjson", event(), event(event_id="e2"), "no event", event(event_id="e3"))
    assert cli(tmp_path, "run", "--events", "0").exit_code == 0
    assert cli(tmp_path, "rebuild").exit_code == 0
    drop(tmp_path, "till.ndjson", event(event_id="e4"))
    assert cli(tmp_path, "run", "--events", "0").exit_code == 0
    for option in ((), ("--keep-missing",), ()):
        assert holds(cli, tmp_path)
        assert query(tmp_path, "SELECT event_id FROM purchases_silver") == [{"event_id": "e4"}]
        assert query(tmp_path, "SELECT count(*) AS n FROM ops.quarantine") == [{"n": 0}]
        assert set(told(cli, tmp_path, *option)["differences"].values()) == {0}


def test_what_bronze_does_not_hold_either_cannot_be_carried_over(copy: Path, cli: Cli) -> None:
    """The warehouse alone knows of it: one sentence, and nothing is touched."""
    purchases(copy)[0].unlink()
    shutil.rmtree(copy / "bronze" / "receipts")
    before = files(copy)
    assert cli(copy, "rebuild").exit_code == 1
    refused = cli(copy, "rebuild", "--keep-missing")
    assert refused.exit_code == 1 and "cannot be carried over" in refused.stderr
    assert files(copy) == before


def test_a_lake_in_a_bucket_is_refused(cli: Cli, tmp_path: Path, monkeypatch: Any) -> None:
    """One line, before anything is asked or written."""
    monkeypatch.setenv("MEDALLION_LAKE", "s3://retail")
    result = cli(tmp_path, "rebuild")
    assert result.exit_code == 2 and "rebuild works on a lake in the home" in result.stderr
    assert result.stderr.count("\n") == 1
