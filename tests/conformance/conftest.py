"""The one Spark session of these tests, and the figures that they publish."""

from __future__ import annotations

from collections import Counter

import pytest
from pyspark.sql import SparkSession

from medallion.cleaning import spark_engine
from spark_here import session as spark_session

__all__ = ["spark_session"]


@pytest.fixture(scope="session")
def session(spark_session: SparkSession) -> SparkSession:
    """Spark, configured as the cleaner needs it."""
    spark_engine.configure(spark_session)
    return spark_session


_FIGURES: Counter[str] = Counter()


@pytest.fixture(scope="session")
def figures() -> Counter[str]:
    """What the tests counted, by name; printed at the end of the run."""
    return _FIGURES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Publishes how many lines were compared, and how many of them differed."""
    if _FIGURES:
        counted = ", ".join(f"{count:,} {name}" for name, count in _FIGURES.items())
        terminalreporter.write_line(f"engines compared (exact, duckdb, spark): {counted}")
