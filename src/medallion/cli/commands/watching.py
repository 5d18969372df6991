"""The verb that watches a home: watch."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import click

from medallion.cli.commands.verbs import as_json, verb
from medallion.cli.printing.report import REFUSED, json_text, say, say_aside
from medallion.errors import MedallionError
from medallion.operations.alarms import Change, Watch
from medallion.operations.alarms.webhook import Webhook
from medallion.platforms.platform import Platform
from medallion.process import Duration, current_ending, exit_when_stopped

EVERY = 60.0
"""Seconds between two looks."""


@verb(stopped="stopped watching")
@click.option(
    "--every", type=Duration(), default=EVERY, show_default="60s", help="How often to look."
)
@click.option("--once", is_flag=True, help="Look once; exit 1 when an alarm is on.")
@click.option("--duration", type=Duration(), help="Watch for so long: 90, 15m, 2h. [Ctrl-C]")
@as_json
def watch(
    platform: Platform, every: float, once: bool, duration: float | None, as_json: bool
) -> None:
    """Report what is not as usual, until Ctrl-C; exit 1 when an alarm is still on at the end."""
    if not platform.snowflake:
        platform.require_existing()
    webhook = Webhook.from_environment(os.environ)
    stop, watch = current_ending().stop(), Watch(platform)
    ends = time.monotonic() + (0.0 if once else duration if duration is not None else float("inf"))

    def tell(change: Change) -> None:
        if as_json:
            click.echo(json_text(change.as_json()))
        else:
            say(str(change), colour="red" if change.begins else "green")

    while True:
        _look(watch, webhook, tell)
        sys.stdout.flush()
        if time.monotonic() >= ends or stop.wait(max(0.0, min(every, ends - time.monotonic()))):
            break
    exit_when_stopped()
    if not (watch.standing or as_json):
        say("no alarm is on")
    if watch.standing:
        if not as_json:
            say(*(f"stands     {a.rule}: {a.message}" for a in watch.standing.values()))
        sys.exit(REFUSED)


def _look(watch: Watch, webhook: Webhook | None, tell: Callable[[Change], None]) -> None:
    changes = watch.look()
    for change in changes:
        tell(change)
    if changes and webhook and (failure := webhook.tell(watch.platform.home.name, changes)):
        say_aside(f"{failure}; the alarms are in the log of the home")


@contextmanager
def watching(platform: Platform, tell: Callable[[Change], None]) -> Iterator[None]:
    """Watch a home in a thread of its own while the block lasts; `tell` hears each change."""
    webhook, ended = Webhook.from_environment(os.environ), threading.Event()
    watch = Watch(platform)

    def look() -> None:
        while not ended.wait(EVERY):
            # The warehouse may just be closing; a stream does not end for its alarms.
            with suppress(MedallionError, OSError):
                _look(watch, webhook, tell)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
