"""The cleaner as users run it: from raw files to bronze, quarantine and receipts."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import random
import shutil
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medallion.cleaning import documents
from medallion.cleaning.cleaner import Cleaner
from medallion.contract import (
    MAX_LINE_BYTES,
    MAX_NAME_LENGTH,
    MAX_UNKNOWN_NAMES,
    OTHER_NAMES,
    PURCHASES,
    TECHNICAL,
)
from medallion.layers import bronze
from medallion.platforms.local import LocalLake
from tests.conftest import ROOT, Cli, drop, event


def receipts(home: Path) -> dict[str, dict[str, Any]]:
    """Every receipt in the lake by its raw key."""
    rows = [pq.read_table(p).to_pylist()[0] for p in (home / "bronze/receipts").glob("*.parquet")]
    for row in rows:
        for name in ("reasons", "unknown_fields", "outputs"):
            row[name] = json.loads(row[name])
    return {row["source_file"]: row for row in rows}


def rows(home: Path, folder: str) -> list[dict[str, Any]]:
    """All rows of the objects under bronze/folder, in the order of file and line."""
    files = sorted((home / "bronze" / folder).rglob("*.parquet"))
    rows = [row for path in files for row in pq.ParquetFile(path).read().to_pylist()]
    return sorted(rows, key=lambda row: (row["source_file"], row["source_line"]))


def test_every_line_is_accepted_quarantined_or_blank(tmp_path: Path, cli: Cli) -> None:
    """Lines of all three kinds are counted, and the quarantine keeps the text byte by byte."""
    drop(
        tmp_path,
        "a.ndjson",
        event(),
        "",
        '{"event_id": broken',
        b"\xff\xfe",
        "  \t\r",
        event(event_id="e2", quantity=0, total_amount=...),
        event(event_id="e3"),
    )
    assert cli(tmp_path, "clean").exit_code == 0
    receipt = receipts(tmp_path)["raw/a.ndjson"]
    assert (receipt["lines"], receipt["blank"]) == (7, 2)
    assert (receipt["accepted"], receipt["quarantined"]) == (2, 3)
    assert receipt["reasons"] == {"malformed_json": 2, "bad_quantity": 1}
    kept = [(q["source_line"], q["reason"], q["raw"]) for q in rows(tmp_path, "quarantine")]
    assert kept[0] == (3, "malformed_json", b'{"event_id": broken')
    assert kept[1] == (4, "malformed_json", b"\xff\xfe")
    assert kept[2][:2] == (6, "bad_quantity")
    assert [a["source_line"] for a in rows(tmp_path, "purchases")] == [1, 7]


def test_accepted_rows_have_the_columns_of_the_contract(tmp_path: Path, cli: Cli) -> None:
    """Names, order and types in Parquet are the contract's; money is decimal, time is UTC."""
    drop(
        tmp_path,
        "a.json",
        event(ts="2026-03-01T23:30:00-05:00", price="1.2345675", total_amount=...),
    )
    cli(tmp_path, "clean")
    (path,) = (tmp_path / "bronze/purchases").rglob("*.parquet")
    schema = pq.ParquetFile(path).schema_arrow
    assert tuple(schema.names) == PURCHASES.names + tuple(TECHNICAL)
    assert path.parent.name == "dt=2026-03-02"
    assert schema.field("price").type == pa.decimal128(18, 6)
    assert schema.field("total_amount").type == pa.decimal128(18, 4)
    assert schema.field("ts").type == pa.timestamp("us")


def test_every_suffix_anywhere_under_raw_is_taken(tmp_path: Path, cli: Cli) -> None:
    """Plain, gzip and zstd objects of any producer count; hidden and unfinished names do not."""
    line = event().encode() + b"\n"
    packed = {
        "x/y/a.ndjson": line,
        "b.JSONL": line,
        "c.json": line,
        "d.ndjson.gz": gzip.compress(line),
        "D.JSON.GZ": gzip.compress(line),
        "e.json.zst": pa.compress(line, "zstd", asbytes=True),
        "by content.json": gzip.compress(line),
        "by content.ndjson": pa.compress(line, "zstd", asbytes=True),
        "h.json.gzip": gzip.compress(line),
        ".f.json": line,
        "g.json.tmp": line,
        "readme.txt": line,
    }
    for name, data in packed.items():
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    cli(tmp_path, "clean")
    assert sorted(r["source_file"] for r in rows(tmp_path, "purchases")) == [
        "raw/D.JSON.GZ",
        "raw/b.JSONL",
        "raw/by content.json",
        "raw/by content.ndjson",
        "raw/c.json",
        "raw/d.ndjson.gz",
        "raw/e.json.zst",
        "raw/h.json.gzip",
        "raw/x/y/a.ndjson",
    ]


