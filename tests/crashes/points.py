"""Every change that a command makes to a home, and what it leaves when it is stopped there.

A scenario brings a home to where a command begins, lets that command fail at one of its changes,
and goes on with sound commands. In the end every relation must be what it is without the failure.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import duckdb

from tests.conftest import ROOT, drop, event
from tests.crashes.power import Disk, Tree, is_scratch, lasting, restore, stands
from tests.crashes.steps import AGE, COLLECT, COMPACT, MICRO_BATCH, acknowledgements
from tests.environments import made
from tests.test_collect import stored as stored_lines

KILLED, TORN, IO_ERROR, FULL, CUT, NAMED = "k", "s", "i", "f", "p", "n"
WORDS = {
    KILLED: "killed",
    TORN: "torn write",
    IO_ERROR: "I/O error",
    FULL: "full disk",
    CUT: "power cut",
    NAMED: "power cut, names are kept",
}
SHIM = Path(__file__).with_name("shim.c")
ID = "C-1001"
RUN = ["run", "--events", "0"]
FORGET, RESUME = ["forget", "--customer", ID], ["forget", "--resume"]
RETAIN = ["retain", "--raw", "1d", "--bronze", "1d"]
MENDED = "price=replace(price, ',', '.')"
REPLAY = ["quarantine", "replay", "--reason", "bad_price", "--set", MENDED, "--send"]
OF_THE_LOAD = "_seq$|_at$|^(bronze_file|outputs|seconds|as_of)$"
"""Columns that tell when and under which name rows were taken in."""
NOT_COMPARED = ("staging.loads", "staging.superseded", "marts.data_quality")
"""Relations that tell of loads, and not of what was loaded."""


@dataclass(frozen=True)
class Scenario:
    """A command that may be stopped anywhere.

    Attributes:
        before: the commands that prepare the home.
        step: the command that is stopped.
        after: the commands that make good; each must end with 0.
    """

    name: str
    before: Sequence[list[str]]
    step: list[str]
    after: Sequence[list[str]]


SCENARIOS = (
    Scenario("clean", [], ["clean"], [["clean"], ["load"]]),
    Scenario("load", [["clean"]], ["load"], [["load"]]),
    Scenario("run", [], RUN, [RUN]),
    Scenario("micro-batch", [RUN], [MICRO_BATCH], [RUN]),
    Scenario("compact", [["clean"], ["load"]], COMPACT, [COMPACT, ["load"], ["audit"]]),
    Scenario("retain", [RUN, COMPACT], RETAIN, [RETAIN, RUN]),
    Scenario("forget", [RUN], FORGET, [RESUME, RUN, FORGET]),
    Scenario("rebuild", [RUN], ["rebuild"], [RUN]),
    Scenario("upgrade", [RUN, [AGE]], ["rebuild"], [["rebuild"], RUN]),
    Scenario("replay", [RUN], REPLAY, [REPLAY, RUN]),
    Scenario("collect", [], [COLLECT], [[COLLECT], ["clean"], ["load"]]),
)


@dataclass(frozen=True)
class Point:
    """A change of a scenario's command, and how it fails."""

    scenario: str
    number: int
    fault: str
    kind: str = ""
    path: str = ""

    def __str__(self) -> str:
        return f"{self.scenario} {self.number} ({self.kind} {self.path}): {WORDS[self.fault]}"


@dataclass(frozen=True)
class Outcome:
    """How a process ended, what it said, and how many changes it made if it was not killed."""

    code: int
    said: str
    changes: int = 0


class Processes:
    """Starts commands on homes, each with a disk that fails as asked."""

    def __init__(self, server: subprocess.Popen[str], folder: Path) -> None:
        self._server, self._output = server, folder / "output"
        self._folder, self._starts = folder, dict[str, Path]()
        self._pipes = [folder / "reports", folder / "leaves"]
        for pipe in self._pipes:
            os.mkfifo(pipe)

    def start(self, before: Sequence[list[str]]) -> Path:
        """Return the home that commands have prepared; it is made once, and never changed."""
        name = repr(before)
        if name not in self._starts:
            home = self._folder / f"start-{len(before)}-{len(self._starts)}"
            if before:
                shutil.copytree(self.start(before[:-1]), home, symlinks=True)
                outcome = self.do(before[-1], home)
                assert outcome.code == 0, outcome.said
            else:
                arrive(home)
            self._starts[name] = home
        return self._starts[name]

    def do(
        self,
        step: list[str],
        home: Path,
        number: int = 0,
        fault: str = KILLED,
        watch: Callable[[str], None] | None = None,
    ) -> Outcome:
        """Do one step to its end; call `watch` with a line before each of its changes."""
        request = {"step": step, "home": str(home), "number": number, "fault": fault}
        request |= {"output": str(self._output), "pipes": [*map(str, self._pipes)] if watch else []}
        assert self._server.stdin and self._server.stdout
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        if watch:
            reports, leaves = self._pipes
            with reports.open() as lines, leaves.open("wb", buffering=0) as leave:
                for line in lines:
                    watch(line.rstrip("\n"))
                    leave.write(b"\n")
        status, changes = map(int, self._server.stdout.readline().split())
        code = os.waitstatus_to_exitcode(status)
        return Outcome(code, self._output.read_text(errors="replace"), changes)


