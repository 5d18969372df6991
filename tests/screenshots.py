"""Takes the pictures in docs/images: `python tests/screenshots.py`.

A home of a fortnight's simulated sales is made, streamed into for a while, and looked at in both
themes and on a phone. `SOURCES` says of what the pictures were taken; a test holds it current.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from browser import FLAGS, chromium
from processes import free_port, running, wait_for

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
PICTURES = {
    "dashboard-light": ("light", 1440, 1330),
    "dashboard-dark": ("dark", 1440, 1330),
    "dashboard-phone": ("light", 390, 844),
}
_LOOKS = ("app.py", "drawing.py", "page.py", "server.py", "style.css", "text.py")


def looks() -> str:
    """A checksum of all that says how the dashboard looks."""
    folder = ROOT / "src" / "medallion" / "dashboard"
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in _LOOKS)).hexdigest()


def main() -> None:
    """Takes every picture anew."""
    medallion = [sys.executable, "-m", "medallion.cli"]
    with tempfile.TemporaryDirectory() as folder:
        home, port = Path(folder) / "home", free_port()
        made = ["run", "--events", "60000", "--faults", "0.02", "--seed", "7", "--home", str(home)]
        subprocess.run([*medallion, *made], check=True, stdout=subprocess.DEVNULL)
        up = [*medallion, "up", "--rate", "3", "--port", str(port), "--home", str(home)]
        with running(Path(folder) / "up.log", *up):
            take(f"http://127.0.0.1:{port}")
    (IMAGES / "SOURCES").write_text(looks() + "\n")


def take(url: str) -> None:
    """One picture a theme and width, once sales have come in for a few minutes."""
    wait_for(f"{url}/_stcore/health")
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        for name, (theme, width, height) in PICTURES.items():
            size = {"width": width, "height": height}
            page = browser.new_page(viewport=size, color_scheme=theme)  # type: ignore[arg-type]
            page.goto(url)
            page.wait_for_selector('[data-state="live"]', timeout=180_000)
            page.wait_for_selector('[data-testid="stSelectbox"] input')
            page.wait_for_timeout(75_000 if name == next(iter(PICTURES)) else 3_000)
            page.screenshot(path=IMAGES / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
