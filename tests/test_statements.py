"""Statements that dbt has made: the next run on this machine sends them again without dbt, where it
would make the same ones, and builds the same relations."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medallion.layers.dbt import EMBEDDED, Dbt
from medallion.platforms import kept
from medallion.platforms.warehouse import open_warehouse
from medallion.settings import DBT_PROJECT
from tests.conftest import Cli, drop, event

RELATIONS = (
    "SELECT schema_name || '.' || table_name FROM duckdb_tables() UNION "
    "SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal ORDER BY ALL"
)
CATALOG = "SELECT sql FROM duckdb_tables() UNION SELECT sql FROM duckdb_views() ORDER BY ALL"
Query = Callable[[Path, str], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Grows with each run of dbt. No statements are kept on this machine yet."""
    (own := tmp_path / "kept").mkdir()
    for path in (path for folder in kept._folders() for path in folder.glob("*-*")):
        if path.suffix in (".o", ".msgpack"):
            shutil.copy2(path, own)
    monkeypatch.setattr(kept, "_folders", lambda: iter([own]))
    of_dbt, run = list[Any](), Dbt.run

    def counted(self: Dbt, select: str | None, *, full_refresh: bool) -> Any:
        of_dbt.append(select)
        return run(self, select, full_refresh=full_refresh)

    monkeypatch.setattr(Dbt, "run", counted)
    return of_dbt


def build(cli: Cli, home: Path, *options: str) -> None:
    result = cli(home, "transform", *options)
    assert result.exit_code == 0, result.output


def filled(home: Path) -> dict[str, Any]:
    """All rows of all relations, and the statements that make these."""
    with open_warehouse(home, read_only=True) as warehouse:
        names = [name for (name,) in warehouse.execute(RELATIONS).fetchall()]
        rows = {n: warehouse.execute(f"FROM {n} ORDER BY ALL").fetchall() for n in names}
        return rows | {"": warehouse.execute(CATALOG).fetchall()}


def test_a_second_home_is_built_without_dbt_and_has_the_same_rows(
    tmp_path: Path, cli: Cli, runs: list[Any]
) -> None:
    """Built when it is empty, by increments with a correction, and anew."""
    home, copy = tmp_path / "home", tmp_path / "copy"
    cli(home, "simulate", "--events", "3000", "--faults", "0.02", "--seed", "7")
    for step in ((), ("--select", "tag:spine"), ("--full-refresh",), ()):
        drop(home, f"{len(runs)}.ndjson", event(quantity=len(runs) + 1, total_amount=...))
        cli(home, "clean")
        cli(home, "load")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(home, copy)
        build(cli, home, *step)
        with pytest.MonkeyPatch.context() as patch:
            patch.delattr(Dbt, "_prepared")  # dbt itself is not even imported.
            build(cli, copy, *step)
        assert filled(copy) == filled(home)
    assert len(runs) == 4


def test_another_project_catalog_or_selection_is_not_repeated(
    tmp_path: Path, cli: Cli, query: Query, runs: list[Any]
) -> None:
    """A table that is missing or has another column, another model, only some models."""
    home = tmp_path / "home"
    drop(home, "till.ndjson", event())
    cli(home, "run", "--events", "0")
    sums = query(home, "SELECT * FROM gold.purchases_gold")
    for change in ("DROP TABLE gold.purchases_gold", "DROP VIEW marts.live_today"):
        with open_warehouse(home) as warehouse:
            warehouse.execute(change)
        build(cli, home)
        assert query(home, "SELECT * FROM gold.purchases_gold") == sums
        assert query(home, "SELECT count(*) AS n FROM marts.live_today") == [{"n": 1}]
    with open_warehouse(home) as warehouse:
        warehouse.execute("ALTER TABLE gold.purchases_gold ADD COLUMN more INTEGER")
    count = len(runs)
    build(cli, home)
    build(cli, home)
    assert len(runs) == count + 1
    shutil.copytree(DBT_PROJECT, home / "dbt", ignore=shutil.ignore_patterns("target", "logs"))
    for number in (1, 2):
        (home / "dbt/models/ops/mine.sql").write_text(f"select {number} as one")
        build(cli, home)
        assert query(home, "SELECT one FROM ops.mine") == [{"one": number}]
    assert len(runs) == count + 3


