"""The writer: collects the lines of many requests into few raw objects, and confirms them."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from medallion.collector.journal import Journal, Taken
from medallion.lake.codecs import SUFFIXES, packed
from medallion.lake.raw import raw_key
from medallion.platforms.lake import Lake

LINGER = 0.05
"""Seconds that the first request of an object waits for others."""
OBJECT_BYTES = 8 << 20
"""The number of bytes from which an object is stored without waiting."""
MAX_WAITING_BYTES = 64 << 20
"""Bytes that may wait to be stored before further requests are refused."""


@dataclass
class Counts:
    """What was stored since the start."""

    requests: int = 0
    lines: int = 0
    objects: int = 0


@dataclass
class _Request:
    feed: str
    lines: list[bytes]
    id: str
    checksum: str
    stored: asyncio.Future[Taken] = field(default_factory=asyncio.Future)


class OtherBody(Exception):
    """A request has the id of an earlier one, but another body."""


class Backlog(Exception):
    """More bytes wait to be stored than the limit allows."""


class Writer:
    """Stores requests in raw objects, one at a time; `run` is its task."""

    def __init__(
        self, lake: Lake, journal: Journal, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._lake, self._journal, self._now = lake, journal, now
        self._token, self._named = secrets.token_hex(4), now()
        self._waiting: list[_Request] = []
        self._bytes = 0
        self._by_id: dict[str, _Request] = {}
        self._arrived, self._is_full = asyncio.Event(), asyncio.Event()
        self._is_ending = False
        self.counts = Counts()

    async def store(
        self, feed: str, lines: list[bytes], id: str, body: bytes
    ) -> tuple[Taken, bool]:
        """Store the lines of a request; return where they are, and whether they were there before.

        Raises:
            OtherBody: the id belongs to a request with another body.
            Backlog: too much waits.
            OSError, MedallionError: they cannot be stored; nothing is acknowledged.
        """
        checksum = hashlib.sha256(feed.encode() + b"\0" + body).hexdigest()
        if id:
            earlier: _Request | Taken | None = self._by_id.get(id)
            earlier = earlier or await asyncio.to_thread(self._journal.find, id)
            if earlier and earlier.checksum != checksum:
                raise OtherBody
            if isinstance(earlier, _Request):
                return await asyncio.shield(earlier.stored), True
            if earlier:
                return earlier, True
        size = sum(map(len, lines))
        if self._bytes and self._bytes + size > MAX_WAITING_BYTES:
            raise Backlog
        request = _Request(feed, lines, id, checksum)
        if id:
            if id in self._by_id:  # the same one came while the journal was read
                return await self.store(feed, lines, id, body)
            self._by_id[id] = request
        self._waiting.append(request)
        self._bytes += size
        self._arrived.set()
        if self._bytes >= OBJECT_BYTES:
            self._is_full.set()
        return await asyncio.shield(request.stored), False

    async def run(self) -> None:
        """Store what arrives, until `end` is called and all is stored."""
        while not self._is_ending or self._waiting:
            await self._arrived.wait()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_full.wait(), LINGER)
            await self._store_waiting()

    def end(self) -> None:
        """Ask `run` to end."""
        self._is_ending = True
        self._arrived.set()
        self._is_full.set()

    async def _store_waiting(self) -> None:
        batch, self._waiting, size = self._waiting, [], self._bytes
        self._arrived.clear()
        self._is_full.clear()
        by_feed = defaultdict[str, list[_Request]](list)
        for request in batch:
            by_feed[request.feed].append(request)
        for feed, requests in by_feed.items():
            try:
                taken = await asyncio.to_thread(self._put, feed, requests)
            except Exception as error:
                for request in requests:
                    request.stored.set_exception(error)
                    request.stored.exception()  # whoever asked may be gone
            else:
                for request, place in zip(requests, taken, strict=True):
                    request.stored.set_result(place)
            for request in requests:
                self._by_id.pop(request.id, None)
        self._bytes -= size

    def _put(self, feed: str, requests: list[_Request]) -> list[Taken]:
        """Store an object; return the place of each request in it."""
        # Names never go back in time, even if the clock does: they are in the order of arrival.
        now = self._named = max(self._named, self._now())
        name = f"{now:%Y%m%dT%H%M%S.%fZ}-collected-{self._token}-{self.counts.objects:08d}"
        key = raw_key(feed, now, f"{name}.ndjson{SUFFIXES['zstd']}")
        taken, line = [], 1
        for request in requests:
            taken.append(Taken(request.id, request.checksum, key, line, len(request.lines)))
            line += len(request.lines)
        self._journal.note(request for request in taken if request.id)
        lines = [text for request in requests for text in request.lines]
        self._lake.put(key, packed(b"\n".join(lines) + b"\n", "zstd"))
        self.counts.requests += len(requests)
        self.counts.lines += len(lines)
        self.counts.objects += 1
        return taken
