"""Fixtures that many tests share: a home brought to gold once, and the command line as a
function."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from xdist.scheduler import LoadScopeScheduling

from medallion.cli import main
from medallion.platforms.local import LocalLake
from medallion.simulation import SimulationOptions, simulate

ROOT = Path(__file__).parents[1]
ENDLESS = "SELECT sum(range % 7) FROM range(1000000000000000)"
"""A query that takes time, and no memory."""
Cli = Callable[..., Result]


def pytest_collection_finish() -> None:
    """Leave the thousands of tests out of every search for unreachable objects."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI a skipped test is a failure: nothing may pass unseen."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the counts that tests recorded with `record_property`, summed up by name."""
    figures: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                figures.update(dict(report.user_properties))
    for name, count in figures.items():
        terminalreporter.write_line(f"{name}: {count:,}")


LONG = (
    "infra",
    "tests/glue/test_glue_job.py",
    "tests/snowflake/test_two_homes.py",
    "tests/test_crashes.py",
    "tests/test_forget_s3.py",
    "tests/snowflake/test_command_line.py",
    "tests/snowflake/test_runbook.py",
    "conformance",
    "tests/glue/test_bronze_cluster.py",
    "tests/snowflake/test_arrivals.py",
    "tests/dbt/test_orders_of_arrival.py",
    "tests/dbt/test_retail_marts.py",
    "tests/dbt/test_dbt_project.py",
    "tests/test_dashboard.py",
    "tests/test_forget.py",
    "tests/test_rebuild.py",
    "tests/test_end_to_end.py",
    "tests/snowflake/test_alerts.py",
    "tests/snowflake/test_account.py",
    "tests/test_complete_journey.py",
    "tests/test_page.py",
    "tests/snowflake/test_grants.py",
    "tests/test_live.py",
    "tests/bi/test_numbers.py",
)
"""What takes longest comes first: who comes to its end last has little left, and nobody waits."""


class ByFixtures(LoadScopeScheduling):
    """With several workers, tests that share a costly fixture run on one of them: those of a file,
    and those of a folder that shares Spark or the applied infrastructure."""

    def _split_scope(self, nodeid: str) -> str:
        return _scope(nodeid)


def _scope(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    folder = Path(file).parts[1]
    return folder if folder in ("conformance", "infra") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFixtures:
    """The scheduler of `--numprocesses`."""
    config.option.loadscopereorder = False  # which would put files of few tests last, long or not
    return ByFixtures(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put what takes longest first, where several workers share the tests."""
    if hasattr(config, "workerinput"):
        places = {scope: place for place, scope in enumerate(LONG)}
        items.sort(key=lambda item: places.get(_scope(item.nodeid), len(LONG)))


@pytest.fixture(scope="session")
def cli() -> Cli:
    """Runs `medallion ARGUMENTS --home HOME` in this process."""

    def run(home: Path, *arguments: str) -> Result:
        return CliRunner().invoke(main, [*arguments, "--home", str(home)])

    return run


@pytest.fixture(scope="session")
def query(cli: Cli) -> Callable[[Path, str], list[dict[str, Any]]]:
    """The rows of a query, as `medallion query --json` prints them."""

    def run(home: Path, sql: str) -> list[dict[str, Any]]:
        result = cli(home, "query", sql, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return run


def medallion(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """The command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "medallion.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Path:
    """A home with 6,000 simulated events, 8 % of them with a fault, in gold. Never changed. Its
    history ends at the last 20:00 UTC, so that this day is well under way at any hour. An event
    that was dated a day ahead may by now be the only one of a newer day."""
    home = tmp_path_factory.mktemp("built")
    evening = datetime.now(UTC).replace(hour=20, minute=0, second=0, microsecond=0)
    if evening > datetime.now(UTC):
        evening -= timedelta(days=1)
    options = SimulationOptions(events=6000, faults=0.08, seed=3, targets=True)
    simulate(LocalLake(home), options, answers=home / "answer_key", now=lambda: evening)
    result = cli(home, "run", "--events", "0")
    assert result.exit_code == 0, result.output
    return home


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    """A copy of the built home that a test may damage."""
    return Path(shutil.copytree(built, tmp_path / "home"))


def drop(home: Path, name: str, *lines: str | bytes) -> Path:
    """Puts a raw file into a home, as any producer might."""
    path = home / "raw" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = [line if isinstance(line, bytes) else line.encode() for line in lines]
    path.write_bytes(b"".join(line + b"\n" for line in encoded))
    return path


def event(**changes: Any) -> str:
    """A valid purchase as one line of JSON, with fields changed or (by ...) left out."""
    fields = {
        "event_id": "e1",
        "ts": "2026-03-01T10:00:00.000Z",
        "store_id": "S1",
        "product_id": "P1",
        "price": 2.5,
        "quantity": 2,
        "total_amount": 5.0,
    } | changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...})
