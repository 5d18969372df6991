"""The same raw objects cleaned on the laptop and by the Glue job on a Spark cluster of two workers:
`python -m benchmarks.two_engines FOLDER [--events N | --complete-journey] [--local] [--slope]`.

Prints the seconds of both, the tasks of each executor, the files that the job published, and how
many rows differ; exit 1 when one does. With --slope the job cleans the same objects three times
over, too, and what a further line costs it is printed. FOLDER must be new; what was made stays
there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.glue.cluster import cluster, executors_of_tasks
from tests.glue.harness import Glue, build_package, stub_jar
from tests.glue.lakes import differences

MEDALLION = Path(sys.executable).parent / "medallion"
USUAL_JAVA = {f"spark.{process}.extraJavaOptions": "" for process in ("driver", "executor")}
"""The tests do without Java's optimising compiler, because their jobs are short."""


def main() -> int:
    """Runs the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--faults", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--complete-journey", action="store_true")
    parser.add_argument("--local", action="store_true", help="Spark as one process of two threads.")
    parser.add_argument("--slope", action="store_true", help="The cost of a further line, too.")
    asked = parser.parse_args()
    laptop, lake = asked.folder.absolute() / "laptop", asked.folder.absolute() / "lake"
    laptop.mkdir(parents=True)
    source = ["import", "complete-journey"]
    if not asked.complete_journey:
        source = ["simulate", "--events", asked.events, "--faults", asked.faults]
        source += ["--seed", asked.seed]
    medallion(*source, "--home", laptop)
    lake.mkdir()
    subprocess.run(["cp", "-al", laptop / "raw", lake / "raw"], check=True)
    report("laptop, two threads", lambda: medallion("clean", "--home", laptop))
    glue = Glue(stub_jar(), build_package(asked.folder), asked.folder)
    once = clean_there(glue, lake, asked.local)
    if asked.slope:
        thrice = asked.folder.absolute() / "thrice"
        for copy in range(3):
            for path in (lake / "raw").rglob("*.*"):
                target = thrice / path.relative_to(lake).with_name(f"{copy}-{path.name}")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.hardlink_to(path)
        further = clean_there(glue, thrice, asked.local) - once
        print(f"a further line: {further / lines_of(lake) / 2 * 1e6:.1f} microseconds of CPU")
    published = sorted((lake / "bronze").rglob("*.parquet"))
    largest = max(path.stat().st_size for path in published)
    print(f"published: {len(published)} objects, the largest of {largest / 2**20:.1f} MiB")
    found = differences(laptop, lake)
    print(f"differences: {len(found)}", *found, sep="\n  ")
    return bool(found)


def clean_there(glue: Glue, lake: Path, is_local: bool) -> float:
    """The job on a lake; its CPU seconds."""
    url, name = lake.as_uri(), lake.name
    if is_local:
        job = replace(glue, settings={"spark.driver.memory": "4g"} | USUAL_JAVA)
        told = f"Spark ({name}), one process, two threads"
        return report(told, lambda: job.submit(url).wait(7200))
    events = glue.logs.absolute() / f"events-{name}"
    events.mkdir()
    settings = {"spark.executor.memory": "1500m", "spark.executor.cores": "1"}
    settings |= {"spark.eventLog.enabled": "true", "spark.eventLog.dir": events.as_uri()}
    settings |= USUAL_JAVA

    def run() -> None:
        """The job on one master and two workers of one core each."""
        with cluster(events) as master:
            replace(glue, master=master, settings=settings).submit(url).wait(7200)

    spent = report(f"Spark ({name}), two workers", run)
    for executor, tasks in sorted(executors_of_tasks(events).items()):
        print(f"executor {executor}: {tasks} tasks")
    return spent


def lines_of(lake: Path) -> int:
    """How many lines the receipts of a lake tell of."""
    receipts = pq.read_table(lake / "bronze" / "receipts", columns=["lines"])
    return int(pc.sum(receipts["lines"]).as_py())


def medallion(*arguments: object) -> None:
    """Runs the command line."""
    subprocess.run([MEDALLION, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def report(name: str, run: Callable[[], object]) -> float:
    """Prints the wall seconds of a run, and the CPU seconds of all processes below this one."""
    spent: dict[int, float] = {}
    ended = threading.Event()
    watch = threading.Thread(target=lambda: watch_tree(spent, ended))
    started = time.monotonic()
    watch.start()
    run()
    ended.set()
    watch.join()
    print(
        f"{name}: {time.monotonic() - started:.1f} s, CPU {sum(spent.values()):.1f} s", flush=True
    )
    return sum(spent.values())


def watch_tree(spent: dict[int, float], ended: threading.Event) -> None:
    """Keeps the CPU seconds of each process below this one, as they were last seen."""
    tree = {os.getpid()}
    while not ended.wait(0.1):
        for process in sorted(int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()):
            try:
                told = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(told[1]) in tree:
                tree.add(process)
                spent[process] = (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
