"""The freshness of a home: the states, the heartbeat, and the same words in every place."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from medallion.errors import SettingsError
from medallion.operations import freshness as rules
from medallion.operations.freshness import Clock, State, duration, freshness, freshness_of_home
from medallion.platforms.heartbeat import HEARTBEAT_FILE, Heartbeat, Runner, read_runner
from tests.conftest import ROOT, Cli, medallion
from tests.test_end_to_end import wait_for

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def before(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


ALIVE = Runner(1, before(0.5), before(0.2))


@pytest.mark.parametrize(
    ("last_batch", "runner", "state", "lamp"),
    [
        (2, ALIVE, State.STREAMING, "good"),
        (2, replace(ALIVE, stage="transform"), State.STREAMING, "good"),
        (59, ALIVE, State.STREAMING, "good"),
        (61, ALIVE, State.IDLE, ""),
        (61, replace(ALIVE, stage="clean"), State.IDLE, ""),
        (61, replace(ALIVE, stage="clean", stage_since=before(2)), State.CATCHING_UP, "late"),
        (2, replace(ALIVE, stage="transform", stage_since=before(11)), State.CATCHING_UP, "late"),
        (2, replace(ALIVE, stage="transform", stage_since=before(301)), State.STALLED, "bad"),
        (2, replace(ALIVE, beat_at=before(11)), State.STALLED, "bad"),
        (86_400, replace(ALIVE, beat_at=before(86_400)), State.STALLED, "bad"),
        (2, replace(ALIVE, beat_at=before(11), ended=True), State.IDLE, ""),
        (86_400, replace(ALIVE, beat_at=before(86_400), ended=True), State.IDLE, ""),
        (2, replace(ALIVE, error="disk full"), State.STALLED, "bad"),
        (None, ALIVE, State.IDLE, ""),
        (2, None, State.STREAMING, "good"),
        (86_400, None, State.IDLE, ""),
        (None, None, State.IDLE, ""),
    ],
)
def test_the_states(
    last_batch: float | None, runner: Runner | None, state: State, lamp: str
) -> None:
    """A run that ended is healthy however old it is; a runner that says nothing is not, however new
    its last batch."""
    clock = Clock(before(30), None if last_batch is None else before(last_batch))
    fresh = freshness(clock, runner, NOW)
    assert (fresh.state, fresh.state.lamp) == (state, lamp), fresh
    assert fresh.last_batch == last_batch and fresh.newest_event == 30


def test_an_age_is_of_now_and_never_below_zero() -> None:
    """The same snapshot is older a minute later; a clock that was put back makes nothing young."""
    clock = Clock(before(1), before(-5))
    assert freshness(clock, ALIVE, NOW).last_batch == 0
    assert freshness(clock, ALIVE, NOW + timedelta(minutes=1)).newest_event == 61
    assert "newest event –, last batch –" in str(freshness(Clock(), None, NOW))


def test_a_heartbeat_tells_of_a_stage_an_end_and_an_error(tmp_path: Path) -> None:
    """By a file that is whole at every moment."""
    assert read_runner(tmp_path) is None
    with Heartbeat(tmp_path) as heartbeat:
        heartbeat.at("clean")
        wait_for(lambda: (runner := read_runner(tmp_path)) and runner.stage == "clean", 10)
    ended = read_runner(tmp_path)
    assert ended and ended.ended and not ended.error
    with pytest.raises(OSError), Heartbeat(tmp_path):
        raise OSError("no space left\non this device")
    failed = read_runner(tmp_path)
    assert failed and failed.error == "no space left" and not failed.ended
    with pytest.raises(SettingsError), Heartbeat(tmp_path):
        raise SettingsError("no such model")
    refused = read_runner(tmp_path)
    assert refused and refused.ended and not refused.error
    (tmp_path / HEARTBEAT_FILE).write_text('{"process": 1')
    assert read_runner(tmp_path) is None


def test_status_says_how_fresh_a_home_is(built: Path, cli: Cli) -> None:
    """As of now, in the words of every other place: idle and healthy after a run that ended."""
    gold = json.loads(cli(built, "status", "--json").stdout)[-1]
    assert gold["note"].startswith("idle: the last run ended")
    shown = cli(built, "status").stdout
    fresh = freshness_of_home(built, datetime.now(UTC))
    assert "freshness  idle: " in shown and fresh.state is State.IDLE
    assert fresh.last_batch is not None and f"last batch {duration(fresh.last_batch)}"[:-4] in shown


def test_up_says_something_at_once_and_a_killed_one_is_stalled(tmp_path: Path) -> None:
    """Before anything is built, with the time in UTC; after kill -9 the home is not healthy."""
    process = medallion("up", "--no-dashboard", "--rate", "20", "--home", str(tmp_path))
    assert process.stdout
    line = process.stdout.readline()
    assert not (tmp_path / "gold").exists()
    assert re.match(r"\d\d:\d\d:\d\d UTC  starting", line), line
    wait_for(lambda: read_runner(tmp_path), 20)
    process.kill()
    process.communicate()
    fresh = freshness_of_home(tmp_path, datetime.now(UTC) + timedelta(seconds=rules.SILENT + 1))
    assert fresh.state is State.STALLED, fresh


def test_the_documentation_names_the_thresholds() -> None:
    """docs/operations.md has each state, its lamp and the seconds that the code goes by."""
    page = (ROOT / "docs" / "operations.md").read_text()
    rows = dict(re.findall(r"^\| \*\*([a-z ]+)\*\* \| (.+) \|$", page, re.MULTILINE))
    assert rows.keys() == {state.value for state in State}
    seconds = {
        State.STREAMING: (rules.QUIET,),
        State.IDLE: (rules.QUIET,),
        State.CATCHING_UP: (rules.BUSY,),
        State.STALLED: (rules.SILENT, rules.STUCK),
        State.GONE: (rules.GONE,),
    }
    colours = {"good": "green", "late": "amber", "bad": "red", "": "grey"}
    for state, bounds in seconds.items():
        assert [float(n) for n in re.findall(r"(\d+) s\b", rows[state])] == list(bounds), state
        assert rows[state].startswith(colours[state.lamp]), state
