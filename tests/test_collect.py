"""Events by HTTP: an answer means that they are in raw/, and nothing is stored twice."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medallion.collector import Keys, collector, writer
from medallion.errors import HomeBusy, SettingsError
from medallion.platforms.local import LocalLake
from tests.conftest import Cli, event, medallion
from tests.processes import free_port

JSON, LINES = "application/json", "application/x-ndjson"
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""With the id, time, body and signature below: the published vector of Standard Webhooks."""
WEBHOOK = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
WEBHOOK_BODY = b'{"test": 2432232314}'

Send = Callable[..., tuple[int, dict[str, Any], dict[str, str]]]


def send(
    url: str, body: bytes | str, kind: str | None = JSON, path: str = "/v1/purchases", **more: str
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Post a body; return status, answer and headers."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    headers = {name.replace("_", "-"): value for name, value in more.items()}
    headers |= {"content-type": kind} if kind else {}
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()), dict(answer.getheaders())
    finally:
        connection.close()


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A collector of the home `tmp_path`."""
    with collector(LocalLake(tmp_path), tmp_path, "127.0.0.1", 0, Keys()) as collecting:
        yield collecting.url


def stored(home: Path, feed: str = "purchases") -> list[str]:
    """The lines of all raw objects, in the order of their names."""
    lines = []
    for path in sorted((home / "raw" / feed).rglob("*.zst")):
        with pa.CompressedInputStream(str(path), "zstd") as stream:
            lines += stream.read().decode().splitlines()
    return lines


def test_every_shape_comes_to_gold(
    tmp_path: Path, url: str, cli: Cli, query: Callable[..., list[dict[str, Any]]]
) -> None:
    """An object, an array, lines, gzip; numbers keep their digits, and a bad event is a reject."""
    pretty = json.dumps(json.loads(event(event_id="a")), indent=2)
    assert send(url, pretty)[1]["stored"] == 1
    exact = event(event_id="b").replace("2.5,", "2.500000,")
    array = f" [{exact} , {event(event_id='c', currency='EUR')},\n[1], {{}} ] "
    assert send(url, array, "application/json; charset=utf-8")[1]["stored"] == 4
    lines = f"{event(event_id='d')}\r\n\n{{oops\n{event(event_id='e')}".encode()
    status, answer, _ = send(url, gzip.compress(lines), LINES, content_encoding="gzip")
    assert (status, answer["stored"]) == (200, 3)
    two = gzip.compress(b"[") + gzip.compress(event(event_id="f").encode() + b"]")
    assert send(url, two, "application/vnd.shop+json", content_encoding="gzip")[1]["stored"] == 1
    product = '{"product_id":"P1","ts":"2026-01-01T00:00:00Z","product_name":"Milk"}'
    assert send(url, product, path="/v1/products")[1]["object"].startswith("raw/products/")
    assert send(url, "[]") == (200, {"stored": 0}, send(url, "[]")[2])

    texts = stored(tmp_path)
    assert exact in texts and "\n" not in texts[0] and len(texts) == 9
    result = cli(tmp_path, "run", "--events", "0")
    assert result.exit_code == 0, result.output
    rows = query(tmp_path, "SELECT event_id FROM purchases_silver ORDER BY 1")
    assert [row["event_id"] for row in rows] == list("abcdef")
    assert "3 of 9 lines of purchases" in result.output


@pytest.mark.parametrize(
    ("status", "words", "arguments"),
    [
        (400, "comma", {"body": '[{"a":1} {"b":2}]'}),
        (400, "object", {"body": "42"}),
        (400, "follows", {"body": "{} {}"}),
        (400, "JSON", {"body": b'{"a":"\xff"}'}),
        (400, "JSON", {"body": "[" * 100_000}),
        (400, "JSON", {"body": ""}),
        (400, "cut", {"body": gzip.compress(b"{}" * 99)[:-9], "content_encoding": "gzip"}),
        (400, "gzip", {"body": b"{}", "content_encoding": "gzip"}),
        (400, "characters", {"body": "{}", "idempotency_key": "x" * 300}),
        (403, "server", {"body": "{}", "origin": "http://127.0.0.1:9"}),
        (404, "purchases", {"body": "{}", "path": "/v1/purchase"}),
        (404, "/v1/FEED", {"body": "{}", "path": "/"}),
        (405, "/v1/FEED", {"body": "{}", "path": "/health"}),
        (413, "bytes", {"body": b"[" + b" " * (17 << 20) + b"]"}),
        (413, "bytes", {"body": gzip.compress(b" " * (17 << 20)), "content_encoding": "gzip"}),
        (415, "x-ndjson", {"body": "{}", "kind": "text/plain"}),
        (415, "x-ndjson", {"body": "{}", "kind": None}),
        (415, "gzip", {"body": "{}", "content_encoding": "br"}),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_refused(
    tmp_path: Path, url: str, status: int, words: str, arguments: dict[str, Any]
) -> None:
    """One sentence says why, nothing is stored, and the next request is taken."""
    try:
        refused, answer, _ = send(url, **arguments)
        assert (refused, list(answer)) == (status, ["error"]) and words in answer["error"]
    except (ConnectionError, http.client.HTTPException):
        assert status == 413  # it is answered before the body is read to its end
    assert not (tmp_path / "raw").exists()
    assert send(url, event())[0] == 200


def test_a_request_that_is_sent_again_is_stored_once(tmp_path: Path) -> None:
    """Also at the same moment, after a restart, and after a kill before its object was stored."""
    lake = LocalLake(tmp_path)
    with collector(lake, tmp_path, "127.0.0.1", 0, Keys()) as collecting:
        answers: list[dict[str, Any]] = []
        threads = [
            threading.Thread(
                target=lambda: answers.append(
                    send(collecting.url, event(), idempotency_key="first")[1]
                )
            )
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({answer["object"] for answer in answers}) == 1
        assert sum("repeated" not in answer for answer in answers) == 1
        status, answer, _ = send(collecting.url, event(price=3), idempotency_key="first")
        assert status == 422 and "another body" in answer["error"]
        lost = send(collecting.url, event(event_id="e2"), x_shopify_webhook_id="second")[1]
    (tmp_path / lost["object"]).unlink()
    with collector(lake, tmp_path, "127.0.0.1", 0, Keys()) as collecting:
        again = send(collecting.url, event(), idempotency_key="first")[1]
        assert again["repeated"] and again["object"] == answers[0]["object"]
        assert (
            "repeated"
            not in send(collecting.url, event(event_id="e2"), x_shopify_webhook_id="second")[1]
        )
    assert [json.loads(line)["event_id"] for line in stored(tmp_path)] == ["e1", "e2"]


def test_who_may_send(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bearer token, Shopify's signature or that of Standard Webhooks; all else is refused."""
    keys = Keys(token="s3cret", shopify="hush", webhook=WEBHOOK_SECRET)
    monkeypatch.setattr(time, "time", lambda: 1614265330.0 + 200)
    assert "s3cret" not in repr(keys) and WEBHOOK_SECRET not in repr(keys)
    mac = hmac.digest(b"hush", b"{}", hashlib.sha256)
    shopify = {"x-shopify-hmac-sha256": base64.b64encode(mac).decode()}
    with collector(LocalLake(tmp_path), tmp_path, "127.0.0.1", 0, keys) as collecting:

        def status(body: bytes | str, **headers: str) -> int:
            code, answer, sent = send(collecting.url, body, **headers)
            assert (code == 401) == (sent.get("www-authenticate") == "Bearer")
            assert code != 401 or "token or signature" in answer["error"]
            return code

        assert status("{}", authorization="Bearer s3cret") == 200
        assert status("{}", **shopify) == 200
        assert status(WEBHOOK_BODY, **WEBHOOK) == 200
        rotated = f"v1,{base64.b64encode(b'other').decode()} {WEBHOOK['webhook-signature']}"
        assert status(WEBHOOK_BODY, **WEBHOOK | {"webhook-signature": rotated}) == 200
        for headers in (
            {},
            {"authorization": "Bearer s3cre"},
            {"authorization": "Basic s3cret"},
            {"authorization": "Bearer"},
            shopify | {"x-shopify-hmac-sha256": "é"},
            WEBHOOK | {"webhook-id": "msg_other"},
            WEBHOOK | {"webhook-signature": WEBHOOK["webhook-signature"].replace("v1", "v2")},
            WEBHOOK | {"webhook-timestamp": "1614265331"},
            WEBHOOK | {"webhook-timestamp": "-1"},
        ):
            assert status(WEBHOOK_BODY, **headers) == 401, headers
        monkeypatch.setattr(time, "time", lambda: 1614265330.0 + 301)
        assert status(WEBHOOK_BODY, **WEBHOOK) == 401  # too old
    with pytest.raises(SettingsError, match="whsec_"):
        Keys.from_environment({"MEDALLION_COLLECT_WEBHOOK_SECRET": "whsec_?"})


