"""How the dbt project is written: dbt's own style guide, as far as a test can read it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.dbt.dbt_warehouse import PROJECT

MODELS = sorted((PROJECT / "models").rglob("*.sql"))
TESTS = sorted((PROJECT / "tests").glob("*.sql"))
GENERATED = {"sources.yml"}
TEXTS = [
    path
    for folder in ("models", "macros", "tests")
    for path in sorted((PROJECT / folder).rglob("*"))
    if path.suffix in (".sql", ".yml") and path.name not in GENERATED
] + [PROJECT / "dbt_project.yml", PROJECT / "profiles.yml"]
IMPORT = re.compile(
    r"[\w{} ]+ as (?:\{\{ \w+\(\) \}\} )?\("
    r"\n\n    select \* from \{\{ (?:ref|source)\([^)]*\) \}\}\n\n\)"
)


def name(path: Path) -> str:
    """The path in the project."""
    return path.relative_to(PROJECT).as_posix()


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_lines_are_short(path: Path) -> None:
    """At most 100 columns, in SQL and YAML."""
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    assert [number for number, line in lines if len(line) > 100] == []


@pytest.mark.parametrize("path", MODELS + TESTS, ids=name)
def test_what_is_read_is_imported_first(path: Path) -> None:
    """Every ref and source is a common table expression `name as (select * from ...)`, before all
    else. Comments for dbt's order of building may name others."""
    text = path.read_text(encoding="utf-8")
    sql = re.sub(r"\{#-.*?-#\}\n?", "", re.sub(r"(?m)^\s*--.*\n", "", text), flags=re.DOTALL)
    imports = IMPORT.findall(sql)
    assert len(re.findall(r"\{\{ (?:ref|source)\(", sql)) == len(imports)
    if imports:
        head = sql[: [m.end() for m in IMPORT.finditer(sql)][-1]]
        assert "with\n\n" in head
        jinja = r"\{%.*?%\}|\{\{ ',.*?\}\}"
        rest = re.sub(rf"(?s){jinja}|with\n|[\s,]", "", IMPORT.sub("", head))
        assert rest == "", f"before the last import stands {rest[:60]}"


@pytest.mark.parametrize("path", MODELS, ids=name)
def test_configuration_has_one_place(path: Path) -> None:
    """dbt_project.yml says how models are built and what they are called."""
    assert "config(" not in path.read_text(encoding="utf-8")


def test_sentinels_have_one_place() -> None:
    """What stands for something absent is a var; models and macros do not spell it."""
    project = yaml.safe_load((PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))
    names = ("unknown_member", "guest_member", "beginning_of_time", "end_of_time")
    sentinels = [project["vars"][name] for name in names]
    for path in [*MODELS, *TESTS, *sorted((PROJECT / "macros").glob("*.sql"))]:
        text = path.read_text(encoding="utf-8")
        assert [s for s in sentinels if f"'{s}'" in text] == [], path


def test_a_metric_states_its_formula_once() -> None:
    """Its parts alone say how it is worked out: no text repeats them."""
    document = yaml.safe_load((PROJECT / "models" / "marts" / "metrics.yml").read_text("utf-8"))
    for metric in document["metrics"]:
        assert set(metric["config"]["meta"]) == {"unit"}, metric["name"]
        assert not re.search(r"[Ff]ormula|sum\(|count\(", metric["description"]), metric["name"]
