"""The structure of the project: the direction of imports, and that the documents are true."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import click
import pytest

from medallion.cli import main
from medallion.cli.reference import page as commands_page
from medallion.metrics import read_definitions
from medallion.metrics.page import page
from medallion.outputs.contract.__main__ import files as contract_files
from tests.conftest import ROOT

PACKAGE = ROOT / "src" / "medallion"
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])


def floors() -> dict[str, int]:
    """Return the floor of each room, 0 at the top, as docs/architecture.md draws the house."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    section = text.partition("## Which way imports point\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^    (\w[\w, ]*?)(?:  .*)?$", section, re.MULTILINE)
    return {room: i for i, line in enumerate(lines) for room in line.split(", ")}


def imports(path: Path) -> set[str]:
    """Return the first names under medallion that a module imports."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
        parts |= {n.split(".")[1] for n in names if n.startswith("medallion.")}
    return parts


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem)
def test_imports_point_down(path: Path) -> None:
    """A module imports from its own room and from lower floors, as the architecture draws them."""
    room, floor = path.relative_to(PACKAGE).parts[0].removesuffix(".py"), floors()
    for other in imports(path) - {room, "__version__"}:
        assert floor[other] > floor[room], f"{room} must not import {other}"


def test_every_room_is_drawn() -> None:
    """The drawing of the architecture shows the rooms that are there, and no others."""
    rooms = {p.relative_to(PACKAGE).parts[0].removesuffix(".py") for p in PACKAGE.rglob("*.py")}
    assert floors().keys() == rooms - {"__init__"}


def test_no_modules_import_each_other() -> None:
    """The modules can be read in an order in which each stands on those before it."""
    graph: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(("medallion", *path.relative_to(PACKAGE).with_suffix("").parts))
        graph[name] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                graph[name] |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
    tuple(TopologicalSorter({n: graph[n] & graph.keys() for n in graph}).static_order())


def test_only_the_command_line_reads_the_environment() -> None:
    """Everything else is told."""
    readers = [p for p in PACKAGE.rglob("*.py") if re.search(r"environ\b|getenv", p.read_text())]
    others = [p for p in readers if p.relative_to(PACKAGE).parts[0] != "cli"]
    assert [p.name for p in others] == ["dbt.py"]


def test_every_public_module_class_and_function_has_a_docstring() -> None:
    """Public is what has no leading underscore; a method may have that of its base class
    or protocol, and one of a single statement speaks for itself."""
    missing, promised = [], set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases):
                promised |= {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name[0] != "_"]
        own = [n for c in classes if not c.bases for n in c.body]
        functions = [n for n in (*tree.body, *own) if isinstance(n, ast.FunctionDef)]
        public = [n for n in functions if n.name[0] != "_" and len(n.body) > 1]
        public = [n for n in public if n.name not in promised]
        if not ast.get_docstring(tree) and path.stat().st_size:
            missing.append(path.name)
        missing += [
            f"{path.name}: {n.name}" for n in (*classes, *public) if not ast.get_docstring(n)
        ]
    assert not missing, missing


def commands(group: click.Group, prefix: str = "") -> dict[str, click.Command]:
    """Return every verb by the words that call it."""
    verbs: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        nested = isinstance(command, click.Group)
        verbs |= commands(command, f"{prefix}{name} ") if nested else {prefix + name: command}
    return verbs


def test_every_verb_and_option_is_documented() -> None:
    """In the README or under docs/; --help is click's own."""
    text = "\n".join(path.read_text() for path in DOCUMENTS)
    for name, command in commands(main).items():
        assert f"medallion {name}" in text, name
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.opts[0] in text, f"{name} {option.opts[0]}"


def test_every_documented_command_exists() -> None:
    """`medallion VERB --option` in a document names a verb and options that are there."""
    verbs = commands(main)
    for path in DOCUMENTS:
        for call in re.findall(
            r"^\s*(?:\$ )?medallion ([^\n#|`]+)", path.read_text(), re.MULTILINE
        ):
            words = call.split()
            name = next((n for n in (" ".join(words[:2]), words[0]) if n in verbs), None)
            assert name, f"{path.name}: medallion {call}"
            known = {opt for p in verbs[name].params for opt in p.opts} | {"--help"}
            assert {w for w in words if w.startswith("--")} <= known, f"{path.name}: {call}"


def test_links_lead_somewhere() -> None:
    """Relative links in the documents."""
    for path in DOCUMENTS:
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
            if "://" not in link:
                assert (path.parent / link).exists(), f"{path.name}: {link}"


def test_what_repeats_the_contract_is_current() -> None:
    """`python -m medallion.outputs.contract` would write each of its files as it is."""
    texts = contract_files()
    stale = [path for path, text in texts.items() if (ROOT / path).read_text() != text]
    assert not stale, f"python -m medallion.outputs.contract writes {stale} anew"
    written = {f"contracts/{path.name}" for path in (ROOT / "contracts").iterdir()}
    assert written <= texts.keys()


def test_the_page_of_metrics_is_current() -> None:
    """docs/metrics.md is what the definitions say."""
    assert (ROOT / "docs" / "metrics.md").read_text() == page(read_definitions())


def test_requirements_are_pinned_and_hashed() -> None:
    """Every line of the lock files is a version with hashes; no registry is named."""
    for lock in ROOT.glob("requirements*.lock"):
        text = lock.read_text()
        assert "://" not in text
        for block in re.split(r"\n(?=\S)", text.strip()):
            assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+", block), block
            assert "--hash=sha256:" in block, block.splitlines()[0]
    locked = (ROOT / "requirements.lock").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in project["dependencies"]:
        name = re.split(r"[<>=;]", requirement)[0].replace("_", "-")
        assert f"\n{name}==" in f"\n{locked}", name


def test_no_tracked_text_names_a_registry_or_a_private_path() -> None:
    """What is committed speaks of itself alone."""
    shown = re.compile(r"https?://[^ /]*(pypi|pythonhosted|npmjs|debian)|(^|[^\w.])/(root|home)/")
    for path in [*DOCUMENTS, *PACKAGE.rglob("*.py"), *(ROOT / "dbt").glob("models/**/*.sql")]:
        assert not shown.search(path.read_text()), path


def test_the_site_builds_strictly() -> None:
    """Every page is in the menu, and every link leads somewhere."""
    site = [sys.executable, ROOT / "docs" / "site.py"]
    outcome = subprocess.run(site, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert outcome.returncode == 0, outcome.stdout
    built = (ROOT / "build" / "site" / "docs" / "tutorial" / "index.html").read_text()
    assert "Ten minutes" in built or "ten minutes" in built
    assert "fonts.googleapis" not in built, "a page asks for nothing outside"


def test_the_reference_is_what_the_command_line_says() -> None:
    """Made by `python -m medallion.cli.reference > docs/commands.md`."""
    assert (ROOT / "docs" / "commands.md").read_text() == commands_page()
