"""The benchmarks: they measure what was really spent, and a wrong result has no time."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from benchmarks import page, suite
from benchmarks.measuring import measure
from benchmarks.peers import polars, python
from medallion.platforms.local import LocalLake
from medallion.simulation import SimulationOptions, simulate

EVENTS = 2_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with simulated purchases, as the suite makes them."""
    folder = tmp_path_factory.mktemp("bench")
    home = folder / f"lake-{EVENTS}"
    options = SimulationOptions(events=EVENTS, seed=5, compression="none")
    simulate(LocalLake(home), options, answers=home / "answer_key")
    return folder


def test_all_processes_below_a_command_are_measured(tmp_path: Path) -> None:
    """The CPU and the memory of a grandchild count, though nobody collects its exit status."""
    burn = "x = bytearray(200 << 20)\nimport time\nwhile time.process_time() < 1: pass"
    script = (
        f"import os, subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {burn!r}]);"
        "os.waitid(os.P_PID, p.pid, os.WEXITED | os.WNOWAIT)"
    )
    cost = measure([[sys.executable, "-c", script]], tmp_path / "log")
    assert cost.seconds >= 1 and 0.7 < cost.cpu < 2 and 200 < cost.peak < 400


def test_a_command_that_fails_ends_the_suite(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="ended with 3"):
        measure([[sys.executable, "-c", "raise SystemExit(3)"]], tmp_path / "log")


def test_the_peers_read_all_events(folder: Path, tmp_path: Path) -> None:
    """Per-line Python and Polars bring every good line to Parquet."""
    files = sorted((folder / f"lake-{EVENTS}/raw/purchases").rglob("*.ndjson"))
    assert python(files, tmp_path) == polars(files, tmp_path) == EVENTS


def test_a_wrong_result_has_no_time(folder: Path, tmp_path: Path) -> None:
    """Gold that differs from the answer key in one cent of one day is named, and not timed."""
    key = suite.expected(folder, EVENTS)
    assert sum(key.values()) > 0 and not suite.compared(key, folder, EVENTS)
    cell = min(key)
    assert suite.compared(key | {cell: key[cell] + Decimal("0.01")}, folder, EVENTS)
    assert suite.compared({c: net for c, net in key.items() if c != cell}, folder, EVENTS)
    way = suite.Way("off", lambda work, events: [["true"]], lambda work, events: "wrong")
    result = suite.contest([way], folder, EVENTS, 2, tmp_path / "log")["off"]
    assert result["wrong"] == "wrong" and result["costs"] == []


def test_events_that_break_the_contract_are_no_events(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made/raw.ndjson").write_text('{"event_id":"a"}\n')
    assert suite.made_is_wrong(tmp_path, 1) == "only 0 of 1 events keep the contract"


def test_the_page_says_what_was_measured() -> None:
    """docs/benchmarks.md is what the stored results render to, and its plots show their ways."""
    results = json.loads(page.RESULTS.read_text())
    assert page.PAGE.read_text() == page.rendered(results)
    for contest in ("path", "generator"):
        plot = (page.ROOT / f"docs/images/benchmarks-{contest}.svg").read_text()
        assert "prefers-color-scheme:dark" in plot
        for name, way in results[contest].items():
            assert (f">{name}<" in plot) == (not way["wrong"])


def test_a_way_with_a_wrong_result_stands_on_the_page_without_a_figure() -> None:
    """The others have their medians, and how many times ours they take."""
    cost = {"seconds": 2.0, "cpu": 3.0, "peak": 100.0}
    good = {"events": 10, "costs": [cost, cost | {"seconds": 4.0}], "wrong": ""}
    results = {"events": 10, "rounds": 2, "made": "", "machine": "", "versions": {}}
    ways = {page.OURS: good | {"costs": [cost]}, page.DLT: good}
    wrong = {page.SPARK: good | {"wrong": "wrong in 3 of 90 days and currencies", "costs": []}}
    text = page.rendered(results | {"path": ways | wrong, "generator": {"Faker": good}})
    assert f"| {page.DLT} | 3.0 s | 2.0 to 4.0 s | 1.5 | 3.0 s | 100 MiB |" in text
    assert f"| {page.SPARK} | wrong in 3 of 90 days and currencies | – | – | – | – |" in text
