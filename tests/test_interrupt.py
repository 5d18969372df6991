"""Ctrl-C: every verb ends at once, with one line and exit code 130, and goes on next time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ENDLESS, ROOT, Cli, drop, event
from tests.processes import free_port

MOST_SECONDS = 3


def interrupted(
    home: Path, *arguments: str, when: Callable[[subprocess.Popen[str]], bool], number: int = 2
) -> tuple[int, str, str]:
    """Start a verb, send its process group a signal as soon as `when` says so, as a terminal does,
    and return exit code and output."""
    process = subprocess.Popen(
        [sys.executable, "-m", "medallion.cli", *arguments, "--home", str(home)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not when(process):
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()
            time.sleep(0.01)
        started = time.monotonic()
        os.killpg(process.pid, number)
        output, errors = process.communicate(timeout=30)
        assert time.monotonic() - started < MOST_SECONDS
    finally:
        process.kill()
    return process.returncode, output, errors


def after(seconds: float) -> Callable[[subprocess.Popen[str]], bool]:
    """A moment after the start."""
    end = time.monotonic() + seconds
    return lambda _: time.monotonic() > end


def once(path: Path) -> Callable[[subprocess.Popen[str]], bool]:
    """The moment at which a file or folder is there."""
    return lambda _: path.exists()


def built(home: Path, cli: Cli, events: int) -> Path:
    """The home, with an event of the customer C1 and so many simulated ones in gold."""
    drop(home, "a.json", event(customer_id="C1"))
    assert cli(home, "run", "--events", str(events)).exit_code == 0
    return home


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Path:
    """A home of one event. Never changed."""
    return built(tmp_path_factory.mktemp("small"), cli, events=0)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Path:
    """A home in which a build takes some seconds. Never changed."""
    return built(tmp_path_factory.mktemp("shop"), cli, events=100_000)


def assert_one_line(outcome: tuple[int, str, str]) -> None:
    code, output, errors = outcome
    assert code == 130, output + errors
    assert errors.startswith("stopped") and errors.count("\n") == 1, errors
    assert "Traceback" not in output


@pytest.mark.parametrize(
    "arguments",
    [
        ("query", ENDLESS),
        ("query", "SELECT * FROM range(1000000000000)", "--csv"),
        ("transform", "--full-refresh"),
        ("rebuild",),
        ("forget", "--customer", "C1"),
        ("import", "complete-journey"),
        ("simulate", "--rate", "500"),
        ("simulate", "--events", "30000000"),
        ("up", "--no-dashboard"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("seconds", [0.25, 1.2])
def test_ctrl_c_ends_a_verb_at_once(
    shop: Path, tmp_path: Path, arguments: tuple[str, ...], seconds: float
) -> None:
    """While it starts, and while it works."""
    home = Path(shutil.copytree(shop, tmp_path / "home"))
    assert_one_line(interrupted(home, *arguments, when=after(seconds)))


def test_the_dashboard_ends_with_its_server(small: Path) -> None:
    """Neither of the two complains, and the port is free again."""
    port = str(free_port())
    for seconds in (1.0, 4.0):
        outcome = interrupted(small, "dashboard", "--port", port, when=after(seconds))
        assert_one_line(outcome)


def test_an_export_that_is_interrupted_leaves_nothing(small: Path, tmp_path: Path) -> None:
    """Neither the folder nor what was on its way to it, which would lie among somebody's files."""
    outcome = interrupted(
        small, "export", str(tmp_path / "out"), when=lambda _: any(tmp_path.glob(".out.*/*"))
    )
    assert_one_line(outcome)
    assert not list(tmp_path.iterdir())


def test_a_run_that_was_interrupted_goes_on(small: Path, tmp_path: Path, cli: Cli) -> None:
    """Between its stages: what is there stays, and the next run makes the rest."""
    home = Path(shutil.copytree(small, tmp_path / "home"))
    before = set((home / "bronze/receipts").iterdir())
    for moment in (
        lambda _: set((home / "bronze/receipts").iterdir()) != before,
        1.2,
        1.8,
    ):
        when = after(moment) if isinstance(moment, float) else moment
        assert_one_line(interrupted(home, "run", "--events", "100000", when=when))
    for verb in (("run", "--events", "0"), ("audit",)):
        result = cli(home, *verb)
        assert result.exit_code == 0, result.output


def test_workers_of_the_cleaner_end_too(tmp_path: Path, cli: Cli) -> None:
    """Two processes clean beside each other: none prints a traceback, none stays."""
    lines = [event(event_id=f"e{n}", note="x" * 200) for n in range(80_000)]
    for name in "abc":
        drop(tmp_path, f"{name}.json", *(line.replace("e", name, 1) for line in lines))
    outcome = interrupted(tmp_path, "clean", when=once(tmp_path / ".scratch"))
    assert_one_line(outcome)
    assert_one_line(interrupted(tmp_path, "clean", when=once(tmp_path / "bronze" / "receipts")))
    assert cli(tmp_path, "clean").exit_code == 0


def test_a_worker_never_hears_ctrl_c() -> None:
    """Whatever it is at, also while it starts: its parent ends it."""
    script = (
        "import signal\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from multiprocessing import get_context\n"
        "from medallion.process import ending_on_signals\n"
        "if __name__ == '__main__':\n"
        "    with ending_on_signals():\n"
        "        with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:\n"
        "            blocked = pool.submit(signal.pthread_sigmask, signal.SIG_BLOCK, ()).result()\n"
        "    print(signal.SIGINT in blocked, signal.SIGTERM in blocked)\n"
        "    print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "True False\nset()\n", done.stderr


def test_sigterm_ends_a_stream_as_a_service(small: Path, tmp_path: Path) -> None:
    """Exit code 0 for what runs until somebody stops it, 143 for work that was not done."""
    home = Path(shutil.copytree(small, tmp_path / "home"))
    for arguments, code in (
        (("up", "--no-dashboard"), 0),
        (("query", ENDLESS), 128 + signal.SIGTERM),
    ):
        outcome = interrupted(home, *arguments, when=after(2), number=signal.SIGTERM)
        assert outcome[0] == code and outcome[2].count("\n") == 1, outcome


LACKING_NUMPY = """
import runpy, sys
sys.modules["numpy"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_the_owners_script_takes_the_projects_python(tmp_path: Path) -> None:
    """Started by a Python without the requirements, or without some; and where there is no .venv it
    says so."""
    (project := tmp_path / "project/src").mkdir(parents=True)
    shutil.copy(ROOT / "src/generate_events.py", project)
    script = ["generate_events.py", "--events", "10", "--home", str(tmp_path / "home")]
    command = [os.path.realpath(sys.executable), "-S", *script]
    lacking = [sys.executable, "-c", LACKING_NUMPY, *script]
    for python in (command, lacking):
        refused = subprocess.run(python, cwd=project, capture_output=True, text=True)
        assert refused.returncode == 1 and "make setup" in refused.stderr, refused
        assert refused.stderr.count("\n") == 1
    python = tmp_path / "project/.venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0 and "10 events" in done.stdout, done.stderr
    assert list((tmp_path / "home/raw/purchases").rglob("*.zst"))
