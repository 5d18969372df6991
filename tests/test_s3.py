"""The lake in a bucket: the same commands, the same numbers; what fails says which action on which
key."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from medallion.lake.raw import raw_key
from medallion.layers.bronze import Sweep, clean
from medallion.operations.compaction import compact
from medallion.platforms import s3 as s3_lake
from medallion.platforms.platform import Platform
from medallion.settings import Settings
from tests.conftest import Cli, event, medallion
from tests.s3_here import S3, emulator, shaky

Run = Callable[..., str]
GOLD = "SELECT * FROM purchases_gold ORDER BY ALL"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """An emulator with a bucket."""
    with emulator(tmp_path_factory.mktemp("s3")) as bucket:
        yield bucket


@pytest.fixture
def bucket(s3: S3) -> S3:
    """The bucket, emptied."""
    s3.empty()
    return s3


@pytest.fixture
def run(bucket: S3, tmp_path: Path) -> Run:
    """`medallion ARGUMENTS` with its lake in the bucket; what it printed."""

    def command(*arguments: str, code: int = 0, **variables: str) -> str:
        environment = os.environ | bucket.environment() | variables
        process = medallion(*arguments, "--home", str(tmp_path / "home"), env=environment)
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, out + err
        return out if code == 0 else err

    return command


def copied(bucket: S3, home: Path) -> Path:
    """The bucket's raw objects as a lake on this disk, with their times of arrival."""
    raw = bucket.objects("raw/")
    bucket.download(raw, home)
    for key, head in raw.items():
        seconds = head["LastModified"].timestamp()
        os.utime(home / key, (seconds, seconds))
    return home


def test_a_bucket_gives_the_numbers_of_a_disk(
    bucket: S3, run: Run, cli: Cli, tmp_path: Path
) -> None:
    """Simulated purchases with faults, cleaned and loaded from the bucket: gold and quarantine are
    those of the same objects on a disk, the audit holds, a second run changes nothing."""
    run("run", "--events", "2000", "--faults", "0.05", "--seed", "5")
    home = copied(bucket, tmp_path / "disk")
    assert cli(home, "run", "--events", "0").exit_code == 0
    for sql in (
        GOLD,
        "SELECT feed, reason, raw, source_file, source_line FROM quarantine ORDER BY ALL",
    ):
        assert run("query", sql, "--json") == cli(home, "query", sql, "--json").stdout
    before = bucket.objects("bronze/")
    assert json.loads(run("clean", "--json"))["objects"] == 0
    assert json.loads(run("load", "--json"))["objects"] == 0
    assert bucket.objects("bronze/") == before
    assert json.loads(run("audit", "--json"))["holds"]
    assert bucket.notices() == Counter(before.keys())


def test_a_killed_cleaner_loses_and_repeats_nothing(bucket: S3, run: Run, tmp_path: Path) -> None:
    """Killed between two objects, the next pass finishes: no object of bronze is announced twice,
    not even those whose receipt was not there yet."""
    for n in range(12):
        lines = [
            event(event_id=f"{n}-{i}", ts=f"2026-03-{1 + i % 9:02}T10:00:00Z") for i in range(9)
        ]
        bucket.put({f"raw/purchases/{n}.json": "\n".join(lines).encode()})
    environment = os.environ | bucket.environment()
    process = medallion("clean", "--home", str(tmp_path / "home"), env=environment)
    while len(bucket.objects("bronze/")) < 25 and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    stopped = len(bucket.objects("bronze/"))
    assert stopped < 120
    run("clean")
    assert len(bucket.objects("bronze/purchases/")) == 108
    assert bucket.notices() == Counter(bucket.objects("bronze/").keys())
    assert json.loads(run("load", "--json"))["rows"] == 108


