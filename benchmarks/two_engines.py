"""The same raw objects cleaned on the laptop and by the Glue job on a Spark cluster of two workers:
`python benchmarks/two_engines.py FOLDER [--events 2000000 | --complete-journey]`.

Prints the seconds of both, the tasks of each executor, the files that the job published, and how
many rows differ; exit 1 when one does. FOLDER must be new; what was made stays there.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from glue.cluster import cluster, executors_of_tasks
from glue.harness import Glue, build_package, stub_jar
from glue.lakes import differences

MEDALLION = Path(sys.executable).parent / "medallion"


def main() -> int:
    """Runs the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--faults", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--complete-journey", action="store_true")
    parser.add_argument("--local", action="store_true", help="Spark as one process of two threads.")
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
    report("DuckDB, two processes", lambda: medallion("clean", "--home", laptop))
    glue = Glue(stub_jar(), build_package(asked.folder), asked.folder)
    if asked.local:
        memory = {"spark.driver.memory": "4g"}
        job = replace(glue, settings=memory)
        report("Spark, one process, two threads", lambda: job.submit(lake.as_uri()).wait(7200))
    else:
        report("Spark, two workers", lambda: on_cluster(glue, lake, asked.folder.absolute()))
        for executor, tasks in sorted(executors_of_tasks(asked.folder).items()):
            print(f"executor {executor}: {tasks} tasks")
    published = sorted((lake / "bronze").rglob("*.parquet"))
    largest = max(path.stat().st_size for path in published)
    print(f"published: {len(published)} objects, the largest of {largest / 2**20:.1f} MiB")
    found = differences(laptop, lake)
    print(f"differences: {len(found)}", *found, sep="\n  ")
    return bool(found)


def on_cluster(glue: Glue, lake: Path, folder: Path) -> None:
    """The job on one master and two workers of one core each."""
    settings = {"spark.executor.memory": "1500m", "spark.executor.cores": "1"}
    settings |= {"spark.eventLog.enabled": "true", "spark.eventLog.dir": folder.as_uri()}
    with cluster(folder) as master:
        replace(glue, master=master, settings=settings).submit(lake.as_uri()).wait(7200)


def medallion(*arguments: object) -> None:
    """Runs the command line."""
    subprocess.run([MEDALLION, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def report(name: str, run: Callable[[], object]) -> None:
    """Prints the wall seconds of a run, and the CPU seconds of its own processes."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    run()
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - started
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{name}: {wall:.1f} s, CPU {cpu:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
