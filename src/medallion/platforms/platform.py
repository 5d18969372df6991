"""Where this runs: the one place that asks."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from medallion.platforms.lake import Lake
from medallion.platforms.local import LocalLake, runner_lock
from medallion.platforms.s3 import S3Lake
from medallion.platforms.warehouse import open_warehouse
from medallion.settings import Settings


@dataclass(frozen=True)
class Platform:
    """All that is external to the pipeline: a local home, the lake, the warehouse."""

    home: Path
    lake: Lake

    @classmethod
    def of(cls, settings: Settings) -> Platform:
        """What the settings ask for."""
        home = settings.home
        return cls(home, S3Lake(settings.bucket, home) if settings.bucket else LocalLake(home))

    def lock(self, *, erasing: bool = False) -> AbstractContextManager[None]:
        """Holds the home for one runner. Raises HomeBusy when another process has it."""
        return runner_lock(self.home, erasing=erasing)

    def warehouse(
        self, *, read_only: bool = False
    ) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A connection to the warehouse."""
        return open_warehouse(self.home, read_only=read_only)
