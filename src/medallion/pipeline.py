"""The pipeline: from what waits in raw/ to published gold, once or again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import duckdb

from medallion.cleaning import plain
from medallion.contract import PURCHASES
from medallion.lake.receipts import Receipt
from medallion.layers.bronze import CleanReport, Sweep, clean
from medallion.layers.losses import require_no_smaller_snapshot
from medallion.layers.snapshots import publish
from medallion.layers.staging import Loader, LoadReport, take_over
from medallion.layers.transform import Transformer, TransformReport
from medallion.platforms.heartbeat import Heartbeat
from medallion.platforms.platform import Platform
from medallion.simulation import Producer

IDLE = 0.05
"""Seconds between two looks at raw/ when nothing waits."""

ALL, MICRO_BATCH = None, "tag:spine"
LIVE = "tag:spine tag:live,config.materialized:incremental"
MARTS = "tag:stream,config.materialized:incremental"
"""What to build: every model; what a micro-batch needs; a micro-batch with what people watch; and
these with the marts whose cost hardly grows with history, every MARTS_EVERY seconds, or as soon as
nothing came for RESTING seconds. Models without such a tag read all of history: they are built
when a stream starts and ends, and by every `run` and `transform`."""

CALLED_FOR = "whatever the rows that came call for"

MARTS_EVERY, RESTING = 10.0, 1.0

BACKLOG = 50_000
"""Lines that may wait in raw/ before our own producer is held back. Others are not: raw/ is their
buffer, and what waits there is only late."""


@dataclass
class BatchReport:
    """What one pass through all stages did, with the seconds of each. `events` are the accepted
    lines of purchases."""

    cleaned: CleanReport
    loaded: LoadReport
    transformed: TransformReport | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    events: int = 0

    @property
    def rows(self) -> int:
        return self.loaded.rows

    @property
    def failures(self) -> dict[str, str]:
        return self.cleaned.failures | self.loaded.failures


class Pipeline:
    """All stages of one home, opened once. One runner holds the home while it is open."""

    def __init__(
        self, here: Platform, warehouse: duckdb.DuckDBPyConnection, heartbeat: Heartbeat
    ) -> None:
        self.home, self.lake, self.warehouse = here.home, here.lake, warehouse
        self.heartbeat = heartbeat
        self._sweep = Sweep(self.lake)
        take_over(warehouse, here.reporting)
        self._loader = Loader(self.lake, warehouse)
        self._transformer = Transformer(self.home)
        self._marts_built: float | None = None
        self._marts_due = False
        self._last_rows = 0.0
        self.lines_taken = 0

    def advance(
        self,
        *,
        build: str | None = CALLED_FOR,
        progress: Callable[[Receipt], None] = lambda _: None,
        stage: Callable[[str], None] = lambda _: None,
    ) -> BatchReport:
        """One pass: clean, load, transform, publish. `build` selects the models; the first pass
        calls for all of them. `progress` hears of each object that is cleaned, `stage` of what is
        being done."""
        seconds: dict[str, float] = {}
        events = 0

        def count(receipt: Receipt) -> None:
            nonlocal events
            events += receipt.accepted if receipt.feed == PURCHASES.name else 0
            progress(receipt)

        self._transformer.progress = stage
        stage("looking for new objects in raw/")
        with self._stage("clean", seconds):
            cleaned = clean(self.lake, self._sweep, progress=count)
            self.lines_taken += cleaned.lines
        stage(f"loading {cleaned.accepted + cleaned.quarantined:,} rows")
        with self._stage("load", seconds):
            loaded = self._loader.load(cleaned.receipts)
        report = BatchReport(cleaned, loaded, seconds=seconds, events=events)
        if loaded.rows:
            self._last_rows = time.monotonic()
        if build != CALLED_FOR:
            self._build(build, report)
        elif self._marts_built is None:
            self._build(ALL, report)
        elif loaded.rows and time.monotonic() - self._marts_built < MARTS_EVERY:
            self._build(LIVE, report)
        elif loaded.rows or (self._marts_due and self._is_resting()):
            self._build(MARTS, report)
        return report

    def _is_resting(self) -> bool:
        # The next object of a busy producer is only a moment away, and would have to wait.
        return time.monotonic() - self._last_rows >= RESTING

    def _build(self, select: str | None, report: BatchReport) -> None:
        with self._stage("transform", report.seconds):
            if select is ALL:
                self._transformer.progress("reading the dbt project")
                report.transformed = self._transformer.run()
                require_no_smaller_snapshot(self.home, self.warehouse)
            else:
                report.transformed = self._transformer.repeat(self.warehouse, select)
        self._transformer.progress("publishing")
        with self._stage("publish", report.seconds):
            publish(self.home, self.warehouse, self._transformer.published(select))
        self._marts_due = select in (MICRO_BATCH, LIVE)
        if not self._marts_due:
            self._marts_built = time.monotonic()

    @contextmanager
    def _stage(self, name: str, seconds: dict[str, float]) -> Iterator[None]:
        started = time.monotonic()
        self.heartbeat.at(name)
        try:
            yield
        finally:
            self.heartbeat.at("")
            seconds[name] = time.monotonic() - started

    def close(self) -> None:
        """Lets go of what a pass keeps open for the next."""
        self._transformer.close()


@contextmanager
def open_pipeline(
    here: Platform, notice: Callable[[str], None] = lambda _: None
) -> Iterator[Pipeline]:
    """The pipeline of a platform; `notice` is told when the cleaner must be compiled first. Raises
    HomeBusy when another runner has its home."""
    plain.load(notice)
    with here.lock() as heartbeat, here.warehouse() as warehouse:
        pipeline = Pipeline(here, warehouse, heartbeat)
        try:
            yield pipeline
            warehouse.execute("CHECKPOINT")
        finally:
            pipeline.close()


def stream(
    pipeline: Pipeline,
    producer: Producer | None,
    stop: threading.Event,
    *,
    report: Callable[[BatchReport], None] = lambda _: None,
    progress: Callable[[Receipt], None] = lambda _: None,
    stage: Callable[[str], None] = lambda _: None,
) -> dict[str, str]:
    """Runs the producer beside the pipeline until the producer is done, then brings all that was
    produced to gold. When `stop` is set it ends after the batch at hand: the rest stays in raw/,
    and the next start goes on with it. Returns what the last batch could not take, and why."""
    pipeline.heartbeat.ends_with(stop)
    failures: dict[str, str] = {}

    def advance(build: str | None = CALLED_FOR) -> BatchReport:
        nonlocal failures
        batch = pipeline.advance(build=build, progress=progress, stage=stage)
        failures = batch.failures
        report(batch)
        return batch

    if producer is None:
        _follow(advance, stop.is_set)
    else:
        failure: list[BaseException] = []
        thread = threading.Thread(
            target=_produce, args=(producer, pipeline, stop, failure), daemon=True
        )
        thread.start()
        _follow(advance, lambda: stop.is_set() or not thread.is_alive())
        thread.join()
        if failure:
            raise failure[0]
    if not stop.is_set():
        advance(build=ALL)
    return failures


def _follow(advance: Callable[[], BatchReport], ended: Callable[[], bool]) -> None:
    while not ended():
        if not advance().rows:
            time.sleep(IDLE)


def _produce(
    producer: Producer, pipeline: Pipeline, stop: threading.Event, failure: list[BaseException]
) -> None:
    try:
        while not (producer.done or stop.is_set()):
            wait = producer.due()
            if producer.report().lines - pipeline.lines_taken > BACKLOG:
                wait = IDLE
            if wait > 0:
                stop.wait(min(wait, 0.1))
            else:
                producer.step()
        producer.finish()
        producer.close()
    except BaseException as error:
        failure.append(error)
