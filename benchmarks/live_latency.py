"""How long a sale takes from the till to the dashboard: `python -m benchmarks.live_latency HOME`.

Beside a stream (500 events/s by default) a probe event with a store of its own is put into raw/
again and again, at random moments. A browser shows that store alone; the clock stops when the page,
drawn, reads one order more. HOME is made first, with a million events, if it is not there.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import statistics
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from medallion.outputs.dashboard.periods import TODAY
from tests.browser import FLAGS, chromium
from tests.processes import free_port, wait_for

STORE, REST = "S-PROBE", (0.5, 2.5)
ORDERS = '[data-metric="transactions"] .value'
MEDALLION = [sys.executable, "-m", "medallion.cli"]


def main() -> None:
    """Prints each latency, then p50, p95 and the worst, in seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--history", type=int, default=10**6)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--probes", type=int, default=40)
    asked = parser.parse_args()
    home = asked.home.absolute()
    if not home.exists():
        made = [*MEDALLION, "run", "--events", str(asked.history), "--home", str(home)]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
    port = free_port()
    up = [*MEDALLION, "up", "--rate", str(asked.rate), "--port", str(port), "--home", str(home)]
    stream = subprocess.Popen(up)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/_stcore/health")
        seconds = sorted(watch(home, url, asked.probes))
    finally:
        stream.send_signal(signal.SIGINT)
        stream.wait(30)
    print(
        f"p50 {statistics.median(seconds):.2f} s, p95 {seconds[int(len(seconds) * 0.95)]:.2f} s,",
        end=" ",
    )
    print(f"worst {seconds[-1]:.2f} s of {len(seconds)} probes at {asked.rate} events/s")


def watch(home: Path, url: str, probes: int) -> list[float]:
    """Seconds from each probe's sale to its sight."""
    taken = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page()
        # A home whose newest sale is of yesterday opens with another period.
        page.goto(f"{url}/?period={TODAY}")
        probe(home)
        before = choose_store(page)
        for _ in range(probes):
            time.sleep(random.uniform(*REST))
            sold = probe(home)
            before += 1
            page.wait_for_function(
                "([s, n]) => Number(document.querySelector(s)?.innerText.replaceAll(',', '')) >= n",
                arg=[ORDERS, before],
                timeout=60_000,
            )
            taken.append(time.time() - sold)
            print(f"{taken[-1]:.2f}", end=" ", flush=True)
        browser.close()
    print()
    return taken


def choose_store(page: Page) -> int:
    """Waits until the dashboard knows the store, shows it alone, and returns its orders so far."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        page.wait_for_selector(ORDERS, timeout=120_000)
        page.get_by_label("Stores").first.click()
        page.keyboard.type(STORE)
        found = page.get_by_role("option").filter(has_text=f"({STORE})")
        if found.count():
            found.first.click()
            page.keyboard.press("Escape")
            return settled(page)
        page.keyboard.press("Escape")
        page.reload()
        time.sleep(5)
    raise TimeoutError(f"the dashboard never offered store {STORE}")


def settled(page: Page) -> int:
    """The orders on the page, once no earlier probe is on its way: the same for 20 seconds."""
    orders, since = -1, time.monotonic()
    while time.monotonic() - since < 20:
        time.sleep(0.5)
        now = int(page.locator(ORDERS).first.inner_text().replace(",", ""))
        if now != orders:
            orders, since = now, time.monotonic()
    return orders


def probe(home: Path) -> float:
    """Sells one thing at the probe's store, now."""
    name, sold = uuid.uuid4().hex, time.time()
    at = datetime.fromtimestamp(sold, UTC).isoformat(timespec="milliseconds")
    line = {"event_id": name, "ts": at, "store_id": STORE, "product_id": "P-PROBE"}
    path = home / "raw" / f".{name}.jsonl"
    path.write_text(json.dumps(line | {"price": 1, "quantity": 1}) + "\n")
    path.rename(path.with_name(path.name[1:]))
    return sold


if __name__ == "__main__":
    main()
