"""Refusals and their messages: typing errors, data that is not read, homes of another version."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from click.testing import CliRunner, Result

from medallion.cli import main
from tests.conftest import ROOT, Cli, drop, event


def one_sentence(result: Result, *words: str) -> None:
    """Exit code 2, one line, with these words in it."""
    assert result.exit_code == 2, result.output
    assert result.stderr.rstrip("\n").count("\n") == 0, result.stderr
    for word in words:
        assert word in result.stderr, result.stderr


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (("transform", "--select", "sillver"), "silver"),
        (("transform", "--select", "gold nosuch_model"), "nosuch_model"),
        (("transform", "--select", "tag:spin"), "spine"),
        (("transform", "--select", "path:models/nosuch"), "models/nosuch"),
        (("import", "complete-jorney"), "complete-journey"),
        (("import", "no/such.csv"), "--mapping"),
        (("quarantine", "show", "--reason", "bad_prise"), "bad_price"),
        (("quarantine", "replay", "--reason", "bad_prise"), "bad_price"),
        (("quarantine", "show", "--reason", "x"), "quarantine list"),
        (("quarantine", "show", "--file", "raw/nosuch.json"), "raw/nosuch.json"),
        (("export", "out", "--only", "dim_store"), "dim_stores"),
        (("query", "FROM purchases_golt"), "purchases_gold"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_slip_names_the_nearest_right_word(
    built: Path, cli: Cli, tmp_path: Path, arguments: tuple[str, ...], nearest: str
) -> None:
    """And nothing is built, sent or written."""
    before = {path: path.stat().st_mtime_ns for path in (built / "raw").rglob("*")}
    snapshot = (built / "gold/CURRENT").read_text()
    arguments = tuple(str(tmp_path / a) if a == "out" else a for a in arguments)
    one_sentence(cli(built, *arguments), nearest)
    assert {path: path.stat().st_mtime_ns for path in (built / "raw").rglob("*")} == before
    assert (built / "gold/CURRENT").read_text() == snapshot
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("word", ["querry", "transfrom", "quarantaine", "updaet"])
def test_a_slip_in_a_verb_names_the_nearest_verb(word: str) -> None:
    """As does one in an option, which click knows."""
    result = CliRunner().invoke(main, [word])
    assert result.exit_code == 2 and "there is no verb" in result.stderr
    assert (word == "updaet") or "did you mean" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("clean",),
        ("load",),
        ("transform",),
        ("run", "--events", "0"),
        ("rebuild",),
        ("forget", "--customer", "C1"),
        ("dashboard",),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_home_that_is_not_there_is_not_made(
    tmp_path: Path, cli: Cli, arguments: tuple[str, ...]
) -> None:
    """The nearest folder beside it is named, if there is one."""
    one_sentence(cli(tmp_path / "no" / "such", *arguments), "there is no home", "medallion run")
    assert not (tmp_path / "no").exists()
    (tmp_path / "retail-data").mkdir()
    one_sentence(cli(tmp_path / "retial-data", *arguments), "did you mean retail-data?")
    assert not (tmp_path / "retial-data").exists()


def test_a_folder_of_somebody_else_stays(built: Path, tmp_path: Path, cli: Cli) -> None:
    """Nobody is told to remove what is theirs."""
    (tmp_path / "thesis.tex").write_text("mine")
    result = cli(built, "export", str(tmp_path))
    one_sentence(result, "thesis.tex", "new or empty folder")
    assert "remove" not in result.stderr and (tmp_path / "thesis.tex").read_text() == "mine"


def test_an_audit_names_a_raw_object_that_cannot_be_read(
    copy: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was cleaned before is missing from what is promised."""
    locked = next((copy / "raw/stores").rglob("*.zst")).name
    opened = Path.open

    def refuse(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == locked:
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    result = cli(copy, "audit")
    assert result.exit_code == 1 and f"{locked}: cannot be read: Permission denied" in result.stdout


def test_what_is_not_taken_is_listed_with_the_reason(tmp_path: Path, cli: Cli) -> None:
    """Tables, archives, links, folders behind links, unfinished files; and what is taken is not."""
    drop(tmp_path, "till.json", event())
    for name in ("a.csv", "b.txt", "c.zip", "d.json.bak", "e.json.tmp", ".f.json", "g.csv.gz"):
        drop(tmp_path, f"sub/{name}", "x")
    elsewhere = drop(tmp_path / "elsewhere", "day.json", event(event_id="e2"))
    (tmp_path / "raw/link.json").symlink_to(elsewhere)
    (tmp_path / "raw/folder").symlink_to(elsewhere.parent, target_is_directory=True)
    (tmp_path / "raw/gone.json").symlink_to(tmp_path / "nowhere.json")
    os.mkfifo(tmp_path / "raw/pipe.json")
    (tmp_path / "raw/empty.json.gz").touch()
    result = cli(tmp_path, "clean")
    assert "passed by  11 files or folders" in result.stdout and result.exit_code == 0
    assert cli(tmp_path, "load").exit_code == 0
    not_taken = re.findall(r"not taken: (\S+): (.*)", cli(tmp_path, "status").stdout)
    assert json.loads(cli(tmp_path, "status", "--json").stdout)[0]["not_taken"] == dict(not_taken)
    reasons = dict(not_taken)
    assert len(not_taken) == 11 and "0 bytes" in reasons["raw/empty.json.gz"]
    assert not {"raw/till.json", "raw/link.json"} & set(reasons)
    assert all("import" in reasons[f"raw/sub/{n}"] for n in ("a.csv", "b.txt", "g.csv.gz"))
    assert "unpack" in reasons["raw/sub/c.zip"] and ".ndjson" in reasons["raw/sub/d.json.bak"]
    assert all("rename" in reasons[f"raw/sub/{n}"] for n in ("e.json.tmp", ".f.json"))
    assert "link to a folder" in reasons["raw/folder"] and "nowhere" in reasons["raw/gone.json"]
    assert "neither a file nor a folder" in reasons["raw/pipe.json"]


@pytest.mark.parametrize("verb", [("clean",), ("run", "--events", "0")], ids=["clean", "run"])
def test_an_object_that_was_refused_is_exit_code_1(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...]
) -> None:
    """One that cannot be opened, and an archive that is cut; its neighbours are taken."""
    drop(tmp_path, "a.json", event())
    drop(tmp_path, "cut.json.gz", b"\x1f\x8b cut")
    drop(tmp_path, "locked.json", event(event_id="e2"))
    opened = Path.open

    def refuse(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "locked.json":
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    result = cli(tmp_path, *verb)
    assert result.exit_code == 1 and "2 accepted" not in result.stdout
    assert "1 accepted, 1 quarantined" in result.stdout
    assert "not taken: raw/locked.json: Permission denied" in result.stdout
    assert "not taken: raw/cut.json.gz: the archive is damaged or cut" in result.stdout
    monkeypatch.undo()
    result = cli(tmp_path, "clean")
    assert result.exit_code == 0 and "1 accepted" in result.stdout


def test_rejected_lines_are_told_with_reasons_and_the_next_command(
    tmp_path: Path, cli: Cli
) -> None:
    """--max-rejected turns too many of a feed into exit code 1, however many stores there are."""
    drop(tmp_path, "a.json", event(), event(price=-1, total_amount=...), event(quantity=0))
    drop(
        tmp_path,
        "stores/s.json",
        *(json.dumps({"store_id": f"S{n}", "ts": "2026-01-01T00:00:00Z"}) for n in range(97)),
    )
    shutil.copytree(tmp_path, again := tmp_path / "again")
    result = cli(tmp_path, "clean", "--max-rejected", "0.5")
    assert result.exit_code == 1 and "purchases" in result.stderr
    assert "2 of 3 lines of purchases (66.7%): 1 bad_price, 1 bad_quantity" in result.stdout
    assert "'medallion quarantine list'" in result.stdout
    assert cli(again, "clean", "--max-rejected", "0.7").exit_code == 0
    report = json.loads(cli(again, "clean", "--json").stdout)
    assert report["quarantined"] == 0


def test_a_day_between_silver_and_gold_waits(copy: Path, cli: Cli) -> None:
    """As after a kill between the two: no promise is broken, and the next run builds it."""
    drop(copy, "late.json", event(event_id="late", ts="2020-02-29T12:00:00Z"))
    for verb in (("clean",), ("load",), ("transform", "--select", "silver")):
        assert cli(copy, *verb).exit_code == 0
    result = cli(copy, "audit")
    assert result.exit_code == 0, result.stdout
    assert "waiting, no violation: 1 days not yet in gold" in result.stdout
    assert cli(copy, "transform", "--select", "gold").exit_code == 0
    assert "days not yet in gold" not in cli(copy, "audit").stdout


def test_a_broken_audit_says_what_to_do(copy: Path, cli: Cli) -> None:
    """And doing it mends the home."""
    with duckdb.connect(str(copy / "warehouse.duckdb")) as warehouse:
        warehouse.execute("UPDATE gold.purchases_gold SET net_sales = net_sales + 1")
    result = cli(copy, "audit")
    assert result.exit_code == 1
    (step,) = re.findall(r"to do: 'medallion (.*)'", result.stdout)
    assert cli(copy, *step.split()).exit_code == 0
    assert cli(copy, "audit").exit_code == 0


@pytest.mark.parametrize(
    "verb", [("run", "--events", "0"), ("load",), ("status",), ("audit",), ("quarantine", "list")]
)
def test_a_home_of_another_version_says_rebuild(
    copy: Path, cli: Cli, verb: tuple[str, ...]
) -> None:
    """A staging table without a column of today; and `query` still reads it."""
    with duckdb.connect(str(copy / "warehouse.duckdb")) as warehouse:
        warehouse.execute("ALTER TABLE staging.purchases DROP COLUMN original_event_id")
    one_sentence(cli(copy, *verb), "'medallion rebuild'", "original_event_id")
    assert cli(copy, "query", "SELECT 1").exit_code == 0


def test_objects_of_another_version_of_the_cleaner_are_counted(copy: Path, cli: Cli) -> None:
    """The rules of then judged them: `status` says so."""
    with duckdb.connect(str(copy / "warehouse.duckdb")) as warehouse:
        warehouse.execute(
            "UPDATE staging.receipts SET cleaner_version = '0.0.9' WHERE source_file = "
            "(SELECT min(source_file) FROM staging.receipts)"
        )
    result = cli(copy, "status")
    assert "1 raw objects were cleaned by version 0.0.9" in result.stdout
    assert "medallion rebuild" in result.stdout


def overwrite(path: Path, place: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"\xff" * 64)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"not a database" * 1000),
        lambda path: path.write_bytes(b""),
        lambda path: os.truncate(path, 20_000),
        lambda path: overwrite(path, 4096 + 8),
        lambda path: overwrite(path, 12288 + 500),
    ],
    ids=["text", "empty", "cut", "header", "block"],
)
def test_a_damaged_warehouse_says_how_to_make_it_again(
    copy: Path, cli: Cli, damage: Callable[[Path], Any]
) -> None:
    """`load` does what it says, and keeps the damaged file; whoever loads nothing leaves it."""
    warehouse = copy / "warehouse.duckdb"
    damage(warehouse)
    damaged = warehouse.read_bytes()
    query, forget = ("query", "FROM purchases_gold"), ("forget", "--customer", "C-1001")
    for verb in (("status",), ("audit",), query, ("transform",), forget):
        one_sentence(cli(copy, *verb), "is damaged; 'medallion run --events 0' sets it aside")
    doctor = cli(copy, "doctor")
    assert doctor.exit_code == 1 and "'medallion run --events 0'" in doctor.stdout
    assert warehouse.read_bytes() == damaged
    result = cli(copy, "load")
    assert result.exit_code == 0 and "warehouse was damaged" in result.stderr
    (kept,) = (copy / "replaced").rglob("warehouse.duckdb")
    assert kept.read_bytes() == damaged


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("models/schema.yml", lambda text: text.replace("\n", "\n   bad: [\n", 1), ("line ",)),
        ("models/gold.sql", lambda text: text + "{% endfor %}", ("gold.sql", "endfor")),
        ("models/gold.sql", lambda text: text.replace("'silver'", "'sillver'"), ("sillver",)),
    ],
    ids=["yaml", "jinja", "ref"],
)
def test_a_slip_in_the_dbt_project_is_one_line_with_the_place(
    built: Path,
    tmp_path: Path,
    cli: Cli,
    file: str,
    change: Callable[[str], str],
    words: tuple[str, ...],
) -> None:
    """The file, and the line where dbt knows it, in the project of a home."""
    project = tmp_path / "dbt"
    shutil.copytree(ROOT / "dbt", project, ignore=shutil.ignore_patterns("target", "logs"))
    (project / file).write_text(change((project / file).read_text()))
    result = cli(tmp_path, "transform")
    one_sentence(result, "dbt cannot read the project", Path(file).name, *words)
    assert "-----" not in result.stderr and len(result.stderr) < 600


def test_the_profile_names_the_plugin_that_refuses_an_empty_home() -> None:
    """The embedded target only: the other one has no file."""
    profile = yaml.safe_load((ROOT / "dbt/profiles.yml").read_text())["medallion"]["outputs"]
    assert [plugin["module"] for plugin in profile["local"]["plugins"]] == [
        "medallion.layers.dbt_plugin"
    ]


def test_a_part_of_a_warehouse_is_not_published(tmp_path: Path, cli: Cli) -> None:
    """A home of which only two layers are built has no snapshot, and hears how to get one."""
    drop(tmp_path, "one.json", event(event_id="one"))
    for verb in (("clean",), ("load",)):
        assert cli(tmp_path, *verb).exit_code == 0
    result = cli(tmp_path, "transform", "--select", "bronze silver")
    assert result.exit_code == 0, result.output
    assert "published  nothing" in result.stdout and "'medallion transform'" in result.stdout
    assert not (tmp_path / "gold").exists()
    assert "published" not in cli(tmp_path, "transform").stdout
    assert (tmp_path / "gold" / "CURRENT").exists()
