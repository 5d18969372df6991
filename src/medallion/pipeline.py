"""The pipeline: all stages from raw/ to published gold, once or as a stream."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from medallion.cleaning import plain
from medallion.contract import PURCHASES
from medallion.errors import is_disk_full
from medallion.lake.receipts import Receipt
from medallion.layers.bronze import CleanReport, Sweep, clean
from medallion.layers.dbt import TransformReport
from medallion.layers.losses import require_no_smaller_snapshot
from medallion.layers.snapshots import publish
from medallion.layers.staging import Loader, LoadReport, take_over
from medallion.layers.transform import Transformer
from medallion.platforms.heartbeat import WAITS_FOR_ROOM, Heartbeat
from medallion.platforms.local import wait_for_room
from medallion.platforms.platform import Platform
from medallion.platforms.warehouse import literal, shorten_log
from medallion.simulation import Producer

IDLE, IDLE_TO_LOOK = 0.05, 20
"""Seconds between two looks at raw/ when nothing waits: at least IDLE, and at least IDLE_TO_LOOK
times the duration of a look, so that looking does not keep a processor busy."""

ALL = None
LIVE = "tag:spine tag:live,config.materialized:incremental"
MARTS = "tag:stream,config.materialized:incremental"
"""Selections of models: all models; those of the live dashboard with everything they need; and
these plus the marts whose cost hardly grows with history. All others read the whole history: they
are built when a stream starts and ends, and by every `run` and `transform`."""


class Build(Enum):
    """What is built when no models are named."""

    NOTHING = "nothing"

    DUE = "due"
    """ALL in the first pass, then LIVE with each batch, and MARTS when no rows have come for
    RESTING seconds. A busy stream builds MARTS every MARTS_EVERY seconds, less often where they
    would take more than MARTS_SHARE of the time. Where all models stand already, the first batches
    are shown by LIVE, and ALL is built MARTS_EVERY seconds after the start."""


_MARKED = "marts.live_sales"
"""The table whose comment says with which dbt project and settings all models were built."""

MARTS_EVERY, MARTS_SHARE, RESTING = 10.0, 0.05, 1.0

BACKLOG = 50_000
"""The number of lines that may wait in raw/ before the simulator pauses. Other producers never
pause: raw/ is their buffer."""


@dataclass
class BatchReport:
    """The result of one pass through all stages, with the seconds of each.

    `events` is the number of accepted lines of purchases.
    """

    cleaned: CleanReport
    loaded: LoadReport
    transformed: TransformReport | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    events: int = 0

    @property
    def rows(self) -> int:
        return self.loaded.rows

    @property
    def changes(self) -> int:
        """The number of rows and superseded versions that the models have to process."""
        return self.loaded.rows + self.loaded.superseded

    @property
    def failures(self) -> dict[str, str]:
        return self.cleaned.failures | self.loaded.failures


class Pipeline:
    """All stages of one home, for the runner that holds it."""

    def __init__(
        self, platform: Platform, heartbeat: Heartbeat, notice: Callable[[str], None]
    ) -> None:
        self.home, self.lake = platform.home, platform.lake
        self.heartbeat = heartbeat
        self._platform, self._notice = platform, notice
        self.lines_taken = 0
        self._open()

    def _open(self) -> None:
        with ExitStack() as opened:
            self.warehouse = opened.enter_context(self._platform.warehouse(self._notice))
            take_over(self.warehouse, self._platform.reporting)
            self._sweep = Sweep(self.lake)
            self._loader = Loader(self.lake, self.warehouse)
            self._transformer = Transformer(self.home, self.warehouse)
            opened.callback(self._transformer.close)
            self._marts_built: float | None = None
            self._all_due = time.monotonic() + (MARTS_EVERY if self._is_built() else 0)
            self._marts_pause = MARTS_EVERY
            self._marts_due = False
            self._last_rows = 0.0
            self._opened = opened.pop_all()

    def advance(
        self,
        *,
        build: str | Build | None = Build.DUE,
        progress: Callable[[Receipt], None] = lambda _: None,
        stage: Callable[[str], None] = lambda _: None,
    ) -> BatchReport:
        """Run one pass: clean, load, transform, publish.

        Args:
            build: the models to build.
            progress: called with the receipt of each cleaned object.
            stage: called with a description of each step.
        """
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
        if report.changes:
            self._last_rows = time.monotonic()
        due = self._due(report) if build is Build.DUE else build
        if due is Build.NOTHING:
            self._transformer.prepare(LIVE)  # Now nobody waits.
        else:
            self._build(due, report)
        shorten_log(self.home, self.warehouse)
        return report

    def _due(self, report: BatchReport) -> str | Literal[Build.NOTHING] | None:
        """Return the models to build after a batch."""
        now = time.monotonic()
        if self._marts_built is None:
            if now >= self._all_due:
                return ALL
            return LIVE if report.changes else Build.NOTHING
        if report.changes and now - self._marts_built < self._marts_pause:
            return LIVE
        if report.changes or (self._marts_due and self._is_resting()):
            return MARTS
        return Build.NOTHING

    def _mark(self) -> str:
        return f"built by {self._transformer.digest()} with {self._platform.reporting}"

    def _is_built(self) -> bool:
        """Return whether all models stand, built with this dbt project and these settings."""
        rows = self.warehouse.execute(
            "SELECT comment FROM duckdb_tables() WHERE schema_name || '.' || table_name = ?",
            [_MARKED],
        ).fetchall()
        return rows == [(self._mark(),)]

    def _is_resting(self) -> bool:
        # The next object of a busy producer would have to wait for the build.
        return time.monotonic() - self._last_rows >= RESTING

    def _build(self, select: str | None, report: BatchReport) -> None:
        with self._stage("transform", report.seconds):
            if select is ALL:
                self._transformer.progress("reading the dbt project")
                report.transformed = self._transformer.run()
                self.warehouse.execute(f"COMMENT ON TABLE {_MARKED} IS {literal(self._mark())}")
            else:
                report.transformed = self._transformer.repeat(select)
        if self._marts_built is None or select is ALL:
            require_no_smaller_snapshot(self.home, self.warehouse)
        self._transformer.progress("publishing")
        with self._stage("publish", report.seconds):
            relations = self._transformer.published(select)
            publish(self.home, self.warehouse, relations, report.transformed.changed)
        self._marts_due = select == LIVE
        if not self._marts_due:
            self._marts_built = time.monotonic()
        if select == MARTS:
            taken = report.seconds["transform"] + report.seconds["publish"]
            self._marts_pause = max(MARTS_EVERY, taken / MARTS_SHARE)

    @contextmanager
    def _stage(self, name: str, seconds: dict[str, float]) -> Iterator[None]:
        started = time.monotonic()
        self.heartbeat.at(name)
        try:
            yield
        finally:
            self.heartbeat.at("")
            seconds[name] = time.monotonic() - started

    def wait_for_room(self, ended: Callable[[], bool]) -> None:
        """Wait until a full disk may have room again, or the stream ends; open everything anew.

        After a commit that failed, DuckDB answers nothing before its file is opened again.
        """
        self.heartbeat.at(WAITS_FOR_ROOM)
        self.close()
        while True:
            wait_for_room(self.home, ended)
            try:
                self._open()
            except Exception as error:
                if ended() or not is_disk_full(error):
                    raise
            else:
                self.heartbeat.at("")
                return

    def close(self) -> None:
        """Close the warehouse, and everything that is kept open between two passes."""
        self._opened.close()


@contextmanager
def open_pipeline(
    platform: Platform, notice: Callable[[str], None] = lambda _: None
) -> Iterator[Pipeline]:
    """Open the pipeline of a platform.

    Args:
        platform: the platform.
        notice: called with a message when the cleaner must be compiled first, and when a damaged
            warehouse is made anew.

    Raises:
        HomeBusy: another runner holds the home.
    """
    plain.load(notice)
    with (
        platform.lock() as heartbeat,
        closing(Pipeline(platform, heartbeat, notice)) as pipeline,
    ):
        yield pipeline
        pipeline.warehouse.execute("CHECKPOINT")


def stream(
    pipeline: Pipeline,
    producer: Producer | None,
    stop: threading.Event,
    *,
    report: Callable[[BatchReport], None] = lambda _: None,
    progress: Callable[[Receipt], None] = lambda _: None,
    stage: Callable[[str], None] = lambda _: None,
    notice: Callable[[str], None] = lambda _: None,
) -> dict[str, str]:
    """Run the pipeline until the producer is done and all its events are in gold.

    Without a producer it runs until `stop` is set. After `stop` it ends with the current batch: the
    rest stays in raw/ for the next start. While a disk is full it waits; `notice` is called with a
    message when it begins to wait, and when it goes on.

    Returns:
        The objects that the last batch could not process, with the reasons.
    """
    pipeline.heartbeat.ends_with(stop)
    failures: dict[str, str] = {}

    def advance(build: str | Build | None = Build.DUE) -> BatchReport:
        nonlocal failures
        is_waiting = False
        while True:
            try:
                batch = pipeline.advance(build=build, progress=progress, stage=stage)
            except Exception as error:
                if stop.is_set() or not is_disk_full(error):
                    raise
                if not is_waiting:
                    why = " ".join(str(error).split())
                    notice(f"the disk is full, the stream waits until there is room: {why}")
                is_waiting = True
                pipeline.wait_for_room(stop.is_set)
            else:
                break
        if is_waiting:
            notice("there is room on the disk again, the stream goes on")
        failures = batch.failures
        report(batch)
        return batch

    if producer is None:
        _follow(advance, stop.is_set)
    else:
        failure: list[BaseException] = []
        abandoned = threading.Event()

        def ended() -> bool:
            return stop.is_set() or abandoned.is_set()

        thread = threading.Thread(
            target=_produce, args=(producer, pipeline, ended, failure), daemon=True
        )
        thread.start()
        try:
            _follow(advance, lambda: stop.is_set() or not thread.is_alive())
        except BaseException:
            abandoned.set()
            raise
        finally:
            thread.join()
        if failure:
            raise failure[0]
    if not stop.is_set():
        advance(build=ALL)
    return failures


def _follow(advance: Callable[[], BatchReport], ended: Callable[[], bool]) -> None:
    while not ended():
        batch = advance()
        if not batch.changes:
            time.sleep(max(IDLE, min(1.0, IDLE_TO_LOOK * batch.seconds["clean"])))


def _produce(
    producer: Producer,
    pipeline: Pipeline,
    ended: Callable[[], bool],
    failure: list[BaseException],
) -> None:
    try:
        while not (producer.done or ended()):
            wait = producer.due()
            if producer.report().lines - pipeline.lines_taken > BACKLOG:
                wait = IDLE
            if wait > 0:
                time.sleep(min(wait, IDLE))
            else:
                _with_room(producer.step, pipeline, ended)
        _with_room(producer.finish, pipeline, ended)
        _with_room(producer.close, pipeline, ended)
    except BaseException as error:
        failure.append(error)


def _with_room(act: Callable[[], object], pipeline: Pipeline, ended: Callable[[], bool]) -> None:
    """Let the producer act; after an error of a full disk try again when there may be room."""
    while True:
        try:
            act()
            return
        except Exception as error:
            if ended() or not is_disk_full(error):
                raise
        wait_for_room(pipeline.home, ended)