def archives(line: bytes) -> dict[str, bytes]:
    """Archives in formats that are not read, under names of formats that are."""
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("day.json", line)
    return {
        "zip.json": zipped.getvalue(),
        "bzip2.ndjson": bz2.compress(line),
        "xz.jsonl": lzma.compress(line),
    }


def test_an_archive_of_a_kind_that_is_not_read_is_one_unreadable_line(
    tmp_path: Path, cli: Cli
) -> None:
    """Its bytes are no lines, whatever its name says: one reason, exit 1, and status names it."""
    for name, data in archives(event().encode()).items():
        (tmp_path / "raw").mkdir(exist_ok=True)
        (tmp_path / "raw" / name).write_bytes(data)
        (tmp_path / "raw" / f"{name}.bz2").write_bytes(data)
    result = cli(tmp_path, "clean")
    assert result.exit_code == 1 and "of a kind that is not read" in result.stdout
    reasons = {key: r["reasons"] for key, r in receipts(tmp_path).items()}
    assert reasons == {f"raw/{name}": {"unreadable_file": 1} for name in archives(b"x")}
    cli(tmp_path, "load")
    listed = json.loads(cli(tmp_path, "status", "--json").stdout)[0]["not_taken"]
    assert listed.keys() == {f"raw/{name}.bz2" for name in archives(b"x")}


@pytest.mark.parametrize("cut", [5, 40, -4], ids=["head", "middle", "trailer"])
def test_a_cut_archive_is_one_unreadable_line_and_stops_nothing(
    tmp_path: Path, cli: Cli, cut: int
) -> None:
    """The file gets its receipt and reason, its neighbours are cleaned, and the exit code is 1."""
    packed = gzip.compress("".join(event(event_id=f"e{i}") + "\n" for i in range(50)).encode())
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/cut.json.gz").write_bytes(packed[:cut])
    drop(tmp_path, "good.json", event())
    assert cli(tmp_path, "clean").exit_code == 1
    by_file = receipts(tmp_path)
    assert by_file["raw/cut.json.gz"]["reasons"] == {"unreadable_file": 1}
    assert by_file["raw/cut.json.gz"]["lines"] == 1
    assert by_file["raw/good.json"]["accepted"] == 1


def test_a_line_at_the_limit_is_read_and_one_beyond_is_oversize(tmp_path: Path, cli: Cli) -> None:
    """The limit counts bytes without the line end; the quarantine keeps the head and the size."""
    short = len(event(pad=""))
    fits, beyond = event(pad="x" * (MAX_LINE_BYTES - short)), event(pad="x" * (9 << 20))
    over = event(event_id="e4", pad="x" * (MAX_LINE_BYTES - short + 1))
    padded = event(event_id="e5") + " " * (9 << 20)
    drop(tmp_path, "a.json", fits, over, beyond, event(event_id="e2"), padded)
    cli(tmp_path, "clean")
    receipt = receipts(tmp_path)["raw/a.json"]
    assert receipt["reasons"] == {"oversize_line": 3}
    assert (receipt["lines"], receipt["accepted"]) == (5, 2)
    first, second, third = rows(tmp_path, "quarantine")
    assert (third["source_line"], third["raw_size"]) == (5, len(padded))
    assert (first["source_line"], first["raw_size"]) == (2, MAX_LINE_BYTES + 1)
    assert first["raw"] == over.encode()[:MAX_LINE_BYTES]
    assert (second["source_line"], second["raw_size"]) == (3, len(beyond))


def test_unknown_fields_are_counted_by_name(tmp_path: Path, cli: Cli) -> None:
    """Drift is visible in the receipt, in accepted and rejected lines alike."""
    drop(
        tmp_path,
        "a.json",
        event(mood="good"),
        event(event_id="e2", mood=None, extra={"a": [1]}),
        event(event_id=..., mood=1),
        '{"mood": oops}',
    )
    cli(tmp_path, "clean")
    assert receipts(tmp_path)["raw/a.json"]["unknown_fields"] == {"mood": 3, "extra": 1}


def test_a_repeated_pass_changes_nothing_and_a_rewritten_file_is_a_new_object(
    tmp_path: Path, cli: Cli
) -> None:
    """Receipts are by version: touching a file does nothing, appending to it cleans it again."""
    path = drop(tmp_path, "a.json", event())
    cli(tmp_path, "clean")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "bronze").rglob("*.parquet")}
    cli(tmp_path, "clean")
    os.utime(path, (1, 1))
    cli(tmp_path, "clean")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "bronze").rglob("*.parquet")} == before
    drop(tmp_path, "a.json", event(), event(event_id="e2"))
    cli(tmp_path, "clean")
    assert len(list((tmp_path / "bronze/receipts").glob("*.parquet"))) == 2


