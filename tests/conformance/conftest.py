"""The one Spark session of these tests."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from medallion.layers.spark.cleaning import configure
from tests.spark_here import session as spark_session

__all__ = ["spark_session"]


@pytest.fixture(scope="session")
def session(spark_session: SparkSession) -> SparkSession:
    """Spark, configured as the cleaner needs it."""
    configure(spark_session)
    return spark_session
