"""A home of many objects: which ones a pass looks at, compaction, and retention."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from medallion.lake.receipts import COMPACTED, PLAIN
from medallion.layers.bronze import Sweep, clean
from medallion.layers.staging import create_tables
from medallion.platforms import watch
from medallion.platforms.lake import LakeObject
from medallion.platforms.local import LocalLake
from medallion.platforms.warehouse import open_warehouse
from tests.conftest import ROOT, Cli, drop, event

Query = Callable[[Path, str], list[dict[str, Any]]]
YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[LocalLake, Sweep]:
    """A lake of 400 cleaned objects in 20 folders, of which a look takes a slice of 20."""
    monkeypatch.setattr(watch, "SLICE", 20)
    monkeypatch.setattr(watch, "_REMEMBERED", 4)
    for number in range(400):
        drop(tmp_path, f"purchases/hour={number // 20:02d}/{number:03d}.ndjson", "")
    lake = LocalLake(tmp_path)
    sweep = Sweep(lake)
    assert clean(lake, sweep).objects == 400
    for folder in (tmp_path / "raw").rglob("hour=*"):
        os.utime(folder, (1e9, 1e9))
    sweep = Sweep(lake)
    assert sweep.waiting() == []
    return lake, sweep


def looks_until(sweep: Sweep, name: str) -> int:
    """Return how many looks it takes to see a raw object."""
    for look in range(1, 60):
        if [raw.key for raw in sweep.waiting()] == [f"raw/{name}"]:
            return look
    raise AssertionError(f"{name} was never seen")


def test_a_pass_looks_at_few_of_many_objects(
    many: tuple[LocalLake, Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside 400 objects at a slice and some more, and at all of them after some passes."""
    _, sweep = many
    entry, seen = LocalLake._entry, list[str]()

    def counted(self: LocalLake, parent: str, item: Any) -> Any:
        seen.append(item.name)
        return entry(self, parent, item)

    monkeypatch.setattr(LocalLake, "_entry", counted)
    for _ in range(40):
        before = len(seen)
        assert sweep.waiting() == []
        assert len(seen) - before < 150
    assert len(set(seen)) > 400


@pytest.mark.parametrize(
    ("name", "looks"),
    [
        (f"purchases/{datetime.now(UTC):year=%Y/month=%m/day=%d/hour=%H}/new.ndjson", 1),
        ("purchases/hour=19/new.ndjson", 40),
        ("elsewhere/deep/below/new.ndjson", 1),
        ("new.ndjson", 1),
    ],
)
def test_what_is_dropped_anywhere_is_found(
    many: tuple[LocalLake, Sweep], name: str, looks: int
) -> None:
    """At once where it is expected and in folders that are new or have changed lately."""
    lake, sweep = many
    drop(lake.home, name, event())
    assert looks_until(sweep, name) <= looks


def test_a_name_that_comes_within_the_unit_of_time_is_found(many: tuple[LocalLake, Sweep]) -> None:
    """A coarse file system gives a folder the same time of modification for two new names."""
    lake, sweep = many
    folder = lake.home / "raw/purchases/hour=19"
    drop(lake.home, "purchases/hour=19/one.ndjson", event())
    looks_until(sweep, "purchases/hour=19/one.ndjson")
    clean(lake, sweep)
    time = folder.stat().st_mtime_ns
    drop(lake.home, "purchases/hour=19/two.ndjson", event())
    os.utime(folder, ns=(time, time))
    assert looks_until(sweep, "purchases/hour=19/two.ndjson") == 1


def test_what_was_rewritten_or_has_grown_is_found(many: tuple[LocalLake, Sweep]) -> None:
    """Anywhere; and at once when it goes on to grow."""
    lake, sweep = many
    path = drop(lake.home, "purchases/hour=03/070.ndjson", event())
    assert looks_until(sweep, "purchases/hour=03/070.ndjson") <= 40
    assert clean(lake, sweep).accepted == 1
    for number in range(3):
        with path.open("a") as file:
            file.write(event(event_id=f"more {number}") + "\n")
        assert clean(lake, sweep).accepted == number + 2
    os.utime(path, (1e9, 1e9))
    assert clean(lake, sweep).objects == 0


