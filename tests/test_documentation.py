"""The tutorial runs as written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

BIN = Path(sys.executable).parent


def test_the_tutorial_runs_as_written(tmp_path: Path) -> None:
    """All its commands, in order; the mended line counts, and a rebuild differs in no row."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "docs" / "tutorial.md").read_text(), re.S)
    script = "set -e\n" + "".join(blocks)
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "COLUMNS": "200"}
    outcome = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert outcome.returncode == 0, outcome.stdout
    assert "0 open, 1 mended" in outcome.stdout
    assert (tmp_path / "my-shop-files" / "sales_daily_store.csv").exists()
    assert "differ" in outcome.stdout
