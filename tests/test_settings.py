"""The settings of a home: its file, the options that are saved in it, and the effect of a
change."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner, Result

from medallion.cli import main
from medallion.errors import SettingsError
from medallion.settings import FILE, KEYS, TABLES, Reporting, Settings, Thresholds, with_setting
from tests.conftest import ROOT, Cli, drop, event

EXAMPLES = ROOT / "examples"
RATES = {("EUR", "USD"): 1.1, ("GBP", "USD"): 1.3, ("USD", "EUR"): 0.9, ("GBP", "EUR"): 1.2}


OF_THE_LOAD = "_seq$|^(loaded|ingested|arrived|cleaned|staged)_at$"
"""Columns that differ between two homes with the same data."""


def refused(result: Result, *words: str) -> None:
    """Exit code 2, one line, with these words in it."""
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    assert all(word in result.stderr for word in words), result.stderr


def written(home: Path, text: str) -> Path:
    """A home with a settings file."""
    home.mkdir(exist_ok=True)
    (home / FILE).write_text(text)
    return home


@pytest.mark.parametrize("example", ["medallion.toml", "medallion-minimal.toml"])
def test_the_examples_are_settings(tmp_path: Path, example: str) -> None:
    """The minimal one has one key, the full one all of them."""
    text = (EXAMPLES / example).read_text()
    settings = Settings.from_environment({}, written(tmp_path, text))
    assert settings.reporting.reporting_currency == "EUR"
    full, is_full = Reporting("EUR", "Europe/Berlin"), example == "medallion.toml"
    assert (settings.reporting == full) == is_full and set(asdict(full)) == set(KEYS)
    assert settings.file.thresholds == Thresholds() and not settings.changes
    retention = settings.file.raw_days, settings.file.bronze_days
    assert retention == ((400, 800) if is_full else (None, None))
    if is_full:
        tables = tomllib.loads(text)
        assert {table: tuple(tables[table]) for table in TABLES} == TABLES


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('reporting_curency = "EUR"', ["reporting_curency", "did you mean reporting_currency?"]),
        ('colour = "red"', ["colour", "the keys are reporting_currency, time_zone"]),
        ('reporting_currency = "EURO"', ["ISO 4217", "'EURO'", "did you mean EUR?"]),
        ('reporting_currency = "eur"', ["'eur'", "did you mean EUR?"]),
        ("reporting_currency = 978", ["ISO 4217", "978"]),
        ('time_zone = "Berlin"', ["IANA", "did you mean Europe/Berlin?"]),
        ('time_zone = "Europe/Berln"', ["did you mean Europe/Berlin?"]),
        ('time_zone = "localtime"', ["IANA"]),
        ("time_zone = Berlin\n", ["no TOML that can be read", "line 1"]),
        ("time_zone = [", ["no TOML that can be read"]),
        ('[reporting]\ncurrency = "EUR"', ["reporting", "did you mean reporting_currency?"]),
        ("[alarm]\nlate_share = 0.1", ["alarm", "did you mean alarms?"]),
        ("[alarms]\nlate_shares = 0.1", ["[alarms]", "late_shares", "did you mean late_share?"]),
        ("late_share = 0.1", ["late_share", "it belongs below the line [alarms]"]),
        ('[alarms]\ntime_zone = "UTC"', ["time_zone", "above the first line in brackets"]),
        ("alarms = 3", ["alarms must be a table"]),
        ("[alarms]\nlate_share = 5", ["[alarms] late_share", "at most 1", "got 5"]),
        ("[alarms]\nlate_share = nan", ["[alarms] late_share", "got nan"]),
        ("[alarms]\nlate_share = true", ["[alarms] late_share", "got True"]),
        ('[alarms]\nlate_share = "5%"', ["[alarms] late_share", "got '5%'"]),
        ("[alarms]\nsales_lines = 2.5", ["[alarms] sales_lines", "whole number", "got 2.5"]),
        ("[alarms]\nsilence_minutes = inf", ["[alarms] silence_minutes", "got inf"]),
        ('[alarms]\noff = ["lates"]', ["[alarms] off", "'lates'", "did you mean late?"]),
        ('[alarms]\noff = "late"', ["[alarms] off", "a list of rules"]),
        ("[alarms]\noff = [[1]]", ["[alarms] off", "a list of rules"]),
        ("[retention]\nraw = 400", ["[retention] raw", '"400d"', "got 400"]),
        ('[retention]\nraw = "0d"', ["[retention] raw", "got '0d'"]),
        ('[retention]\nbronze = "2y"', ["[retention] bronze", "got '2y'"]),
        ('[retention]\nsilver = "400d"', ["[retention]", "silver", "the keys are raw, bronze"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_slip_in_the_file_is_named_by_every_verb(
    tmp_path: Path, cli: Cli, text: str, words: list[str]
) -> None:
    """With the file, and the nearest right word; nothing is built."""
    home = written(tmp_path / "home", text)
    for verb in (["status"], ["run", "--events", "0"], ["transform"]):
        refused(cli(home, *verb), FILE, *words)
    assert [path.name for path in home.iterdir()] == [FILE]


def test_a_file_that_is_no_text_is_named(tmp_path: Path, cli: Cli) -> None:
    """Bytes that are no UTF-8, and a folder in its place."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / FILE).write_bytes(b"\xff\xfe")
    (tmp_path / "b" / FILE).mkdir(parents=True)
    for home in ("a", "b"):
        refused(cli(tmp_path / home, "status"), FILE, "no TOML that can be read")


