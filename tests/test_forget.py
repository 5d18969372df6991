"""Erasure: the id is gone from every file, every total stays, and nothing else changes."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medallion.cleaning.lines import read_blocks
from medallion.contract import MAX_LINE_BYTES, PURCHASES, STORES
from medallion.operations.erasure.lake import LakeEraser
from medallion.operations.erasure.pseudonym import Replacement
from medallion.operations.erasure.raw_lines import lines
from medallion.platforms.local import LocalLake
from tests.conftest import Cli, drop, event

ID, NAME = "C-1001", "forgotten-x"
BY = Replacement(ID, NAME)
Query = Callable[[Path, str], list[dict[str, Any]]]


@pytest.mark.parametrize(
    "line, wanted",
    [
        ('{"customer_id":"C-1001"}', '{"customer_id":"forgotten-x"}'),
        ('{"customer_id" : " C-1001\\t" , "a":1}', '{"customer_id" : "forgotten-x" , "a":1}'),
        ('{"customer_id":"\\u0043-100\\u0031"}', '{"customer_id":"forgotten-x"}'),
        ('{"note":"for C-1001, not C-10011"}', '{"note":"for forgotten-x, not C-10011"}'),
        ('{"who":{"C-1001":["C-1001"]}}', '{"who":{"forgotten-x":["forgotten-x"]}}'),
        ('{"customer_id":"C-10011"}', None),
        ('{"customer_id":"XC-1001","x":"my-C-1001"}', None),
        ('{"basket_id":"C-1001","product_id":"C-1001"}', None),
        ('{"customer_id":"C-1001",}', '{"customer_id":"forgotten-x",}'),
        ("no json C-1001 here", "no json forgotten-x here"),
        ('{"customer_id":"\\u0043-1001"', '{"customer_id":"forgotten-x"'),
        ("", None),
    ],
)
def test_a_line_loses_the_id_and_nothing_else(line: str, wanted: str | None) -> None:
    """However the id is spelled; ids that only resemble it, and fields that name other things,
    stay."""
    expected = line if wanted is None else wanted
    assert BY.line(line.encode(), PURCHASES).decode() == expected


def test_a_short_number_is_a_customer_only_where_it_says_so() -> None:
    """The customer 12 is no quantity, no price, no word in a note."""
    line = '{"customer_id":12,"quantity":12,"price":"12","note":"12 apples","shelf":12}'
    wanted = line.replace('"customer_id":12', '"customer_id":"forgotten-x"')
    assert Replacement("12", NAME).line(line.encode(), PURCHASES).decode() == wanted
    assert Replacement("12", NAME).line(b'{"customer_id":12,', PURCHASES) == (
        b'{"customer_id":"forgotten-x",'
    )


def test_other_feeds_know_no_customer() -> None:
    """In a store's line a customer_id is an unknown field like any other."""
    line = b'{"store_id":"C-1001","customer_id":"C-1001"}'
    assert BY.line(line, STORES) == b'{"store_id":"C-1001","customer_id":"forgotten-x"}'


def test_pseudonyms_are_random_and_no_shorter() -> None:
    """Nothing about an id can be told from its pseudonym."""
    pseudonyms = {Replacement.of(ID).pseudonym for _ in range(50)}
    assert len(pseudonyms) == 50
    assert len(Replacement.of("x" * 400).pseudonym) >= 400


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Path:
    """A home in gold in which the customer is everywhere that a line can be. Never changed."""
    home = tmp_path_factory.mktemp("shop")
    others = [event(event_id=f"o{n}", customer_id=f"C-{n}", basket_id=f"b{n}") for n in range(30)]
    own = [
        event(event_id="a", customer_id=ID),
        event(event_id="b", customer_id=f"  {ID} ", ts="2026-03-02T10:00:00Z"),
        event(event_id="c", customer_id=ID).replace("C-1001", "\\u0043-1001"),
        event(event_id="d", customer_id=ID, loyalty={"card": ID}),
        event(event_id="e", customer_id=ID, event_type="return", original_event_id="a"),
        event(event_id="f", customer_id=ID, quantity=-1),
        event(event_id="g", customer_id="C-10011", note=f"sent by {ID}", **{ID: 1}),
        event(event_id="h", customer_id=ID)[:-1],
        event(event_id="i", customer_id=ID, note="x" * MAX_LINE_BYTES),
        event(event_id="a", customer_id=ID),
        "",
    ]
    lines = "\r\n".join(own).encode()
    drop(home, "purchases/plain.ndjson", *others, *own)
    path = drop(home, "purchases/windows.json")
    path.write_bytes(b"\xef\xbb\xbf" + lines)
    (home / "raw/purchases/packed.jsonl.gz").write_bytes(
        gzip.compress(lines) + gzip.compress(b"\n")
    )
    (home / "raw/elsewhere.json.zst").write_bytes(pa.compress(lines, codec="zstd", asbytes=True))
    drop(home, "stores/s.ndjson", json.dumps({"store_id": "S1", "ts": "2026-01-01T00:00:00Z"}))
    result = cli(home, "run", "--events", "0")
    assert result.exit_code == 0, result.output
    return home