def test_a_pass_that_died_before_the_receipt_is_made_good(tmp_path: Path, cli: Cli) -> None:
    """Without its receipt an object is cleaned again, to the same names and the same rows."""
    drop(tmp_path, "a.json", event(), event(event_id="e2", ts="2026-04-01T00:00:00Z"), "{")
    cli(tmp_path, "clean")
    names = sorted((tmp_path / "bronze").rglob("*.parquet"))
    kept = rows(tmp_path, "purchases")
    for path in (*(tmp_path / "bronze/receipts").iterdir(), names[0]):
        path.unlink()
    cli(tmp_path, "clean")
    assert sorted((tmp_path / "bronze").rglob("*.parquet")) == names
    assert rows(tmp_path, "purchases") == kept


def test_strange_file_names_are_taken(tmp_path: Path, cli: Cli) -> None:
    """Quotes, percent signs, line feeds and bytes that are no text: each is one object."""
    (tmp_path / "raw").mkdir()
    names = [b"it's.json", b"100%.json", b"new\nline.json", "été.json".encode(), b"\xff\xfe.json"]
    for i, name in enumerate(names):
        with open(os.path.join(os.fsencode(tmp_path / "raw"), name), "wb") as file:  # noqa: PTH118, PTH123
            file.write(event(event_id=f"e{i}").encode())
    assert cli(tmp_path, "clean").exit_code == 0
    keys = {row["source_file"] for row in rows(tmp_path, "purchases")}
    assert keys == {
        "raw/it's.json",
        "raw/100%25.json",
        "raw/new\nline.json",
        "raw/été.json",
        "raw/%FF%FE.json",
    }


def test_memory_is_bounded_whatever_the_size_of_a_file(tmp_path: Path) -> None:
    """A file ten times as large takes hardly more memory, and never 300 MiB."""
    peaks = []
    for copies in (1, 10):
        home = tmp_path / str(copies)
        lines = [event(event_id=f"e{i}", note="x" * 150) for i in range(60_000)]
        (home / "raw").mkdir(parents=True)
        (home / "raw/a.json").write_text("\n".join(lines * copies))
        # Not ru_maxrss: a new process inherits that of the one that started it.
        script = (
            "import sys; from pathlib import Path;"
            "from medallion.layers.bronze import clean;"
            "from medallion.platforms.local import LocalLake;"
            "clean(LocalLake(Path(sys.argv[1])));"
            "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, str(home)], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] < min(peaks[0] * 2, 300), peaks


def test_an_array_on_one_line_is_read_in_pieces(tmp_path: Path, cli: Cli) -> None:
    """Of 18 MiB: every event has its number, and the rest of the way knows no difference."""
    events = [event(event_id=f"e{i}", customer_id="c", note="x" * 150) for i in range(60_000)]
    drop(tmp_path, "a.json", f"[{','.join(events)}]")
    assert (tmp_path / "raw/a.json").stat().st_size > 16 << 20
    longest, reader = 0, documents._Document._read_on

    def read_on(document: Any) -> bool:
        nonlocal longest
        longest = max(longest, len(document._text))
        return reader(document)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents._Document, "_read_on", read_on)
        result = cli(tmp_path, "clean")
    assert "60,000 lines of 1 objects: 60,000 accepted, 0 quarantined, 0 blank" in result.stdout
    numbers = [row["source_line"] for row in rows(tmp_path, "purchases")]
    assert numbers == list(range(1, 60_001))
    assert longest < 8 << 20


