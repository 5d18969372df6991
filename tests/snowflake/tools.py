"""The tools of these tests: fakesnow, dbt-snowflake, sqlfluff. dbt-snowflake and the project want
different versions of certifi, so the tools live in an environment of their own, made once from
tools.lock. It holds the project's requirements too: `medallion` runs there with `src` on its path.

    uv pip compile tools.in --universal --python-version 3.11 --generate-hashes --no-header \\
        --no-annotate --no-emit-index-url -o tools.lock
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = Path(__file__).with_name("tools.lock")


@cache
def python() -> Path:
    """The interpreter of the tools' environment, which is made where it is missing."""
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    folder = ROOT / "build" / f"snowflake-tools-{digest}"
    if not (folder / ".ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        install = ["install", "--quiet", "--no-deps", "--require-hashes", "--requirement", LOCK]
        subprocess.run([folder / "bin" / "python", "-m", "pip", *install], check=True)
        (folder / ".ready").touch()
    return folder / "bin" / "python"
