"""Limits of memory, open files and disk, and clocks that are wrong: the work is done, or one line
says what is in the way; nothing is half-written, and the work goes on afterwards."""

from __future__ import annotations

import errno
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from medallion.layers import staging
from medallion.operations.freshness import freshness_of_home
from tests.conftest import Cli, drop, event, medallion
from tests.crashes.points import compiler, preloadable

Query = Callable[[Path, str], list[dict[str, Any]]]
MIB = 1 << 20
RUN = ("run", "--events", "0")
CLOCK = Path(__file__).parent / "crashes" / "clock.c"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a raw object for each of 80 days."""
    for day in range(80):
        ts = datetime(2026, 1, 1, 10, tzinfo=UTC) + timedelta(days=day)
        drop(tmp_path, f"purchases/{day}.ndjson", event(event_id=f"e{day}", ts=ts.isoformat()))
    return tmp_path


def limited(home: Path, *arguments: str, **limits: int) -> subprocess.CompletedProcess[str]:
    """Run a command under limits of the kernel, by their names in the module `resource`."""

    def limit() -> None:
        for name, value in limits.items():
            resource.setrlimit(getattr(resource, name), (value, value))

    command = [sys.executable, "-m", "medallion.cli", *arguments, "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)


def require_one_line(said: str, *words: str) -> None:
    """Fail unless the standard error is one line, an error, with these words."""
    assert said.startswith("error: ") and said.count("\n") == 1, said
    assert all(word in said for word in words), said


def no_leftovers(home: Path) -> bool:
    return not [*home.rglob("*.tmp")]


def test_little_address_space_and_few_files_suffice(home: Path) -> None:
    """1.5 GiB and 64 open files, for all of a run."""
    result = limited(home, *RUN, RLIMIT_AS=1536 * MIB, RLIMIT_NOFILE=64)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "80 accepted" in result.stdout and "checks hold" in result.stdout


def test_many_small_objects_are_loaded_some_at_a_time(
    home: Path, cli: Cli, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that memory does not grow with their number."""
    monkeypatch.setattr(staging, "OBJECTS_PER_TRANSACTION", 30)
    result = cli(home, *RUN)
    assert result.exit_code == 0 and "checks hold" in result.output
    sql = "SELECT CAST(count(*) AS INTEGER) AS n FROM staging.{} GROUP BY load_seq ORDER BY n"
    for table in ("receipts", "purchases"):
        assert query(home, sql.format(table)) == [{"n": 20}, {"n": 30}, {"n": 30}]


def test_less_memory_than_the_least_is_one_line(home: Path, cli: Cli) -> None:
    """Exit 2, and with more memory the same command does it all."""
    result = limited(home, *RUN, RLIMIT_AS=600 * MIB)
    assert result.returncode == 2, result.stdout + result.stderr
    require_one_line(result.stderr, "out of memory", "nothing is lost")
    result = cli(home, "clean")
    assert "80 accepted" in result.stdout and no_leftovers(home)


