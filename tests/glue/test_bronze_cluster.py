"""Runs of the cluster's cleaner: what they publish, and that they can be stopped anywhere."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyspark.sql import SparkSession

from medallion.audit.bronze import read_bronze
from medallion.errors import LakeError
from medallion.layers.spark import bronze as bronze_cluster
from medallion.layers.spark import run as cluster_run
from medallion.layers.spark.bronze import ClusterReport, clean
from medallion.layers.spark.cleaning import CleanedFeed, Counts
from medallion.platforms.hadoop import HadoopLake
from medallion.platforms.local import LocalLake
from medallion.platforms.register import _FileRegister
from tests.conftest import drop, event

Clean = Callable[..., ClusterReport]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake with two raw objects: purchases of two days, one of them bad, and a store."""
    lines = [event(event_id=f"e{n}", ts=f"2026-03-0{1 + n % 2}T10:00:00Z") for n in range(6)]
    drop(tmp_path, "purchases/a.ndjson", *lines, event(price=-1))
    drop(tmp_path, "stores/b.ndjson", json.dumps({"store_id": "S1", "ts": "2026-01-01T00:00:00Z"}))
    return tmp_path


@pytest.fixture
def run(spark_session: SparkSession, lake: Path) -> Clean:
    """Cleans the lake."""
    return lambda **options: clean(spark_session, lake.as_uri(), **options)


