"""The socket of a home: its place, and a path to it that is short enough for the kernel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

SOCKET = ".questions.sock"
"""The socket in the home of a runner."""
_LONGEST = 100
"""Bytes of a path that every kernel takes for a socket: 104 on macOS, 108 on Linux."""


@contextmanager
def socket_path(home: Path) -> Iterator[str]:
    """Yield a path to the socket of a home; a long one leads over a link in a temporary folder."""
    path = home.absolute() / SOCKET
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    with TemporaryDirectory(prefix="medallion-") as folder:
        link = Path(folder) / "home"
        link.symlink_to(path.parent)
        yield str(link / SOCKET)
