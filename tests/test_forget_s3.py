"""Erasure in a bucket with versions: the id is gone from every version of every object, every total
stays, and an interrupted erasure can be finished."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import signal
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner

from medallion.cli import main
from medallion.operations.erasure import act
from medallion.platforms import s3
from tests.conftest import event, medallion
from tests.s3_here import S3, emulator
from tests.test_forget import ID, Query, facts, plain

Run = Callable[..., str]
ESCAPED = ID.replace("C", "\\u0043")
LEFT_ALONE = b'{"event_id":"x","customer_id":"C-7"}'
ARRIVALS = (
    "SELECT event_id, source_file, source_line, ingested_at FROM purchases_silver ORDER BY ALL",
    "SELECT source_file, source_line, ingested_at, raw_size > 0 FROM quarantine ORDER BY ALL",
)
ALLOWED = {
    "s3:ListBucket": "",
    "s3:ListBucketVersions": "",
    "s3:GetObject": "/*",
    "s3:PutObject": "/*",
    "s3:GetObjectVersion": "/*",
    "s3:DeleteObjectVersion": "/*",
}


class Versioned(S3):
    """A bucket that keeps every version."""

    def __init__(self, endpoint: str, bucket: str) -> None:
        self.bucket = bucket
        super().__init__(endpoint)
        self.keep_versions()

    def delete(self, key: str) -> None:
        """Deletes an object as everybody does: its versions stay."""
        self._s3.delete_object(Bucket=self.bucket, Key=key)

    def versions(self) -> Iterator[dict[str, Any]]:
        """Every version and every mark of deletion, as the store lists them."""
        for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket):
            yield from page.get("Versions", ())
            yield from ({**mark, "ETag": None} for mark in page.get("DeleteMarkers", ()))

    def contents(self, folder: Path) -> Iterator[tuple[str, bytes]]:
        """The key of every version, and what it says, unpacked."""
        for number, version in enumerate(v for v in self.versions() if v["ETag"]):
            path = folder / f"{number}-{Path(version['Key']).name}"
            only = {"VersionId": version["VersionId"]}
            self._s3.download_file(self.bucket, version["Key"], str(path), ExtraArgs=only)
            yield version["Key"], plain(path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """An emulator."""
    with emulator(tmp_path_factory.mktemp("s3")) as store:
        yield store


buckets = itertools.count()


@pytest.fixture
def bucket(server: S3) -> Versioned:
    """A bucket with the customer in every possible place, also in replaced and deleted objects and
    in those that a cluster left behind."""
    shop = Versioned(server.endpoint, f"shop-{next(buckets)}")
    own = [
        event(event_id="a", customer_id=ID),
        event(event_id="b", customer_id=f" {ID}", ts="2026-03-02T10:00:00Z").replace(
            "C", "\\u0043"
        ),
        event(event_id="c", customer_id=ID, quantity=-1),
        event(event_id="d", customer_id=ID, loyalty={ID: ID}, **{f"for {ID}": 1}),
        event(event_id="e", customer_id=ID)[:-1],
        event(event_id="a", customer_id=ID),
        "",
    ]
    others = [event(event_id=f"o{n}", customer_id=f"C-{n}", basket_id=f"b{n}") for n in range(20)]
    lines = "\n".join(own).encode()
    alone = {
        "raw/purchases/other.json": "\n".join(others).encode(),
        "raw/replaced.json": LEFT_ALONE,
    }
    shop.put(alone | {"raw/purchases/plain.json": lines, "raw/purchases/gone.json": lines})
    shop.put({"tmp/runs/run-1/out/lines/0": event(customer_id=ID).replace("C", "\\u0043").encode()})
    shop.put({"raw/purchases/plain.json": "\n".join([*others[:5], *own]).encode()})
    shop.put({"raw/purchases/packed.json.gz": gzip.compress(lines), "raw/replaced.json": lines})
    shop.put({"tmp/runs/current.json": b""})
    shop.delete("raw/purchases/gone.json")
    shop.delete("tmp/runs/run-1/out/lines/0")
    return shop


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the warehouse is."""
    return tmp_path / "home"


@contextmanager
def as_a_new_process() -> Iterator[None]:
    """Forget clients and keys before and after."""

    def forget() -> None:
        s3._client.cache_clear()
        boto3.DEFAULT_SESSION = None

    forget()
    try:
        yield
    finally:
        forget()


