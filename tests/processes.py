"""Processes that tests start: servers on loopback, jobs that may be killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def start(
    log: Path, command: Iterable[object], environment: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """A process group of its own, in the folder of `log`, which takes all it says."""
    with log.open("wb") as output:
        return subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=log.parent,
            start_new_session=True,
        )


@contextmanager
def running(
    log: Path, *command: object, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server process for as long as the block lasts."""
    process = start(log, command, environment)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def wait_for(url: str, accept: Callable[[bytes], bool] = bool, seconds: float = 60) -> None:
    """Waits until a server's answer is accepted."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if accept(answer.read()):
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise TimeoutError(url)