def test_a_pass_asks_for_few_pages(
    bucket: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside 2,500 objects a pass that finds nothing takes six requests, and one that finds an
    object a few more; an object that was dropped anywhere is found within a round."""
    for name, value in bucket.environment().items():
        monkeypatch.setenv(name, value)
    s3_lake._client.cache_clear()
    lake = s3_lake.S3Lake(bucket.bucket, tmp_path)
    bucket.put({f"raw/purchases/{n:04d}.json": b"" for n in range(2_500)})
    sweep = Sweep(lake)
    for raw in sweep.waiting():
        sweep.finished(raw)
    asked: list[str] = []
    page = s3_lake.S3Lake._page

    def counted(lake: s3_lake.S3Lake, prefix: str, after: str) -> Any:
        asked.append(prefix)
        return page(lake, prefix, after)

    monkeypatch.setattr(s3_lake.S3Lake, "_page", counted)
    assert sweep.waiting() == [] and len(asked) <= 9
    now = raw_key("purchases", datetime.now(UTC), "a.ndjson")
    bucket.put({now: event().encode(), "raw/purchases/0007.json": event(event_id="b").encode()})
    seen: set[str] = set()
    for _ in range(5):
        asked.clear()
        seen |= {raw.key for raw in sweep.waiting()}
        assert now in seen and len(asked) <= 14
    assert seen == {now, "raw/purchases/0007.json"}
    s3_lake._client.cache_clear()


def test_a_compacted_bucket(
    bucket: S3, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New objects are announced once, under names that no pipe takes; nothing is loaded again, and
    a new home loads the same rows."""
    lines = [event(event_id=f"e{n}") + "\nno json" for n in range(3)]
    bucket.put({f"raw/purchases/{n}.json": line.encode() for n, line in enumerate(lines)})
    run("clean")
    run("load")
    for name, value in bucket.environment().items():
        monkeypatch.setenv(name, value)
    s3_lake._client.cache_clear()
    platform = Platform.of(Settings.from_environment(os.environ, tmp_path / "home", {}))
    before = bucket.notices()
    report = compact(platform, now=datetime.now(UTC) + timedelta(days=1))
    s3_lake._client.cache_clear()
    assert (report.receipts, report.objects_before, report.objects_after) == (3, 9, 3)
    assert len(stored := bucket.objects("bronze/")) == 3
    new = bucket.notices() - before
    assert new == Counter(stored.keys()) and all(key.endswith(".parq") for key in new)
    assert json.loads(run("load", "--json"))["rows"] == 0
    run("audit")
    shutil.rmtree(tmp_path / "home")
    assert json.loads(run("load", "--json"))["rows"] == 6
    assert json.loads(run("clean", "--json"))["objects"] == 0
    run("audit")


def test_connections_that_break_are_made_again(bucket: S3, run: Run) -> None:
    """The first four connections are dropped: the command waits, repeats and ends well."""
    bucket.put({"raw/purchases/a.json": event().encode()})
    with shaky(bucket.endpoint, 4) as endpoint:
        assert json.loads(run("clean", "--json", AWS_ENDPOINT_URL=endpoint))["accepted"] == 1


def test_a_missing_permission_names_action_and_key(bucket: S3, run: Run) -> None:
    """Who may list and read but not write: one line, exit 2, nothing half done."""
    bucket.put({"raw/purchases/a.json": event().encode()})
    with bucket.restricted({"s3:ListBucket": "", "s3:GetObject": "/*"}) as reader:
        error = run("clean", code=2, **reader)
    assert error.count("\n") == 1
    assert "s3:PutObject on s3://retail/bronze/purchases/dt=2026-03-01/" in error
    with bucket.restricted({"s3:PutObject": "/*"}) as writer:
        assert "s3:ListBucket on s3://retail/raw/" in run("clean", code=2, **writer)
    assert not bucket.objects("bronze/")


def test_a_missing_bucket_is_one_line(run: Run) -> None:
    """The name is in the message."""
    assert "s3://nowhere" in run("clean", code=2, MEDALLION_LAKE="s3://nowhere")


@pytest.mark.parametrize(
    "lake", ["s3://", "s3://retail/prefix", "gs://retail", "retail", "S3://A_b"]
)
def test_a_lake_that_is_no_bucket_is_refused(run: Run, lake: str) -> None:
    """The sentence names the variable and the form that is taken."""
    error = run("status", code=2, MEDALLION_LAKE=lake)
    assert "MEDALLION_LAKE" in error and "s3://retail-lake" in error


def test_of_two_runners_the_first_receipt_stays(
    bucket: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runners that find the same raw object without a receipt publish every output once."""
    for name, value in bucket.environment().items():
        monkeypatch.setenv(name, value)
    s3_lake._client.cache_clear()
    lakes = [s3_lake.S3Lake(bucket.bucket, tmp_path / name) for name in ("first", "second")]
    lakes[0].put("raw/purchases/a.ndjson", json.dumps(event()).encode())
    sweeps = [Sweep(lake) for lake in lakes]
    late = sweeps[1].waiting()
    monkeypatch.setattr(sweeps[1], "waiting", lambda: late)
    outputs = []
    for lake, sweep in zip(lakes, sweeps, strict=True):
        assert clean(lake, sweep).objects == 1
        outputs.append([*lake.list("bronze/")])
    s3_lake._client.cache_clear()
    assert len(outputs[0]) == 2 and outputs[0] == outputs[1]