@pytest.mark.parametrize("verb", [("run", "--events", "5"), ("up",), ("transform",), ("init",)])
@pytest.mark.parametrize(
    ("option", "value", "nearest"),
    [("--reporting-currency", "EURO", "EUR"), ("--time-zone", "tokyo", "Asia/Tokyo")],
)
def test_a_slip_in_an_option_makes_nothing(
    tmp_path: Path, cli: Cli, verb: tuple[str, ...], option: str, value: str, nearest: str
) -> None:
    """It is named as the option that it is."""
    refused(cli(tmp_path / "home", *verb, option, value), option, f"did you mean {nearest}?")
    assert not (tmp_path / "home").exists()


def test_init_lays_out_a_home_and_overwrites_nothing(tmp_path: Path) -> None:
    """The file holds what was given, and the rest to uncomment; the mapping works as it is."""
    home = tmp_path / "my-shop"

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, [*arguments])

    result = invoke("init", str(home), "--time-zone", "Asia/Tokyo")
    assert result.exit_code == 0, result.output
    assert tomllib.loads((home / FILE).read_text()) == {
        "time_zone": "Asia/Tokyo",
        "alarms": {},
        "retention": {},
    }
    assert '# reporting_currency = "EUR"' in (home / FILE).read_text()
    refused(invoke("init", str(home)), f"{home / FILE} already")
    refused(invoke("init", str(home), "--home", str(tmp_path)), "either as FOLDER or with --home")
    till = ["import", str(EXAMPLES / "till.csv"), "--mapping", str(home / "till.toml")]
    assert "imported   5 purchases" in invoke(*till, "--home", str(home)).output
    (home / FILE).unlink()
    refused(invoke("init", "--home", str(home)), f"{home / 'till.toml'} already")
    assert not (home / FILE).exists()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'time_zone = "UTC"\n'),
        ('# of Tokyo\ntime_zone="Asia/Tokyo" # now', '# of Tokyo\ntime_zone = "UTC"'),
        ('# time_zone = "Asia/Tokyo"\n', 'time_zone = "UTC"\n'),
        ('# time_zone = "x"\ntime_zone = "Asia/Tokyo"', '# time_zone = "x"\ntime_zone = "UTC"'),
        ('reporting_currency = "EUR"\n', 'time_zone = "UTC"\nreporting_currency = "EUR"\n'),
    ],
)
def test_a_setting_is_kept_in_its_line(before: str, after: str) -> None:
    """All other lines stay."""
    assert with_setting(before, "time_zone", "UTC") == after


def test_an_option_wins_over_the_file() -> None:
    """Only what differs from the file is a change."""
    given = {"reporting_currency": "EUR", "time_zone": None}
    settings = Settings.from_environment({}, EXAMPLES, given)
    assert settings.reporting == Reporting("EUR", "Europe/Berlin") and not settings.changes
    settings = Settings.from_environment({}, EXAMPLES, {"reporting_currency": "GBP"})
    assert settings.reporting == Reporting("GBP", "Europe/Berlin")
    assert settings.changes == {"reporting_currency": "GBP"}
    with pytest.raises(SettingsError, match="--time-zone"):
        Settings.from_environment({}, EXAMPLES, {"time_zone": "Mars"})


