"""Emulators of AWS and critics of policies, in an environment of their own: what they require
contradicts what the project requires."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from conftest import ROOT

LOCK = Path(__file__).parent / "tools.lock"
"""What tools.txt asks for, resolved by `uv pip compile` with the options of `make lock`."""


def tools() -> Path:
    """The folder of the tools' programs; made once for each content of the lock."""
    name = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = ROOT / "build" / f"tools-{name}"
    ready = folder / ".ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        quiet = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
        pip = [folder / "bin" / "python", "-m", "pip", "install", *quiet]
        subprocess.run([*pip, "--requirement", LOCK], check=True)
        ready.touch()
    return folder / "bin"


def clean_environment(**variables: str) -> dict[str, str]:
    """The environment of a tool: no credentials, endpoints or Python paths of whoever calls."""
    dropped = ("AWS_", "PYTHONPATH", "TF_VAR_", "TF_WORKSPACE", "TF_DATA_DIR")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    bundle = {k: v for k, v in os.environ.items() if k == "AWS_CA_BUNDLE"}
    return kept | bundle | variables
