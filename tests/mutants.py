"""Mutants: `python -m tests.mutants PART [COUNT] [SEED]` changes one operator, number or decorator
at a time in a copy of the project, and runs the tests that should see it.

Each is printed as a diff, with what the tests say; one that they do not see survives, and the exit
code is 1. The mutants are those of cosmic-ray, which is installed under build/ from a lock of its
own.
"""

from __future__ import annotations

import ast
import difflib
import secrets
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

from tests.conftest import ROOT
from tests.environments import library
from tests.planted import SOURCE, copy_of_the_project, run_tests

LOCK = Path(__file__).with_name("mutants.lock")
LONGEST = 900
"""Seconds that the tests of a mutant may take: one that never ends is seen, too."""
VERDICTS = {0: "SURVIVES", None: "takes too long"}


@dataclass(frozen=True)
class Part:
    """Modules that are changed, and the tests that must then fail."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


PARTS = {
    "cleaning": Part(
        ("cleaning/exact.py", "cleaning/lines.py", "cleaning/documents.py"),
        (
            "tests/conformance/test_lanes.py",
            "tests/test_cleaning.py",
            "tests/conformance/test_conformance.py",
        ),
    ),
    "staging": Part(
        ("layers/staging.py",),
        (
            "tests/test_durability.py",
            "tests/test_end_to_end.py",
            "tests/test_losses.py",
            "tests/test_year.py",
        ),
    ),
    "audit": Part(
        ("audit/raw.py", "audit/bronze.py", "audit/gold.py", "audit/values.py"),
        ("tests/test_audit.py", "tests/test_durability.py"),
    ),
}


@dataclass(frozen=True)
class Mutant:
    """A module with one change."""

    path: Path
    source: str
    changed: str

    @property
    def diff(self) -> str:
        name = str(self.path.relative_to(ROOT))
        texts = self.source.splitlines(), self.changed.splitlines()
        return "\n".join(difflib.unified_diff(*texts, name, name, n=1, lineterm=""))


def mutants(modules: list[Path], chance: Random) -> Iterator[Mutant]:
    """Yield the mutants of modules in random order, without those that change only annotations."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    # Those of variables need the name of one.
    names = [name for name in operator_names() if not name.startswith("core/Variable")]
    places = []
    for path in modules:
        nodes = [*ast_nodes(get_ast(path.read_text()))]
        for name in names:
            operator = get_operator(name)()
            count = sum(len([*operator.mutation_positions(node)]) for node in nodes)
            places += [(path, operator, occurrence) for occurrence in range(count)]
    for path, operator, occurrence in chance.sample(places, len(places)):
        source = path.read_text()
        changed = mutate_code(source, operator, occurrence)
        if changed and _meaning(changed) != _meaning(source):
            yield Mutant(path, source, changed)


def _meaning(source: str) -> str:
    """Return what a module does: its syntax tree without annotations."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                setattr(node, name, ast.Constant(None))
    return ast.dump(tree)


def main() -> int:
    """Try a sample of the mutants of a part, or all; print what comes of each."""
    part, *numbers = sys.argv[1:]
    count = int(numbers[0]) if numbers else None
    seed = int(numbers[1]) if len(numbers) > 1 else secrets.randbelow(1 << 31)
    sys.path.insert(0, str(library("mutants", LOCK)))
    print(f"seed {seed}", flush=True)
    modules = [ROOT / SOURCE / name for name in PARTS[part].modules]
    tried = survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_of_the_project(Path(folder))
        for mutant in islice(mutants(modules, Random(seed)), count):
            tried += 1
            target = copy / mutant.path.relative_to(ROOT)
            target.write_text(mutant.changed)
            code = run_tests(copy, *PARTS[part].tests, longest=LONGEST)
            survivors += code == 0
            print(f"{mutant.diff}\n{VERDICTS.get(code, 'red')}\n", flush=True)
            target.write_text(mutant.source)
    print(f"{part}: {tried} mutants, {survivors} survive")
    return bool(survivors)


if __name__ == "__main__":
    sys.exit(main())