@pytest.fixture
def home(shop: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(shop, tmp_path / "home"))


SAME = (
    "SELECT * EXCLUDE (load_seq) FROM purchases_gold ORDER BY ALL",
    "SELECT count(DISTINCT customer_id), count(customer_id), sum(net_amount) FROM purchases_silver",
    "SELECT event_id, source_file, source_line FROM purchases_silver ORDER BY ALL",
    "SELECT feed, reason, source_file, source_line FROM quarantine ORDER BY ALL",
    "SELECT source_file, lines, blank, accepted, quarantined FROM receipts ORDER BY ALL",
    "SELECT first_sales_date, baskets, basket_value FROM customer_rfm ORDER BY ALL",
)


def facts(home: Path, query: Query) -> list[Any]:
    return [query(home, sql) for sql in SAME]


def contents(home: Path) -> dict[str, str]:
    return {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in home.rglob("*")
        if path.is_file() and not path.name.startswith(".lock")
    }


def plain(path: Path) -> bytes:
    """What a file says, unpacked."""
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".zst":
        return pa.input_stream(str(path), compression="zstd").read()
    if path.suffix == ".parquet":
        return str(pq.read_table(path).to_pylist()).encode()
    if path.suffix == ".duckdb":
        with duckdb.connect(str(path), read_only=True) as db:
            names = db.execute("SELECT schema_name || '.' || table_name FROM duckdb_tables()")
            tables = [db.execute(f"FROM {name}").fetchall() for (name,) in names.fetchall()]
            return str(tables).encode()
    return path.read_bytes()


def assert_forgotten(home: Path, cli: Cli) -> None:
    """The id is nowhere, also to another pair of eyes; the audit holds; nothing waits."""
    report = json.loads(cli(home, "forget", "--customer", ID, "--json").stdout)
    assert report["left"] == []
    assert report["rewritten"]["raw_objects"] == report["rewritten"]["bronze_objects"] == 0
    for path in (p for p in home.rglob("*") if p.is_file()):
        assert ID.encode() not in plain(path).replace(b"C-10011", b""), path
    audit = cli(home, "audit")
    assert audit.exit_code == 0, audit.output
    assert json.loads(cli(home, "clean", "--json").stdout)["objects"] == 0


