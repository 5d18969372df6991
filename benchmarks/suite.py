"""The project beside its peers, on the same input: `make bench`, or

    python -m benchmarks.suite [--events 2000000] [--rounds 2] [--page]

All ways take turns, after one turn on little data that warms caches up. Every output is compared
with the answer key of the simulator: a way with a wrong result has no time. What was measured goes
to benchmarks/results.json, and from there to docs/benchmarks.md and its plots (--page: only that).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import page
from benchmarks.measuring import Cost, measure
from tests.environments import environment

HERE = Path(__file__).parent
APART = HERE / "apart"
OURS = Path(sys.executable).parent
WARM_UP = 20_000
FAKER_SHARE = 20
"""Faker writes one event of so many: it would take minutes."""

Net = dict[tuple[str, str], Decimal]
Command = Sequence[str | Path]


@dataclass(frozen=True)
class Way:
    """A way to do the work: its commands on a folder, and what of its output must be right.

    `check` returns what is wrong, or nothing. `share` is the part of the events that it is given.
    """

    name: str
    commands: Callable[[Path, int], Sequence[Command]]
    check: Callable[[Path, int], str]
    environ: Callable[[Path], Mapping[str, str]] = lambda folder: {}
    share: int = 1


@dataclass
class Measured:
    """What the rounds of a way have cost; `wrong` says why it has no time."""

    events: int
    costs: list[Cost] = field(default_factory=list)
    wrong: str = ""


def main() -> None:
    """Measure, and write the results and the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--page", action="store_true", help="only write the page again")
    asked = parser.parse_args()
    if not asked.page:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            results = run(Path(folder), asked.events, asked.rounds)
        page.RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    page.write(environment("bench-plots", APART / "plots.lock"))


def run(folder: Path, events: int, rounds: int) -> dict[str, Any]:
    """Return the results of both contests."""
    log = folder / "log"
    spark = environment("bench-spark", APART / "spark.lock")
    dlt = environment("bench-dlt", APART / "dlt.lock")
    try:
        contests = {
            "path": contest(paths(folder, spark, dlt), folder, events, rounds, log),
            "generator": contest(generators(spark), folder, events, rounds, log),
        }
    except SystemExit:
        print(log.read_text(encoding="utf-8")[-3_000:], file=sys.stderr)
        raise
    return {
        "made": f"{datetime.now(UTC):%Y-%m-%d}",
        "events": events,
        "rounds": rounds,
        "machine": machine(),
        "versions": versions(spark, "pyspark", "dbldatagen", "faker")
        | versions(dlt, "dlt", "dbt-core", "dbt-duckdb", "duckdb")
        | versions(OURS.parent, "retail-streaming-medallion", "polars", "pyarrow"),
        **contests,
    }