def test_what_failed_is_tried_again(
    many: tuple[LocalLake, Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no look would come to it soon."""
    lake, sweep = many
    drop(lake.home, "new.ndjson", event())

    def fail(self: LocalLake, key: str) -> Any:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(LocalLake, "open", fail)
        for _ in range(3):
            assert clean(lake, sweep).failures == {"raw/new.ndjson": "Input/output error"}
    assert clean(lake, sweep).accepted == 1


def test_a_listing_that_fails_half_way_loses_nothing(tmp_path: Path) -> None:
    """Of a store that lists pages: the first look begins again, a later one goes on."""
    keys = [f"raw/purchases/{number:03d}.ndjson" for number in range(50)]
    fails_at = 3

    def page(prefix: str, after: str) -> tuple[list[LakeObject], bool]:
        nonlocal fails_at
        fails_at -= 1
        if fails_at == 0:
            raise ConnectionError
        rest = [key for key in keys if key.startswith(prefix) and key > after]
        listed = [LakeObject(key, 1, YESTERDAY, "1") for key in rest[:10]]
        return listed, len(rest) <= 10

    watching = watch.PageWatch("raw/", page, lambda objects: [*objects])
    with pytest.raises(ConnectionError):
        watching.look()
    assert [o.key for o in watching.look()] == keys
    for key in keys:
        watching.settle(key, "1")
    keys.append("raw/purchases/999.ndjson")
    fails_at = 2
    with pytest.raises(ConnectionError):
        watching.look(["raw/purchases/"])
    looked_at = [o.key for _ in range(6) for o in watching.look(["raw/purchases/"])]
    assert set(looked_at) == {"raw/purchases/999.ndjson"}


def test_many_empty_files_in_one_folder(tmp_path: Path, cli: Cli) -> None:
    """Each has a receipt, and a second run has nothing to do."""
    (tmp_path / "raw").mkdir()
    for number in range(200):
        (tmp_path / f"raw/{number}.ndjson").touch()
    assert "0 lines of 200 objects" in cli(tmp_path, "clean").stdout
    assert "0 lines of 0 objects" in cli(tmp_path, "clean").stdout


ROWS = """
SELECT * EXCLUDE (bronze_file, load_seq, loaded_at) FROM staging.{}
ORDER BY source_file, source_line"""


@pytest.fixture
def small(tmp_path: Path, cli: Cli) -> Path:
    """A home of five raw objects that were cleaned yesterday, and are loaded."""
    home = tmp_path / "home"
    for number in range(4):
        drop(
            home,
            f"purchases/{number}.ndjson",
            event(event_id=f"a{number}", customer_id="C-1"),
            event(event_id=f"b{number}", ts="2026-03-02T10:00:00Z"),
            "no json",
        )
    drop(home, "stores/s.ndjson", '{"store_id": "S1", "ts": "2026-01-01T00:00:00Z"}')
    assert cli(home, "clean").exit_code == 0
    assert cli(home, "load").exit_code == 0
    for path in (home / "bronze").rglob("*.parquet"):
        os.utime(path, (YESTERDAY.timestamp(), YESTERDAY.timestamp()))
    return home


def staged(home: Path) -> list[list[tuple[object, ...]]]:
    """The staged rows with their provenance."""
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as db:
        return [
            db.execute(ROWS.format(table)).fetchall()
            for table in ("purchases", "stores", "quarantine")
        ]


def loaded_anew(home: Path, cli: Cli) -> list[list[tuple[object, ...]]]:
    """The staged rows of a warehouse that is made from bronze."""
    (home / "warehouse.duckdb").unlink()
    result = cli(home, "load")
    assert result.exit_code == 0, result.output
    assert cli(home, "audit", "--all").exit_code == 0, cli(home, "audit").output
    return staged(home)


def test_past_days_become_few_objects(small: Path, cli: Cli) -> None:
    """The rows, where they came from, and what the audit says of them stay."""
    before = staged(small)
    report = json.loads(cli(small, "compact", "--json").stdout)
    assert (report["receipts"], report["objects_before"], report["objects_after"]) == (5, 18, 5)
    files = [*(small / "bronze").rglob("*.par*")]
    assert len(files) == 5
    assert not [path for path in files if path.name.endswith(".parquet")]
    assert "loaded     0 rows" in cli(small, "load").stdout
    audit = cli(small, "audit", "--all")
    assert audit.exit_code == 0, audit.output
    assert staged(small) == before
    assert "0 lines of 0 objects" in cli(small, "clean").stdout
    assert json.loads(cli(small, "compact", "--json").stdout)["receipts"] == 0
    assert loaded_anew(small, cli) == before
    drop(small, "purchases/9.ndjson", event(event_id="a9"))
    assert "1 accepted" in cli(small, "clean").stdout
    assert "loaded     1 rows" in cli(small, "load").stdout


def test_no_pipe_takes_a_compacted_object() -> None:
    """Every pipe names the end of the plain objects, so Snowpipe loads no row a second time."""
    script = (ROOT / "infra" / "snowflake.sql").read_text()
    folders = re.findall(r"FROM @RETAIL.LANDING.BRONZE/(\w+)/\nPATTERN = '(.*)'", script)
    assert {folder for folder, _ in folders} >= {"purchases", "quarantine", "receipts"}
    assert script.count("CREATE PIPE IF NOT EXISTS") == len(folders)
    for folder, pattern in folders:
        assert re.fullmatch(pattern, f"bronze/{folder}/a-0000{PLAIN}")
        assert not re.fullmatch(pattern, f"bronze/{folder}/a-0000{COMPACTED}")


@pytest.mark.parametrize("step", [1, *range(3, 9), 14, 23])
def test_a_killed_compaction_loses_and_repeats_nothing(
    small: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Killed before one of its steps, most of them around the publication of the receipts: the old
    warehouse holds, a new one is the same, and the next compaction ends what was begun."""
    before = staged(small)
    with monkeypatch.context() as patch:
        is_killed = killed_at(patch, step)
        cli(small, "compact")
    assert is_killed()
    anew = Path(shutil.copytree(small, tmp_path / "anew"))
    assert "loaded     0 rows" in cli(small, "load").stdout
    audit = cli(small, "audit")
    assert audit.exit_code == 0, audit.output
    assert staged(small) == before
    assert loaded_anew(anew, cli) == before
    assert cli(small, "compact").exit_code == 0
    assert len([*(small / "bronze").rglob("*.par*")]) == 5
    assert loaded_anew(small, cli) == before


def killed_at(patch: pytest.MonkeyPatch, step: int) -> Callable[[], bool]:
    """Let the steps that write to the lake fail from one on; return whether it came to that."""
    left, unlink, rename = step, Path.unlink, Path.rename

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def run(path: Path, *arguments: Any, **options: Any) -> Any:
            nonlocal left
            if "bronze" in path.parts or "bronze" in Path(str(arguments[:1])).parts:
                left -= 1
                if left <= 0:
                    raise KeyboardInterrupt
            return change(path, *arguments, **options)

        return run

    patch.setattr(Path, "unlink", counted(unlink))
    patch.setattr(Path, "rename", counted(rename))
    return lambda: left <= 0


def test_what_is_damaged_or_not_loaded_is_not_compacted(small: Path, cli: Cli) -> None:
    """It is named, exit 1, and stays as it is."""
    path = min((small / "bronze/purchases").rglob("*.parquet"))
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    files = sorted((small / "bronze").rglob("*.par*"))
    result = cli(small, "compact")
    assert result.exit_code == 1 and f"{path.name} is damaged" in result.stdout, result.output
    assert sorted((small / "bronze").rglob("*.par*")) == files
    (small / "warehouse.duckdb").unlink()
    assert cli(small, "load").exit_code == 1
    data[40] ^= 1
    path.write_bytes(data)
    result = cli(small, "compact")
    assert result.exit_code == 0 and "not loaded yet" in result.stdout


def test_a_warehouse_from_before_the_compaction_is_named(small: Path, cli: Cli) -> None:
    """It holds part of what was compacted, so nothing is loaded twice or left out in silence."""
    shutil.copy(small / "warehouse.duckdb", small / "older")
    with duckdb.connect(str(small / "older")) as db:
        (key,) = db.execute("SELECT min(bronze_file) FROM staging.receipts").fetchone() or ()
        for table in ("receipts", "loads"):
            db.execute(f"DELETE FROM staging.{table} WHERE bronze_file = ?", [key])
    assert cli(small, "compact").exit_code == 0
    shutil.move(small / "older", small / "warehouse.duckdb")
    result = cli(small, "load")
    assert result.exit_code == 1 and "holds 4 of the 5 receipts" in result.stdout
    assert "move warehouse.duckdb away" in result.stdout


def test_a_lost_warehouse_is_waited_for_after_compaction(small: Path, cli: Cli) -> None:
    """What was compacted waits for a new warehouse, and breaks no promise."""
    assert cli(small, "compact").exit_code == 0
    (small / "warehouse.duckdb").unlink()
    with open_warehouse(small) as warehouse:
        create_tables(warehouse)
    raw = sum(path.is_file() for path in (small / "raw").rglob("*"))
    for expected in (raw, 0):
        result = cli(small, "audit", "--json")
        assert result.exit_code == 0, result.output
        waiting = json.loads(result.stdout)["waiting"]
        assert waiting["raw objects not yet loaded"] == expected
        assert bool(waiting["bronze objects not yet loaded"]) is bool(expected)
        assert cli(small, "load").exit_code == 0


def test_a_rewritten_object_after_compaction(small: Path, cli: Cli) -> None:
    """Its newest version speaks for it, and arrives after the compacted one."""
    assert cli(small, "compact").exit_code == 0
    os.utime(small / "raw/purchases/1.ndjson", (1e9, 1e9))
    assert "0 lines of 0 objects" in cli(small, "clean").stdout
    drop(small, "purchases/0.ndjson", event(event_id="other"))
    os.utime(small / "raw/purchases/0.ndjson", (1e9, 1e9))
    assert "1 accepted" in cli(small, "clean").stdout
    assert "the newest version counts of 1 raw object" in cli(small, "load").stdout.replace(
        "rewritten  ", ""
    )
    assert cli(small, "audit", "--all").exit_code == 0


def test_a_flipped_raw_object_is_named_after_compaction(small: Path, cli: Cli) -> None:
    """As before it: its size and time are those of its receipt, its bytes are not."""
    assert cli(small, "compact").exit_code == 0
    path = small / "raw/purchases/1.ndjson"
    stat = path.stat()
    path.write_bytes(path.read_bytes().replace(b"2.5", b"3.5"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    result = cli(small, "audit")
    assert result.exit_code == 1 and "1.ndjson: its bytes are not those" in result.stdout


OLD = datetime(2026, 1, 10, tzinfo=UTC)


@pytest.fixture
def old(small: Path, cli: Cli) -> Path:
    """The home with a raw object that arrived a year earlier, in a compacted bronze."""
    path = drop(small, "purchases/hour=00/old.ndjson", event(event_id="old"), "no json")
    os.utime(path, (OLD.timestamp(), OLD.timestamp()))
    assert cli(small, "clean").exit_code == cli(small, "load").exit_code == 0
    for bronze in (small / "bronze").rglob("*.parquet"):
        os.utime(bronze, (YESTERDAY.timestamp(), YESTERDAY.timestamp()))
    assert cli(small, "compact").exit_code == 0
    return small


def test_old_raw_objects_are_retired(old: Path, cli: Cli, query: Query) -> None:
    """Their rows still count, in the audit and after a rebuild, which says from when on it could;
    an object that is not loaded is kept and named."""
    waits = drop(old, "waits.ndjson", event(event_id="waits"))
    os.utime(waits, (OLD.timestamp(), OLD.timestamp()))
    result = cli(old, "retain", "--raw", "100d")
    assert result.exit_code == 0, result.output
    assert "retired    1 raw objects" in result.stdout
    assert "kept: raw/waits.ndjson: it is not loaded yet" in result.stdout
    assert not (old / "raw/purchases/hour=00").exists()
    assert cli(old, "run", "--events", "0").exit_code == 0
    assert "retired    1 raw objects" in cli(old, "retain", "--raw", "100d").stdout
    audit = cli(old, "audit", "--all")
    assert audit.exit_code == 0 and "2 more in bronze alone (retired before" in audit.stdout
    counted = "SELECT count(*) AS n FROM purchases_silver"
    before = query(old, counted)
    result = cli(old, "rebuild")
    assert result.exit_code == 0, result.output
    assert "retired    raw/ holds what arrived from" in result.stdout
    assert "what only bronze held of 2 raw objects" in result.stdout
    assert query(old, counted) == before
    assert cli(old, "audit", "--all").exit_code == 0
    (old / "raw/purchases/1.ndjson").unlink()
    assert cli(old, "audit").exit_code == 1
    assert cli(old, "rebuild").exit_code == 1


def test_the_arrival_decides_what_is_retired(old: Path, cli: Cli) -> None:
    """Not the modification time, which a backup or a copy of the home may have changed."""
    assert cli(old, "run", "--events", "0").exit_code == 0
    for path in (old / "raw").rglob("*.ndjson"):
        time = OLD if path.name != "old.ndjson" else datetime.now(UTC)
        os.utime(path, (time.timestamp(), time.timestamp()))
    assert "retired    1 raw objects" in cli(old, "retain", "--raw", "100d").stdout
    assert not (old / "raw/purchases/hour=00").exists()
    assert cli(old, "audit", "--all").exit_code == 0
    assert cli(old, "rebuild").exit_code == 0


@pytest.mark.parametrize("verb", ["retain", "up"])
def test_the_settings_say_what_is_retired(old: Path, cli: Cli, verb: str) -> None:
    """By a verb of its own, and whenever a stream starts; without a word about it, nothing is."""
    path, options = old / "raw/purchases/hour=00/old.ndjson", list[str]()
    if verb == "up":
        options = ["--no-simulator", "--no-dashboard", "--duration", "1s"]
    else:
        result = cli(old, verb)
        assert result.exit_code == 2 and 'the lines [retention] and raw = "400d"' in result.stderr
    assert path.exists()
    (old / "medallion.toml").write_text('[retention]\nraw = "100d"\n')
    result = cli(old, verb, *options)
    assert "retired    1 raw objects" in result.stdout and not path.exists(), result.output
    assert cli(old, "audit", "--all").exit_code == 0


@pytest.mark.parametrize("age", ["0d", "400", "-3d", "1.5d", "many"])
def test_an_age_is_a_number_of_days(small: Path, cli: Cli, age: str) -> None:
    """Anything else is refused in one line, and nothing is removed."""
    result = cli(small, "retain", "--raw", age)
    assert result.exit_code == 2 and "write a number of days, as 400d" in result.output


def test_nothing_is_retired_over_a_damaged_bronze(old: Path, cli: Cli) -> None:
    """It would be the only place of the rows."""
    path = max((old / "bronze/purchases").rglob("*.parq"))
    path.write_bytes(path.read_bytes()[:-5])
    result = cli(old, "retain", "--raw", "100d")
    assert result.exit_code == 2 and path.name in result.stderr
    assert (old / "raw/purchases/hour=00/old.ndjson").exists()


@pytest.fixture
def aged(tmp_path: Path, cli: Cli) -> Path:
    """A home whose older half is compacted; its raw objects arrived a year before the rest."""
    home = tmp_path / "home"
    sales = event(event_id="o1", customer_id="C-1"), event(event_id="o2", ts="2026-01-02T10:00:00Z")
    lines = {
        "purchases/old.ndjson": (*sales, "no json"),
        "stores/old.ndjson": ('{"store_id": "S1", "ts": "2026-01-01T00:00:00Z"}',),
    }
    for name, content in lines.items():
        os.utime(drop(home, name, *content), (OLD.timestamp(), OLD.timestamp()))
    assert cli(home, "run", "--events", "0").exit_code == 0
    for bronze in (home / "bronze").rglob("*.parquet"):
        os.utime(bronze, (YESTERDAY.timestamp(), YESTERDAY.timestamp()))
    assert cli(home, "compact").exit_code == 0
    drop(home, "purchases/new.ndjson", event(event_id="n1"), event(event_id="o1", quantity=9))
    assert cli(home, "run", "--events", "0").exit_code == 0
    return home


def bronze_of(home: Path) -> set[str]:
    """The objects of bronze that hold rows."""
    return {
        str(path.relative_to(home / "bronze"))
        for path in (home / "bronze").rglob("*.parq*")
        if path.parent.name != "receipts"
    }


LAYERS = (
    "SELECT * EXCLUDE (load_seq, first_load_seq, loaded_at) FROM purchases_silver ORDER BY ALL",
    "SELECT * EXCLUDE (load_seq) FROM purchases_gold ORDER BY ALL",
    "SELECT feed, reason, raw, source_file, source_line FROM quarantine ORDER BY ALL",
    "SELECT * EXCLUDE (load_seq) FROM dim_stores ORDER BY ALL",
)


def test_old_bronze_objects_are_retired(aged: Path, cli: Cli, query: Query) -> None:
    """Their rows still count, a new load and a full refresh included; a rebuild brings them back
    to bronze, and only then a customer can be forgotten."""
    before, objects = [query(aged, sql) for sql in LAYERS], bronze_of(aged)
    result = cli(aged, "retain", "--raw", "100d", "--bronze", "100d")
    assert result.exit_code == 0, result.output
    assert "retired    2 raw objects" in result.stdout
    assert "retired    4 bronze objects" in result.stdout and "kept" not in result.stdout
    assert all("new" in path.name for path in (aged / "raw").rglob("*.ndjson"))
    gone = objects - bronze_of(aged)
    assert len(gone) == 4 and {name.partition("/")[0] for name in gone} == {*TABLES}
    for command in (["audit", "--all"], ["transform", "--full-refresh"], ["run", "--events", "0"]):
        assert cli(aged, *command).exit_code == 0, command
    audit = cli(aged, "audit", "--all").stdout
    assert "2 more in bronze alone or the warehouse (retired before" in audit
    assert "4 retired ones in the warehouse alone" in audit
    assert [query(aged, sql) for sql in LAYERS] == before
    again = cli(aged, "retain", "--bronze", "100d")
    assert again.exit_code == 0 and "retired    0 bronze objects" in again.stdout
    refused = cli(aged, "forget", "--customer", "C-1")
    assert refused.exit_code == 2 and "'medallion rebuild' brings them back" in refused.stderr
    result = cli(aged, "rebuild")
    assert result.exit_code == 0, result.output
    assert "0 rows of silver, 0 rows of gold, 0 rows of quarantine differ" in result.stdout
    assert gone < bronze_of(aged)
    assert [query(aged, sql) for sql in LAYERS] == before
    assert "in the warehouse alone" not in cli(aged, "audit", "--all").stdout
    assert cli(aged, "forget", "--customer", "C-1").exit_code == 0
    assert cli(aged, "retain", "--bronze", "100d").exit_code == 0
    assert cli(aged, "audit", "--all").exit_code == 0


TABLES = ("purchases", "stores", "quarantine")


def test_without_the_warehouse_retired_rows_are_missed(aged: Path, cli: Cli) -> None:
    """Nothing less is published, every command says what is gone, and a rebuild leaves it out only
    if it is told to."""
    published = (aged / "gold/CURRENT").read_text()
    for command in (["retain", "--raw", "100d"], ["retain", "--bronze", "100d"]):
        assert cli(aged, *command).exit_code == 0
    warehouse = aged / "warehouse.duckdb"
    warehouse.rename(aged / "backup")
    result = cli(aged, "run", "--events", "0")
    assert result.exit_code == 1 and "a backup of the warehouse holds the rows" in result.stderr
    result = cli(aged, "load")
    assert result.exit_code == 1 and "was retired, and only the warehouse" in result.output
    assert (aged / "gold/CURRENT").read_text() == published
    rebuilt = cli(aged, "rebuild")
    assert rebuilt.exit_code == 1 and "holds all rows of 2 objects" in rebuilt.stderr
    (aged / "backup").rename(warehouse)
    assert cli(aged, "run", "--events", "0").exit_code == 0
    assert cli(aged, "audit", "--all").exit_code == 0
    warehouse.unlink()
    rebuilt = cli(aged, "rebuild", "--drop-missing")
    assert rebuilt.exit_code == 0, rebuilt.output
    assert "left out   what only bronze held of 2 raw objects" in rebuilt.stdout


def test_bronze_objects_that_are_needed_are_kept(
    aged: Path, cli: Cli, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are not compacted or not loaded are, and all where anything is damaged, and in a
    lake in S3. An object that goes without consent is missed."""
    waits = drop(aged, "waits.ndjson", event(event_id="waits", ts="2026-01-03T10:00:00Z"))
    os.utime(waits, (OLD.timestamp(), OLD.timestamp()))
    assert cli(aged, "clean").exit_code == 0
    objects = bronze_of(aged)
    result = cli(aged, "retain", "--bronze", "10000d")
    assert "retired    0 bronze objects" in result.stdout and bronze_of(aged) == objects
    damaged = max((aged / "bronze/purchases").rglob("*.parq"))
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-5])
    result = cli(aged, "retain", "--bronze", "100d")
    assert result.exit_code == 2 and damaged.name in result.stderr
    damaged.write_bytes(content)
    assert cli(aged, "audit").exit_code == 0 and bronze_of(aged) == objects
    result = cli(aged, "retain", "--bronze", "100d")
    assert "retired    4 bronze objects" in result.stdout
    assert "it is not loaded yet: 'medallion run --events 0' takes it" in result.stdout
    assert cli(aged, "load").exit_code == 0
    result = cli(aged, "retain", "--bronze", "100d")
    assert "kept: 1 objects that are not compacted yet" in result.stdout
    assert cli(aged, "run", "--events", "0").exit_code == 0
    assert cli(aged, "audit", "--all").exit_code == 0
    for path in (aged / "bronze/purchases/dt=2026-03-01").iterdir():
        path.unlink()
    assert cli(aged, "audit").exit_code == 1
    monkeypatch.setenv("MEDALLION_LAKE", "s3://bucket")
    result = cli(aged, "retain", "--bronze", "100d")
    assert result.exit_code == 2 and "bronze is retired only where the lake" in result.stderr


def test_a_customer_is_forgotten_in_compacted_objects(old: Path, cli: Cli) -> None:
    """Found, replaced and proved; a new warehouse holds, and nothing is cleaned again."""
    (old / "warehouse.duckdb").unlink()
    result = cli(old, "forget", "--customer", "C-1")
    assert result.exit_code == 0, result.output
    assert "4 lines in 4 raw objects, 4 rows" in result.stdout
    assert "the id is in 0 places" in result.stdout
    assert "0 lines of 0 objects" in cli(old, "clean").stdout
    assert "loaded     15 rows" in cli(old, "load").stdout
    assert cli(old, "audit", "--all").exit_code == 0
