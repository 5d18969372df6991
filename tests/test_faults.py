"""Faults of disk, producers and file names: named in one line, and everything else goes on."""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medallion.lake import codecs
from medallion.platforms import local
from medallion.platforms.lake import Changed, LakeObject
from medallion.platforms.local import LocalLake
from tests.conftest import Cli, drop, event

Query = Callable[[Path, str], list[dict[str, Any]]]
RUN = ("run", "--events", "0")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with two good raw objects that wait."""
    drop(tmp_path, "purchases/a.ndjson", event(event_id="a"))
    drop(tmp_path, "purchases/z.ndjson", event(event_id="z"))
    return tmp_path


def link_loop(home: Path) -> str:
    (home / "raw/purchases/m.ndjson").symlink_to("m.ndjson")
    return "raw/purchases/m.ndjson"


def time_before_all_years(home: Path) -> str:
    path = drop(home, "purchases/m.ndjson", event(event_id="m"))
    os.utime(path, ns=(0, 0))
    return "raw/purchases/m.ndjson"


def stray_receipt(home: Path) -> str:
    (home / "bronze/receipts").mkdir(parents=True)
    (home / "bronze/receipts/notes.parquet").write_text("no receipt")
    return "bronze/receipts/notes.parquet"


def pipe(home: Path) -> str:
    os.mkfifo(home / "raw/purchases/m.ndjson")
    return "raw/purchases/m.ndjson"


@pytest.mark.parametrize("plant", [link_loop, stray_receipt, pipe], ids=lambda f: f.__name__)
def test_one_bad_entry_is_named_and_the_others_go_on(
    home: Path, cli: Cli, plant: Callable[[Path], str]
) -> None:
    """Every verb gives its figures."""
    key = plant(home)
    report = json.loads(cli(home, "clean", "--json").stdout)
    assert report["accepted"] == 2
    assert cli(home, "load").exit_code in (0, 1)
    status = cli(home, "status")
    assert status.exit_code == 0, status.output
    audit = cli(home, "audit", "--json")
    assert json.loads(audit.stdout)["checks"], audit.output
    names = [*report["failures"], *json.loads(cli(home, "status", "--json").stdout)[0]["not_taken"]]
    assert key in names


@pytest.mark.parametrize("moment", [253402300800, -62135596801], ids=["10000", "0"])
def test_a_time_that_no_calendar_holds_is_named(
    home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Not every file system can store one, so the listing is told it."""
    drop(home, "purchases/m.ndjson", event(event_id="m"))
    made = local.file_object

    def file_object(key: str, size: int, modified: int) -> LakeObject:
        return made(key, size, moment * 1000 if key.endswith("m.ndjson") else modified)

    monkeypatch.setattr(local, "file_object", file_object)
    result = cli(home, "clean")
    assert result.exit_code == 1 and "2 accepted" in result.stdout
    assert "raw/purchases/m.ndjson: cannot be read: its time" in result.stdout
    monkeypatch.undo()
    assert "1 accepted" in cli(home, "clean").stdout


@pytest.mark.parametrize("name", ["purchases/locked", "purchases"])
def test_a_folder_that_cannot_be_read_is_named(
    home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Below it nothing is taken, beside it everything is; it is taken when it can be read."""
    drop(home, "purchases/locked/m.ndjson", event(event_id="m"))
    drop(home, "stores/s.ndjson", json.dumps({"store_id": "S1", "ts": "2026-01-01T00:00:00Z"}))
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path) == home / "raw" / name:
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    result = cli(home, "clean")
    assert result.exit_code == 1, result.output
    assert f"raw/{name}: cannot be read: Permission denied" in result.stdout
    assert f"{3 if name.endswith('locked') else 1} accepted" in result.stdout
    monkeypatch.undo()
    assert cli(home, "clean").exit_code == 0


class Failing(io.RawIOBase):
    """A file of a disk that fails: always, or once before it is read as it is."""

    def __init__(self, content: Any = None) -> None:
        self._content, self._has_failed = content, False

    def readinto(self, buffer: Any) -> int:
        if self._content is None or not self._has_failed:
            self._has_failed = True
            raise OSError(errno.EIO, "Input/output error")
        return int(self._content.readinto(buffer))

    def readable(self) -> bool:
        return True


@pytest.mark.parametrize("name", ["m.ndjson", "m.ndjson.gz", "m.ndjson.zst"])
def test_an_error_of_the_disk_is_no_verdict_on_data(
    home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """One failed read: it is named, the others go on, exit 1; the next run takes it."""
    line = event(event_id="m").encode() + b"\n"
    path = drop(home, f"purchases/{name}")
    path.write_bytes(codecs.packed(line, codecs.codec_of(name)))
    opened = LocalLake.open

    def fail(lake: LocalLake, key: str) -> Any:
        return Failing(opened(lake, key)) if key.endswith(name) else opened(lake, key)

    monkeypatch.setattr(LocalLake, "open", fail)
    result = cli(home, "clean")
    assert result.exit_code == 1 and "2 accepted, 0 quarantined" in result.stdout, result.output
    assert f"not taken: raw/purchases/{name}: Input/output error" in result.stdout
    monkeypatch.undo()
    result = cli(home, "clean")
    assert result.exit_code == 0 and "1 accepted, 0 quarantined" in result.stdout


def test_a_touched_object_that_cannot_be_read_stops_no_other(
    home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether only its time has changed is found out when the disk can be read."""
    assert cli(home, "clean").exit_code == 0
    os.utime(home / "raw/purchases/a.ndjson", (1, 1))
    drop(home, "purchases/b.ndjson", event(event_id="b"))
    opened = LocalLake.open

    def fail(lake: LocalLake, key: str) -> Any:
        return Failing() if key.endswith("a.ndjson") else opened(lake, key)

    monkeypatch.setattr(LocalLake, "open", fail)
    result = cli(home, "clean")
    assert result.exit_code == 1 and "1 accepted" in result.stdout
    assert "raw/purchases/a.ndjson: Input/output error" in result.stdout
    monkeypatch.undo()
    assert "0 accepted" in cli(home, "clean").stdout


def test_a_disk_that_takes_no_more_is_one_line(home: Path, cli: Cli) -> None:
    """Exit 2, and when the cause is gone the same command goes on."""
    result = subprocess.run(
        [sys.executable, "-m", "medallion.cli", "clean", "--home", str(home)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000)),
    )
    assert result.returncode == 2, result.stderr
    assert result.stderr.count("\n") == 1 and "File too large" in result.stderr
    assert cli(home, "clean").exit_code == 0


