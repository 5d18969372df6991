"""Emulators of AWS and policy checkers, in an environment of their own: their requirements
contradict those of the project."""

from __future__ import annotations

import os
from pathlib import Path

from tests.environments import environment

LOCK = Path(__file__).parent / "tools.lock"
"""What tools.txt asks for, resolved by `uv pip compile` with the options of `make lock`."""


def tools() -> Path:
    """The folder of the tools' programs."""
    return environment("tools", LOCK) / "bin"


def clean_environment(**variables: str) -> dict[str, str]:
    """Return the environment of a tool: without credentials, endpoints or Python paths of the
    caller."""
    dropped = ("AWS_", "PYTHONPATH", "TF_VAR_", "TF_WORKSPACE", "TF_DATA_DIR")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    bundle = {k: v for k, v in os.environ.items() if k == "AWS_CA_BUNDLE"}
    return kept | bundle | variables
