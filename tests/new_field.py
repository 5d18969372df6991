"""A copy of the checkout with one more field, made by the steps of CONTRIBUTING.md."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.conftest import ROOT

FIELD = "promotion_id"
COPIED = ("contracts", "dbt", "docs", "infra", "src", "tests")
LEFT_OUT = shutil.ignore_patterns(
    "__pycache__", "target", "logs", "dbt_packages", ".terraform", "schemas", "images", "*.user.yml"
)


def checkout_with_a_field(folder: Path) -> Path:
    """Copy the checkout, and follow CONTRIBUTING.md until the field is there; return the copy."""
    copy = folder / "checkout"
    for name in COPIED:
        shutil.copytree(ROOT / name, copy / name, ignore=LEFT_OUT)
    for name in ("pyproject.toml", "CONTRIBUTING.md", "README.md"):
        shutil.copy(ROOT / name, copy)
    field, case, command = steps()
    _add_field(copy / "src" / "medallion" / "contract.py", field)
    path, text = case
    (copy / path).write_text(text)
    subprocess.run(
        [sys.executable, *command.split()[1:]], cwd=copy, env=environment(copy), check=True
    )
    return copy


def steps() -> tuple[str, tuple[str, str], str]:
    """Return what the three steps say: the field, the case with its path, the command."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    section = page.partition("## How to add a field\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^ *```\w+\n(.*?)^ *```$", section, re.MULTILINE | re.DOTALL)
    field, case, command = (textwrap.dedent(block) for block in blocks)
    (path,) = re.findall(r"`(tests/conformance/cases/[\w.]+)`", section)
    return field.strip(), (path, case), command.strip()


def _add_field(module: Path, field: str) -> None:
    """Add a field as the last one of PURCHASES."""
    text = module.read_text()
    end = text.index("\n    ),\n)\n", text.index("PURCHASES = Feed("))
    module.write_text(f"{text[:end]}\n        {field},{text[end:]}")


def environment(copy: Path) -> dict[str, str]:
    """Return an environment in which `medallion` is that of the copy."""
    return os.environ | {"PYTHONPATH": str(copy / "src")}
