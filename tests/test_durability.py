"""What is written is on the disk, in its order, and exact: tests that a planted fault turns red."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from medallion.lake.receipts import RECEIPTS, outputs_of, read_receipts, receipts_table
from medallion.lake.seals import Damaged
from medallion.layers.staging import Loader
from medallion.platforms.local import LocalLake
from tests.chaos import Damage, sample, small_home, try_all
from tests.conftest import Cli, drop, event

Query = Callable[[Path, str], list[dict[str, Any]]]


class Disk:
    """Which inodes were flushed, and in which order files were renamed and folders flushed."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.flushed: dict[int, int] = {}
        self.folders: dict[int, list[int]] = {}
        self.renamed: dict[str, int] = {}
        self.early: list[str] = []
        self._step = 0
        fsync, rename = os.fsync, os.rename

        def noting_fsync(descriptor: int) -> None:
            fsync(descriptor)
            inode, step = os.fstat(descriptor).st_ino, self._next()
            self.flushed[inode] = step
            self.folders.setdefault(inode, []).append(step)

        def noting_rename(source: Any, target: Any, **options: Any) -> None:
            if Path(source).is_file() and Path(source).stat().st_ino not in self.flushed:
                self.early.append(str(target))
            rename(source, target, **options)
            self.renamed[str(target)] = self._next()

        patch.setattr(os, "fsync", noting_fsync)
        patch.setattr(os, "rename", noting_rename)

    def _next(self) -> int:
        self._step += 1
        return self._step

    def lost(self, folder: Path) -> list[str]:
        """Return what a power cut would lose now: files, or the names of files and folders."""
        paths = [p for p in folder.rglob("*") if not p.name.startswith(".")]
        contents = [str(p) for p in paths if p.is_file() and p.stat().st_ino not in self.flushed]
        names = [
            f"the name of {p}"
            for p in paths
            if self.flushed.get(p.parent.stat().st_ino, 0) < self.renamed.get(str(p), 1)
        ]
        return contents + names


def test_a_power_cut_takes_nothing_that_is_published(tmp_path: Path, cli: Cli) -> None:
    """Raw objects of our own, bronze and snapshots: each file was flushed before its renaming, and
    its folder after it."""
    home = tmp_path / "home"
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch)
        assert cli(home, "run", "--events", "200").exit_code == 0
    for folder in ("raw", "bronze", "gold"):
        assert any((home / folder).rglob("*.*")), folder
        assert disk.lost(home / folder) == []
    assert disk.early == []
    receipted = min(step for name, step in disk.renamed.items() if RECEIPTS in name)
    for path in (home / "bronze" / "purchases").rglob("*.parquet"):
        flushed = disk.folders[path.parent.stat().st_ino]
        assert any(disk.renamed[str(path)] < step < receipted for step in flushed)
    gold = home / "gold"
    named, pointed = (disk.renamed[str(gold / name)] for name in ("v1", "CURRENT"))
    between = [step for step in disk.folders[gold.stat().st_ino] if named < step < pointed]
    assert between, "a pointer may be on the disk before the folder that it names"


