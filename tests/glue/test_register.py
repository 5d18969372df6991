"""The register of a lake: of those who saw the same state, one changes it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from medallion.errors import LakeError
from medallion.layers.spark.manifest import RunUnderWay, manifest_of
from medallion.platforms.lake import file_object
from medallion.platforms.register import register
from tests.s3_here import emulator

KEY = "tmp/runs/current.json"


@pytest.fixture(params=["s3", "file"])
def lake(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The URL of an empty lake."""
    if request.param == "file":
        yield tmp_path.as_uri()
        return
    with emulator(tmp_path) as s3:
        for name, value in s3.environment().items():
            monkeypatch.setenv(name, value)
        yield f"s3://{s3.bucket}"


def test_only_who_saw_the_last_state_changes_it(lake: str) -> None:
    """From nothing, from a text, and back to nothing; the others are told so."""
    one, other = register(lake, KEY), register(lake, KEY)
    assert one.read() == other.read() == ("", "")
    tag = one.swap("first", "")
    assert tag and other.swap("another", "") is None
    assert other.read() == ("first", tag)
    emptied = other.swap("", tag)
    assert emptied is not None and one.swap("second", tag) is None
    assert one.read() == ("", emptied)
    assert one.swap("second", emptied)


def test_of_many_at_once_one_changes_it(tmp_path: Path) -> None:
    """All of them saw the same. (On a disk; that a PUT under a condition is one step is the
    service's promise, which the emulator does not keep among its threads.)"""
    registers = [register(tmp_path.as_uri(), KEY) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        tags = list(pool.map(lambda n: registers[n].swap(f"text {n}", ""), range(8)))
    (winner,) = [n for n, tag in enumerate(tags) if tag is not None]
    assert registers[0].read() == (f"text {winner}", tags[winner])


def test_a_lake_that_is_none_is_refused() -> None:
    """With a sentence."""
    with pytest.raises(LakeError, match="not hdfs://host/lake"):
        register("hdfs://host/lake", KEY)


def test_a_damaged_run_is_named_in_one_line(tmp_path: Path) -> None:
    """Another key in the moves of a run would publish something else: the seal is broken."""
    store = RunUnderWay(register(tmp_path.as_uri(), "tmp/runs/current.json"))
    assert store.read() is None
    manifest = manifest_of([file_object("raw/a.json", 1, 0)]).planned([("tmp/x", "bronze/x")])
    assert store.replace(manifest) and store.read() == manifest
    path = tmp_path / "tmp/runs/current.json"
    path.write_text(path.read_text().replace("bronze/x", "bronze/y"))
    with pytest.raises(LakeError, match=r"is damaged.*remove it"):
        store.read()
