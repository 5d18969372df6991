"""What questions cost a stream: `python -m benchmarks.questions HOME`.

Beside `up` (500 events/s by default) a probe event in a currency of its own is put into raw/ again
and again, and the clock stops when a published snapshot counts it. Every other probe is taken while
other processes' questions are answered. HOME is made first if it is not there; at the end its audit
must hold.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from medallion.platforms.platform import Platform
from medallion.platforms.questions.address import SOCKET
from medallion.settings import Settings

MEDALLION = [sys.executable, "-m", "medallion.cli"]
CURRENCY = "ISK"
QUESTIONS = (
    "SELECT count(*) FROM staging.purchases",
    "SELECT store_id, sum(net_sales) FROM fct_sales_line GROUP BY store_id ORDER BY 2 DESC",
    "SELECT sales_date, currency, net_sales FROM purchases_gold ORDER BY 1 DESC LIMIT 100",
    "SELECT reason, count(*) FROM staging.quarantine GROUP BY reason",
    "SELECT * FROM sales_hourly ORDER BY sales_date DESC, sales_hour DESC LIMIT 500",
)


def main() -> None:
    """Prints the latencies without and with questions, their ratio at p95, and the audit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--history", type=int, default=10**5)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--probes", type=int, default=100)
    parser.add_argument("--questions", type=int, default=1000)
    asked = parser.parse_args()
    home = asked.home.absolute()
    if not home.exists():
        made = [*MEDALLION, "run", "--events", str(asked.history), "--home", str(home)]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
    up = [*MEDALLION, "up", "--rate", str(asked.rate), "--no-dashboard", "--home", str(home)]
    stream = subprocess.Popen(up, stdout=subprocess.DEVNULL)
    try:
        while not (home / SOCKET).exists():
            time.sleep(0.1)
        quiet, busy, answers = compare(home, asked.probes, asked.questions)
    finally:
        stream.send_signal(signal.SIGINT)
        stream.wait(60)
    for name, seconds in (("without", quiet), ("with", busy)):
        print(f"{name:<8} {told(seconds)} of {len(seconds)} probes")
    print(f"answers  {told(answers)} of {len(answers)} questions")
    print(f"p95 with questions: {p95(busy) / p95(quiet):.2f} times that without")
    audit = subprocess.run([*MEDALLION, "audit", "--home", str(home)], stdout=subprocess.DEVNULL)
    print("the audit holds" if audit.returncode == 0 else "THE AUDIT IS BROKEN")


def compare(home: Path, probes: int, questions: int) -> tuple[list[float], ...]:
    """Seconds of probes without and with questions, by turns, and those of the answers."""
    seconds: tuple[list[float], ...] = ([], [], [])
    asking, ended = threading.Event(), threading.Event()
    asked = (home, questions, asking, ended, seconds[2])
    threading.Thread(target=ask, args=asked, daemon=True).start()
    try:
        probe(home)  # waits until the first build is over
        while len(seconds[1]) < probes or len(seconds[2]) < questions:
            for taken, turn in zip(seconds[:2], (asking.clear, asking.set), strict=True):
                turn()
                for _ in range(4):
                    time.sleep(random.uniform(0.1, 0.6))
                    taken.append(probe(home))
    finally:
        ended.set()
        asking.set()
    return seconds


def ask(
    home: Path, count: int, asking: threading.Event, ended: threading.Event, seconds: list[float]
) -> None:
    """Asks one question after the other while `asking` is set."""
    platform = Platform.of(Settings(home))
    for number in range(count):
        asking.wait()
        if ended.is_set():
            return
        started = time.monotonic()
        with platform.reader() as warehouse:
            warehouse.execute(QUESTIONS[number % len(QUESTIONS)]).fetchall()
        seconds.append(time.monotonic() - started)
        time.sleep(0.05)


def probe(home: Path) -> float:
    """Sells one thing, and returns the seconds until a snapshot counts it."""
    before = counted(home)
    name, sold = uuid.uuid4().hex, time.time()
    at = datetime.fromtimestamp(sold, UTC).isoformat(timespec="milliseconds")
    line = {"event_id": name, "ts": at, "store_id": "S-PROBE", "product_id": "P-PROBE"}
    path = home / "raw" / f".{name}.jsonl"
    path.write_text(json.dumps(line | {"price": 1, "quantity": 1, "currency": CURRENCY}) + "\n")
    path.rename(path.with_name(path.name[1:]))
    while counted(home) == before:
        time.sleep(0.01)
    return time.time() - sold


def counted(home: Path) -> int:
    """The lines of the probes in the published snapshot."""
    while True:
        version = (home / "gold" / "CURRENT").read_text()
        try:
            table = pq.read_table(home / "gold" / version / "purchases_gold.parquet")
        except FileNotFoundError:  # it has been replaced in the meantime
            continue
        mine = table.filter(pc.field("currency") == CURRENCY)
        return pc.sum(mine["lines"]).as_py() or 0


def p95(seconds: list[float]) -> float:
    """The value that 95 of 100 do not exceed."""
    return sorted(seconds)[int(len(seconds) * 0.95)]


def told(seconds: list[float]) -> str:
    """Median, p95 and the worst."""
    middle, worst = statistics.median(seconds), max(seconds)
    return f"p50 {middle:.3f} s, p95 {p95(seconds):.3f} s, worst {worst:.3f} s"


if __name__ == "__main__":
    main()
