"""What a micro-batch costs beside 500 and 500,000 raw objects, receipts and bronze objects:
`python -m benchmarks.objects FOLDER [--objects 500 500000]`.

The many objects are hard links to the three files of one small object that was cleaned; their
receipts are also in the warehouse. The homes take turns. Prints the CPU milliseconds of a batch of
1,000 events, each from a new raw object to published gold, those of a pass that finds nothing, and
the CPU seconds until the pipeline is ready to take the first batch.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from medallion.lake.raw import raw_key
from medallion.lake.receipts import accepted_key, receipt_key, stem
from medallion.pipeline import ALL, open_pipeline
from medallion.platforms.local import LocalLake
from medallion.platforms.platform import Platform
from medallion.settings import Settings
from medallion.simulation import Producer, SimulationOptions

SPINE = "tag:spine"
EVENTS, TICK = 1_000, 1.5
ROUNDS, WARM_UP, BATCHES = 2, 4, 10
LINKS = 50_000
"""The most names of one file that every file system allows."""
EVERY = timedelta(seconds=2)
LINE = (
    '{"event_id":"old","ts":"2026-01-01T00:00:00Z","store_id":"S1","product_id":"P1","price":1,'
    '"quantity":1}\n'
)
RECEIPTS = """
INSERT INTO staging.receipts
SELECT r.* REPLACE (l.key AS source_file, l.receipt AS bronze_file)
FROM (FROM staging.receipts LIMIT 1) AS r, (SELECT unnest($1) AS key, unnest($2) AS receipt) AS l
"""
LEDGER = """
INSERT INTO staging.loads
SELECT l.* REPLACE (k.key AS bronze_file) FROM (FROM staging.loads WHERE kind = $2 LIMIT 1) AS l,
(SELECT unnest($1) AS key) AS k
"""


def main() -> None:
    """Measure each home in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--objects", type=int, nargs="+", default=[500, 500_000])
    asked = parser.parse_args()
    homes = {count: asked.folder.absolute() / str(count) for count in asked.objects}
    for count, home in homes.items():
        if not home.exists():
            fill(home, count)
    rounds = [{count: measure(home) for count, home in homes.items()} for _ in range(ROUNDS)]
    least: list[float] = []
    for count in homes:
        batch, idle, start = (
            statistics.median(value for taken in rounds for value in taken[count][kind])
            for kind in ("batch", "idle", "start")
        )
        least = least or [batch, idle]
        print(
            f"{count:>9,} objects: {batch * 1000:.1f} ms CPU a batch ({batch / least[0]:.2f} times "
            f"the least), {idle * 1000:.2f} ms a pass that finds nothing "
            f"({idle / least[1]:.2f}), ready after {start:.1f} s of CPU",
            flush=True,
        )


def fill(home: Path, count: int) -> None:
    """Make a home with many objects that are cleaned and loaded."""
    lake, begin = LocalLake(home), datetime(2026, 1, 1, tzinfo=UTC)
    first = home / raw_key("purchases", begin, "00000000.ndjson")
    first.parent.mkdir(parents=True)
    first.write_text(LINE)
    with open_pipeline(Platform.of(Settings(home))) as pipeline:
        pipeline.advance(build=ALL)
        warehouse = pipeline.warehouse
        (raw,) = lake.list("raw/")
        originals = [
            raw.key,
            receipt_key(stem(raw)),
            accepted_key("purchases", "2026-01-01", stem(raw), 0),
        ]
        names: list[list[str]] = [[], [], []]
        for number in range(1, count):
            at = begin + number * EVERY
            key = raw_key("purchases", at, f"{number:08d}.ndjson")
            new = stem(type(raw)(key, raw.size, raw.modified, raw.version))
            for kind, name in enumerate(
                (key, receipt_key(new), accepted_key("purchases", f"{at:%Y-%m-%d}", new, 0))
            ):
                names[kind].append(name)
                link(home, originals, kind, name, number)
        warehouse.execute(RECEIPTS, [names[0], names[1]])
        warehouse.execute(LEDGER, [names[1], "receipts"])
        warehouse.execute(LEDGER, [names[2], "purchases"])


def link(home: Path, originals: list[str], kind: int, name: str, number: int) -> None:
    """Give a file another name, or from time to time a copy of it."""
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if number % LINKS:
        os.link(home / originals[kind], path)
        return
    stat = (home / originals[kind]).stat()
    path.write_bytes((home / originals[kind]).read_bytes())
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    originals[kind] = name


def measure(home: Path) -> dict[str, list[float]]:
    """Return the CPU seconds of batches, of idle passes and of the start."""
    started, here = time.process_time(), Platform.of(Settings(home))
    with open_pipeline(here) as pipeline:
        pipeline.advance(build=SPINE)
        start = time.process_time() - started
        producer = Producer(here.lake, SimulationOptions(rate=EVENTS / TICK, tick=TICK))
        batches = []
        for _ in range(WARM_UP + BATCHES):
            while (wait := producer.due()) > 0:
                time.sleep(wait)
            producer.step()
            batches.append(cpu(lambda: pipeline.advance(build=SPINE)))
        idle = [cpu(pipeline._sweep.waiting) for _ in range(100)]
    return {"batch": batches[WARM_UP:], "idle": idle, "start": [start]}


def cpu(step: Callable[[], object]) -> float:
    """Return the CPU seconds of this process that a step takes."""
    before = time.process_time()
    step()
    return time.process_time() - before


if __name__ == "__main__":
    main()
