"""How long the first picture of the dashboard takes, in Chromium, beside a server that is warm.

    python -m benchmarks.first_picture HOME [LOADS]

Each load is a new browser context: nothing is cached, and nobody has seen the page before. Printed
are medians and the slowest, in seconds from the request: of the page's scripts being loaded, of the
socket to the server being open, and of the first card being seen.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, sync_playwright

from tests.browser import FLAGS, REVENUE, chromium, dashboard

PAGES = {"live": "/?period=today", "28 days": "/?period=last_28_days"}


def main() -> None:
    """Print a line for each page."""
    home, loads = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10
    with dashboard(home) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        for name, address in PAGES.items():
            load(browser, url + address)  # The server and the disk are warm afterwards.
            times = [load(browser, url + address) for _ in range(loads)]
            parts = (
                f"{part} {median(values):.2f} (at most {max(values):.2f})"
                for part, values in zip(
                    ("scripts", "socket", "picture"), zip(*times, strict=True), strict=True
                )
            )
            print(f"{name}: {', '.join(parts)}")
        browser.close()


def load(browser: Browser, address: str) -> tuple[float, float, float]:
    """Return the seconds until the scripts, the socket and the first card are there."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    sockets: list[float] = []
    page.on("websocket", lambda _: sockets.append(time.perf_counter()))
    started = time.perf_counter()
    page.goto(address, wait_until="domcontentloaded")
    scripts = time.perf_counter()
    page.wait_for_selector(REVENUE)
    seen = time.perf_counter()
    context.close()
    return scripts - started, sockets[0] - started, seen - started


if __name__ == "__main__":
    main()