def contest(
    ways: Sequence[Way], folder: Path, events: int, rounds: int, log: Path
) -> dict[str, Any]:
    """Let all ways take turns: once on little data, then `rounds` times on all."""
    measured = {way.name: Measured(max(1, events // way.share)) for way in ways}
    for turn in range(rounds + 1):
        count = events if turn else min(events, WARM_UP)
        lake = simulated(folder / f"lake-{count}", count)
        for way in ways:
            result = measured[way.name]
            if result.wrong:
                continue
            work = folder / "work"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            shutil.copytree(lake / "raw", work / "raw", copy_function=os.link)
            asked = max(1, count // way.share)
            cost = measure(way.commands(work, asked), log, way.environ(work))
            result.wrong = way.check(work, asked)
            if turn and not result.wrong:
                result.costs.append(cost)
            outcome = result.wrong or f"{cost.seconds:.1f} s, CPU {cost.cpu:.1f} s"
            print(
                f"{'round ' + str(turn) if turn else 'warm-up'}  {way.name}: {outcome}", flush=True
            )
    return {name: asdict(result) for name, result in measured.items()}


def paths(folder: Path, spark: Path, dlt: Path) -> list[Way]:
    """Return the ways from raw events to the net sales of each day and currency."""

    def transform(bin: Path, purchases: str) -> Command:
        project = ["--project-dir", APART / "dbt", "--profiles-dir", APART / "dbt"]
        target = ["--target-path", folder / "target", "--log-path", folder / "logs"]
        return [
            bin / "dbt",
            "run",
            *project,
            *target,
            "--vars",
            json.dumps({"purchases": purchases}),
        ]

    def peer(name: str, bin: Path, clean: Callable[[Path], Command]) -> Way:
        def commands(work: Path, events: int) -> list[Command]:
            (work / "clean").mkdir()
            source = f"read_parquet('{work}/clean/**/*.parquet', hive_partitioning = false)"
            return [clean(work), transform(bin, source)]

        return Way(name, commands, peer_is_wrong(folder), warehouse)

    def loaded(name: str, reader: str) -> Way:
        def commands(work: Path, events: int) -> list[Command]:
            load = APART / "load_by_dlt.py"
            return [
                [dlt / "bin/python", load, work / "raw", work / "warehouse.duckdb", reader],
                transform(dlt / "bin", "raw.purchases"),
            ]

        return Way(name, commands, peer_is_wrong(folder), warehouse)

    def warehouse(work: Path) -> dict[str, str]:
        return {"PEER_WAREHOUSE": str(work / "warehouse.duckdb")}

    def lines(way: str) -> Callable[[Path], Command]:
        return lambda work: [
            sys.executable, "-m", "benchmarks.peers", way, work / "raw", work / "clean"
        ]  # fmt: skip

    def ours(*verbs: Sequence[str]) -> Callable[[Path, int], Sequence[Command]]:
        return lambda work, _: [[OURS / "medallion", *verb, "--home", work] for verb in verbs]

    def job(work: Path) -> Command:
        return [spark / "bin/python", APART / "clean_by_spark.py", work / "raw", work / "clean/job"]

    gold = ours(["clean"], ["load"], ["transform", "--select", "+gold"])
    return [
        Way(page.OURS, gold, ours_is_wrong(folder)),
        loaded(page.DLT, "lines"),
        peer(page.SPARK, spark / "bin", job),
        loaded("dlt, Arrow tables + dbt", "arrow"),
        peer("per-line Python + dbt", OURS, lines("python")),
        peer("Polars + dbt", OURS, lines("polars")),
        Way(page.WHOLE, ours(["run", "--events", "0"]), ours_is_wrong(folder)),
    ]


def generators(spark: Path) -> list[Way]:
    """Return the ways to make random purchases."""

    def simulate(*options: str) -> Callable[[Path, int], Sequence[Command]]:
        return lambda work, events: [
            [OURS / "medallion", "simulate", "--events", str(events), "--compression", "none",
             *options, "--home", work / "made"]
        ]  # fmt: skip

    def script(name: str, target: str) -> Callable[[Path, int], Sequence[Command]]:
        def commands(work: Path, events: int) -> Sequence[Command]:
            (work / "made").mkdir()
            path = work / "made" / target
            return [[spark / "bin/python", APART / name, str(events), path]]

        return commands

    return [
        Way(page.OUR_EVENTS, simulate(), made_is_wrong),
        Way(
            "medallion simulate --faults 0.05",
            simulate("--faults", "0.05"),
            partial(made_is_wrong, least=0.9),
        ),
        Way("dbldatagen", script("events_by_dbldatagen.py", "raw"), made_is_wrong),
        Way("Faker", script("events_by_faker.py", "raw.ndjson"), made_is_wrong, share=FAKER_SHARE),
    ]


def simulated(home: Path, events: int) -> Path:
    """Return a home with simulated purchases, the same whenever it is asked for."""
    if not home.exists():
        subprocess.run(
            [OURS / "medallion", "simulate", "--events", str(events), "--seed", "5",
             "--compression", "none", "--home", home],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    return home


def expected(folder: Path, events: int) -> Net:
    """Return the net sales that the answer key states."""
    (key,) = (folder / f"lake-{events}" / "answer_key").glob("*.json")
    currencies = json.loads(key.read_text(encoding="utf-8"))["currencies"]
    return {
        (day, code): Decimal(kinds["net"]["total_amount"])
        for day, codes in currencies.items()
        for code, kinds in codes.items()
    }


def peer_is_wrong(folder: Path) -> Callable[[Path, int], str]:
    """Return the check of a peer's gold."""

    def check(work: Path, events: int) -> str:
        with duckdb.connect(work / "warehouse.duckdb", read_only=True) as warehouse:
            rows = warehouse.execute("SELECT sales_date, currency, net_sales FROM gold").fetchall()
        return compared({(str(day), code): net for day, code, net in rows}, folder, events)

    return check


def ours_is_wrong(folder: Path) -> Callable[[Path, int], str]:
    """Return the check of the project's gold."""

    def check(work: Path, events: int) -> str:
        question = "SELECT sales_date, currency, net_sales FROM purchases_gold"
        command = [OURS / "medallion", "query", question, "--json", "--home", work]
        answer = subprocess.run(command, check=True, capture_output=True).stdout
        gold = {
            (row["sales_date"], row["currency"]): Decimal(row["net_sales"])
            for row in json.loads(answer)
        }
        return compared(gold, folder, events)

    return check


def compared(gold: Net, folder: Path, events: int) -> str:
    """Return how many days and currencies are wrong, or nothing."""
    key = expected(folder, events)
    wrong = [cell for cell in gold.keys() | key.keys() if gold.get(cell) != key.get(cell)]
    return f"wrong in {len(wrong)} of {len(key)} days and currencies" if wrong else ""


def made_is_wrong(work: Path, events: int, least: float = 1.0) -> str:
    """Return what is wrong when the cleaner accepts less than a share of the events."""
    home = work / "checked"
    (home / "raw").mkdir(parents=True)
    made = [p for p in (work / "made").rglob("*.*json") if "answer_key" not in p.parts]
    for number, path in enumerate(made):
        os.link(path, home / "raw" / f"{number}.ndjson")
    subprocess.run(
        [OURS / "medallion", "clean", "--home", home], check=True, stdout=subprocess.DEVNULL
    )
    receipts = pq.read_table(home / "bronze" / "receipts", columns=["accepted"])
    accepted = int(pc.sum(receipts["accepted"]).as_py() or 0)
    return (
        ""
        if accepted >= least * events
        else f"only {accepted:,} of {events:,} events keep the contract"
    )


def machine() -> str:
    """Return what it ran on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    names = [line.split(":")[1].strip() for line in info.splitlines() if "model name" in line]
    name = names[0] if names else platform.machine()
    cores = len(os.sched_getaffinity(0))
    python = f"Python {platform.python_version()}"
    return f"{cores} cores ({name}), {memory:.0f} GiB, {platform.system()}, {python}"


def versions(folder: Path, *packages: str) -> dict[str, str]:
    """Return the versions of packages in an environment."""
    script = (
        "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    )
    command = [folder / "bin/python", "-c", script, *packages]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(zip(packages, answer.split(), strict=True))


if __name__ == "__main__":
    main()
