"""The lake in a bucket: the same commands, the same numbers; what fails says which action on which
key."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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
    for key, found in raw.items():
        seconds = found["LastModified"].timestamp()
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
