"""The unmodified Glue script with the service's own Python library, on real file systems."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import Cli, event, medallion
from tests.glue.cluster import cluster, executors_of_tasks
from tests.glue.harness import Glue, s3a_jars
from tests.glue.lakes import clean_here, differences, hostile_objects, large_object, write_lake
from tests.s3_here import S3, emulator


def test_package_needs_only_what_the_service_has(glue: Glue) -> None:
    """The zip alone, without the laptop's engines and without the compiler, is enough to import
    the job's code; and what decides about lines imports no Spark."""
    program = (
        "import sys\n"
        f"sys.path.insert(0, {str(glue.package)!r})\n"
        "gone = ['duckdb', 'dbt', 'click', 'rich', 'numba', 'llvmlite']\n"
        "for name in gone: sys.modules[name] = None\n"
        "import medallion.layers.spark.bronze as job\n"
        "print(job.__file__)\n"
        "for name in [n for n in sys.modules if n.startswith(('medallion', 'pyspark', 'py4j'))]:\n"
        "    del sys.modules[name]\n"
        "sys.modules |= dict.fromkeys([*gone, 'pyspark', 'py4j'])\n"
        "import medallion.layers.spark.files\n"
    )
    command = [sys.executable, "-c", program]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=glue.logs)
    assert printed.stdout.startswith(str(glue.package))


def test_without_the_compiler_the_job_says_so(glue: Glue, tmp_path: Path) -> None:
    """More lines than the exact lane should take, and no compiler: they are cleaned all the same,
    and the log names what is missing."""
    write_lake(tmp_path, {"raw/purchases/a.ndjson": large_object()}, {})
    blocked = tmp_path / "blocked" / "llvmlite"
    blocked.mkdir(parents=True)
    (blocked / "__init__.py").write_text("raise ImportError(\"No module named 'llvmlite'\")\n")
    job = replace(glue, variables={"PYTHONPATH": str(blocked.parent)})
    log = job.submit(tmp_path.as_uri()).wait()
    assert "WARNING: cleaned line by line, for want of the compiled pass: No module named" in log
    (receipts,) = (tmp_path / "bronze" / "receipts").glob("*.parquet")
    (receipt,) = pq.read_table(receipts).to_pylist()
    assert receipt["accepted"] == receipt["lines"] > 100


def test_cluster_gives_what_the_laptop_gives(glue: Glue, tmp_path: Path) -> None:
    """On a standalone cluster of one master and two workers, over file://: both executors take
    tasks, the compiled pass reads the lines, and bronze equals the laptop's, row for row."""
    lake, home = tmp_path / "lake", tmp_path / "home"
    write_lake(lake, hostile_objects() | {"raw/purchases/large.ndjson": large_object()}, {})
    subprocess.run(["cp", "-a", lake, home], check=True)
    clean_here(home)
    with cluster(tmp_path) as master:
        settings = {"spark.executor.memory": "512m", "spark.cores.max": "2"}
        settings |= {"spark.executor.cores": "1", "spark.eventLog.enabled": "true"}
        settings |= {"spark.eventLog.dir": tmp_path.as_uri()}
        job = replace(glue, master=master, settings=settings).submit(lake.as_uri())
        assert "WARNING: cleaned line by line" not in job.wait()
    assert differences(home, lake) == []
    assert [path.name for path in (lake / "tmp").rglob("*.json")] == ["current.json"]
    tasks = executors_of_tasks(tmp_path)
    assert len(tasks) == 2 and min(tasks.values()) > 5, tasks
    compiled = Path(tempfile.gettempdir()) / f"medallion-{os.getuid()}"
    assert list(compiled.glob("scan-*.o")), "the machine code is not kept"


@dataclass(frozen=True)
class Journey:
    """A bucket that the killed and repeated job has cleaned, and a home with the same raw objects
    that the laptop has."""

    s3: S3
    home: Path
    log: str
    early: dict[str, datetime]