def test_what_cannot_be_stored_is_not_acknowledged(tmp_path: Path, url: str) -> None:
    """503 and when to come again; and all goes on when the cause is gone."""
    (tmp_path / "raw").write_text("no folder")
    status, answer, headers = send(url, event(), idempotency_key="one")
    assert status == 503 and "nothing was stored" in answer["error"] and headers["retry-after"]
    (tmp_path / "raw").unlink()
    assert "repeated" not in send(url, event(), idempotency_key="one")[1]
    assert len(stored(tmp_path)) == 1


def test_a_backlog_is_told(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk is slower than the producers, they hear 429, and when to come again."""
    monkeypatch.setattr(writer, "MAX_WAITING_BYTES", 1000)
    monkeypatch.setattr(writer, "LINGER", 1.0)
    first = threading.Thread(target=send, args=(url, f"[{event()},{event()}]"))
    first.start()
    time.sleep(0.3)
    status, answer, headers = send(url, json.dumps([{"x": "y" * 900}]))
    assert (status, headers["retry-after"]) == (429, "1") and "again" in answer["error"]
    first.join()
    assert send(url, event())[0] == 200 and len(stored(tmp_path)) == 3


def test_no_acknowledged_event_is_lost_by_a_kill(
    tmp_path: Path, cli: Cli, query: Callable[..., list[dict[str, Any]]]
) -> None:
    """Killed five times under load; what was not acknowledged is sent again, under its id."""
    port, acknowledged, sent = free_port(), set[str](), iter(range(100_000))
    stop = threading.Event()

    def produce() -> None:
        while not stop.is_set():
            name = f"e{next(sent)}"
            while not stop.is_set():
                try:
                    status, *_ = send(
                        f"127.0.0.1:{port}", event(event_id=name), idempotency_key=name
                    )
                except (OSError, http.client.HTTPException, ValueError):
                    time.sleep(0.02)
                else:
                    assert status == 200
                    acknowledged.add(name)
                    break

    producers = [threading.Thread(target=produce) for _ in range(6)]
    for producer in producers:
        producer.start()
    for delay in (0.2, 0.33, 0.1, 0.27, 0.4):
        server = medallion("collect", "--port", str(port), "--home", str(tmp_path))
        assert server.stdout and server.stdout.readline().startswith("collecting at")
        before = len(acknowledged)
        time.sleep(delay)
        while len(acknowledged) == before:
            time.sleep(0.01)
        server.kill()
        server.communicate()
    stop.set()
    for producer in producers:
        producer.join()
    assert cli(tmp_path, "run", "--events", "0").exit_code == 0
    events = {row["event_id"] for row in query(tmp_path, "SELECT event_id FROM purchases_silver")}
    assert len(acknowledged) > 50 and acknowledged <= events
    (lines,) = query(tmp_path, "SELECT count(*) AS n FROM staging.purchases")
    assert lines["n"] == len(events)


def test_the_address_and_who_else_is_there(tmp_path: Path, cli: Cli) -> None:
    """An open collector is for this machine only, and a home has one."""
    lake = LocalLake(tmp_path)
    refused = cli(tmp_path, "collect", "--host", "0.0.0.0")
    assert refused.exit_code == 2 and "MEDALLION_COLLECT_TOKEN" in refused.stderr
    with collector(lake, tmp_path, "127.0.0.1", 0, Keys()) as collecting:
        port = collecting.url.rpartition(":")[2]
        other = cli(tmp_path / "other", "collect", "--port", port)
        assert other.exit_code == 2 and "--port" in other.stderr
        with (
            pytest.raises(HomeBusy, match="another collector"),
            collector(lake, tmp_path, "127.0.0.1", 0, Keys()),
        ):
            pass


def test_up_collects_and_ctrl_c_ends_it(
    tmp_path: Path, query: Callable[..., list[dict[str, Any]]]
) -> None:
    """What comes by HTTP is in gold a moment later; the end leaves no process behind."""
    options = ("--no-dashboard", "--no-simulator", "--collect", "--home", str(tmp_path))
    up = subprocess.Popen(
        [sys.executable, "-m", "medallion.cli", "up", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 60
    while True:
        try:
            status, *_ = send("127.0.0.1:8787", event())
            break
        except OSError:
            assert time.monotonic() < deadline and up.poll() is None
            time.sleep(0.1)
    assert status == 200
    pointer = tmp_path / "gold" / "CURRENT"
    while not (
        pointer.exists()
        and pq.read_table(pointer.with_name(pointer.read_text()) / "purchases_gold.parquet")
    ):
        assert time.monotonic() < deadline and up.poll() is None
        time.sleep(0.2)
    os.kill(up.pid, signal.SIGINT)
    output, _ = up.communicate(timeout=10)
    assert up.returncode == 130, output
    with pytest.raises(OSError):
        send("127.0.0.1:8787", event())
    assert query(tmp_path, "SELECT event_id FROM purchases_silver") == [{"event_id": "e1"}]
