"""What the Glue tests share: the built parts of the job, and the lake of the laptop."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.glue.harness import Glue, build_package, stub_jar
from tests.spark_here import session as spark_session

__all__ = ["spark_session"]


@pytest.fixture(scope="session")
def glue(tmp_path_factory: pytest.TempPathFactory) -> Glue:
    """The job on this machine, on two cores."""
    folder: Path = tmp_path_factory.mktemp("glue")
    return Glue(stub_jar(), build_package(folder), folder)