def test_the_first_start_says_that_it_compiles(tmp_path: Path) -> None:
    """On a machine without the machine code it is made, which is said; the next start has it, and
    one whose file was damaged does not use it."""
    copy, announced = tmp_path / "copy", []
    shutil.copytree(
        ROOT / "src" / "medallion", copy / "medallion", ignore=shutil.ignore_patterns("__pycache__")
    )
    for home in ("first", "second"):
        lines = [event(event_id=f"e{i}", note="x" * 1000) for i in range(1_000)]
        drop(tmp_path / home, "a.json", *lines)
        done = subprocess.run(
            [sys.executable, "-m", "medallion.cli", "clean", "--home", tmp_path / home],
            env=os.environ | {"PYTHONPATH": str(copy), "TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "1,000 accepted" in done.stdout
        announced.append("compiling the cleaner" in done.stderr)
    assert announced == [True, False]
    (code,) = copy.rglob("scan-*.o")
    stored = code.read_bytes()
    code.write_bytes(stored[:-1] + bytes([stored[-1] ^ 1]))
    check = f"from medallion.platforms.kept import kept; print(kept({code.name!r}))"
    done = subprocess.run(
        [sys.executable, "-c", check],
        env=os.environ | {"PYTHONPATH": str(copy), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "None\n"


HOSTILE = {
    "one-letter lines": [b"x"] * 200_000,
    "names of 800 kB": [b'{"n%d%s":1}' % (i, b"n" * 800_000) for i in range(50)],
    "many names": [
        b"{%s}" % b",".join(b'"k%d_%d":1' % (i, n) for n in range(60_000)) for i in range(8)
    ],
    "one endless line": [b"a" * (100 << 20)],
    "an array of many objects": [b"[", *[b'{"a":[%s0]},' % (b"{}," * 300_000)] * 40],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_memory_is_bounded_whatever_the_lines_hold(tmp_path: Path, name: str) -> None:
    """At most 300 MiB, and each line is kept with its reason; of an array without its end the
    bracket, too."""
    drop(tmp_path, "hostile.json", *HOSTILE[name])
    program = (
        "import sys; from pathlib import Path; from medallion.cleaning import plain;"
        "from medallion.layers.bronze import clean;"
        "from medallion.platforms.local import LocalLake;"
        "plain.load(); report = clean(LocalLake(Path(sys.argv[1])));"
        "peak = Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0];"
        "print(report.quarantined, int(peak) // 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True
    )
    quarantined, peak = map(int, done.stdout.split())
    assert quarantined == len(HOSTILE[name])
    assert peak <= 300, f"{peak} MiB"


def test_names_of_fields_are_counted_within_bounds(tmp_path: Path) -> None:
    """The most frequent unknown names by name; long names, and those beyond the bounds, as one."""
    names = [f"n{i}" for i in range(MAX_UNKNOWN_NAMES + 5)] + ["x" * (MAX_NAME_LENGTH + 1)]
    lines = [event(event_id="e1", **dict.fromkeys(names, 1)), event(event_id="e2", n104=1)]
    drop(tmp_path, "a.json", *lines)
    bronze.clean(LocalLake(tmp_path))
    (receipt,) = (tmp_path / "bronze" / "receipts").glob("*.parquet")
    counts = json.loads(pq.read_table(receipt)["unknown_fields"][0].as_py())
    assert counts["n104"] == 2
    assert len(counts) == MAX_UNKNOWN_NAMES + 1
    assert counts[OTHER_NAMES] == 6


def test_both_lanes_agree_on_damaged_lines(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random damage: what the compiled pass accepts, the exact lane accepts with the same values,
    and both find the same names unknown."""
    chance = random.Random(11)
    scraps = [
        b'"',
        b",",
        b":",
        b"{",
        b"}",
        b"[",
        b"]",
        b" ",
        b"\\",
        b"0",
        b"-",
        b".",
        b"e9",
        b"NaN",
        b"-Infinity",
        b"true",
        b"12345678901234567",
        b"\\u0000",
        b"\\ud800",
        b"\xff",
        b",}",
        b'"price":1,',
        b'"store_id":1.5,',
        b'"store_id":-0,',
        b"1e400",
        b"1e0005",
        b"\\t",
    ]
    lines = []
    for i in range(20_000):
        line = bytearray(event(event_id=f"e{i}", customer_id="C 1", note="a{b}").encode())
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(line) + 1)
            line[at : at + chance.randint(0, 3)] = chance.choice(scraps)
        lines.append(bytes(line))
    drop(tmp_path / "fast", "a.json", *lines)
    drop(tmp_path / "exact", "a.json", *lines)
    for home, is_compiled in (("fast", True), ("exact", False)):
        os.utime(tmp_path / home / "raw/a.json", (1e9, 1e9))
        monkeypatch.setattr(bronze, "Cleaner", partial(Cleaner, is_compiled=is_compiled))
        assert cli(tmp_path / home, "clean").exit_code == 0
    fast_and_exact = [receipts(tmp_path / home)["raw/a.json"] for home in ("fast", "exact")]
    assert fast_and_exact[0]["unknown_fields"] == fast_and_exact[1]["unknown_fields"]
    for folder in ("purchases", "quarantine"):
        assert rows(tmp_path / "fast", folder) == rows(tmp_path / "exact", folder)
    assert 1_000 < len(rows(tmp_path / "fast", "purchases")) < 19_000
