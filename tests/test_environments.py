"""What the tests make once is made once, however many ask and whatever was killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

import environments
from environments import made


def slowly(folder: Path) -> None:
    with (folder / "log").open("a") as log:
        log.write("begun\n")
    time.sleep(0.5)
    with (folder / "log").open("a") as log:
        log.write("done\n")


def ask(build: Path) -> None:
    environments.BUILD = build
    made("thing", b"1", slowly)


def started(build: Path) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=ask, args=(build,))
    process.start()
    return process


def test_several_who_ask_at_once_get_one(tmp_path: Path) -> None:
    """One makes it, the others wait until it is whole."""
    asking = [started(tmp_path) for _ in range(4)]
    for process in asking:
        process.join(30)
    assert [process.exitcode for process in asking] == [0] * 4
    (log,) = tmp_path.glob("thing-*/log")
    assert log.read_text() == "begun\ndone\n"


def test_what_a_killed_one_left_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing half made is ever taken, and nobody waits for the dead."""
    process = started(tmp_path)
    while not list(tmp_path.glob("thing-*/log")):
        time.sleep(0.01)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join(30)
    monkeypatch.setattr(environments, "BUILD", tmp_path)
    folder = made("thing", b"1", slowly)
    assert (folder / "log").read_text() == "begun\ndone\n"


def test_other_sources_make_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is there stays as it is."""
    monkeypatch.setattr(environments, "BUILD", tmp_path)
    one, other = (made("thing", source, Path.is_dir) for source in (b"1", b"2"))
    assert one != other and made("thing", b"1", slowly) == one
    assert not (one / "log").exists()
