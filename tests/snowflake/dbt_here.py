"""dbt for these tests: a process among their tools that has loaded its modules once, and runs each
command in a fork of itself. Loading them takes longer than most of the commands."""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from tests.snowflake import tools

SECONDS = 900
"""After which a command says what each of its threads does, and ends."""
MODULES = ("dbt.cli.main", "dbt.adapters.snowflake", "dbt.adapters.snowflake.connections")
_LOCK = threading.Lock()


def run(arguments: Iterable[object], environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a command of dbt with nothing but these variables; return its exit code and output."""
    with tempfile.NamedTemporaryFile() as output, _LOCK:
        order = {
            "arguments": [str(argument) for argument in arguments],
            "environment": dict(environment),
            "output": output.name,
        }
        process = _process()
        assert process.stdin and process.stdout
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        code = int(process.stdout.readline())
        return code, Path(output.name).read_text()


@cache
def _process() -> subprocess.Popen[str]:
    """Start the process, which ends before this one."""
    process = subprocess.Popen(
        [tools.python(), "-W", "ignore", "-m", __name__],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(process.communicate)  # closes its input and waits for it
    return process


def _serve() -> None:
    """Run what the lines of standard input order, one after the other."""
    for module in MODULES:
        importlib.import_module(module)
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        if (child := os.fork()) == 0:
            _execute(order["arguments"], order["environment"], order["output"])
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _execute(arguments: list[str], environment: dict[str, str], output: str) -> None:
    """Be dbt, in a fork."""
    import faulthandler

    from dbt.cli.main import dbtRunner

    descriptor = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    gc.disable()
    os.environ.clear()
    os.environ.update(environment)
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    result = dbtRunner().invoke(arguments)
    if result.exception:
        print(result.exception)
    sys.stdout.flush()
    os._exit(0 if result.success else 1)


if __name__ == "__main__":
    _serve()
