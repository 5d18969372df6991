"""`medallion export`: exact, safe to open in a spreadsheet, whole or not at all."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
from click.testing import Result

from tests.bi.awkward import FORMULAS, HARMLESS, planted
from tests.conftest import Cli


def files(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def refused(result: Result, *words: str) -> None:
    """One line, exit 2."""
    assert result.exit_code == 2, result.output
    assert len(result.stderr.splitlines()) == 1, result.stderr
    for word in words:
        assert word in result.stderr


def test_parquet_holds_what_the_warehouse_holds(built: Path, tmp_path: Path, cli: Cli) -> None:
    """Every relation of gold and marts but those of the dashboard, row for row, digit for digit."""
    result = cli(built, "export", str(tmp_path / "out"), "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    with duckdb.connect(str(built / "warehouse.duckdb"), read_only=True) as warehouse:
        relations = warehouse.execute(
            "SELECT table_name, table_schema || '.' || table_name FROM information_schema.tables "
            "WHERE table_schema IN ('gold', 'marts') AND NOT starts_with(table_name, 'live_')"
        ).fetchall()
        assert report["rows"].keys() == {name for name, _ in relations}
        assert len(relations) > 15
        for name, full in relations:
            table = pq.read_table(tmp_path / "out" / f"{name}.parquet", partitioning=None)
            fields = [f for f in table.schema if str(f.type).startswith("decimal")]
            sums = "".join(f', sum("{f.name}")' for f in fields)
            held = warehouse.execute(f"SELECT count(*){sums} FROM {full}").fetchone()
            totals = [sum(filter(None, table[f.name].to_pylist())) for f in fields]
            assert [total or 0 for total in held or ()] == [table.num_rows, *totals], name
            assert report["rows"][name] == table.num_rows
            for field in table.schema:
                if str(field.type).startswith("timestamp"):
                    zone = None if field.name.startswith("local_") else "UTC"
                    assert field.type.tz == zone, (name, field)


def test_csv_is_safe_in_a_spreadsheet_and_loses_nothing_else(
    copy: Path, tmp_path: Path, cli: Cli
) -> None:
    """Text that would be a formula gets an apostrophe; numbers, dates and all else stay."""
    folder = tmp_path / "out"
    result = cli(planted(copy), "export", str(folder), "--format", "csv", "--only", "awkward")
    assert result.exit_code == 0, result.output
    raw = (folder / "awkward.csv").read_bytes().decode()
    rows = sorted(csv.DictReader(io.StringIO(raw, newline="")), key=lambda r: int(r["number"]))
    texts = [row["na,me"] for row in rows]
    assert texts[: len(FORMULAS)] == ["'" + text for text in FORMULAS]
    assert texts[len(FORMULAS) : -1] == list(HARMLESS)
    for row in rows:
        assert row["amount"] == "-12345678901234567890123456789012.0001"
        assert row["ts"] == "2026-03-01T10:00:00.001000Z"
        assert row["local_ts"] == "2026-03-01T11:00:00.001000"
        assert (row["day"], row["known"]) == ("2026-03-01", "true")
    null, empty = rows[-1]["number"], rows[len(FORMULAS) + HARMLESS.index("")]["number"]
    assert f"\n{null},,-123" in raw
    assert f'\n{empty},"",-123' in raw
    with duckdb.connect() as reader:
        total = reader.execute(
            f"SELECT sum(CAST(amount AS DECIMAL(38,4))) FROM read_csv('{folder}/awkward.csv',"
            " all_varchar = true, header = true) WHERE number = '0'"
        ).fetchone()
    assert total == (Decimal("-12345678901234567890123456789012.0001"),)


def test_an_export_replaces_only_what_an_export_wrote(
    built: Path, tmp_path: Path, cli: Cli
) -> None:
    """Its own folder, unchanged, is replaced whole; anything else is left as it is."""
    folder = tmp_path / "out"
    first = cli(built, "export", str(folder), "--only", "dim_stores")
    again = cli(built, "export", str(folder), "--format", "csv", "--only", "dim_stores")
    assert (first.exit_code, again.exit_code) == (0, 0), again.output
    assert files(folder).keys() == {"dim_stores.csv", "export.json"}

    with (folder / "dim_stores.csv").open("a") as file:
        file.write("mine\n")
    before = files(folder)
    refused(cli(built, "export", str(folder)), "dim_stores.csv", "new or empty folder")
    assert files(folder) == before

    foreign = tmp_path / "mine"
    (foreign / "inner").mkdir(parents=True)
    (foreign / "export.json").symlink_to(folder / "export.json")
    refused(cli(built, "export", str(foreign)), "inner")
    (foreign / "export.json").write_text('{"files": {"inner": null}, "hyper": 7}')
    refused(cli(built, "export", str(foreign)), "inner")
    assert (foreign / "inner").is_dir()
    refused(cli(built, "export", str(folder / "dim_stores.csv")), "is a file")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "out"]


def test_an_export_that_fails_leaves_what_was_there(copy: Path, tmp_path: Path, cli: Cli) -> None:
    """No half folder, no scratch."""
    folder = tmp_path / "there" / "out"
    assert cli(copy, "export", str(folder), "--only", "dim_stores").exit_code == 0
    before = files(folder)
    with duckdb.connect(str(copy / "warehouse.duckdb")) as warehouse:
        warehouse.execute(
            "CREATE VIEW marts.zzz AS SELECT CAST(store_name AS INT) AS n FROM marts.dim_stores"
        )
    refused(cli(copy, "export", str(folder)), "cannot export")
    assert files(folder) == before
    assert [p.name for p in folder.parent.iterdir()] == ["out"]


def test_what_a_killed_export_left_goes_with_the_next(
    built: Path, tmp_path: Path, cli: Cli
) -> None:
    """Scratch of processes that are gone; that of a running one, and others' files, stay."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for name in (f".out.{gone.pid}.1.tmp", f".out.{gone.pid}.1.old", ".out.1.1.tmp", ".out.mine"):
        (tmp_path / name).mkdir()
    assert cli(built, "export", str(tmp_path / "out"), "--only", "dim_stores").exit_code == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == [".out.1.1.tmp", ".out.mine", "out"]


def test_what_cannot_be_exported_is_said(built: Path, tmp_path: Path, cli: Cli) -> None:
    """One line each, nothing written."""
    out = str(tmp_path / "out")
    refused(cli(tmp_path / "empty", "export", out), "medallion run")
    refused(cli(built, "export", out, "--only", "dim_shops"), "dim_shops", "dim_stores")
    refused(cli(built, "export", out, "--only", "live_today"), "live_today")
    refused(cli(built, "export", str(built / "raw" / "out")), "lies in the lake")
    refused(cli(built, "export", str(built)), "new or empty folder")
    assert not Path(out).exists()