@pytest.fixture(scope="module")
def journey(glue: Glue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """Simulated purchases and hostile objects in S3; the job is killed while it computes, killed
    again while it publishes, and then ends."""
    folder = tmp_path_factory.mktemp("journey")
    with emulator(folder) as s3:
        simulate = ("simulate", "--events", "3000", "--faults", "0.05", "--home", str(folder))
        cloud(s3, *simulate)
        s3.put(hostile_objects())
        raw = s3.objects("raw/")
        s3.download(raw, folder / "home")
        write_lake(folder / "home", {}, {key: o["LastModified"] for key, o in raw.items()})
        clean_here(folder / "home")
        job = replace(glue, jars=s3a_jars(), settings=s3.settings(), variables=s3.environment())
        lake = f"s3://{s3.bucket}"
        job.submit(lake).kill_when(lambda: any("/out/" in key for key in s3.objects("tmp/")))
        assert not s3.objects("bronze/")
        job.submit(lake).kill_when(lambda: len(s3.objects("bronze/")) >= 2)
        early = {key: o["LastModified"] for key, o in s3.objects("bronze/").items()}
        assert not [key for key in early if key.startswith("bronze/receipts/")]
        yield Journey(s3, folder / "home", job.submit(lake).wait(), early)


def test_killed_jobs_lose_and_repeat_nothing(journey: Journey, tmp_path: Path) -> None:
    """Bronze is what the laptop makes of the same objects, what was published before the kill has
    stayed, nothing is left in tmp/, and each bronze object was announced once."""
    assert "takes up run-" in journey.log
    assert "begins run-" not in journey.log
    bronze = journey.s3.objects("bronze/")
    assert {key: bronze[key]["LastModified"] for key in journey.early} == journey.early
    journey.s3.download(bronze, tmp_path)
    assert differences(journey.home, tmp_path) == []
    left = {key for key in journey.s3.objects("tmp/") if not key.endswith("/")}
    assert left == {"tmp/runs/current.json"}
    assert journey.s3.notices() == Counter(bronze.keys())


def test_the_job_s_bronze_gives_the_laptop_s_gold(
    journey: Journey, cli: Cli, tmp_path: Path
) -> None:
    """Loaded from the bucket by the same commands: gold and the quarantine are the laptop's, and
    the audit holds."""
    laptop_home = ("--home", str(tmp_path))
    for verb in ("load", "transform", "audit"):
        cloud(journey.s3, verb, *laptop_home)
    assert cli(journey.home, "run", "--events", "0").exit_code == 0
    for sql in (
        "SELECT * FROM purchases_gold ORDER BY ALL",
        "SELECT * EXCLUDE (load_seq, loaded_at) FROM purchases_silver ORDER BY ALL",
        "SELECT feed, reason, raw, source_file, source_line FROM quarantine ORDER BY ALL",
    ):
        of_cloud = cloud(journey.s3, "query", sql, "--json", *laptop_home)
        assert of_cloud == cli(journey.home, "query", sql, "--json").stdout


def test_two_jobs_at_once_lose_and_repeat_nothing(glue: Glue, tmp_path: Path) -> None:
    """The second is started while the first one works, and more has arrived: both end well, bronze
    is what the laptop makes of all objects, each with one receipt, and nothing else is there."""
    lines = "\n".join(event(event_id=f"e{n}") for n in range(50)).encode()
    with emulator(tmp_path) as s3:
        s3.put({f"raw/purchases/{n}.ndjson": lines for n in range(3)})
        job = replace(glue, jars=s3a_jars(), settings=s3.settings(), variables=s3.environment())
        first = job.submit(f"s3://{s3.bucket}")
        while "tmp/runs/current.json" not in s3.objects("tmp/"):
            assert first.process.poll() is None, first.log.read_text()[-3000:]
            time.sleep(0.05)
        s3.put({"raw/purchases/late.ndjson": lines})
        logs = [submission.wait() for submission in (job.submit(f"s3://{s3.bucket}"), first)]
        assert "takes up run-" in logs[0] or "begins run-" in logs[0]
        raw, bronze = s3.objects("raw/"), s3.objects("bronze/")
        s3.download(raw, tmp_path / "home")
        s3.download(bronze, tmp_path / "lake")
        assert s3.notices().keys() == bronze.keys()
        left = {key for key in s3.objects("tmp/") if not key.endswith("/")}
        assert left == {"tmp/runs/current.json"}
    times = {key: head["LastModified"] for key, head in raw.items()}
    write_lake(tmp_path / "home", {}, times)
    clean_here(tmp_path / "home")
    assert differences(tmp_path / "home", tmp_path / "lake") == []


def test_the_job_does_not_clean_again_what_was_rewritten(glue: Glue, tmp_path: Path) -> None:
    """A customer is forgotten in the bucket: the raw object has other bytes and is newer, and yet
    it is the one that has a receipt."""
    sold = [event(event_id=f"e{n}", customer_id=f"C-{n:04}") for n in range(20)]
    with emulator(tmp_path) as s3:
        s3.keep_versions()
        s3.put({"raw/till.ndjson": "\n".join(sold).encode()})
        job = replace(glue, jars=s3a_jars(), settings=s3.settings(), variables=s3.environment())
        assert "begins run-" in job.submit(f"s3://{s3.bucket}").wait()
        raw = s3.objects("raw/till.ndjson")
        cloud(s3, "forget", "--customer", "C-0007", "--home", str(tmp_path / "home"))
        assert s3.objects("raw/till.ndjson") != raw
        bronze = s3.objects("bronze/")
        assert "begins run-" not in job.submit(f"s3://{s3.bucket}").wait()
        assert s3.objects("bronze/") == bronze


def cloud(s3: S3, *arguments: str) -> str:
    """`medallion ARGUMENTS` with its lake in the bucket; what it printed."""
    process = medallion(*arguments, env=os.environ | s3.environment())
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    return out
