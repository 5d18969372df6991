"""Things that the tests make once are made only once, with any number of users and after any
kill."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from tests import environments
from tests.environments import made


def slowly(folder: Path) -> None:
    with (folder / "log").open("a") as log:
        log.write("begun\n")
    time.sleep(0.5)
    with (folder / "log").open("a") as log:
        log.write("done\n")


@pytest.fixture(autouse=True)
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make everything in the folder of the test, in its child processes too."""
    monkeypatch.setattr(environments, "BUILD", tmp_path)


def started() -> multiprocessing.process.BaseProcess:
    asking = multiprocessing.get_context("fork").Process(target=made, args=("thing", b"1", slowly))
    asking.start()
    return asking


def test_several_who_ask_at_once_get_one(tmp_path: Path) -> None:
    """One makes it, the others wait until it is whole."""
    asking = [started() for _ in range(4)]
    for process in asking:
        process.join(30)
    assert [process.exitcode for process in asking] == [0] * 4
    (log,) = tmp_path.glob("thing-*/log")
    assert log.read_text() == "begun\ndone\n"


def test_what_a_killed_one_left_is_made_again(tmp_path: Path) -> None:
    """Nothing half made is ever taken, and nobody waits for the dead."""
    process = started()
    while not list(tmp_path.glob("thing-*/log")):
        time.sleep(0.01)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join(30)
    folder = made("thing", b"1", slowly)
    assert (folder / "log").read_text() == "begun\ndone\n"


def test_other_sources_make_another() -> None:
    """And what is there stays as it is."""
    one, other = (made("thing", source, Path.is_dir) for source in (b"1", b"2"))
    assert one != other and made("thing", b"1", slowly) == one
    assert not (one / "log").exists()
