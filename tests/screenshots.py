"""Takes the pictures in docs/images: `python -m tests.screenshots`.

They are of what a reader of the README sees: the commands of `make run` and `make live`, two
minutes later, in both themes and on a phone. `SOURCES` says of what the pictures were taken; a test
holds it current.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser import FLAGS, LIVE, chromium
from tests.processes import free_port, running, wait_for

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
PICTURES = {
    "dashboard-light": ("light", 1440, 1330, LIVE),
    "dashboard-dark": ("dark", 1440, 1330, LIVE),
    "dashboard-phone": ("light", 390, 844, LIVE),
    "dashboard-month": ("light", 1440, 1330, "/?period=last_28_days&compare=nothing"),
}
_LOOKS = (
    "app.py",
    "choice.py",
    "drawing.py",
    "header.py",
    "page.py",
    "periods.py",
    "server.py",
    "style.css",
    "tables.py",
    "text.py",
    "views.py",
)


def looks() -> str:
    """Return a checksum of the files that determine how the dashboard looks."""
    folder = ROOT / "src" / "medallion" / "outputs" / "dashboard"
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in _LOOKS)).hexdigest()


def main() -> None:
    """Take all pictures again."""
    medallion = [sys.executable, "-m", "medallion.cli"]
    with tempfile.TemporaryDirectory() as folder:
        home, port = Path(folder) / "home", free_port()
        run = [*medallion, *made_by("run"), "--home", str(home)]
        subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
        up = [*medallion, *made_by("live"), "--port", str(port), "--home", str(home)]
        with running(Path(folder) / "up.log", *up):
            take(f"http://127.0.0.1:{port}")
    (IMAGES / "SOURCES").write_text(looks() + "\n")


def made_by(target: str) -> list[str]:
    """The verb and options of `medallion` that a target of the Makefile runs."""
    makefile = (ROOT / "Makefile").read_text()
    command = re.search(rf"^{target}:.*\n\t\S+/medallion (.+)$", makefile, re.MULTILINE)
    assert command, target
    return command[1].split()


def take(url: str) -> None:
    """One picture a theme and width, once sales have come in for two minutes."""
    wait_for(f"{url}/_stcore/health")
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        for name, (theme, width, height, address) in PICTURES.items():
            size = {"width": width, "height": height}
            page = browser.new_page(viewport=size, color_scheme=theme)  # type: ignore[arg-type]
            page.goto(url + address)
            page.wait_for_selector('[data-state="streaming"]', timeout=180_000)
            page.wait_for_selector('[data-testid="stSelectbox"] input')
            page.wait_for_timeout(120_000 if name == next(iter(PICTURES)) else 3_000)
            page.screenshot(path=IMAGES / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