def bronze(lake: Path) -> dict[str, str]:
    """What is published: key and checksum of the content."""
    return {
        str(path.relative_to(lake)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((lake / "bronze").rglob("*.parquet"))
    }


def rows(lake: Path, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
    files = f"{lake}/bronze/{table}/**/*.parquet"
    query = f"SELECT {columns} FROM read_parquet('{files}', hive_partitioning = false) ORDER BY ALL"
    return duckdb.connect().execute(query).fetchall()


def content(lake: Path) -> list[list[tuple[Any, ...]]]:
    """The rows of all tables, the times and the run's name left out."""
    receipt = "source_file, lines, blank, accepted, quarantined, reasons, checksum"
    tables = [t for t in ("purchases", "stores", "quarantine") if (lake / "bronze" / t).exists()]
    return [*(rows(lake, table) for table in tables), rows(lake, "receipts", receipt)]


def test_a_run_publishes_bronze_quarantine_and_receipts(run: Clean, lake: Path) -> None:
    """Two days of purchases, the bad line, the store, one object of receipts; nothing is left in
    tmp/."""
    report = run()
    assert (report.runs, report.objects, report.lines) == (1, 2, 8)
    assert (report.accepted, report.quarantined) == (7, 1)
    assert sorted(report.published) == sorted(bronze(lake))
    name = report.published[-1].removeprefix("bronze/receipts/").removesuffix(".parquet")
    assert sorted(bronze(lake)) == [
        f"bronze/purchases/dt=2026-03-01/{name}-0000.parquet",
        f"bronze/purchases/dt=2026-03-02/{name}-0000.parquet",
        f"bronze/quarantine/{name}-0000.parquet",
        f"bronze/receipts/{name}.parquet",
        f"bronze/stores/{name}-0000.parquet",
    ]
    outputs = {k: json.loads(o) for k, o in rows(lake, "receipts", "source_file, outputs")}
    assert sum(outputs["raw/purchases/a.ndjson"].values()) == 7
    stored = read_bronze(LocalLake(lake))
    assert (stored.compared, stored.unsealed, stored.damaged) == (len(report.published) - 1, 0, {})
    assert left_in_tmp(lake) == []


def test_a_repeated_run_changes_nothing(run: Clean, lake: Path) -> None:
    """What has a receipt is not cleaned again; what came since is, under another name."""
    run()
    first = bronze(lake)
    assert run().runs == 0
    assert bronze(lake) == first
    drop(lake, "purchases/c.ndjson", event(event_id="e9"))
    report = run()
    assert (report.runs, report.objects) == (1, 1)
    assert first.items() < bronze(lake).items()


def test_only_the_named_keys_are_taken(run: Clean, lake: Path) -> None:
    """Keys of a batch of notices: unknown ones and repeated ones do no harm."""
    keys = ["raw/stores/b.ndjson", "raw/stores/b.ndjson", "raw/nowhere.json"]
    assert run(keys=keys).objects == 1
    assert rows(lake, "receipts", "source_file") == [("raw/stores/b.ndjson",)]


class Killed(Exception):
    """The process is gone."""


def test_a_run_may_be_stopped_before_any_step(
    lake: Path, tmp_path_factory: pytest.TempPathFactory,
    spark_session: SparkSession, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Stopped before each of its changes to the lake in turn, a run is finished by the next one:
    the same rows under the same names, each published once."""
    whole = copied(lake, tmp_path_factory.mktemp("whole"))
    clean(spark_session, whole.as_uri())
    wanted, names = content(whole), sorted(bronze(whole))
    steps = 0
    for stop in range(1, 40):
        copy = copied(lake, tmp_path_factory.mktemp("copy"))
        with monkeypatch.context() as patch:
            before_step(patch, stop, killed)
            try:
                clean(spark_session, copy.as_uri())
                break
            except Killed:
                steps += 1
        published = bronze(copy)
        clean(spark_session, copy.as_uri())
        assert published.items() <= bronze(copy).items()
        assert sorted(bronze(copy)) == names
        assert content(copy) == wanted
        assert left_in_tmp(copy) == []
    assert steps >= 8


def test_another_job_may_run_before_any_step(
    lake: Path, tmp_path_factory: pytest.TempPathFactory,
    spark_session: SparkSession, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Before each of its changes to the lake in turn, another job runs from its start to its end
    and finds one raw object more: both end well, no row is lost or there twice, no raw object has
    two receipts, and every bronze object is in a receipt."""
    whole = copied(lake, tmp_path_factory.mktemp("whole"))
    arrive_late(whole)
    clean(spark_session, whole.as_uri())
    wanted = content(whole)
    steps, overtaken = 0, 0
    for step in range(1, 40):
        copy = copied(lake, tmp_path_factory.mktemp("copy"))
        came = []

        def other(home: Path = copy, came: list[ClusterReport] = came) -> None:
            arrive_late(home)
            came.append(clean(spark_session, home.as_uri()))

        with monkeypatch.context() as patch:
            before_step(patch, step, other)
            report = clean(spark_session, copy.as_uri())
        if not came:
            break
        steps += 1
        overtaken += report.runs == 0
        assert content(copy) == wanted
        outputs = {k for (keys,) in rows(copy, "receipts", "outputs") for k in json.loads(keys)}
        receipts = {k for k in bronze(copy) if k.startswith("bronze/receipts/")}
        assert outputs | receipts == bronze(copy).keys()
        assert left_in_tmp(copy) == []
    assert steps >= 8 and overtaken >= 7


def test_a_late_winner_of_the_register_leaves_out_what_was_done(
    run: Clean, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that listed its objects, and begins only when another one has come and gone: nothing of
    theirs is cleaned again."""
    listed, others = HadoopLake.list, []

    def slow(self: HadoopLake, prefix: str) -> Any:
        objects = list(listed(self, prefix))
        if prefix == "raw/" and not others:
            others.append(prefix)
            others.append(run())
        return iter(objects)

    monkeypatch.setattr(HadoopLake, "list", slow)
    drop(lake, "purchases/c.ndjson", event(event_id="e9"))
    report = run()
    assert others[1].objects == 3
    assert (report.runs, report.objects, report.published) == (1, 0, [])
    assert len(rows(lake, "receipts", "source_file")) == 3


def copied(lake: Path, copy: Path) -> Path:
    """Another lake with the same purchases, and nothing else: what makes the steps of a run."""
    for path in (lake / "raw" / "purchases").rglob("*.ndjson"):
        target = copy / path.relative_to(lake)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.hardlink_to(path)
    return copy


def arrive_late(lake: Path) -> None:
    """One raw object more, always at the same time."""
    path = drop(lake, "purchases/late.ndjson", event(event_id="late"), event(price=-2))
    os.utime(path, (2_000_000_000, 2_000_000_000))


def left_in_tmp(lake: Path) -> list[Path]:
    """What a job has not cleared away, but for the register."""
    register = lake / "tmp" / "runs" / "current.json"
    return [p for p in (lake / "tmp").rglob("*") if p.is_file() and p != register]


def killed() -> None:
    raise Killed


def before_step(patch: pytest.MonkeyPatch, step: int, happens: Callable[[], None]) -> None:
    """Makes something happen before the n-th change to the lake; and, when that is the end, before
    every later one, for several are under way at a time."""
    steps = itertools.count(1)

    def guard(change: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*arguments: Any) -> Any:
            now = next(steps)
            if now == step or (now > step and happens is killed):
                happens()
            return change(*arguments)

        return guarded

    for owner, name in ((HadoopLake, "_move"), (HadoopLake, "delete"), (_FileRegister, "swap")):
        patch.setattr(owner, name, guard(getattr(owner, name)))


def test_counts_that_do_not_add_up_stop_the_run(
    run: Clean, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that nobody accounts for: the error names the object, and nothing is published."""

    def one_more(cleaned: CleanedFeed) -> CleanedFeed:
        for key, counts in cleaned.counts.items():
            cleaned.counts[key] = Counts(counts.lines + 1, counts.blank)
        return cleaned

    falsify(monkeypatch, one_more)
    with pytest.raises(LakeError, match=r"raw/(purchases/a|stores/b)\.ndjson has \d+ lines"):
        run()
    assert not bronze(lake)


def test_a_file_that_is_not_stored_as_it_was_computed_stops_the_run(
    run: Clean, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One byte more in each piece of the files: the error names one, and nothing is published."""
    columns = ("file", "piece", "content || X'00' AS content", "output")
    falsify(monkeypatch, lambda c: replace(c, files=c.files.selectExpr(*columns)))
    with pytest.raises(LakeError, match=r"file=\d+/\S+ was stored with other bytes"):
        run()
    assert not bronze(lake)


def falsify(monkeypatch: pytest.MonkeyPatch, change: Callable[[CleanedFeed], CleanedFeed]) -> None:
    """Change the result of each feed before a run writes it."""
    cleaner = cluster_run.clean_feed
    monkeypatch.setattr(cluster_run, "clean_feed", lambda *arguments: change(cleaner(*arguments)))


def test_large_runs_are_cut(run: Clean, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that finds more than a run may take makes several runs."""
    monkeypatch.setattr(bronze_cluster, "MAX_OBJECTS", 1)
    assert run().runs == 2
    assert len(rows(lake, "receipts", "source_file")) == 2
