"""`medallion quarantine replay`: rejected lines come again when the rules accept them by now."""

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