MINE = {
    "itself": "select '{{ run_started_at }}' as told",
    "by_a_macro": "{{ at_the_moment() }}",
    "by_a_hook": "{{ config(post_hook='{{ at_the_moment() }}') }} select 1 as told",
    "by_python": "def model(dbt, session): return session.sql('select 1 as told')",
    "repeatable": "{{ config(post_hook='select 1') }} select '{{ this }}' as told",
}
"""Models of a project, by how they depend on the moment of a run."""
MACROS = (
    "{% macro moment() %}{{ modules.datetime.datetime.now() }}{% endmacro %}"
    "{% macro at_the_moment() %}select '{{ moment() }}' as told{% endmacro %}"
)


def test_a_model_of_the_moment_is_made_in_each_run(tmp_path: Path, cli: Cli, query: Query) -> None:
    """Itself, by a macro of a macro, by a hook, or because it is no SQL."""
    home = tmp_path / "home"
    shutil.copytree(DBT_PROJECT, home / "dbt", ignore=shutil.ignore_patterns("target", "logs"))
    (home / "dbt/macros/mine.sql").write_text(MACROS)
    for name, text in MINE.items():
        suffix = "py" if name == "by_python" else "sql"
        (home / f"dbt/models/ops/{name}.{suffix}").write_text(text)
    drop(home, "till.ndjson", event())
    cli(home, "run", "--events", "0")
    dbt = Dbt(home, EMBEDDED, print)
    assert [name for name in MINE if dbt.is_repeatable(name)] == ["repeatable"]
    assert all(dbt.is_repeatable(name) for name in dbt.models() if name not in MINE)
    told = [query(home, "SELECT told FROM ops.itself")]
    for _ in range(2):
        build(cli, home)
        told.append(query(home, "SELECT told FROM ops.itself"))
    assert told[0] != told[1] != told[2]


def test_what_a_project_does_in_each_run_is_done_in_each_run(
    tmp_path: Path, cli: Cli, query: Query
) -> None:
    """Statements at the end of a run belong to no model."""
    home = tmp_path / "home"
    shutil.copytree(DBT_PROJECT, home / "dbt", ignore=shutil.ignore_patterns("target", "logs"))
    with (home / "dbt/dbt_project.yml").open("a") as project:
        project.write(
            "\non-run-end:\n  - create table if not exists ops.ends (one integer)\n"
            "  - insert into ops.ends values (1)\n"
        )
    drop(home, "till.ndjson", event())
    cli(home, "run", "--events", "0")
    build(cli, home)
    build(cli, home)
    assert query(home, "SELECT count(*) AS n FROM ops.ends") == [{"n": 3}]


@pytest.mark.parametrize("damage", [(b"load_seq", b"none"), (b"create", b"kreate")])
def test_what_fails_is_left_to_dbt(
    tmp_path: Path, cli: Cli, query: Query, runs: list[Any], damage: tuple[bytes, bytes]
) -> None:
    """It builds the models, or says which it cannot build and why, as the first time."""
    home = tmp_path / "home"
    drop(home, "till.ndjson", event())
    cli(home, "run", "--events", "0")
    build(cli, home)
    count = len(runs)
    for path in (tmp_path / "kept").glob("statements-*.json"):
        kept.keep(path.name, (kept.kept(path.name) or b"").replace(*damage))
    drop(home, "later.ndjson", event(event_id="e2"))
    cli(home, "clean")
    cli(home, "load")
    build(cli, home)
    assert len(runs) == count + 1
    assert query(home, "SELECT count(*) AS n FROM silver.purchases_silver") == [{"n": 2}]