@pytest.fixture
def run(bucket: Versioned, home: Path) -> Run:
    """`medallion ARGUMENTS` with its lake in the bucket, in this process; what it printed."""

    def command(*arguments: str, code: int = 0, **variables: str) -> str:
        environment = bucket.environment() | variables
        with as_a_new_process():
            result = CliRunner().invoke(main, [*arguments, "--home", str(home)], env=environment)
        assert result.exit_code == code, result.output + repr(result.exception)
        return result.stderr if code == 2 else result.stdout

    return command


@pytest.fixture
def gold(run: Run) -> None:
    """All of it is in gold."""
    run("run", "--events", "0")


def assert_forgotten(bucket: Versioned, home: Path, run: Run, folder: Path) -> None:
    """No version of any object holds the id, nor any file, to another pair of eyes; what did not
    hold it is there; the audit holds and nothing waits."""
    folder.mkdir()
    texts = [*bucket.contents(folder)]
    assert ("raw/replaced.json", LEFT_ALONE) in texts
    texts += [(str(path), plain(path)) for path in home.rglob("*") if path.is_file()]
    for where, text in texts:
        assert ID.encode() not in text and ESCAPED.encode() not in text, where
    keys = {version["Key"] for version in bucket.versions()}
    assert not {key for key in keys if key.startswith("tmp/runs/run-") or "gone" in key}
    assert json.loads(run("clean", "--json"))["objects"] == 0
    assert json.loads(run("load", "--json"))["objects"] == 0
    assert json.loads(run("audit", "--json"))["holds"]


@pytest.mark.usefixtures("gold")
def test_a_customer_is_forgotten_in_every_version(
    bucket: Versioned, home: Path, run: Run, query: Query, tmp_path: Path
) -> None:
    """Raw, bronze, quarantine, receipts, what was replaced or deleted; every total and every time
    of arrival stays, even when all is cleaned from raw again; each new object is announced once."""
    before, arrivals = facts(home, query), [query(home, sql) for sql in ARRIVALS]
    bucket.notices()
    bronze = bucket.objects("bronze/")
    report = json.loads(run("forget", "--customer", ID, "--json"))
    assert report["left"] == [] and report["searched"]["old versions"] == 1
    assert report["rewritten"]["raw_objects"] == 3 and report["rewritten"]["raw_lines"] == 18
    assert report["rewritten"]["old_versions"] > 6
    assert facts(home, query) == before
    assert_forgotten(bucket, home, run, tmp_path / "versions")
    changed = {k for k, o in bucket.objects("bronze/").items() if o != bronze.get(k)}
    assert bucket.notices() == dict.fromkeys(changed, 1)
    (record,) = (home / "erasures").iterdir()
    assert ID not in record.read_text() and record.stem == report["pseudonym"]
    for key in bucket.objects("bronze/"):
        bucket.delete(key)
    (home / "warehouse.duckdb").unlink()
    run("run", "--events", "0")
    assert facts(home, query) == before
    assert [query(home, sql) for sql in ARRIVALS] == arrivals


