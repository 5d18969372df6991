"""The collector as a server in a thread of this process."""

from __future__ import annotations

import fcntl
import importlib.util
import ipaddress
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from medallion.collector.signatures import Keys
from medallion.errors import HomeBusy, SettingsError
from medallion.platforms.lake import Lake
from medallion.platforms.local import make_folder

if TYPE_CHECKING:
    from medallion.collector.writer import Counts

FOLDER = "collector"
"""The folder of a home in which requests are recorded."""
MOST_CONNECTIONS = 512
"""Connections beyond these are answered with 503."""


@dataclass(frozen=True)
class Collecting:
    """A running collector: its address, its thread, and what it has stored so far."""

    url: str
    thread: threading.Thread
    counts: Counts


@contextmanager
def collector(lake: Lake, home: Path, host: str, port: int, keys: Keys) -> Iterator[Collecting]:
    """Accept events until the block ends; requests under way are answered before it ends.

    Raises:
        SettingsError: the address cannot be used, or others could reach it without a key.
        HomeBusy: another collector works on this home.
    """
    if importlib.util.find_spec("uvicorn") is None:
        raise SettingsError("the collector needs starlette and uvicorn: 'make live' installs them")
    if not keys and not _is_loopback(host):
        raise SettingsError(
            f"others can reach {host}: set MEDALLION_COLLECT_TOKEN (or the secret of a webhook, "
            "docs/collecting.md) before the collector listens there"
        )
    import uvicorn

    from medallion.collector.app import application
    from medallion.collector.journal import Journal
    from medallion.collector.writer import Writer

    with _alone(home / FOLDER), _listener(host, port) as listener:
        journal = Journal(home / FOLDER, lake, datetime.now(UTC))
        app = application(lambda: Writer(lake, journal), keys)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="error",
                access_log=False,
                server_header=False,
                lifespan="on",
                limit_concurrency=MOST_CONNECTIONS,
                timeout_graceful_shutdown=1,
            )
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            thread.join(0.01)
        try:
            yield Collecting(
                f"http://{host}:{listener.getsockname()[1]}", thread, app.state.writer.counts
            )
        finally:
            server.should_exit = True
            thread.join()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lock the folder: two collectors would not know each other's requests."""
    make_folder(folder)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise HomeBusy(f"another collector works on {folder.parent}; end it first") from error
        yield


def _listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise SettingsError(
            f"{host}:{port} cannot be used ({error.strerror}); choose another --port or --host"
        ) from error
