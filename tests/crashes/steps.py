"""What may be stopped: commands, a micro-batch of a stream, and a collector that takes requests."""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Callable
from pathlib import Path

import click
import duckdb

from medallion.cli import main
from medallion.cli.commands.verbs import verb
from medallion.collector import Keys, collector
from medallion.pipeline import LIVE, open_pipeline
from medallion.platforms.local import LocalLake
from medallion.platforms.platform import Platform
from tests.conftest import drop, event
from tests.test_collect import send
from tests.test_durability import unseal

MICRO_BATCH, COLLECT, AGE = "micro-batch", "collect", "age"
COMPACT = ["compact"]
REQUESTS = 4


def do(step: list[str], home: str, arm: Callable[[], object]) -> int:
    """Do a step; return its exit code. The disk is armed when its work begins."""
    if step == [COLLECT]:
        return _collect(Path(home), arm)
    if step == [AGE]:
        return _age(Path(home))
    if step == COMPACT:
        _let_a_day_pass(Path(home))
    if step == [MICRO_BATCH]:
        command, arguments = _micro_batch(arm), list[str]()
    else:
        command, arguments = main, step
        arm()
    try:
        command([*arguments, "--home", home])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def _age(home: Path) -> int:
    """Turn a home into one of an earlier version: without checksums and the newest columns."""
    unseal(home)
    with duckdb.connect(str(home / "warehouse.duckdb")) as db:
        db.execute("ALTER TABLE staging.receipts DROP COLUMN unknown_fields")
    for path in (home / "gold").rglob("SHA256SUMS"):
        path.unlink()
    return 0


def _let_a_day_pass(home: Path) -> None:
    for path in (home / "bronze" / "receipts").glob("*.parquet"):
        yesterday = path.stat().st_mtime - 86_400
        os.utime(path, (yesterday, yesterday))


def _micro_batch(arm: Callable[[], object]) -> click.Command:
    """Return a verb that brings a new object to gold as `up` does from its second batch on: without
    dbt."""

    @verb()
    def micro_batch(platform: Platform) -> None:
        with open_pipeline(platform) as pipeline:
            pipeline.advance(build=LIVE)
            sales = [event(event_id=f"s{n}") for n in range(4)]
            drop(platform.home, "purchases/second.ndjson", *sales)
            arm()
            if failures := pipeline.advance(build=LIVE).failures:
                print(failures)
                sys.exit(1)

    return micro_batch


def acknowledgements(home: Path) -> Path:
    """Return the file, beside the home, with the ids of the events that were acknowledged."""
    return home.with_name(f"{home.name}.acknowledged")


def _collect(home: Path, arm: Callable[[], object]) -> int:
    """Send events, each with an id of its request, to a collector; note what it has answered."""
    with collector(LocalLake(home), home, "127.0.0.1", 0, Keys()) as collecting:
        arm()
        for number in range(REQUESTS):
            name = f"c{number}"
            try:
                status, *_ = send(collecting.url, event(event_id=name), idempotency_key=name)
            except (OSError, http.client.HTTPException):
                continue
            if status == 200:
                with acknowledgements(home).open("a") as file:
                    file.write(f"{name}\n")
    return 0