def test_a_customer_is_forgotten_and_every_total_stays(home: Path, cli: Cli, query: Query) -> None:
    """Raw, bronze, quarantine, warehouse and snapshots; line by line nothing but the id changes."""
    shutil.copytree(home / "bronze", home / ".rebuild" / "bronze")  # of a rebuild that was killed
    before = facts(home, query)
    windows = (home / "raw/purchases/windows.json").read_bytes()
    result = cli(home, "forget", "--customer", ID, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["rewritten"]["raw_objects"] == 4
    assert report["rewritten"]["raw_lines"] == 40
    assert facts(home, query) == before
    name = report["pseudonym"].encode()
    after = (home / "raw/purchases/windows.json").read_bytes()
    assert after.count(b"\n") == windows.count(b"\n")
    spelled = windows.replace(b"\\u0043", b"C").replace(b"  C-1001 ", ID.encode())
    wanted = spelled.replace(b"C-10011", b"%").replace(ID.encode(), name).replace(b"%", b"C-10011")
    assert after == wanted
    named = query(
        home, "SELECT event_id FROM purchases_silver WHERE customer_id LIKE 'forgotten-%'"
    )
    assert sorted(row["event_id"] for row in named) == ["a", "b", "c", "d", "e"]
    assert_forgotten(home, cli)
    (record,) = (home / "erasures").iterdir()
    assert ID not in record.read_text() and record.stem == report["pseudonym"]


@pytest.mark.parametrize("step", [2, 7, 13, "rebuild", "swap", "damage"])
def test_an_act_that_is_cut_short_can_be_finished(
    home: Path, cli: Cli, query: Query, monkeypatch: pytest.MonkeyPatch, step: int | str
) -> None:
    """Stopped anywhere: nobody else may work on the home, and --resume ends as if nothing had
    happened."""
    before = facts(home, query)
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        assert isinstance(cli(home, "forget", "--customer", ID).exception, Killed)
    refused = cli(home, "clean")
    assert refused.exit_code == 2 and "forget --resume" in refused.stderr
    assert cli(home, "forget", "--customer", "somebody").exit_code == 2
    if step == "damage":  # Nothing may wedge an erasure that has begun.
        (home / "warehouse.duckdb").write_bytes(b"half of a database")
    result = cli(home, "forget", "--resume")
    assert result.exit_code == 0, result.output
    assert facts(home, query) == before
    assert_forgotten(home, cli)


class Killed(Exception):
    """The process is gone."""


def stop_at(patch: pytest.MonkeyPatch, step: int | str) -> None:
    """Lets the n-th publication into the lake, or the work on the warehouse, not happen."""
    from medallion.operations.erasure import act, warehouse

    def killed(*_: Any) -> None:
        raise Killed

    if step in ("rebuild", "damage"):
        patch.setattr(act, "rewrite_warehouse", killed)
    elif step == "swap":
        patch.setattr(warehouse, "_drop_old_snapshots", killed)
    else:
        left, publish = int(step), LocalLake.publish

        def guarded(lake: LocalLake, files: Mapping[str, Path], **options: bool) -> None:
            nonlocal left
            for key, path in files.items():
                left -= 1
                if not left:
                    raise Killed
                publish(lake, {key: path}, **options)

        patch.setattr(LocalLake, "publish", guarded)


@pytest.mark.parametrize("stages", [["clean"], ["clean", "load"]])
def test_what_waits_is_counted_before_and_after(
    home: Path, cli: Cli, query: Query, stages: list[str]
) -> None:
    """What is cleaned or loaded and not yet in gold is brought there first, and what is in raw/
    alone is cleaned afterwards as it arrived: nothing of it is taken for a change of totals."""
    drop(home, "purchases/late.json", event(event_id="late", customer_id=ID))
    for stage in stages:
        assert cli(home, stage).exit_code == 0
    raw = drop(home, "purchases/later.json", event(event_id="later", customer_id=ID))
    arrived = raw.stat().st_mtime_ns // 1_000_000
    result = cli(home, "forget", "--customer", ID)
    assert result.exit_code == 0, result.output
    assert query(home, "SELECT count(*) AS n FROM purchases_silver WHERE event_id = 'late'") == [
        {"n": 1}
    ]
    assert raw.stat().st_mtime_ns // 1_000_000 == arrived
    assert cli(home, "run", "--events", "0").exit_code == 0
    assert_forgotten(home, cli)


def test_a_file_that_was_only_touched_is_forgotten_too(home: Path, cli: Cli) -> None:
    """Its rows and its receipt keep the arrival of the first time, so the audit holds."""
    os.utime(home / "raw/purchases/plain.ndjson")
    assert cli(home, "forget", "--customer", ID).exit_code == 0
    assert_forgotten(home, cli)


def test_the_proof_believes_nobody(home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not rewritten or built anew, and what is no raw object by its name, is found and
    named: exit 1."""
    from medallion.operations.erasure import act

    (home / "raw/.unfinished.json").write_text(event(customer_id=ID).replace("C", "\\u0043"))
    (home / "raw/notes.txt").write_text(f"call {ID}")
    monkeypatch.setattr(LakeEraser, "rewrite_quarantine", lambda _: None)
    monkeypatch.setattr(act, "rewrite_warehouse", lambda _: None)
    result = cli(home, "forget", "--customer", ID, "--json")
    assert result.exit_code == 1, result.output
    left = json.loads(result.stdout)["left"]
    assert {"raw/.unfinished.json", "raw/notes.txt"} < set(left)
    assert "warehouse.duckdb: staging.quarantine.raw" in left
    assert any(place.startswith("bronze/quarantine/") for place in left)


def test_an_unknown_customer_changes_nothing(home: Path, cli: Cli) -> None:
    """It says so in one line, names the nearest one, and leaves no record."""
    before = contents(home)
    result = cli(home, "forget", "--customer", f"{ID[:-1]}x")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert "nothing was changed" in result.stderr and f"did you mean {ID}?" in result.stderr
    assert contents(home) == before


def test_an_archive_that_cannot_be_read_is_named(home: Path, cli: Cli) -> None:
    """Nobody can say what is in it: exit 1, the rest is done."""
    damaged = gzip.compress(event(customer_id=ID).encode() * 50)[:-9]
    (home / "raw/purchases/cut.json.gz").write_bytes(damaged)
    assert cli(home, "run", "--events", "0").exit_code == 1
    result = cli(home, "forget", "--customer", ID)
    assert result.exit_code == 1 and "raw/purchases/cut.json.gz" in result.stdout
    assert not (home / ".forget.json").exists()


def test_packed_objects_are_searched_whatever_their_names_say(home: Path, cli: Cli) -> None:
    """gzip and zstd by content are rewritten and stay packed; what cannot be read is named, in raw/
    and beside it, and never counts as searched without a find."""
    line = event(event_id="by content", customer_id=ID).encode() + b"\n"
    raw = home / "raw/purchases"
    (raw / "by content.json").write_bytes(gzip.compress(line))
    (raw / "UPPER.JSON.GZ").write_bytes(gzip.compress(line.replace(b"by content", b"upper")))
    assert cli(home, "run", "--events", "0").exit_code == 0
    unread = {raw / "day.json.bz2": bz2.compress(line), home / "copy.xz": lzma.compress(line)}
    for path, data in unread.items():
        path.write_bytes(data)
    result = cli(home, "forget", "--customer", ID)
    assert result.exit_code == 1 and "the id is in 2 places" in result.stdout
    assert all(f"{path.relative_to(home)}: it is compressed" in result.stdout for path in unread)
    for name in ("by content.json", "UPPER.JSON.GZ"):
        assert ID.encode() not in gzip.decompress((raw / name).read_bytes())


@pytest.mark.parametrize("options", [(), ("--customer", " "), ("--customer", ""), ("--resume",),
                                     ("--customer", "x", "--resume")])  # fmt: skip
def test_what_is_no_customer_is_refused(home: Path, cli: Cli, options: tuple[str, ...]) -> None:
    """In one line."""
    result = cli(home, "forget", *options)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1


def test_a_document_keeps_its_numbers(tmp_path: Path) -> None:
    """An array over many lines becomes an event a line: each under its number, without the id."""
    events = [{"event_id": n, "customer_id": "C-1001", "note": "x"} for n in range(3)]
    path = tmp_path / "a.json"
    path.write_text("\ufeff" + json.dumps(events, indent=1).replace("C-1001", "\\u0043-1001"))
    changed = list(lines(path, "raw/a.json", BY))
    assert sum(is_changed for _, is_changed in changed) == 3
    path.with_name("b.json").write_bytes(b"".join(line for line, _ in changed))
    before, after = (
        {
            block.first_line + n: json.loads(text)
            for block in read_blocks(name.open("rb"))
            for n in range(len(block))
            if (text := block.line(n)[0])
        }
        for name in (path, path.with_name("b.json"))
    )
    wanted = {n: {**event, "customer_id": NAME} for n, event in before.items()}
    assert after == wanted and list(after) == [2, 7, 12]
