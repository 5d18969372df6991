"""`medallion quarantine replay`: rejected lines are sent again if the current rules accept them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medallion.cleaning.cleaner import Cleaner
from medallion.contract import MAX_LINE_BYTES, Feed
from medallion.layers import bronze
from tests.conftest import Cli, drop, event

Query = Callable[[Path, str], list[dict[str, Any]]]


def stricter(feed: Feed) -> Cleaner:
    """A cleaner by rules of yesterday, which allowed one piece of each at most."""
    fields = [replace(f, maximum=1) if f.name == "quantity" else f for f in feed.fields]
    return Cleaner(replace(feed, fields=tuple(fields)))


@pytest.fixture
def home(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two purchases that only yesterday's rules rejected, and lines that no rules accept: a mark
    of byte order within an object, one too long, no event, an archive that is none."""
    with monkeypatch.context() as yesterday:
        yesterday.setattr(bronze, "Cleaner", stricter)
        yesterday.setattr(bronze, "__version__", "0.0.9")
        drop(
            tmp_path,
            "till.ndjson",
            event(),
            b"\xef\xbb\xbf" + event(event_id="marked").encode(),
            event(event_id="e2", total_amount=9),
            event(event_id="long", note="x" * MAX_LINE_BYTES),
        )
        drop(tmp_path, "stores/s.ndjson", "no event")
        drop(
            tmp_path,
            "other.ndjson",
            event(event_id="e3"),
            event(event_id="e4", quantity=1, total_amount=2.5),
        )
        drop(tmp_path, "broken.ndjson.gz", event(event_id="e5"))
        result = cli(tmp_path, "run", "--events", "0")
    assert result.exit_code == 1 and "raw/broken.ndjson.gz" in result.output, result.output
    return tmp_path


def test_what_is_accepted_by_now_reaches_gold(home: Path, cli: Cli, query: Query) -> None:
    """The lines lie in raw/ again, once; silver gets them, the audit holds, the quarantine keeps
    what it had."""
    kept = query(home, "SELECT count(*) AS n FROM quarantine")
    report = json.loads(cli(home, "quarantine", "replay", "--json").stdout)
    assert (report["sent"], report["before"], len(report["objects"])) == (2, 0, 2)
    assert report["refused"] == {"malformed_json": 2, "total_mismatch": 1}
    assert report["cut"] == 2
    assert cli(home, "run", "--events", "0").exit_code == 0
    events = query(home, "SELECT event_id AS e FROM purchases_silver ORDER BY 1")
    assert [row["e"] for row in events] == ["e1", "e3", "e4"]
    assert query(home, "SELECT count(*) AS n FROM quarantine") == kept
    assert cli(home, "audit").exit_code == 0
    assert "sent       0 lines" in (again := cli(home, "quarantine", "replay").stdout)
    assert "2 lines that were sent before" in again


def test_a_choice_of_lines(home: Path, cli: Cli) -> None:
    """By reason and by object."""
    chosen = ("--reason", "bad_quantity", "--file", "raw/other.ndjson", "--json")
    report = json.loads(cli(home, "quarantine", "replay", *chosen).stdout)
    assert report["sent"] == 1 and not report["refused"] and not report["cut"]
    (key,) = report["objects"]
    assert json.loads((home / key).read_text())["event_id"] == "e3"


DECIMAL_COMMA = "price=replace(price, ',', '.')"


@pytest.fixture
def shop(tmp_path: Path, cli: Cli) -> Path:
    """A home with lines that a till writes wrongly, of two objects."""
    drop(
        tmp_path,
        "till.ndjson",
        event(event_id="a", price="2,50", note=1.10),
        event(event_id="b", price="free"),
        event(event_id="c"),
        event(event_id="d", price="2,50", total_amount=7),
        event(event_id="e").replace("2.5,", "NaN,"),
        b'{"event_id":"f\xff"}',
    )
    drop(tmp_path, "other.ndjson", event(event_id="g", price="2,50"))
    assert cli(tmp_path, "run", "--events", "0").exit_code == 0
    return tmp_path


def states(cli: Cli, home: Path) -> dict[str, int]:
    return dict(json.loads(cli(home, "audit", "--json").stdout)["rejected"])


