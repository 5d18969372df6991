"""Alarms: a clean week is silent, planted incidents are named at once, and alarms are delivered."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import duckdb
import pytest

from medallion.cli.commands import watching
from medallion.operations.alarms import RULES, webhook
from medallion.platforms.platform import Platform
from medallion.settings import ALARM_RULES, FILE, Settings
from tests.conftest import Cli, drop, event
from tests.incidents import BATCH, CLEAN, PLANTED, Incident, answer_key, looks, shop

INCIDENTS = answer_key()


@pytest.fixture(scope="module")
def story() -> duckdb.DuckDBPyConnection:
    """Six weeks of a shop, the last with incidents."""
    return shop(INCIDENTS)


def test_seven_clean_days_raise_nothing(story: duckdb.DuckDBPyConnection) -> None:
    """At any hour of any weekday."""
    raised = [
        (now, alarm)
        for now, alarms in looks(story, INCIDENTS, CLEAN, PLANTED, timedelta(minutes=175))
        for alarm in alarms
    ]
    assert raised == []


@pytest.mark.parametrize("incident", INCIDENTS, ids=lambda i: f"{i.rule} {i.begins:%a %H}h")
def test_an_incident_is_named_within_two_batches(
    story: duckdb.DuckDBPyConnection, incident: Incident
) -> None:
    """By its own rule; and an hour after its end nothing is left of it."""
    ((_, alarms),) = looks(
        story, INCIDENTS, incident.begins + 2 * BATCH, incident.begins + 3 * BATCH
    )
    assert incident.rule in {alarm.rule for alarm in alarms}, alarms
    after = incident.ends + timedelta(minutes=66)
    ((_, alarms),) = looks(story, INCIDENTS, after, after + BATCH)
    assert alarms == []


def test_where_little_is_sold_nothing_is_told_from_chance() -> None:
    """A shop of a few sales a day, and one that has just opened, raise nothing."""
    quiet = shop([])
    quiet.execute("DELETE FROM silver.purchases_silver WHERE CAST(event_id AS INTEGER) % 1000 > 0")
    at = CLEAN + timedelta(hours=13)
    assert [alarms for _, alarms in looks(quiet, [], at, at + BATCH)] == [[]]
    young = shop([])
    young.execute(f"DELETE FROM silver.purchases_silver WHERE ts < '{CLEAN:%Y-%m-%d}'")
    assert [alarms for _, alarms in looks(young, [], at, at + BATCH)] == [[]]


@pytest.fixture(scope="module")
def bad_till(tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Path:
    """A home to which a till sends prices that are no numbers."""
    home = tmp_path_factory.mktemp("trouble")
    drop(home, "good.jsonl", *(event(event_id=f"g{i}", total_amount=...) for i in range(30)))
    drop(home, "bad.jsonl", *(event(event_id=f"b{i}", price="dear") for i in range(20)))
    assert cli(home, "run", "--events", "0").exit_code == 0
    return home


@pytest.fixture
def troubled(bad_till: Path, tmp_path: Path) -> Path:
    """A copy of it, which a watch may write to."""
    return Path(shutil.copytree(bad_till, tmp_path / "shop"))


class Receiver(BaseHTTPRequestHandler):
    """Keeps what it is sent, and answers with the next of its statuses."""

    bodies: list[dict[str, Any]]
    statuses: list[int]
    pause = 0.0

    def do_POST(self) -> None:
        """Take one request."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(self.pause)
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            self.bodies.append(body)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Receiver]]:
    """A server that the environment names as the webhook."""
    kind = type("Own", (Receiver,), {"bodies": [], "statuses": []})
    with HTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("MEDALLION_WEBHOOK", f"http://127.0.0.1:{server.server_port}/secret")
        yield kind
        server.shutdown()


def test_an_alarm_is_told_once_everywhere(
    troubled: Path, cli: Cli, receiver: type[Receiver]
) -> None:
    """Terminal, log, exit code and webhook; the next watch knows that it stands."""
    first = cli(troubled, "watch", "--once")
    assert first.exit_code == 1 and "ALARM quarantine: 40.0% of the lines" in first.stdout
    logged = [json.loads(line) for line in (troubled / "alarms.jsonl").read_text().splitlines()]
    assert [(c["state"], c["rule"], c["subject"]) for c in logged] == [
        ("begins", "quarantine", "purchases: bad_price")
    ]
    assert receiver.bodies == [{"home": "shop", "changes": logged}]
    second = cli(troubled, "watch", "--once", "--json")
    assert second.exit_code == 1 and second.stdout == "" and len(receiver.bodies) == 1