def test_no_receipt_comes_before_what_it_names(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clean of three objects that is killed before each of its publications in turn."""
    publish = LocalLake.publish
    for step in range(1, 13):
        home = tmp_path / str(step)
        for name in "abc":
            days = [event(event_id=f"{name}{n}", ts=f"2026-03-0{n}T10:00:00Z") for n in (1, 2)]
            drop(home, f"{name}.ndjson", *days, "{")
        left = step

        def killed(lake: LocalLake, files: Mapping[str, Path], **options: Any) -> None:
            nonlocal left
            for key, path in files.items():
                left -= 1
                if not left:
                    raise OSError("killed")
                publish(lake, {key: path}, **options)

        monkeypatch.setattr(LocalLake, "publish", killed)
        assert cli(home, "clean").exit_code != 0 and not left
        receipts = [*(home / RECEIPTS).glob("*.parquet")]
        assert len(receipts) == max(0, step - 10)
        for receipt in receipts:
            (row,) = read_receipts(receipt.open("rb"), receipt.name)
            assert all((home / key).exists() for key in outputs_of(row))
        monkeypatch.undo()
        assert cli(home, "clean").exit_code == 0
        assert cli(home, "load").stdout.startswith("loaded     9 rows")


def test_an_object_that_grows_while_it_is_read_waits(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets no receipt, is named, and is taken whole when it stays as it is."""
    path = drop(tmp_path, "a.ndjson", event(event_id="e1"))
    opened = LocalLake.open

    def growing(lake: LocalLake, key: str) -> Any:
        if key.startswith("raw/"):
            with path.open("a") as producer:
                producer.write(event(event_id="e2") + "\n")
        return opened(lake, key)

    monkeypatch.setattr(LocalLake, "open", growing)
    result = cli(tmp_path, "clean")
    assert result.exit_code == 1 and "still being written" in result.stdout
    assert not [*(tmp_path / "bronze").rglob("*.parquet")]
    monkeypatch.undo()
    assert "2 accepted" in cli(tmp_path, "clean").stdout


def unseal(home: Path) -> None:
    """Turn receipts into those of an earlier version, which held no checksums."""
    for path in (home / RECEIPTS).glob("*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns(["seal"]), path)


def test_rows_are_counted_where_no_checksum_is(tmp_path: Path, cli: Cli) -> None:
    """An object of an earlier version that holds other rows than its receipt says is not loaded."""
    drop(tmp_path, "a.ndjson", event(event_id="e1"), event(event_id="e2"))
    drop(tmp_path, "b.ndjson", event(event_id="e3"))
    assert cli(tmp_path, "clean").exit_code == 0
    unseal(tmp_path)
    path = max((tmp_path / "bronze/purchases").rglob("*.parquet"), key=lambda p: p.stat().st_size)
    table = pq.ParquetFile(path).read()
    pq.write_table(table.slice(1), path)
    result = cli(tmp_path, "load")
    assert result.exit_code == 1 and "its receipt says" in result.stdout
    pq.write_table(table, path)
    assert cli(tmp_path, "load").exit_code == 0
    assert "of an earlier version have none" in cli(tmp_path, "audit").stdout


def test_an_altered_receipt_is_not_loaded(tmp_path: Path, cli: Cli) -> None:
    """Its values do not fit its seal, though its file is whole."""
    drop(tmp_path, "a.ndjson", event(event_id="e1"))
    assert cli(tmp_path, "clean").exit_code == 0
    (path,) = (tmp_path / RECEIPTS).glob("*.parquet")
    (row,) = pq.read_table(path).to_pylist()
    pq.write_table(receipts_table([row | {"engine": "another"}]), path)
    result = cli(tmp_path, "load")
    assert result.exit_code == 1 and "its checksum is of another content" in result.stdout
    pq.write_table(receipts_table([row]), path)
    assert cli(tmp_path, "load").exit_code == 0


def test_a_damaged_object_is_not_loaded_and_breaks_a_promise(tmp_path: Path, cli: Cli) -> None:
    """Also when the warehouse is lost: `load` and `audit` name it, and rebuild mends it."""
    drop(tmp_path, "a.ndjson", event(event_id="e1"), "no json")
    assert cli(tmp_path, "run", "--events", "0").exit_code == 0
    (path,) = (tmp_path / "bronze/quarantine").glob("*.parquet")
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    (tmp_path / "warehouse.duckdb").unlink()
    result = cli(tmp_path, "load")
    assert result.exit_code == 1 and f"{path.name} is damaged" in result.stdout
    result = cli(tmp_path, "audit")
    assert result.exit_code == 1 and f"{path.name} is damaged" in result.stdout
    assert cli(tmp_path, "forget", "--customer", "C-1").exit_code == 2
    assert cli(tmp_path, "rebuild").exit_code == 0
    assert cli(tmp_path, "audit", "--all").exit_code == 0


def test_rebuild_says_what_raw_cannot_mend(tmp_path: Path, cli: Cli) -> None:
    """A damaged receipt of a raw object that is gone: nobody knows what it named."""
    drop(tmp_path, "a.ndjson", event(event_id="e1"))
    assert cli(tmp_path, "clean").exit_code == 0
    (path,) = (tmp_path / RECEIPTS).glob("*.parquet")
    path.write_bytes(path.read_bytes()[:-9])
    (tmp_path / "raw/a.ndjson").unlink()
    drop(tmp_path, "b.ndjson", event(event_id="e2"))
    result = cli(tmp_path, "rebuild")
    assert result.exit_code == 1 and path.name in result.stderr
    assert cli(tmp_path, "rebuild", "--drop-missing").exit_code == 0


def test_a_flipped_bit_is_named_or_harmless(tmp_path: Path) -> None:
    """A seeded sample of what `make chaos` tries whole: raw, bronze, receipts and snapshot."""
    home = tmp_path / "home"
    small_home(home)
    verdicts = try_all(home, sample(home, seed=11, count=32))
    assert set(verdicts) <= {"named", "harmless"}, verdicts
    assert len(verdicts["named"]) > 15


def test_a_receipt_is_loaded_as_it_was_checked(tmp_path: Path) -> None:
    """DuckDB refuses a receipt in which a bit of a length is flipped; Arrow reads it as before."""
    small_home(tmp_path)
    (path,) = (
        p for p in (tmp_path / RECEIPTS).glob("*") if pq.read_table(p)["lines"].to_pylist() == [8]
    )
    sound, differing = path.read_bytes(), 0
    for place in range(len(sound)):
        path.write_bytes(Damage(path, place).apply(sound))
        with closing(duckdb.connect()) as db, suppress(duckdb.Error):
            db.sql(f"FROM read_parquet('{path}')").fetchall()
            continue
        with suppress(Damaged), path.open("rb") as stream:
            (receipt,) = read_receipts(stream, path.name)
            with closing(duckdb.connect()) as db:
                report = Loader(LocalLake(tmp_path), db).load()
                assert not report.failures, place
                ((lines,),) = db.sql("SELECT max(lines) FROM staging.receipts").fetchall()
                assert lines == receipt["lines"] == 8
            differing += 1
            if differing == 5:
                return
    pytest.fail("both read all of them alike")


LARGE = Decimal("1234567890119.9999")
"""A float of this size has steps of 0.0002."""
SUMS = {
    "gold.purchases_gold": "sum(net_sales)",
    "marts.live_sales": "sum(reporting_net_sales)",
    "marts.sales_hourly": "sum(net_sales)",
    "marts.sales_daily_product": "sum(net_sales)",
    "marts.sales_daily_store": "sum(net_sales)",
    "marts.fct_basket": "sum(basket_value)",
    "marts.customer_rfm": "sum(basket_value)",
}


def test_large_amounts_are_exact_in_every_model(tmp_path: Path, cli: Cli, query: Query) -> None:
    """Amounts so large that one sum in floats would show."""
    large = {"price": "12345678.9012", "quantity": 100_000, "discount_amount": "0.0001"}
    ts = "2026-03-01T10:00:0{}Z"
    lines = [
        event(event_id=f"e{n}", ts=ts.format(n), total_amount=..., customer_id="C1", **large)
        for n in range(3)
    ]
    drop(tmp_path, "a.ndjson", *lines)
    result = cli(tmp_path, "run", "--events", "0")
    assert result.exit_code == 0, result.output
    for relation, total in SUMS.items():
        (row,) = query(tmp_path, f"SELECT CAST({total} AS DECIMAL(38,4)) AS net FROM {relation}")
        assert Decimal(row["net"]) == 3 * LARGE, relation


def test_the_seal_of_the_consent_is_checked(tmp_path: Path, cli: Cli) -> None:
    """The list of raw objects whose rows only bronze holds: altered, it is named in one line."""
    drop(tmp_path, "a.ndjson", event(event_id="e1"))
    path = drop(tmp_path, "b.ndjson", event(event_id="e2"))
    assert cli(tmp_path, "run", "--events", "0").exit_code == 0
    path.unlink()
    assert cli(tmp_path, "rebuild", "--keep-missing").exit_code == 0
    retired = tmp_path / "bronze/.retired.json"
    content = json.loads(retired.read_text())
    retired.write_text(json.dumps(content | {"objects": ["raw/a.ndjson"]}))
    result = cli(tmp_path, "audit")
    assert result.exit_code == 2 and "bronze/.retired.json is damaged" in result.stderr