def test_memory_that_is_refused_is_one_line(
    home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 2, as for everything that cannot be used as given."""
    monkeypatch.setattr(LocalLake, "scratch", lambda _: (_ for _ in ()).throw(MemoryError()))
    result = cli(home, "clean")
    assert result.exit_code == 2 and result.stderr.startswith("error: out of memory")
    assert result.stderr.count("\n") == 1


def test_a_home_whose_path_the_warehouse_cannot_open_is_refused(tmp_path: Path, cli: Cli) -> None:
    """Before anything is written."""
    for name in ("what?", "number#1"):
        result = cli(tmp_path / name, "run", "--events", "1")
        assert result.exit_code == 2 and "choose another" in result.stderr
        assert not (tmp_path / name).exists()


def test_a_warehouse_deleted_after_a_kill_is_made_again(home: Path, cli: Cli, query: Query) -> None:
    """Its log is left beside it, and must not be applied to the new one."""
    assert cli(home, *RUN).exit_code == 0
    assert killed_writer(home / "warehouse.duckdb").exists()
    (home / "warehouse.duckdb").unlink()
    assert cli(home, *RUN).exit_code == 0
    assert query(home, "SELECT count(*) AS n FROM purchases_silver") == [{"n": 2}]


def killed_writer(warehouse: Path) -> Path:
    """Let a process be killed after a commit; return the log that it leaves."""
    code = (
        "import duckdb, os, sys; db = duckdb.connect(sys.argv[1]); db.execute('CREATE TABLE t AS "
        "SELECT 1'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(warehouse)])
    return warehouse.with_name(warehouse.name + ".wal")


def torn_log(warehouse: Path) -> None:
    log = killed_writer(warehouse)
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 1
    log.write_bytes(data)


def test_a_warehouse_with_a_damaged_log_is_made_again(home: Path, cli: Cli, query: Query) -> None:
    """Until the old copy is removed, which may hold the id, nobody is forgotten."""
    assert cli(home, *RUN).exit_code == 0
    torn_log(home / "warehouse.duckdb")
    drop(home, "purchases/later.ndjson", event(event_id="later", customer_id=ID))
    result = cli(home, *RUN)
    assert result.exit_code == 0 and "warehouse was damaged" in result.stderr
    names = {path.name for path in (home / "replaced").rglob("*") if path.is_file()}
    assert names == {"warehouse.duckdb", "warehouse.duckdb.wal"}
    assert query(home, "SELECT count(*) AS n FROM purchases_silver") == [{"n": 3}]
    result = cli(home, "forget", *FOR)
    assert result.exit_code == 2 and "rebuild --remove-old" in result.stderr
    assert cli(home, "rebuild", "--remove-old").exit_code == 0
    assert cli(home, "forget", *FOR).exit_code == 0


def test_a_damaged_warehouse_does_not_hide_that_bronze_is_gone(home: Path, cli: Cli) -> None:
    """The new one would have fewer rows than what is published, which stays."""
    assert cli(home, *RUN).exit_code == 0
    published = (home / "gold/CURRENT").read_text()
    (home / "warehouse.duckdb").write_bytes(b"not a database" * 1000)
    for folder in ("raw", "bronze"):
        (home / folder).rename(home / f"no-{folder}")
    result = cli(home, *RUN)
    assert result.exit_code == 1 and (home / "gold/CURRENT").read_text() == published, result.output
    for folder in ("raw", "bronze"):
        if (home / folder).exists():
            shutil.rmtree(home / folder)
        (home / f"no-{folder}").rename(home / folder)
    assert cli(home, *RUN).exit_code == 0


ID = "C-1001"
FOR = ("--customer", ID)


def test_a_long_name_wedges_no_verb(tmp_path: Path, cli: Cli) -> None:
    """A name of 245 bytes, which temporary names must not outgrow."""
    drop(tmp_path, "\U0001f6d2" * 60 + ".json", event(customer_id=ID))
    assert cli(tmp_path, *RUN).exit_code == 0
    result = cli(tmp_path, "forget", "--customer", ID)
    assert result.exit_code == 0, result.output
    assert cli(tmp_path, *RUN).exit_code == 0


def test_forget_refuses_a_file_that_a_producer_writes(home: Path, cli: Cli) -> None:
    """The producer would go on in the old file: nothing is changed, and it says what to do."""
    path = drop(home, "purchases/till.ndjson", event(event_id="t", customer_id=ID))
    assert cli(home, *RUN).exit_code == 0
    with path.open("a") as producer:
        result = cli(home, "forget", "--customer", ID)
        assert (
            result.exit_code == 2 and "raw/purchases/till.ndjson is being written" in result.stderr
        )
        assert not (home / ".forget.json").exists() and ID in path.read_text()
        producer.write(event(event_id="u", customer_id=ID) + "\n")
    assert cli(home, *RUN).exit_code == 0
    assert cli(home, "forget", "--customer", ID).exit_code == 0
    assert ID not in path.read_text() and path.read_text().count("\n") == 2


def test_forget_keeps_lines_that_come_meanwhile(
    home: Path, cli: Cli, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a producer that opens the file for each line: after the search, and between the reading
    and the renaming. Each is cleaned by the next run, and the audit holds."""
    path = drop(home, "purchases/till.ndjson", event(event_id="t0", customer_id=ID))
    assert cli(home, *RUN).exit_code == 0
    sent = 0
    replace = LocalLake.replace

    def late(lake: LocalLake, new: Path, key: str, *arguments: Any, **options: Any) -> None:
        nonlocal sent
        if key.startswith("raw/") and sent < 2:
            sent += 1
            with path.open("a") as producer:
                producer.write(event(event_id=f"t{sent}", customer_id=ID) + "\n")
        replace(lake, new, key, *arguments, **options)

    monkeypatch.setattr(LocalLake, "replace", late)
    result = cli(home, "forget", "--customer", ID)
    assert result.exit_code == 0, result.output
    assert sent == 2 and ID not in path.read_text()
    result = cli(home, *RUN)
    assert result.exit_code == 0, result.output
    events = query(home, "SELECT event_id FROM purchases_silver ORDER BY 1")
    assert [row["event_id"] for row in events] == ["a", "t0", "t1", "t2", "z"]


def test_a_file_that_is_opened_while_it_is_replaced_is_put_back(tmp_path: Path) -> None:
    """The producer waits in open() and writes into the file that stays."""
    path = drop(tmp_path, "till.ndjson", "1")
    lake = LocalLake(tmp_path)
    (listed,) = lake.list("raw/")
    new = tmp_path / "new"
    new.write_text("2\n")

    producer = threading.Thread(target=lambda: subprocess.run(
        [sys.executable, "-c", f"open({str(path)!r}, 'a').write('3\\n')"]))  # fmt: skip
    publish = LocalLake.publish

    def slow(lake: LocalLake, files: Mapping[str, Path]) -> None:
        producer.start()
        producer.join(1)
        publish(lake, files)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Changed):
        patch.setattr(LocalLake, "publish", slow)
        lake.replace(new, "raw/till.ndjson", instead_of=listed)
    producer.join()
    assert path.read_text() == "1\n3\n"
    assert [p.name for p in path.parent.iterdir()] == ["till.ndjson"]


def test_leftovers_of_killed_processes_are_swept(home: Path, cli: Cli) -> None:
    """Those of a process that runs stay; a Parquet file under another name is searched as one."""
    assert cli(home, *RUN).exit_code == 0
    (bronze,) = {p.parent for p in (home / "bronze/purchases").rglob("*.parquet")}
    table = pa.table({"customer_id": [ID] * 100})
    pq.write_table(table, bronze / ".x.parquet.999999.tmp", compression="zstd")
    pq.write_table(table, bronze / f".x.parquet.{os.getppid()}.tmp", compression="zstd")
    result = cli(home, "forget", "--customer", ID)
    assert not (bronze / ".x.parquet.999999.tmp").exists()
    assert result.exit_code == 1, result.output
    assert f".x.parquet.{os.getppid()}.tmp: customer_id" in result.stdout
