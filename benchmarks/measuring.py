"""What commands cost: seconds, CPU seconds and memory of all their processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
GLANCE = 0.1
"""Seconds between two looks at the processes."""


@dataclass(frozen=True)
class Cost:
    """The cost of commands that ran one after the other; `peak` is in MiB."""

    seconds: float
    cpu: float
    peak: float


def measure(
    commands: Sequence[Sequence[str | Path]], log: Path, environ: Mapping[str, str] | None = None
) -> Cost:
    """Return the cost of commands, whose output goes to a log; exit when one fails."""
    costs = [_measure(command, log, os.environ | dict(environ or {})) for command in commands]
    return Cost(
        sum(cost.seconds for cost in costs),
        sum(cost.cpu for cost in costs),
        max(cost.peak for cost in costs),
    )


def _measure(command: Sequence[str | Path], log: Path, environ: Mapping[str, str]) -> Cost:
    started, peak = time.monotonic(), 0
    spent: dict[Path, float] = {}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environ, start_new_session=True
        )
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        memory = 0
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                # The fields after the name: state, parent, group, session; 11 and 12 are the CPU.
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) != process.pid:
                    continue
                spent[folder] = (int(fields[11]) + int(fields[12])) / TICKS
                rollup = (folder / "smaps_rollup").read_text()
                memory += int(rollup.partition("\nPss:")[2].split()[0])
            except (OSError, IndexError):
                continue  # it has ended
        peak = max(peak, memory)
        time.sleep(GLANCE)
    seconds, usage = time.monotonic() - started, ended[2]
    process.returncode = os.waitstatus_to_exitcode(ended[1])
    if process.returncode:
        sys.exit(f"{command[0]} ended with {process.returncode}: see {log}")
    # The kernel counts the processes that were waited for, the glances those that were not: what
    # each of them sees was certainly spent.
    return Cost(seconds, max(usage.ru_utime + usage.ru_stime, sum(spent.values())), peak / 1024)
