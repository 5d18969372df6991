"""Copies of the checkout in which the steps of CONTRIBUTING.md were followed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

FIELD = "promotion_id"
METRIC = "highest_price"
MART = "sales_by_payment_method"
COPIED = ("bi", "contracts", "dbt", "docs", "infra", "src", "tests")
LEFT_OUT = shutil.ignore_patterns(
    "__pycache__", "target", "logs", "dbt_packages", ".terraform", "schemas", "images", "*.user.yml"
)


def checkout_with_a_field(folder: Path) -> Path:
    """Copy the checkout, and add a field to it; return the copy."""
    copy = _checkout(folder)
    field, case, command = steps("a field")
    module = copy / "src" / "medallion" / "contract.py"
    purchases = module.read_text().index("PURCHASES = Feed(")
    _insert(module, f"\n        {field.strip()},", before="\n    ),\n)\n", behind=purchases)
    (copy / case_of_the_field()).write_text(case)
    _run(copy, command)
    return copy


def checkout_with_a_metric_and_a_mart(folder: Path) -> Path:
    """Copy the checkout, and add a metric and a mart to it; return the copy."""
    copy = _checkout(folder)
    marts = copy / "dbt" / "models" / "marts"
    measure, metric, commands = steps("a metric")
    measures = (marts / "metrics.yml").read_text().index("measures:")
    _insert(marts / "metrics.yml", f"\n{measure.rstrip()}", before="\n\n", behind=measures)
    _append(marts / "metrics.yml", f"\n{metric}")
    _run(copy, commands)
    model, description, configuration, unit_test, _ = steps("a mart")
    (marts / f"{MART}.sql").write_text(model)
    _append(marts / "marts.yml", f"\n{description}")
    _insert(copy / "dbt" / "dbt_project.yml", configuration, before="\ndata_tests:\n")
    _append(marts / "unit_tests.yml", unit_test)
    return copy


def steps(title: str) -> list[str]:
    """Return the blocks of code in the section "How to add TITLE", in their order."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    section = page.partition(f"## How to add {title}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^   ```\w+\n(.*?)^   ```$", section, re.MULTILINE | re.DOTALL)
    return [re.sub(r"(?m)^ {3}", "", block) for block in blocks]


def case_of_the_field() -> str:
    """Return the path of the cases that the steps of a field name."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    (path,) = re.findall(r"`(tests/conformance/cases/[\w]+\.toml)`", page)
    return path


def environment(copy: Path) -> dict[str, str]:
    """Return an environment in which `medallion` is that of the copy."""
    return os.environ | {"PYTHONPATH": str(copy / "src")}


def _checkout(folder: Path) -> Path:
    copy = folder / "checkout"
    for name in COPIED:
        shutil.copytree(ROOT / name, copy / name, ignore=LEFT_OUT)
    for name in ("pyproject.toml", "CONTRIBUTING.md", "README.md"):
        shutil.copy(ROOT / name, copy)
    return copy


def _insert(path: Path, addition: str, *, before: str, behind: int = 0) -> None:
    text = path.read_text()
    place = text.index(before, behind)
    path.write_text(text[:place] + addition + text[place:])


def _append(path: Path, addition: str) -> None:
    path.write_text(path.read_text() + addition)


def _run(copy: Path, commands: str) -> None:
    """Run a block of commands with this Python, in the copy."""
    script = re.sub(r"(?m)^python ", f"{sys.executable} ", commands)
    subprocess.run(["sh", "-ec", script], cwd=copy, env=environment(copy), check=True)