@contextmanager
def deadly(endpoint: str, request: int) -> Iterator[tuple[str, list[int]]]:
    """An endpoint that kills the processes of a list at the n-th change to the bucket, a PUT or a
    DELETE, which is not handed on."""
    target = endpoint.removeprefix("http://").split(":")
    changes, victims = itertools.count(1), list[int]()

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((target[0], int(target[1]))) as server:
                threading.Thread(target=self._back, args=(server,), daemon=True).start()
                while data := self.request.recv(1 << 16):
                    if data.startswith((b"PUT ", b"DELETE ")) and next(changes) == request:
                        [os.kill(victim, signal.SIGKILL) for victim in victims]
                        return
                    server.sendall(data)

        def _back(self, server: socket.socket) -> None:
            with suppress(OSError):
                while data := server.recv(1 << 16):
                    self.request.sendall(data)

    class Relays(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Connections of killed processes break."""

    with Relays(("127.0.0.1", 0), Relay) as relay:
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{relay.server_address[1]}", victims
        finally:
            relay.shutdown()


@pytest.mark.usefixtures("gold")
def test_an_act_that_is_killed_again_and_again_is_finished(
    bucket: Versioned, home: Path, run: Run, query: Query, tmp_path: Path
) -> None:
    """Killed between a raw object and the note of its arrival, between two bronze objects, between
    a receipt and the removal of the old one, among the old versions and before the marks of
    deletion: nobody else may work on the home, and in the end all is as if nothing had happened."""
    before, arrivals = facts(home, query), [query(home, sql) for sql in ARRIVALS]
    what = ("--customer", ID)
    for request in (1, 2, 4, 8, 8, 4, 6, 15):
        with deadly(bucket.endpoint, request) as (endpoint, victims):
            environment = os.environ | bucket.environment() | {"AWS_ENDPOINT_URL": endpoint}
            process = medallion("forget", *what, "--home", str(home), env=environment)
            victims.append(process.pid)
            process.communicate(timeout=300)
            assert process.returncode == -signal.SIGKILL
        what = ("--resume",)
    assert {v["ETag"] for v in bucket.versions() if "gone" in v["Key"]} == {None}
    assert "forget --resume" in run("clean", code=2)
    elsewhere = run("forget", "--resume", code=2, MEDALLION_LAKE="")
    assert f"s3://{bucket.bucket}" in elsewhere and elsewhere.count("\n") == 1
    run("forget", "--resume")
    assert facts(home, query) == before
    assert [query(home, sql) for sql in ARRIVALS] == arrivals
    assert_forgotten(bucket, home, run, tmp_path / "versions")


@pytest.mark.usefixtures("gold")
def test_a_missing_permission_names_action_and_key(
    bucket: Versioned, home: Path, run: Run, query: Query, tmp_path: Path
) -> None:
    """One line, exit 2; once it is given, --resume goes on, and these permissions are enough."""
    before, what = facts(home, query), ("--customer", ID)
    for action, where in {
        "s3:PutObject": "raw/purchases/packed.json.gz",
        "s3:ListBucketVersions": "bronze/receipts/",
        "s3:DeleteObjectVersion": "bronze/receipts/",
        "s3:GetObjectVersion": "raw/",
    }.items():
        allowed = {name: on for name, on in ALLOWED.items() if name != action}
        with bucket.restricted(allowed) as operator:
            error = run("forget", *what, code=2, **operator)
        assert error.splitlines()[-1].count(f"{action} on s3://{bucket.bucket}/{where}") == 1, error
        what = ("--resume",)
    with bucket.restricted(ALLOWED) as operator:
        run("forget", *what, **operator)
    assert facts(home, query) == before
    assert_forgotten(bucket, home, run, tmp_path / "versions")


@pytest.mark.usefixtures("gold")
def test_an_old_version_that_holds_the_id_is_found(
    bucket: Versioned, home: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof does not believe that old versions were deleted: exit 1 with key and version. To
    forget again deletes them."""
    with monkeypatch.context() as patch:
        patch.setattr(act, "purge", lambda *_: 0)
        left = json.loads(run("forget", "--customer", ID, "--json", code=1))["left"]
    for key in (
        "raw/purchases/plain.json",
        "raw/purchases/gone.json",
        "tmp/runs/run-1/out/lines/0",
    ):
        assert any(f"s3://{bucket.bucket}/{key}, version " in place for place in left), key
    assert any("bronze/purchases/" in place and "customer_id" in place for place in left)
    assert any("bronze/quarantine/" in place and ": raw" in place for place in left)
    report = json.loads(run("forget", "--customer", ID, "--json"))
    assert report["left"] == [] and report["rewritten"]["raw_objects"] == 0
    assert_forgotten(bucket, home, run, tmp_path / "versions")


def test_what_cannot_be_read_is_named(bucket: Versioned, run: Run) -> None:
    """An old version of an archive that is no archive: nobody knows what is in it, so it stays and
    the proof fails."""
    key = "raw/purchases/damaged.json.gz"
    bucket.put({key: b"\x1f\x8b\x08" + b"\0" * 7 + b"no archive"})
    bucket.put({key: gzip.compress(event(event_id="z").encode())})
    assert f"s3://{bucket.bucket}/{key}, version " in run("forget", "--customer", ID, code=1)


def test_a_run_of_the_cluster_must_have_ended(bucket: Versioned, home: Path, run: Run) -> None:
    """What it has begun would come with the id: one line, and nothing has changed."""
    bucket.put({"tmp/runs/run-2/manifest.json": b"[]"})
    before = [*bucket.versions()]
    error = run("forget", "--customer", ID, code=2)
    assert "tmp/runs/run-2/manifest.json" in error and error.count("\n") == 1
    assert [*bucket.versions()] == before and not (home / ".forget.json").exists()
