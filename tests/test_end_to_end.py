"""From an event to gold, compared with the simulator's answer key; then the same with failures."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.conftest import Cli, drop, event, medallion

Query = Callable[[Path, str], list[dict[str, Any]]]
SIGNED = "SUM(CASE event_type WHEN 'return' THEN -1 ELSE 1 END * {})::DECIMAL(38,4)::VARCHAR"


def answer_keys(home: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in (home / "answer_key").glob("*.json")]


def agrees_with_answer_key(home: Path, query: Query) -> None:
    """Counts by reason, rows of silver, and sums per day and currency, to the last unit."""
    reasons: Counter[str] = Counter()
    events = lines = 0
    days: dict[tuple[str, str], Counter[str]] = {}
    for key in answer_keys(home):
        reasons.update(key["quarantined"])
        events += key["distinct_events"]
        lines += key["lines"]
        for day, by_currency in key["currencies"].items():
            for currency, kinds in by_currency.items():
                total = days.setdefault((day, currency), Counter())
                for name in ("total_amount", "discount_amount", "tax_amount", "quantity"):
                    total[name] += Decimal(kinds["net"][name])  # type: ignore[assignment]
    rejected = query(
        home,
        "SELECT reason, count(*) AS n FROM staging.quarantine "
        "WHERE feed = 'purchases' GROUP BY ALL",
    )
    assert {row["reason"]: row["n"] for row in rejected} == dict(reasons)
    (row,) = query(
        home, "SELECT sum(lines)::BIGINT AS n FROM staging.receipts WHERE feed = 'purchases'"
    )
    assert row["n"] == lines
    assert query(home, "SELECT count(*) AS n FROM purchases_silver") == [{"n": events}]
    names = ("total_amount", "discount_amount", "tax_amount", "quantity")
    sums = ", ".join(f"{SIGNED.format(n)} AS {n}" for n in names)
    silver = query(home, f"SELECT dt, currency, {sums} FROM purchases_silver GROUP BY ALL")
    of_days = {(r["dt"], r["currency"]): {n: Decimal(r[n]) for n in names} for r in silver}
    assert of_days == {key: dict(total) for key, total in days.items()}
    gold = query(
        home,
        "SELECT sales_date, currency, net_sales, tax FROM purchases_gold "
        "WHERE currency IS NOT NULL",
    )
    assert {
        (r["sales_date"], r["currency"]): (Decimal(r["net_sales"]), Decimal(r["tax"])) for r in gold
    } == {key: (total["total_amount"], total["tax_amount"]) for key, total in days.items()}


def test_gold_and_quarantine_equal_the_answer_key(built: Path, query: Query) -> None:
    """6,000 events with faults of every kind."""
    agrees_with_answer_key(built, query)


def test_the_loader_counts_what_it_loads(copy: Path, cli: Cli, query: Query) -> None:
    """It reports the rows of the feeds and of quarantine; those of the receipts are its own."""

    def staged() -> int:
        sql = "SELECT sum(row_count) AS rows FROM staging.loads WHERE kind <> 'receipts'"
        return int(query(copy, sql)[0]["rows"])

    before = staged()
    for verb in (["simulate", "--events", "300", "--seed", "9", "--faults", "0.1"], ["clean"]):
        assert cli(copy, *verb).exit_code == 0
    printed = re.search(r"loaded +([\d,]+) rows", cli(copy, "load").stdout)
    assert printed
    assert 300 <= int(printed[1].replace(",", "")) == staged() - before


def test_a_second_run_adds_up_and_a_third_changes_nothing(
    copy: Path, cli: Cli, query: Query
) -> None:
    """New events are added to old days; a run over nothing new leaves every row as it is."""
    result = cli(copy, "run", "--events", "1000", "--seed", "9", "--faults", "0.1")
    assert result.exit_code == 0
    assert_lines_add_up(result.output)
    agrees_with_answer_key(copy, query)
    before = query(copy, "SELECT * FROM purchases_gold ORDER BY ALL")
    assert cli(copy, "run", "--events", "0").exit_code == 0
    assert query(copy, "SELECT * FROM purchases_gold ORDER BY ALL") == before


def assert_lines_add_up(output: str) -> None:
    """Assert that the cleaner read what the simulator says that it wrote into raw/."""
    numbers = re.search(
        r"([\d,]+) lines in [\d,]+ objects \(([\d,]+) of purchases, ([\d,]+) of reference feeds.*?"
        r"cleaned +([\d,]+) lines",
        output,
        re.DOTALL,
    )
    assert numbers, output
    lines, purchases, reference, cleaned = (int(n.replace(",", "")) for n in numbers.groups())
    assert lines == cleaned, output
    assert purchases + reference == cleaned, output


def test_late_and_repeated_events_change_only_their_own_day(
    copy: Path, cli: Cli, query: Query
) -> None:
    """A purchase of long ago lands on its day; a copy with another time on another day, which
    arrived later, is a duplicate; nothing else moves."""
    every = "SELECT * EXCLUDE (load_seq) FROM purchases_gold ORDER BY ALL"
    before = query(copy, every)
    drop(copy, "late.json", event(event_id="late", ts="2020-02-29T12:00:00Z"))
    assert cli(copy, "run", "--events", "0").exit_code == 0
    drop(copy, "copy.json", event(event_id="late", ts="2021-03-01T12:00:00Z"))
    assert cli(copy, "run", "--events", "0").exit_code == 0
    after = query(copy, every)
    new = [row for row in after if row not in before]
    assert [(r["sales_date"], r["net_sales"]) for r in new] == [("2020-02-29", "5.0000")]
    assert [row for row in after if row not in new] == before


def test_everything_can_be_made_again_from_raw(
    copy: Path, tmp_path: Path, query: Query, cli: Cli
) -> None:
    """Raw alone, in an empty home, gives the same bronze, silver and gold."""
    shutil.copytree(copy / "raw", (again := tmp_path / "again") / "raw")
    assert cli(again, "run", "--events", "0").exit_code == 0
    for table in ("purchases_silver", "purchases_gold"):
        sql = (
            f"SELECT * EXCLUDE (load_seq{', loaded_at, first_load_seq' * ('silver' in table)}) "
            f"FROM {table} ORDER BY ALL"
        )
        assert query(again, sql) == query(copy, sql)


def test_a_receipt_that_was_lost_counts_nothing_twice(
    tmp_path: Path, cli: Cli, query: Query
) -> None:
    """Its object is cleaned again, to the same names; the ledger knows them."""
    drop(tmp_path, "a.ndjson", event())
    assert cli(tmp_path, "run", "--events", "0").exit_code == 0
    (receipt,) = (tmp_path / "bronze/receipts").glob("*.parquet")
    receipt.unlink()
    result = cli(tmp_path, "run", "--events", "0")
    assert result.exit_code == 0, result.output
    assert receipt.exists()
    assert query(tmp_path, "SELECT count(*) AS n FROM purchases_bronze") == [{"n": 1}]
    assert cli(tmp_path, "audit").exit_code == 0


def test_one_stage_at_a_time_gives_the_same_as_run(
    copy: Path, tmp_path: Path, cli: Cli, query: Query
) -> None:
    """clean, load, transform."""
    shutil.copytree(copy / "raw", (home := tmp_path / "steps") / "raw")
    for verb in ("clean", "load", "transform"):
        assert cli(home, verb).exit_code == 0
    sql = "SELECT * EXCLUDE (load_seq) FROM purchases_gold ORDER BY ALL"
    assert query(home, sql) == query(copy, sql)


def test_up_streams_for_its_duration_and_ends_clean(tmp_path: Path, cli: Cli, query: Query) -> None:
    """400 events a second for five seconds: all of them are in gold at the end."""
    process = medallion(
        "up", "--rate", "400", "--duration", "5s", "--no-dashboard", "--home", str(tmp_path)
    )
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, output + errors
    agrees_with_answer_key(tmp_path, query)
    assert query(tmp_path, "SELECT count(*) AS n FROM purchases_silver")[0]["n"] > 1500
    assert cli(tmp_path, "audit").exit_code == 0


def test_ctrl_c_stops_a_stream_and_nothing_is_lost(tmp_path: Path, cli: Cli, query: Query) -> None:
    """One line and exit code 130; what was not yet in gold waits in raw/, and the next run takes
    it."""
    process = medallion("up", "--rate", "300", "--no-dashboard", "--home", str(tmp_path))
    wait_for(lambda: (tmp_path / "gold" / "CURRENT").exists())
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and errors.count("\n") == 1, output + errors
    assert cli(tmp_path, "audit").exit_code == 0
    assert cli(tmp_path, "run", "--events", "0").exit_code == 0
    agrees_with_answer_key(tmp_path, query)


def test_killed_streams_are_made_good_by_the_next_run(
    tmp_path: Path, cli: Cli, query: Query
) -> None:
    """kill -9 at random moments, four times; then one catch-up."""
    chance = random.Random(5)
    for _ in range(4):
        process = medallion("up", "--rate", "1000", "--no-dashboard", "--home", str(tmp_path))
        time.sleep(chance.uniform(1.5, 6))
        process.kill()
        process.communicate()
    assert cli(tmp_path, "run", "--events", "0").exit_code == 0
    (row,) = query(
        tmp_path,
        "SELECT (SELECT count(*) FROM purchases_silver) AS silver, "
        "(SELECT sum(accepted)::BIGINT FROM staging.receipts "
        "WHERE feed = 'purchases') AS accepted",
    )
    assert row["silver"] == row["accepted"] > 0


def test_of_two_runners_on_one_home_one_works_and_one_says_so(tmp_path: Path) -> None:
    """The second ends at once with exit code 2 and names the first."""
    runner = medallion("up", "--no-dashboard", "--home", str(tmp_path))
    try:
        wait_for(lambda: (tmp_path / ".lock").exists() and (tmp_path / ".lock").read_text())
        second = medallion("run", "--home", str(tmp_path))
        _, errors = second.communicate(timeout=60)
        assert second.returncode == 2
        assert (
            errors == f"error: another runner (process {runner.pid}) works on {tmp_path}; "
            "wait for it or stop it\n"
        )
    finally:
        runner.send_signal(signal.SIGTERM)
        runner.communicate(timeout=60)
    assert runner.returncode == 0


def wait_for(ready: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