def shop(home: Path) -> Path:
    """A home of a shop that sells in three currencies, around midnight, in stores with a time zone,
    without one, and never described."""
    ts = "2026-01-01T00:00:00Z"
    rates = [
        {"currency": of, "reporting_currency": to, "rate": rate, "ts": ts}
        for (of, to), rate in RATES.items()
    ]
    drop(home, "fx_rates/f.jsonl", *map(json.dumps, rates))
    stores: list[dict[str, Any]] = [{"store_id": "S1", "time_zone": "Asia/Tokyo"}]
    stores += [{"store_id": "S2"}, {"store_id": "S3", "time_zone": "Sea/Atlantis"}]
    drop(home, "stores/s.jsonl", *(json.dumps(store | {"ts": ts}) for store in stores))
    sales = [
        event(
            event_id=f"e{n}",
            basket_id=f"b{n}",
            store_id=f"S{n % 4 + 1}",
            product_id=f"P{n % 3}",
            currency=("USD", "EUR", "GBP", "CHF")[n % 5 % 4],
            ts=f"2026-03-{n % 3 + 1:02}T{n % 24:02}:30:00Z",
        )
        for n in range(60)
    ]
    drop(home, "till.jsonl", *sales)
    return home


def relations(home: Path) -> dict[str, list[str]]:
    """Return the rows of all reporting relations, except those about the loads: numbers, times, and
    data_quality."""
    answers = {}
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as db:
        named = db.execute(
            "SELECT table_schema || '.' || table_name FROM information_schema.tables "
            "WHERE table_schema IN ('silver', 'gold', 'marts') AND table_name <> 'data_quality'"
        ).fetchall()
        for (name,) in named:
            columns = f"COLUMNS(lambda name: NOT regexp_matches(name, '{OF_THE_LOAD}'))"
            rows = db.execute(f"SELECT {columns} FROM {name}").fetchall()
            answers[name] = sorted(map(str, rows))
    return answers


def test_a_change_converts_all_of_history(tmp_path: Path, cli: Cli) -> None:
    """By the option, which is kept, and by the file; each time the relations are those of a home
    that had the settings from the first, and the next start without the option reports alike."""
    homes = {}
    tokyo, lima = Reporting("USD", "Asia/Tokyo"), Reporting("EUR", "America/Lima")
    shop(tmp_path / "shop")
    for settings in (tokyo, lima):
        home = tmp_path / str(settings.reporting_currency)
        shutil.copytree(tmp_path / "shop", home)
        written(home, "\n".join(f'{k} = "{v}"' for k, v in asdict(settings).items()))
        result = cli(home, "run", "--events", "0")
        assert result.exit_code == 0, result.output
        assert f"net sales {settings.reporting_currency}" in result.output
        homes[settings] = relations(home)
    assert homes[tokyo] != homes[lima]

    home = tmp_path / "USD"
    options = ("--reporting-currency", "EUR", "--time-zone", "America/Lima")
    assert cli(home, "transform", *options).exit_code == 0
    assert tomllib.loads((home / FILE).read_text()) == asdict(lima)
    assert relations(home) == homes[lima]
    (home / FILE).write_text((home / FILE).read_text().replace("EUR", "USD"))
    tested = cli(home, "transform", "--test")
    assert tested.exit_code == 0 and re.search(r"[1-9]\d+ data tests, 0 failed", tested.stdout)
    (home / FILE).write_text((home / FILE).read_text().replace("America/Lima", "Asia/Tokyo"))
    assert cli(home, "transform").exit_code == 0
    assert relations(home) == homes[tokyo]


def test_a_rebuild_keeps_the_settings(tmp_path: Path, cli: Cli) -> None:
    """What is made from raw/ again reports alike."""
    home = written(shop(tmp_path / "home"), 'reporting_currency = "GBP"\ntime_zone = "Asia/Tokyo"')
    result = cli(home, "rebuild")
    assert result.exit_code == 0, result.output
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as db:
        clock = db.execute("SELECT currency, time_zone FROM marts.live_clock").fetchall()
    assert clock == [("GBP", "Asia/Tokyo")]
