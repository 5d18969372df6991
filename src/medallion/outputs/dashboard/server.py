"""The dashboard as a separate process that serves this machine only."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from medallion.errors import DashboardError

ADDRESS = "127.0.0.1"
NAMES = (ADDRESS, "localhost")
"""The names of this machine. Requests for other names that lead here are refused."""

_SECONDS_TO_START, _SECONDS_TO_STOP = 30, 2
_THEMES = {
    "primaryColor": ("#0f766e", "#2dd4bf"),
    "backgroundColor": ("#f5f7fb", "#0b1220"),
    "secondaryBackgroundColor": ("#ffffff", "#131b2e"),
    "textColor": ("#10182b", "#eef2fb"),
    "borderColor": ("#e3e8f2", "#243049"),
}
# Streamlit sends nothing to anybody outside, watches no file, and does not look for garbage after
# each look for news, which takes ten times as long as the look.
_OPTIONS = {
    "server.address": ADDRESS,
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "server.showEmailPrompt": "false",
    "browser.gatherUsageStats": "false",
    "browser.serverAddress": ADDRESS,
    "client.toolbarMode": "minimal",
    "client.showErrorLinks": "false",
    "logger.level": "error",
    "runner.magicEnabled": "false",
    "runner.postScriptGC": "false",
}


@dataclass(frozen=True)
class Served:
    """A running dashboard: its address and its process."""

    url: str
    process: subprocess.Popen[bytes]


@contextmanager
def dashboard(home: Path, port: int, names: Sequence[str] = ()) -> Iterator[Served]:
    """Serve the published snapshots of a home until the block ends.

    Args:
        home: the home.
        port: the port.
        names: further names of this machine, such as that of a proxy in front of it.

    Raises:
        DashboardError: the port is taken, or the server does not start.
    """
    _check(port)
    process = subprocess.Popen(
        _command(home, port, names), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        url = f"http://{ADDRESS}:{port}"
        _wait(process, url)
        yield Served(url, process)
    finally:
        process.terminate()
        try:
            process.wait(_SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _check(port: int) -> None:
    if importlib.util.find_spec("streamlit") is None:
        raise DashboardError(
            "the dashboard needs Streamlit: 'make live' installs it; --no-dashboard goes without"
        )
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((ADDRESS, port))
        except OSError as error:
            raise DashboardError(
                f"port {port} of this machine cannot be used ({error.strerror}); choose another "
                "with --port"
            ) from error


def _command(home: Path, port: int, names: Sequence[str]) -> list[str]:
    options = _OPTIONS | {"server.port": str(port)}
    for key, colours in _THEMES.items():
        for theme, colour in zip(("light", "dark"), colours, strict=True):
            options[f"theme.{theme}.{key}"] = colour
    app = Path(__file__).with_name("app.py")
    flags = [f"--{key}={value}" for key, value in options.items()]
    flags += [f"--server.allowedHosts={name}" for name in (*NAMES, *names)]
    serve = [sys.executable, "-m", "medallion.outputs.dashboard.serve", "run"]
    return [*serve, str(app), *flags, "--", str(home.absolute())]


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise DashboardError("the dashboard's server did not start; try 'medallion dashboard' alone")
