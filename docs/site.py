"""Build the documentation site: build/site, from the Markdown files where they stand.

    python docs/site.py

Fails when a page links to what is not there, or is in no menu.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "docs" / "site.yml"
PAGE = re.compile(r"^ +- .*: (\S+\.md)$", re.M)
LINK = re.compile(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)")


def main() -> None:
    """Gather the pages and what they link to, and build them strictly."""
    text, stage = CONFIG.read_text(encoding="utf-8"), ROOT / "build"
    pages = PAGE.findall(text)
    for folder in ("pages", "site"):
        shutil.rmtree(stage / folder, ignore_errors=True)
    here = [str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md")]
    for file in {*here, *pages, *(link for page in pages for link in links(page))}:
        (stage / "pages" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, stage / "pages" / file)
    config = shutil.copy(CONFIG, stage / "mkdocs.yml")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", config]
    sys.exit(subprocess.run(build, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}).returncode)


def links(page: str) -> Iterator[str]:
    """Yield the files that a page links to; exit when one is not there."""
    for link in LINK.findall((ROOT / page).read_text(encoding="utf-8")):
        target = (ROOT / page).parent.joinpath(link).resolve()
        if not target.exists():
            sys.exit(f"{page} links to {link}, which is not there")
        if target.is_file():
            yield str(target.relative_to(ROOT))


if __name__ == "__main__":
    main()
