"""A Spark standalone cluster on this machine, and which executor did what."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.glue.harness import environment
from tests.processes import free_port, running, wait_for
from tests.spark_here import SPARK_HOME


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A standalone cluster of one master and two workers of one core; its URL."""
    spark_class, deploy = SPARK_HOME / "bin" / "spark-class", "org.apache.spark.deploy"
    port, page = free_port(), free_port()
    master = f"spark://127.0.0.1:{port}"
    at = ("--host", "127.0.0.1")
    command = (spark_class, f"{deploy}.master.Master", *at, "--port", port, "--webui-port", page)
    worker = (spark_class, f"{deploy}.worker.Worker", *at, "-c", "1", "-m", "2g")
    there = environment()
    with ExitStack() as processes:
        processes.enter_context(running(folder / "master.log", *command, environment=there))
        for number in (1, 2):
            own = ("--work-dir", folder / "work", "--webui-port", free_port(), master)
            log = folder / f"worker-{number}.log"
            processes.enter_context(running(log, *worker, *own, environment=there))
        wait_for(f"http://127.0.0.1:{page}/json/", lambda b: json.loads(b)["aliveworkers"] == 2)
        yield master


def executors_of_tasks(folder: Path) -> Counter[str]:
    """How many tasks each executor ended well, by the application's event log."""
    (log,) = folder.glob("app-*")
    tasks: Counter[str] = Counter()
    for line in log.read_text().splitlines():
        event = json.loads(line)
        if (
            event["Event"] == "SparkListenerTaskEnd"
            and event["Task End Reason"]["Reason"] == "Success"
        ):
            tasks[event["Task Info"]["Executor ID"]] += 1
    return tasks