@pytest.mark.parametrize(
    ("threshold", "is_raised"),
    [
        ("rejected_share = 0.39", True),
        ("rejected_share = 0.41", False),
        ("share_lines = 21", False),
        ('off = ["quarantine"]', False),
        ('off = ["sales"]', True),
    ],
)
def test_a_threshold_of_the_settings_decides(
    troubled: Path, cli: Cli, threshold: str, is_raised: bool
) -> None:
    """40 % of the lines are rejected, 20 of 50."""
    with (troubled / FILE).open("a") as file:
        file.write(f"[alarms]\n{threshold}\n")
    result = cli(troubled, "watch", "--once")
    assert result.exit_code == is_raised and ("ALARM quarantine" in result.stdout) == is_raised


def test_the_rules_are_those_that_settings_may_name() -> None:
    """By the same names, in the same order."""
    assert tuple(RULES) == ALARM_RULES


def test_an_alarm_that_is_over_is_told_too(troubled: Path, cli: Cli) -> None:
    """When what it was about is no longer new."""
    assert cli(troubled, "watch", "--once").exit_code == 1
    now = datetime.now(UTC) + timedelta(hours=1)
    watch = watching.Watch(Platform.of(Settings(troubled)))
    assert [(c.begins, c.alarm.rule) for c in watch.look(now)] == [(False, "quarantine")]
    assert not watch.standing


def test_slack_gets_a_text(
    troubled: Path, cli: Cli, receiver: type[Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In which nothing is markup; and a server that stumbles is asked again."""
    receiver.statuses += [503, 429]
    monkeypatch.setenv("MEDALLION_WEBHOOK", "slack+" + os.environ["MEDALLION_WEBHOOK"])
    assert cli(troubled, "watch", "--once").stderr == ""
    ((name, text),) = receiver.bodies[0].items()
    assert name == "text" and "ALARM quarantine" in text and "<" not in text


@pytest.mark.parametrize("trouble", ["hangs", "refuses", "is gone"])
def test_a_webhook_that_fails_is_one_line(
    troubled: Path,
    cli: Cli,
    receiver: type[Receiver],
    monkeypatch: pytest.MonkeyPatch,
    trouble: str,
) -> None:
    """The watch goes on, the address is not shown, and the log has the alarm."""
    monkeypatch.setattr(webhook, "TIMEOUT", 0.2)
    monkeypatch.setattr(webhook, "RETRIES", webhook.RETRIES.new(total=1, backoff_factor=0))
    if trouble == "hangs":
        receiver.pause = 1.0
    elif trouble == "refuses":
        receiver.statuses += [403] * 9
    else:
        monkeypatch.setenv("MEDALLION_WEBHOOK", "http://127.0.0.1:1/secret")
    result = cli(troubled, "watch", "--once")
    assert result.exit_code == 1 and "webhook" in result.stderr
    assert result.stderr.count("\n") == 1 and "secret" not in result.output
    assert (troubled / "alarms.jsonl").exists()


@pytest.mark.parametrize("address", ["nonsense", "ftp://example.com/x", "slack+", "http://"])
def test_an_address_that_cannot_be_used_is_one_sentence(
    built: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """Exit 2, before anything is looked at."""
    monkeypatch.setenv("MEDALLION_WEBHOOK", address)
    result = cli(built, "watch", "--once")
    assert result.exit_code == 2 and "MEDALLION_WEBHOOK must be" in result.stderr


def test_a_broken_audit_is_an_alarm(copy: Path, cli: Cli) -> None:
    """Found by the checks that read the warehouse alone."""
    with Platform.of(Settings(copy)).warehouse() as warehouse:
        warehouse.execute("UPDATE gold.purchases_gold SET net_sales = net_sales + 1")
    result = cli(copy, "watch", "--once")
    assert result.exit_code == 1
    assert "ALARM audit: gold sums = silver sums, per day" in result.stdout


def test_a_stream_watches_itself(troubled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the runner holds the warehouse."""
    monkeypatch.setattr(watching, "EVERY", 0.1)
    changes: list[Any] = []
    platform, heard = Platform.of(Settings(troubled)), threading.Event()

    def tell(change: Any) -> None:
        changes.append(change)
        heard.set()

    with platform.warehouse(), watching.watching(platform, tell):
        assert heard.wait(60)
    assert [change.alarm.rule for change in changes] == ["quarantine"]


def test_prometheus_reads_the_counters(built: Path, cli: Cli, tmp_path: Path) -> None:
    """Those of `medallion status`, in one file that is replaced as a whole."""
    path = tmp_path / "medallion.prom"
    path.write_text("old")
    status = cli(built, "status", "--json", "--prometheus", str(path))
    lines = path.read_text().splitlines()
    for layer in json.loads(status.stdout):
        name = f'medallion_layer_count{{layer="{layer["layer"]}",unit="{layer["unit"]}"}}'
        assert f"{name} {layer['count']}" in lines
    assert any(line.startswith("medallion_age_seconds{") for line in lines)
    assert [p.name for p in tmp_path.iterdir()] == ["medallion.prom"]
    refused = cli(built, "status", "--prometheus", str(tmp_path / "medallion.txt"))
    assert refused.exit_code == 2 and ".prom" in refused.stderr
