"""The platform: the lake, the warehouse and the home that the settings choose."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from medallion.errors import SettingsError, WarehouseBusy, WarehouseDamaged, did_you_mean
from medallion.platforms.heartbeat import Heartbeat
from medallion.platforms.home import keep_settings, runner_lock, set_aside
from medallion.platforms.lake import Lake
from medallion.platforms.local import LocalLake
from medallion.platforms.questions.client import HeldWarehouse, held_warehouse
from medallion.platforms.questions.server import answering
from medallion.platforms.s3 import S3Lake
from medallion.platforms.snowflake import open_snowflake
from medallion.platforms.warehouse import (
    WAREHOUSE_FILE,
    Result,
    Warehouse,
    open_warehouse,
    read,
)
from medallion.settings import Reporting, Settings, SettingsFile, SnowflakeAccount

PATIENCE = 3.0
"""Seconds in which a process that opens or closes the warehouse must have finished."""


@dataclass(frozen=True)
class Platform:
    """Everything external to the pipeline: a local home, the lake, the warehouse.

    It also holds the reporting settings of the home, the changes that are not yet in its settings
    file, and the other settings of that file.
    """

    home: Path
    lake: Lake
    snowflake: SnowflakeAccount | None = None
    reporting: Reporting = field(default_factory=Reporting)
    changes: Mapping[str, str] = field(default_factory=dict)
    file: SettingsFile = field(default_factory=SettingsFile)

    @classmethod
    def of(cls, settings: Settings) -> Platform:
        """Return the platform for some settings."""
        home = settings.home
        lake: Lake = S3Lake(settings.bucket, home) if settings.bucket else LocalLake(home)
        return cls(
            home, lake, settings.snowflake, settings.reporting, settings.changes, settings.file
        )

    @contextmanager
    def lock(self, *, erasing: bool = False) -> Iterator[Heartbeat]:
        """Hold the home for one runner, with a heartbeat.

        Settings that were given with the command are kept in the home's file.

        Raises:
            HomeBusy: another process holds the home.
        """
        with runner_lock(self.home, erasing=erasing), Heartbeat(self.home) as heartbeat:
            if self.changes:
                keep_settings(self.home, self.changes)
            yield heartbeat

    @contextmanager
    def warehouse(
        self, anew: Callable[[str], None] | None = None
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the warehouse in the home for writing; other processes may ask questions meanwhile.

        Args:
            anew: of a caller that loads all of bronze, which is how a warehouse is made. It may get
                a new, empty one instead of one that is damaged, and is told so by a message.

        Raises:
            SettingsError: the warehouse is not in the home.
            WarehouseDamaged: it is damaged, and the caller does not make it anew.
        """
        self.require_home()
        with ExitStack() as opened:
            try:
                connection = opened.enter_context(open_warehouse(self.home))
            except WarehouseDamaged:
                if anew is None:
                    raise
                aside = set_aside(self.home, WAREHOUSE_FILE)
                anew(
                    f"the warehouse was damaged, and is made again from bronze; the old file is in "
                    f"{aside}, and 'medallion rebuild --remove-old' removes it"
                )
                connection = opened.enter_context(open_warehouse(self.home))
            opened.enter_context(answering(self.home, connection))
            yield connection

    def require_home(self) -> None:
        """Raise SettingsError when the warehouse is not in the home."""
        if self.snowflake:
            raise SettingsError(
                "this works on a warehouse in the home; in Snowflake, Snowpipe loads and "
                "'medallion transform' or the account's own task builds: unset "
                "MEDALLION_WAREHOUSE, or see docs/snowflake.md"
            )

    def require_existing(self) -> None:
        """Raise SettingsError when the home does not exist.

        A mistyped name must neither create a home nor look like an empty one.
        """
        if isinstance(self.lake, LocalLake) and not self.home.is_dir():
            parent = self.home.parent
            beside = [p.name for p in parent.iterdir() if p.is_dir()] if parent.is_dir() else []
            hint = did_you_mean(self.home.name, beside)
            raise SettingsError(
                f"there is no home {self.home}{hint or '; medallion run makes one'}"
            )

    @contextmanager
    def reader(self) -> Iterator[Warehouse]:
        """Open the warehouse for reading, wherever it is.

        If a runner holds the home, the runner answers.
        """
        if self.snowflake:
            with open_snowflake(self.snowflake) as account:
                yield account
        else:
            with self.home_reader() as warehouse:
                yield warehouse

    @contextmanager
    def home_reader(self) -> Iterator[duckdb.DuckDBPyConnection | HeldWarehouse]:
        """Open the warehouse in the home for reading: the file itself, or through its holder.

        Raises:
            SettingsError: the warehouse is not in the home.
            WarehouseBusy: another process holds the file and does not answer.
        """
        self.require_home()
        patience = time.monotonic() + PATIENCE
        with ExitStack() as opened:
            # Between the file and the socket its holder may come or go.
            while (warehouse := opened.enter_context(held_warehouse(self.home))) is None:
                try:
                    file = opened.enter_context(open_warehouse(self.home, read_only=True))
                except WarehouseBusy:
                    if time.monotonic() > patience:
                        raise
                    time.sleep(0.05)
                else:
                    yield file
                    return
            yield warehouse

    @contextmanager
    def query(self, sql: str) -> Iterator[Result]:
        """Run a query of a user, which can change nothing and reaches no file.

        Raises:
            WarehouseError: the query is refused or fails.
        """
        if self.snowflake:
            with open_snowflake(self.snowflake) as account:
                rows = account.read(sql)
                yield Result([name for (name,) in rows.description], iter([rows.fetchall()]))
            return
        with self.home_reader() as warehouse:
            if isinstance(warehouse, HeldWarehouse):
                yield warehouse.read(sql)
            else:
                yield read(warehouse, sql)
