"""What the Glue service is to a job: the stub of its Java part, the package, a way to submit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyspark
import pytest
from pyspark.java_gateway import launch_gateway

from tests.conftest import ROOT
from tests.environments import made
from tests.processes import start
from tests.spark_here import JARS, SHORT_LIVED, SPARK_HOME, java_home

SCRIPT = ROOT / "src" / "glue" / "glue_job_cleaner.py"
STUB = Path(__file__).parent / "stub"
S3A_LOCK = Path(__file__).parent / "s3a.lock"
S3A_JARS = ("hadoop-aws-3.3.1.jar", "aws-java-sdk-bundle-1.11.901.jar")


def environment() -> dict[str, str]:
    """The environment of Spark's processes: nothing of this project is on their path."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SPARK_CONF_DIR")}
    return kept | {
        "JAVA_HOME": java_home(),
        "SPARK_HOME": str(SPARK_HOME),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_JAVA_OPTS": SHORT_LIVED,
        "SPARK_LAUNCHER_OPTS": SHORT_LIVED,
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def stub_jar() -> Path:
    """The three classes of the service that its Python library calls, compiled by the compiler
    that Spark itself carries: no development kit is needed."""
    sources = sorted(STUB.glob("*.java"))
    content = b"".join(path.read_bytes() for path in sources) + pyspark.__version__.encode()
    return made("glue-stub", content, lambda folder: _compile(sources, folder)) / "glue-stub.jar"


def _compile(sources: list[Path], folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_HOME", java_home())
        gateway = launch_gateway()
    try:
        jvm, classes = gateway.jvm, folder / "classes"
        classes.mkdir()
        loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
        factory = jvm.org.codehaus.commons.compiler.CompilerFactoryFactory
        compiler = factory.getDefaultCompilerFactory(loader).newCompiler()
        compiler.setDestinationDirectory(jvm.java.io.File(str(classes)), False)

        def files(paths: list[Path]) -> object:
            array = gateway.new_array(jvm.java.io.File, len(paths))
            for place, path in enumerate(paths):
                array[place] = jvm.java.io.File(str(path))
            return array

        compiler.setClassPath(files(sorted(JARS.glob("*.jar"))))
        compiler.compile(files(sources))
    finally:
        gateway.shutdown()
        gateway.proc.stdin.close()
    with zipfile.ZipFile(folder / "glue-stub.jar", "w") as archive:
        for path in sorted(classes.rglob("*.class")):
            archive.write(path, path.relative_to(classes))


def build_package(folder: Path) -> Path:
    """The zip for --extra-py-files, by the project's own script."""
    package = folder / "medallion.zip"
    subprocess.run([sys.executable, ROOT / "src/glue/package.py", package], check=True)
    return package


def s3a_jars() -> list[Path]:
    """Hadoop's S3 file system, out of a source archive on the package index; fetched once."""
    folder = made("s3a", S3A_LOCK.read_bytes(), _fetch)
    return [folder / name for name in S3A_JARS]


def _fetch(folder: Path) -> None:
    fetch = ["download", "--quiet", "--no-deps", "--no-binary", ":all:", "--require-hashes"]
    target = ["--dest", folder, "--requirement", S3A_LOCK]
    subprocess.run([sys.executable, "-m", "pip", *fetch, *target], check=True)
    (archive,) = folder.glob("sagemaker_pyspark-*.tar.gz")
    with tarfile.open(archive) as members:
        for member in members:
            if (name := Path(member.name).name) in S3A_JARS:
                (folder / name).write_bytes(members.extractfile(member).read())  # type: ignore[union-attr]
    archive.unlink()


@dataclass(frozen=True)
class Glue:
    """A place to run the job: the paths of its parts, and the settings of Spark."""

    stub: Path
    package: Path
    logs: Path
    master: str = "local[2]"
    jars: list[Path] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    def submit(self, lake: str) -> Submission:
        """Starts the unmodified script as the service does, in a process group of its own."""
        settings = {
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.sql.shuffle.partitions": "4",
            "spark.sql.sources.parallelPartitionDiscovery.threshold": "1000",
            "spark.local.dir": str(self.logs / "local"),
            "spark.driver.extraJavaOptions": SHORT_LIVED,
            "spark.executor.extraJavaOptions": SHORT_LIVED,
        } | self.settings
        command = [SPARK_HOME / "bin" / "spark-submit", "--master", self.master]
        command += ["--jars", ",".join(map(str, [self.stub, *self.jars]))]
        command += ["--py-files", self.package]
        for name, value in settings.items():
            command += ["--conf", f"{name}={value}"]
        command += [SCRIPT, "--JOB_NAME", "retail_glue_cleaner", "--LAKE", lake]
        log = self.logs / f"job-{time.monotonic_ns()}.log"
        return Submission(start(log, command, environment() | self.variables), log)


@dataclass
class Submission:
    """A job that was started."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait(self, seconds: float = 240) -> str:
        """The job's log, when it has ended well."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            code = -signal.SIGKILL
        text = self.log.read_text(errors="replace")
        assert code == 0, f"the job ended with {code}\n{text[-5000:]}"
        assert "GLUE JOB COMMIT retail_glue_cleaner" in text
        return text

    def fail(self, seconds: float = 240) -> str:
        """What the job said last when it failed, as it must: the error and its sentence."""
        assert self.process.wait(seconds) != 0, self.log.read_text(errors="replace")[-5000:]
        log = self.log.read_text(errors="replace")
        errors = [line for line in log.splitlines() if line.startswith("medallion.errors.")]
        assert len(errors) == 1, log[-5000:]
        return errors[0].partition(": ")[2]

    def kill_when(self, happened: Callable[[], object], seconds: float = 240) -> None:
        """Kills the job, driver and all, as soon as something has happened."""
        deadline = time.monotonic() + seconds
        while not happened():
            text = self.log.read_text(errors="replace")[-3000:]
            assert self.process.poll() is None, f"the job ended before it was killed\n{text}"
            assert time.monotonic() < deadline, f"waited in vain\n{text}"
            time.sleep(0.02)
        self.kill()

    def kill(self) -> None:
        """SIGKILL for the job's whole process group."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)
