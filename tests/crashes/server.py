"""A process that has imported everything, and starts each command in a fork of itself: a fresh
process would take two seconds for that. `python -m tests.crashes.server`, with the shim preloaded.

Each line of its standard input is a request as JSON; each is answered by one line: the status of
the command, as os.waitpid gives it, and the number of its changes, 0 when it was killed."""

from __future__ import annotations

import ctypes
import importlib
import io
import json
import mmap
import os
import secrets
import sys
import tempfile
import traceback
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from tests.conftest import drop, event
from tests.crashes import steps

IMPORTS = (
    "dbt.cli.main",
    "dbt.adapters.duckdb.connections",
    "medallion.cli.commands.keeping",
    "medallion.cli.commands.quarantine",
    "medallion.cli.commands.reading",
    "medallion.cli.commands.stages",
    "medallion.cli.commands.streaming",
)


def run(request: dict[str, Any], changes: mmap.mmap) -> None:
    """Do a step, with the disk that the request asks for; never returns.

    The number of its changes is written to `changes`, which the server shares.
    """
    out = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    report = leave = -1
    if request["pipes"]:
        report = os.open(request["pipes"][0], os.O_WRONLY)
        leave = os.open(request["pipes"][1], os.O_RDONLY)
    # All erasures leave the same bytes.
    secrets.token_hex = lambda size=16: "0" * 2 * size  # type: ignore[assignment]
    shim = ctypes.CDLL(None)
    shim.arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_char, ctypes.c_int, ctypes.c_int]
    disk = request["home"].encode(), request["number"], request["fault"].encode()

    def arm() -> None:
        shim.arm(*disk, report, leave)

    code = 70
    try:
        code = steps.do(request["step"], request["home"], arm)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        changes[:8] = int(shim.counted()).to_bytes(8, "little")
        os._exit(code)


def warm() -> None:
    """Run once from raw to gold: dbt builds on first use what each fork would build again."""
    with tempfile.TemporaryDirectory() as home, redirect_stdout(io.StringIO()):
        drop(Path(home), "purchases/a.ndjson", event())
        assert steps.do(["run", "--events", "0"], home, lambda: None) == 0


def main() -> None:
    """Answer requests until the input ends."""
    for name in IMPORTS:
        importlib.import_module(name)
    warm()
    changes = mmap.mmap(-1, 8)
    for line in sys.stdin:
        request = json.loads(line)
        changes[:8] = bytes(8)
        child = os.fork()
        if not child:
            run(request, changes)
        _, status = os.waitpid(child, 0)
        print(status, int.from_bytes(changes[:8], "little"), flush=True)


if __name__ == "__main__":
    main()
