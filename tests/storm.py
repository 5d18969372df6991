"""A bad network in front of an S3 endpoint: requests are refused, hang, or lose their answer."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random

HANG = 3.0
"""Seconds after which a request that hangs is cut off: a client waits longer only for itself."""
_REFUSALS = {
    "internal error": (500, "InternalError"),
    "unavailable": (503, "ServiceUnavailable"),
    "slow down": (503, "SlowDown"),
}
FATES = (*_REFUSALS, "hangs", "cut half way", "answer lost")
_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class Storm(ThreadingHTTPServer):
    """Hands requests on; a share of them has one of FATES, which are counted by name."""

    daemon_threads = True

    def __init__(self, target: str, chance: Random) -> None:
        super().__init__(("127.0.0.1", 0), _Relay)
        self.target, self.chance = target.removeprefix("http://"), chance
        self.share, self.fates = 0.0, Counter[str]()

    def fate(self) -> str:
        """Return what happens to the next request, or nothing."""
        fate = self.chance.choice(FATES) if self.chance.random() < self.share else ""
        self.fates[fate] += 1
        return fate

    def handle_error(self, request: object, address: object) -> None:
        """Say nothing: the client has gone, or was killed."""


class _Relay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Storm

    def _hand_on(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        fate = self.server.fate()
        self.close_connection = True
        if fate == "cut half way":
            self.rfile.read(size // 2)
            return
        body = self.rfile.read(size)
        if fate == "hangs":
            time.sleep(HANG)
            return
        if fate in _REFUSALS:
            status, code = _REFUSALS[fate]
            self._answer(status, {}, f"<Error><Code>{code}</Code></Error>".encode())
            return
        onward = http.client.HTTPConnection(self.server.target, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _BY_HOP | {"expect"}}
        onward.request(self.command, self.path, body, headers)
        answer = onward.getresponse()
        content = answer.read()
        onward.close()
        if fate != "answer lost":
            self._answer(answer.status, dict(answer.getheaders()), content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _hand_on

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in _BY_HOP:
                self.send_header(name, value)
        length = headers.get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def storm(endpoint: str, chance: Random) -> Iterator[Storm]:
    """Stand in front of an endpoint while the block lasts; calm at first."""
    with Storm(endpoint, chance) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
