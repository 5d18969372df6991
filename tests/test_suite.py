"""The tests themselves: their imports, their order, and the page of the Snowflake stand-in."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import LONG, ROOT

TESTS = ROOT / "tests"
STANDIN = TESTS / "snowflake" / "standin"
MODULES = sorted([*TESTS.rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")])
RAISING = {"refusal", "ProgrammingError", "_failed"}


def imported(path: Path) -> Iterator[str]:
    """Yield the names that a module imports; a relative import keeps its dots."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_tests_import_each_other_by_full_name(path: Path) -> None:
    """No relative import, and none that would be found only from the folder of a test."""
    for name in imported(path):
        assert not name.startswith("."), name
        for folder in {TESTS, path.parent}:
            assert not (folder / f"{name.replace('.', '/')}.py").exists(), name


def test_what_takes_long_is_there() -> None:
    """Each entry of the order of tests is a file or a folder of tests."""
    for scope in LONG:
        assert (ROOT / scope).is_file() or (TESTS / scope).is_dir(), scope
    assert len(set(LONG)) == len(LONG)


def test_the_stand_in_s_page_names_every_module_and_error() -> None:
    """README.md beside it: a line for each module, and each error number that the code raises."""
    page = (STANDIN / "README.md").read_text()
    modules = {path.stem for path in STANDIN.glob("*.py")}
    table = page.partition("## The modules")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(\w+)`", table)) >= modules
    numbers = set()
    for path in STANDIN.glob("*.py"):
        for call in (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)):
            if isinstance(call.func, ast.Name) and call.func.id in RAISING:
                given = [*call.args, *(k.value for k in call.keywords if k.arg == "errno")]
                values = [g.value for g in given if isinstance(g, ast.Constant)]
                numbers |= {str(value) for value in values if isinstance(value, int)}
    listed = page.partition("## Errors")[2].partition("\n## ")[0]
    assert len(numbers) > 5
    assert numbers <= set(re.findall(r"\b\d+\b", listed)), numbers
