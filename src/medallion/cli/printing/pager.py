"""A pager for output that does not fit on the screen."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain, islice

from medallion.process import current_ending


def print_lines(lines: Iterable[str]) -> None:
    """Print lines as they come; more than fit on a terminal go through $PAGER, or less."""
    lines = iter(lines)
    first = list[str]()
    if command := _pager():
        first = list(islice(lines, shutil.get_terminal_size().lines - 1))
        if len(first) == shutil.get_terminal_size().lines - 1:
            _page(command, chain(first, lines))
            return
    for line in chain(first, lines):
        print(line)


def _pager() -> list[str] | None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    command = shlex.split(os.environ.get("PAGER", "less"))
    return command if command and shutil.which(command[0]) else None


def _page(command: list[str], lines: Iterable[str]) -> None:
    # Without the options of less it would clear the screen and break long lines.
    environment = {"LESS": "FRSX"} | os.environ
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, env=environment) as pager:
        current_ending().stop(pager.terminate)
        with suppress(BrokenPipeError):
            assert pager.stdin is not None
            with pager.stdin as sink:
                for line in lines:
                    sink.write(f"{line}\n")
