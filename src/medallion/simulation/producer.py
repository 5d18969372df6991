"""A run of the simulator, which writes raw objects and keeps the answer key up to date."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from medallion.lake.codecs import SUFFIXES, packed
from medallion.lake.raw import raw_key
from medallion.platforms.lake import Lake
from medallion.simulation.answer_key import Tally, write_key
from medallion.simulation.events import Shoppers
from medallion.simulation.options import SimulationOptions, SimulationReport
from medallion.simulation.reference import Reference
from medallion.simulation.render import Renderer
from medallion.simulation.schedule import BATCH, Backfill, Paced, Piece
from medallion.simulation.spoiler import Spoiler, accepted, usable
from medallion.simulation.world import World

LOOK_BACK_MS = 31 * 86_400_000
"""The age of the oldest reference rows when there are late events, or when the clock has jumped."""
AHEAD_MS = 31 * 86_400_000
"""How far ahead of the purchases a run over the past writes the reference feeds, to write few
objects."""
KEY_EVERY = 60.0
"""Seconds between two updates of the answer key during a run."""


def utc_now() -> datetime:
    return datetime.now(UTC)


class Producer:
    """A run that writes one object of purchases in each `step`, and can stop after any of them.

    Its lines depend only on the options and the start. Names of objects are unique even in equal
    runs, because of a `token` that is random by default. `answers` is the folder of answer keys, if
    any.
    """

    def __init__(
        self,
        lake: Lake,
        options: SimulationOptions,
        *,
        answers: Path | None = None,
        now: Callable[[], datetime] = utc_now,
        clock: Callable[[], float] = time.monotonic,
        token: str | None = None,
    ) -> None:
        self._lake, self._options, self._now, self._clock = lake, options, now, clock
        self._opened = self._named = now().astimezone(UTC)
        begin = options.begins(self._opened)
        self._begin, self._end = _ms(begin), _ms(self._opened)
        self._world, identity = the_world(), _identity(options, begin)
        self.run = f"{_stamp(self._opened)}-{options.seed}-{token or secrets.token_hex(4)}"
        source = np.random.SeedSequence([options.seed, *identity])
        shopping, spoiling = source.spawn(2)
        self._shoppers = Shoppers(self._world, np.random.Generator(np.random.SFC64(shopping)))
        self._spoiler = Spoiler(options.faults, int(spoiling.generate_state(1)[0]))
        self._render = Renderer(self._world, identity.hex())
        daily_lines = options.daily_lines(begin, self._opened) if options.targets else None
        self._reference = Reference(self._world, daily_lines)
        self._backfill: Backfill | None = None
        self._paced: Paced | None = None
        if options.rate is None:
            self._backfill = Backfill(self._world, self._begin, self._end, options.events or 0)
        else:
            tick = min(options.tick, options.lines_per_object / options.rate)
            self._paced = Paced(options.rate, tick, options.events, options.duration, clock)
        self._per_object = options.object_lines
        self._tally = Tally()
        self._objects = self._bytes = 0
        self._unwritten: list[tuple[str, bytes, Tally | None]] = []
        self._rows: dict[str, int] = {}
        self._started = self._written = clock()
        self._path = answers / f"{self.run}.json" if answers else None
        self._write_key(finished=False)

    @property
    def done(self) -> bool:
        """Return whether all events are written."""
        return self._paced.done if self._paced else not self._backfill or self._backfill.done

    def due(self) -> float:
        """Return the seconds until `step` can write an object."""
        return self._paced.due() if self._paced else 0.0

    def step(self) -> int:
        """Write the next object of purchases, and before it the reference rows up to its time.

        After an error of the lake, the next call writes first what this one could not write.

        Returns:
            The lines of the object; 0 when none are due.
        """
        self._write()
        pieces = self._pieces()
        if not pieces:
            return 0
        self._describe(pieces)
        tally = Tally()
        chunks: list[bytes | memoryview] = [self._spoiler.turn(tally)]
        for piece in pieces:
            chunks += self._lines(piece, tally)
        chunks.append(self._spoiler.repeats(pieces[-1].end, tally))
        self._put("purchases", b"".join(chunks), tally)
        self._write()
        if self._clock() - self._written > KEY_EVERY:
            self._write_key(finished=False)
        return tally.lines

    def finish(self) -> None:
        """Write the second copies of events that are still waiting for their day."""
        tally = Tally()
        rest = self._spoiler.rest(tally)
        if rest:
            self._put("purchases", rest, tally)
        self._write()

    def close(self) -> SimulationReport:
        """Write the answer key; return the final report."""
        self._write_key(finished=self.done)
        return self.report()

    def report(self) -> SimulationReport:
        """Return the counts so far."""
        return SimulationReport(
            run=self.run,
            events=self._tally.events,
            lines=self._tally.lines,
            faults=self._tally.kinds.total(),
            objects=self._objects,
            bytes=self._bytes,
            reference_rows=sum(self._rows.values()),
            seconds=self._clock() - self._started,
            answer_key=self._path,
        )

    def _pieces(self) -> list[Piece]:
        """Return the times and counts of the lines of the next object, in batches."""
        if self._paced:
            piece = self._paced.next(_ms(self._now()))
            return _split(piece) if piece else []
        pieces: list[Piece] = []
        left = self._per_object
        while self._backfill and left > 0 and (piece := self._backfill.next(left)):
            pieces.append(piece)
            left -= piece.count
        return pieces

    def _lines(self, piece: Piece, tally: Tally) -> list[bytes | memoryview]:
        kinds = self._spoiler.kinds(piece.count)
        both = self._shoppers.window(
            piece.start, piece.end, piece.count, self._spoiler.shift(kinds)
        )
        chunks, done = list[bytes | memoryview](), 0
        for lines in both:
            part = None if kinds is None else kinds[done : done + len(lines)]
            done += len(lines)
            text = self._render.lines(lines)
            chunks.append(text if part is None else self._spoiler.spoil(lines, part, text, tally))
            currency = self._world.store_currency[lines.baskets.store[lines.basket]]
            tally.add_lines(lines, currency, accepted(part))
        self._shoppers.remember(both[0], usable(None if kinds is None else kinds[: len(both[0])]))
        return chunks

    def _describe(self, pieces: list[Piece]) -> None:
        """Put the reference rows up to the end of some pieces or later, before their purchases."""
        start, until = pieces[0].start, pieces[-1].end
        if self._reference.covers(until):
            return
        if self._backfill:
            until = max(until, min(until + AHEAD_MS, self._end))
        since = start - LOOK_BACK_MS
        if start >= self._begin:  # The clock was not set back.
            since = max(since, self._begin - (LOOK_BACK_MS if self._options.faults else 0))
        for feed, rows in self._reference.until(since, until).items():
            self._put(feed, b"\n".join(rows) + b"\n", None)
            self._rows[feed] = self._rows.get(feed, 0) + len(rows)

    def _put(self, feed: str, data: bytes, tally: Tally | None) -> None:
        """Name an object; `_write` writes it."""
        # Names never go back in time, even if the clock does: they are in the order of arrival.
        now = self._named = max(self._named, self._now().astimezone(UTC))
        codec = None if self._options.compression == "none" else self._options.compression
        stored = packed(data, codec)
        name = f"{_stamp(now)}-{self.run.split('-', 1)[1]}-{self._objects:08d}.ndjson"
        key = raw_key(feed, now, name + SUFFIXES.get(codec or "", ""))
        self._unwritten.append((key, stored, tally))
        self._objects += 1

    def _write(self) -> None:
        """Write the objects that have a name, in their order."""
        while self._unwritten:
            key, stored, tally = self._unwritten[0]
            self._lake.put(key, stored)
            del self._unwritten[0]
            self._bytes += len(stored)
            if tally:
                self._tally.add(tally)

    def _write_key(self, finished: bool) -> None:
        self._written = self._clock()
        if self._path:
            options = {**asdict(self._options), "start": _iso(self._begin)}
            header = {
                "run": self.run,
                "options": options,
                "finished": finished,
                "objects": self._objects,
                "reference_rows": dict(self._rows),
            }
            write_key(self._path, header | self._tally.document())


@cache
def the_world() -> World:
    """Return the retailer, which is the same in every run."""
    return World()


def _split(piece: Piece) -> list[Piece]:
    """Split a long piece into batches of equal time."""
    parts = -(-piece.count // BATCH)
    times = [piece.start + (piece.end - piece.start) * n // parts for n in range(parts + 1)]
    counts = [piece.count * n // parts for n in range(parts + 1)]
    return [
        Piece(times[n], max(times[n + 1], times[n] + 1), counts[n + 1] - counts[n])
        for n in range(parts)
    ]


def _identity(options: SimulationOptions, begin: datetime) -> bytes:
    """Return eight bytes that identify the events: a hash of everything that they depend on."""
    content: dict[str, Any] = {**asdict(options), "start": begin.isoformat()}
    del content["compression"], content["targets"]
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=8).digest()


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000) // 1_000


def _stamp(at: datetime) -> str:
    return f"{at:%Y%m%dT%H%M%S}{at.microsecond:06d}Z"


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