@contextmanager
def processes(folder: Path) -> Iterator[Processes]:
    """Start the server of forks with the shim, which needs a C compiler."""
    path = os.pathsep.join(map(str, (ROOT, ROOT / "src")))
    environment = os.environ | {"LD_PRELOAD": str(preloadable(SHIM)), "PYTHONPATH": path}
    # What killed forks leave of their semaphores is removed in the end, with a warning.
    environment["PYTHONWARNINGS"] = "ignore::UserWarning:multiprocessing.resource_tracker"
    command = [sys.executable, "-m", "tests.crashes.server"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as server:
        yield Processes(server, folder)
        assert server.stdin
        server.stdin.close()


def compiler() -> str | None:
    """Return the C compiler of this machine."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def preloadable(source: Path) -> Path:
    """Return the library that a C file becomes."""

    def compile(folder: Path) -> None:
        options = ["-shared", "-fPIC", "-O1", "-o", folder / "preload.so", source, "-ldl"]
        subprocess.run([compiler() or "cc", *options], check=True)

    return made(f"preload-{source.stem}", source.read_bytes(), compile) / "preload.so"


def arrive(home: Path) -> None:
    """Write the raw objects that all scenarios begin with."""
    lines = [
        event(event_id=f"e{n}", ts=f"2026-03-0{1 + n % 2}T10:00:00Z", customer_id=f"C-{n % 3}")
        for n in range(6)
    ]
    own = event(event_id="own", customer_id=ID)
    drop(home, "purchases/a.ndjson", *lines, own, event(event_id="dear", price="2,5"), "no json")
    drop(home, "purchases/b.ndjson", event(event_id="e1"), event(event_id="b"), own)
    drop(home, "stores/s.ndjson", '{"store_id": "S1", "ts": "2026-01-01T00:00:00Z"}')
    for number, path in enumerate(sorted((home / "raw").rglob("*.ndjson"))):
        os.utime(path, (1_790_000_000 + number * 86_400,) * 2)


Left = tuple[bytes, bytes]
"""What a command leaves for the next one: the digest of its home, and the acknowledgements."""


class Trial:
    """A scenario: its prepared home, its changes, and what comes of it without a failure."""

    def __init__(self, scenario: Scenario, folder: Path, run: Processes) -> None:
        self.scenario, self._folder, self._run = scenario, folder / scenario.name, run
        self._folder.mkdir()
        self._start = run.start(scenario.before)
        self.changes = list[list[str]]()
        self._left, self._answers = list[bytes](), dict[Left, str]()
        home = self._copy("sound")
        self._disk, self._watched = Disk(home), home
        outcome = run.do(scenario.step, home, watch=self._note)
        assert outcome.code == 0, outcome.said
        wrong = self._finished(home)
        assert not wrong, wrong
        self._sound = facts(home)
        shutil.rmtree(home)
        acknowledgements(home).unlink(missing_ok=True)

    def _note(self, line: str) -> None:
        kind, grows, path = line.split("\t")
        self.changes.append([kind, grows, path])
        self._disk.change(kind, path)
        self._left.append(lasting(stands(self._watched)))

    def points(self) -> Iterator[Point]:
        """Yield every way in which every change can fail."""
        for number, (kind, grows, path) in enumerate(self.changes, 1):
            faults = [IO_ERROR, CUT, NAMED]
            # A flush changes nothing that a killed process leaves: the next point is the same.
            if kind != "fsync" or number == len(self.changes):
                faults.append(KILLED)
            if grows == "1":
                faults.append(FULL)
            if kind == "write":
                faults.append(TORN)
            for fault in faults:
                yield Point(self.scenario.name, number, fault, kind, path)

    def violation(self, point: Point) -> str:
        """Let the command fail at a point and make good; return what is wrong, or nothing.

        Sound commands go on once from all points that leave the same for them.
        """
        left = self._foreseen(point)
        if left and left in self._answers:
            return self._answers[left]
        home = self._folder / "faulty"
        try:
            failed = self._failed(point, home)
            wrong = complaint(point, failed) or self._consequence(home)
        finally:
            shutil.rmtree(home)
            acknowledgements(home).unlink(missing_ok=True)
        if wrong:
            wrong += f"\n{failed.said}"
        elif left:
            self._answers[left] = wrong
        return wrong

    def _foreseen(self, point: Point) -> Left | None:
        """Return what a point leaves for the next command, if that is known before it is tried."""
        if point.fault in (CUT, NAMED):
            left = lasting(self._tree(point))
        elif point.fault == KILLED or (point.fault == TORN and is_scratch(point.path)):
            left = self._left[point.number - 1]
        else:
            return None
        return left, self._disk.acknowledged[point.number - 1]

    def _tree(self, point: Point) -> Tree:
        """Return what a power cut leaves."""
        trees = self._disk.strict if point.fault == CUT else self._disk.named
        return trees[point.number - 1]

    def _consequence(self, home: Path) -> str:
        """Go on with a home in which a command has failed; return what is wrong, or nothing."""
        acknowledged = acknowledgements(home)
        left = lasting(stands(home)), acknowledged.read_bytes() if acknowledged.exists() else b""
        if left not in self._answers:
            wrong = lost(home) or self._finished(home)
            if not wrong and (other := differences(self._sound, facts(home))):
                wrong = f"other values in {', '.join(other)}"
            self._answers[left] = wrong
        return self._answers[left]

    def _failed(self, point: Point, home: Path) -> Outcome:
        """Bring a home to where the command has failed at a point."""
        if point.fault in (CUT, NAMED):
            restore(self._tree(point), home)
            if acknowledged := self._disk.acknowledged[point.number - 1]:
                acknowledgements(home).write_bytes(acknowledged)
            return Outcome(-signal.SIGKILL, "")
        self._copy(home.name)
        return self._run.do(self.scenario.step, home, point.number, point.fault)

    def _finished(self, home: Path) -> str:
        """Go on after the step; return what is wrong, or nothing."""
        for step in self.scenario.after:
            if step == RESUME and not (home / ".forget.json").exists():
                step = FORGET
            outcome = self._run.do(step, home)
            is_forgotten = step == FORGET and "no customer" in outcome.said
            if outcome.code != 0 and not is_forgotten:
                return f"{' '.join(step)} ends with {outcome.code}:\n{outcome.said}"
        if self.scenario.after[-1] == FORGET and not is_forgotten:
            return f"the id was still there:\n{outcome.said}"
        if RUN in self.scenario.after[:-1]:  # As the last command it has made an audit.
            outcome = self._run.do(["audit"], home)
            if outcome.code != 0:
                return f"the audit does not hold:\n{outcome.said}"
        leftovers = [
            p.name for p in home.rglob("*") if re.search(r"\.tmp$|^\.(rebuild|forget)", p.name)
        ]
        return f"left behind: {leftovers}" if leftovers else ""

    def _copy(self, name: str) -> Path:
        return Path(shutil.copytree(self._start, self._folder / name, symlinks=True))


def complaint(point: Point, outcome: Outcome) -> str:
    """Return what is wrong with how a command ended that failed at a point."""
    if 0 < outcome.changes < point.number and outcome.code == 0:
        return ""  # Threads of DuckDB write now in more pieces, now in fewer: it was not reached.
    if point.fault in (KILLED, TORN, CUT, NAMED):
        return "" if outcome.code == -signal.SIGKILL else f"it went on, exit {outcome.code}"
    if outcome.code not in (0, 1, 2):
        return f"exit {outcome.code}"
    if "Traceback" in outcome.said:
        return "a traceback"
    errors = [line for line in outcome.said.splitlines() if line.startswith("error:")]
    if outcome.code == 2 and len(errors) != 1:
        return "exit 2 without one line that says why"
    return ""


def lost(home: Path) -> str:
    """Return which events were acknowledged and are not in raw/, or nothing."""
    if not acknowledgements(home).exists():
        return ""
    promised = set(acknowledgements(home).read_text().split())
    stored = {json.loads(line)["event_id"] for line in stored_lines(home)}
    return f"acknowledged and lost: {promised - stored}" if promised - stored else ""


def facts(home: Path) -> dict[str, str]:
    """Return a digest of every relation, without what belongs to the load."""
    digests = {}
    # How a collector puts requests into objects is a matter of time.
    left_out = OF_THE_LOAD + "|^source_" * acknowledgements(home).exists()
    # A pseudonym is another one each time, and so are the bytes that hold it.
    left_out += "|^checksum$" * (home / "erasures").exists()
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as db:
        names = db.execute(
            "SELECT schema_name || '.' || table_name FROM duckdb_tables() UNION ALL "
            "SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal"
        ).fetchall()
        for (name,) in sorted(names):
            if name.startswith(("ops.", "main.")) or name in NOT_COMPARED:
                continue
            answer = db.execute(
                f"SELECT COLUMNS(lambda c: NOT regexp_matches(c, '{left_out}')) FROM {name}"
            )
            rows = sorted(
                re.sub("forgotten-[0-9a-f]+", "forgotten", str(r)) for r in answer.fetchall()
            )
            digests[name] = hashlib.sha256("\n".join(rows).encode()).hexdigest()
    return digests


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Return the names of relations that are not the same."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def sample(points: Sequence[Point], count: int, chance: Random) -> list[Point]:
    """Return points drawn at random, about as many of each fault."""
    chosen = []
    kinds = [fault for fault in WORDS if any(p.fault == fault for p in points)]
    chance.shuffle(kinds)
    for number, fault in enumerate(kinds):
        of_kind = [p for p in points if p.fault == fault]
        share = (count + number) // len(kinds)
        chosen += chance.sample(of_kind, min(share, len(of_kind)))
    return chosen