def test_lines_are_mended_and_sent_once(shop: Path, cli: Cli, query: Query) -> None:
    """A preview writes nothing; sent lines keep what was not changed, and their origin. Where a
    change fails, the line stays rejected: its member is not dropped."""
    assert states(cli, shop) == {"open": 6, "mended": 0, "waived": 0}
    before = sorted(p for p in (shop / "raw").rglob("*"))
    replay = ("quarantine", "replay", "--reason", "bad_price", "--set", DECIMAL_COMMA)
    preview = cli(shop, *replay)
    assert "would send 2 lines" in preview.stdout and "--send" in preview.stdout
    assert '"price":"2.50"' in preview.stdout and "total_mismatch" in preview.stdout
    assert sorted(p for p in (shop / "raw").rglob("*")) == before
    unsure = json.loads(cli(shop, *replay, "--set", "tax_amount=number(price)", "--json").stdout)
    assert unsure["refused"] == {"bad_price": 1, "bad_tax_amount": 3} and unsure["sent"] == 0
    report = json.loads(cli(shop, *replay, "--send", "--json").stdout)
    assert report["sent"] == 2 and len(report["objects"]) == 2
    assert report["refused"] == {"bad_price": 1, "total_mismatch": 1}
    assert states(cli, shop) == {"open": 4, "mended": 2, "waived": 0}
    (sent,) = [shop / key for key in report["objects"] if '"a"' in (shop / key).read_text()]
    assert json.loads(sent.read_text()) == json.loads(event(event_id="a", price="2.50", note=1.1))
    assert '"note":1.1,' in sent.read_text() or '"note":1.1}' in sent.read_text()
    again = json.loads(cli(shop, *replay, "--send", "--json").stdout)
    assert (again["sent"], again["before"], again["objects"]) == (0, 2, [])
    assert cli(shop, "run", "--events", "0").exit_code == 0
    names = query(shop, "SELECT event_id FROM purchases_silver ORDER BY 1")
    assert [row["event_id"] for row in names] == ["a", "c", "g"]
    decisions = [json.loads(p.read_text()) for p in (shop / "raw/decisions").iterdir()]
    assert {(d["source_file"], *d["lines"], d["sent_to"]) for d in decisions} == {
        ("raw/till.ndjson", "1", sent.relative_to(shop).as_posix()),
        ("raw/other.ndjson", "1", next(k for k in report["objects"] if shop / k != sent)),
    }
    assert "decisions" not in cli(shop, "status").stdout
    assert cli(shop, "rebuild").exit_code == 0
    assert states(cli, shop) == {"open": 4, "mended": 2, "waived": 0}


def test_a_whole_line_is_set_and_a_member_removed(shop: Path, cli: Cli, query: Query) -> None:
    """`raw` mends what is no JSON; NULL removes a member; bytes that are no text stay."""
    replay = ("quarantine", "replay", "--set", "raw=replace(raw, 'NaN', '2.5')", "--send")
    assert "sent       1 lines" in cli(shop, *replay).stdout
    no_text = ("quarantine", "replay", "--reason", "malformed_json", "--set", "price='1'")
    assert "would send 0 lines" in cli(shop, *no_text).stdout
    total = ("quarantine", "replay", "--set", "total_amount=NULL", "--set", DECIMAL_COMMA, "--send")
    assert "sent       3 lines" in cli(shop, *total).stdout
    assert cli(shop, "run", "--events", "0").exit_code == 0
    rows = query(shop, "SELECT event_id e, total_amount t FROM purchases_silver ORDER BY 1")
    assert [(row["e"], row["t"]) for row in rows] == [(e, "5.0000") for e in "acdeg"]
    listed = json.loads(cli(shop, "quarantine", "list", "--json").stdout)
    assert {row["reason"]: (row["open"], row["mended"]) for row in listed} == {
        "bad_price": (1, 3),
        "malformed_json": (1, 1),
    }


def test_waived_lines_are_counted_apart(shop: Path, cli: Cli) -> None:
    """They need a reason, are not sent, and are open again where another text comes."""
    assert cli(shop, "quarantine", "waive", "--reason", "bad_price").exit_code == 2
    assert cli(shop, "quarantine", "waive", "--why", "x").exit_code == 2
    waive = ("quarantine", "waive", "--file", "raw/till.ndjson", "--reason", "bad_price")
    assert "waived     3 lines" in cli(shop, *waive, "--why", "training").stdout
    assert "waived     0 lines" in cli(shop, *waive, "--why", "training").stdout
    assert states(cli, shop) == {"open": 3, "mended": 0, "waived": 3}
    assert "3 waived" in cli(shop, "quarantine", "replay").stdout


@pytest.mark.parametrize(
    ("words", "set_"),
    [
        ("FIELD=EXPRESSION", "price"),
        ("did you mean price", "prise='1'"),
        ("not SQL", "price=replace(("),
        ("query", "price=(select 1)"),
        ("worked out", "price=nosuch(price)"),
        ("random", "price=random()"),
        ("line itself", "price=a.b[1]"),
    ],
)
def test_changes_that_cannot_be_made(shop: Path, cli: Cli, words: str, set_: str) -> None:
    """One sentence, exit 2, nothing sent."""
    result = cli(shop, "quarantine", "replay", "--set", set_, "--send")
    assert result.exit_code == 2 and words in result.stderr, result.output
    assert not (shop / "raw" / "decisions").exists()


def test_changes_reach_no_file(shop: Path, cli: Cli) -> None:
    """An expression reads the line and nothing else."""
    for sql in ("content(read_text('/etc/passwd'))", "getenv('HOME')", "read_blob('/etc/passwd')"):
        assert cli(shop, "quarantine", "replay", "--set", f"price={sql}").exit_code == 2
