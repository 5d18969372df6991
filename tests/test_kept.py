"""Files that are made once on a machine: the parsed project belongs to its sources, in any home."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from medallion.layers import dbt
from medallion.layers.dbt import EMBEDDED, Dbt
from medallion.platforms import kept
from medallion.platforms.kept import keep, kept_or_made
from medallion.settings import DBT_PROJECT


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder where files are kept."""
    monkeypatch.setattr(kept, "_folders", lambda: iter([tmp_path / "kept"]))
    return tmp_path / "kept"


def never() -> bytes:
    """Stands for what need not be made again."""
    raise AssertionError("made again")


def test_a_file_is_made_once_and_made_again_when_it_is_damaged(folder: Path) -> None:
    """Every byte counts; so does a file that was cut."""
    assert kept_or_made("kind-1.bin", lambda: b"made") == b"made"
    assert kept_or_made("kind-1.bin", never) == b"made"
    whole = (folder / "kind-1.bin").read_bytes()
    flipped = [whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :] for i in range(len(whole))]
    for damaged in (*flipped, *(whole[:n] for n in range(len(whole)))):
        (folder / "kind-1.bin").write_bytes(damaged)
        assert kept_or_made("kind-1.bin", lambda: b"new") == b"new"


def test_old_files_of_a_kind_go(folder: Path) -> None:
    """A developer's project changes all day. What is used stays."""
    kept_or_made("other-0.bin", lambda: b"other")
    for number in range(40):
        kept_or_made(f"kind-{number}.bin", lambda: b"made")
        assert kept_or_made("kind-0.bin", never) == b"made"
    names = {path.name for path in folder.iterdir()}
    assert {"kind-0.bin", "kind-39.bin", "other-0.bin"} <= names
    assert len(names) == 17 + len({"kind.lock", "other.lock"})


def test_where_no_folder_can_be_written_it_is_made_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing fails."""
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(kept, "_folders", lambda: iter([tmp_path / "file" / "folder"]))
    assert kept_or_made("kind-1.bin", lambda: b"first") == b"first"
    keep("kind-1.bin", b"kept")
    assert kept_or_made("kind-1.bin", lambda: b"second") == b"second"


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Grows by one with each parsing of the project."""
    parsed = list[Any]()

    def parse(*arguments: Any, parse: Any = dbt._parse) -> Any:
        parsed.append(arguments)
        return parse(*arguments)

    monkeypatch.setattr(dbt, "_parse", parse)
    return parsed


def test_a_new_home_needs_no_parsing(tmp_path: Path, parses: list[Any]) -> None:
    """The project is parsed for the first home of a machine; nothing of that home is kept."""
    names = []
    for home in ("first", "second"):
        (tmp_path / home).mkdir()
        (tmp_path / home / "warehouse.duckdb").touch()
        names.append(Dbt(tmp_path / home, EMBEDDED, print).models().keys())
    assert names[0] == names[1] and "gold" in names[0]
    assert len(parses) <= 1


def test_every_change_of_the_project_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another text, name or place of a file, and another dbt; not what dbt wrote there itself."""
    project = tmp_path / "dbt"
    shutil.copytree(DBT_PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
    digests = [dbt.project_digest(project)]
    (project / "target").mkdir()
    (project / "target" / "manifest.json").write_text("{}")
    assert dbt.project_digest(project) == digests[0]
    for change in (
        lambda: (project / "models/gold.sql").open("a").write(" "),
        lambda: (project / "models/marts/marts.yml").open("a").write(" "),
        lambda: (project / "models/gold.sql").rename(project / "models/gold2.sql"),
        lambda: (project / "models/gold2.sql").rename(project / "models/marts/gold2.sql"),
        lambda: (project / "macros/new.sql").touch(),
        lambda: monkeypatch.setattr(dbt, "version", lambda package: "0"),
    ):
        change()
        digests.append(dbt.project_digest(project))
    assert len(set(digests)) == len(digests)