def test_a_stream_whose_files_may_not_grow_ends_with_one_line(tmp_path: Path, cli: Cli) -> None:
    """Also while the simulator writes, from a thread of its own."""
    arguments = ("up", "--rate", "200", "--no-dashboard")
    result = limited(tmp_path, *arguments, RLIMIT_FSIZE=MIB // 16)
    assert result.returncode == 2, result.stdout + result.stderr
    require_one_line(result.stderr, "File too large")
    assert cli(tmp_path, "clean").exit_code == 0 and no_leftovers(tmp_path)


COMMIT = """
import resource, sys
from pathlib import Path
from medallion.platforms.warehouse import open_warehouse, transaction
with open_warehouse(Path(sys.argv[1])) as warehouse:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
    with transaction(warehouse):
        warehouse.execute("CREATE TABLE t AS SELECT hash(range) FROM range(50000)")
"""


def test_a_commit_that_fails_says_why(tmp_path: Path) -> None:
    """And not that there is nothing to roll back."""
    command = [sys.executable, "-c", COMMIT, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True)
    last = result.stderr.rstrip().splitlines()[-1]
    assert result.returncode == 1 and "File too large" in result.stderr, result.stderr
    assert "rollback" not in last, last


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    if os.geteuid():
        pytest.skip("only root may mount a disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(disk: Path) -> Path:
    """Fill a disk to its last byte; return the file that does it."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            with suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
    return ballast


def test_a_full_temporary_folder_is_named(
    disk: Path, home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What needs no temporary files works; a preview says where there is no room, and works when
    there is."""
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    sales, mapping = home / "sales.csv", home / "mapping.toml"
    sales.write_text("id,at,shop,item,price,n\n1,2026-03-01T10:00:00Z,S1,P1,2.5,2\n")
    columns = {"event_id": "id", "ts": "at", "store_id": "shop", "product_id": "item"}
    columns |= {"price": "price", "quantity": "n"}
    fields = "\n".join(f'{name} = "{column}"' for name, column in columns.items())
    mapping.write_text(f'[source]\nformat = "csv"\n[fields]\n{fields}\n')
    ballast = fill(disk)
    assert "80 accepted" in cli(home, "clean").stdout
    preview = ("import", str(sales), "--mapping", str(mapping), "--preview")
    result = cli(home, *preview)
    assert result.exit_code == 2, result.output
    require_one_line(result.stderr, os.strerror(errno.ENOSPC), "goes on from here")
    ballast.unlink()
    result = cli(home, *preview)
    assert result.exit_code == 0 and "1 lines would be accepted" in result.stdout, result.output


class Clock:
    """A clock that is as many seconds ahead of the machine's as it is told."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.write_bytes(bytes(8))
        library = str(preloadable(CLOCK))
        self.environment = os.environ | {"LD_PRELOAD": library, "CLOCK": str(path)}

    def jump(self, by: timedelta) -> None:
        """Set how much it is ahead."""
        with self._path.open("r+b", buffering=0) as file:
            file.write(struct.pack("q", int(by.total_seconds())))


@pytest.mark.skipif(not compiler(), reason="the wrong clock needs a C compiler (cc)")
def test_a_stream_goes_on_while_the_clock_jumps_and_waits_while_the_disk_is_full(
    disk: Path, tmp_path: Path, cli: Cli
) -> None:
    """A day ahead, a day back, the end of 2199, the full disk: the stream says why it waits, so
    does the state of the home, and it goes on by itself when the disk is freed. What is in raw/ is
    in gold, once, and nothing is left behind."""
    clock, home = Clock(tmp_path / "clock"), disk / "home"
    drop(home, "purchases/first.ndjson", event(event_id="first"))
    arguments = ("up", "--no-simulator", "--no-dashboard", "--home", str(home))
    up, pointer = medallion(*arguments, env=clock.environment), home / "gold" / "CURRENT"
    wait_until(pointer.exists, up)
    now = datetime.now(UTC)
    end = datetime(2199, 12, 31, 23, 59, 50, tzinfo=UTC) - now
    jumps = (timedelta(days=1), timedelta(days=-1), end, timedelta())
    for number, jump in enumerate(jumps):
        clock.jump(jump)
        published = pointer.read_text()
        sale = event(event_id=f"e{number}", ts=(now + jump).isoformat())
        drop(home, f"purchases/{number}.ndjson", sale)
        wait_until(lambda seen=published: pointer.read_text() != seen, up)
    last = drop(home, "purchases/.last.ndjson", event(event_id="last"))
    ballast = fill(disk)
    published = pointer.read_text()
    last.rename(last.with_name("last.ndjson"))
    wait_until(lambda: "the disk is full" in freshness_of_home(home, datetime.now(UTC)).reason, up)
    ballast.unlink()
    wait_until(lambda: pointer.read_text() != published, up)
    up.terminate()
    out, err = up.communicate(timeout=60)
    assert up.returncode == 0, out + err
    waits, goes_on, stopped = err.splitlines()
    assert "the disk is full" in waits and "No space left" in waits, err
    assert "goes on" in goes_on and "nothing is lost" in stopped, err
    result = cli(home, "audit")
    assert result.exit_code == 0 and "checks hold" in result.stdout, result.output
    assert no_leftovers(home)
    events = cli(home, "query", "SELECT event_id FROM purchases_silver ORDER BY 1", "--json")
    assert [row["event_id"] for row in json.loads(events.stdout)] == [
        *(f"e{number}" for number in range(len(jumps))),
        "first",
        "last",
    ]


def wait_until(is_so: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until something is so, while a process runs."""
    deadline = time.monotonic() + 60
    while not is_so():
        assert process.poll() is None, "".join(process.communicate())
        assert time.monotonic() < deadline
        time.sleep(0.05)
