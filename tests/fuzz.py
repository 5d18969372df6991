"""Fuzzing, guided by coverage: `python -m tests.fuzz MINUTES [SEED]`.

The time is shared by the targets below. Each begins with inputs that are sound and changes them
where that reaches new code. What breaks a promise is printed, and kept under build/ as a file;
`python -m tests.fuzz FILE` tries it again.

atheris is installed under build/, from a lock of its own: nothing else needs it.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from click.testing import CliRunner

from medallion.cleaning import plain
from medallion.cli import main as medallion
from medallion.contract import FEEDS, RECEIPT, feed_of
from medallion.errors import SettingsError
from medallion.importing.mapping import load_mapping
from medallion.lake import receipts
from medallion.lake.seals import Damaged
from tests.conformance.cases import objects, read_cases
from tests.conformance.lanes import outcome
from tests.conftest import ROOT, drop, event
from tests.environments import BUILD, library

LOCK = Path(__file__).with_name("fuzz.lock")
FINDINGS = BUILD / "fuzz"
LONGEST = 2_000
"""Bytes of an input: what is longer is slower, and shows the same."""
INSTRUMENTED = (
    "json",
    "tomllib",
    "medallion.cleaning.exact",
    "medallion.cleaning.lines",
    "medallion.cleaning.documents",
    "medallion.importing",
    "medallion.lake",
)
"""Where coverage is measured. The compiled pass is machine code, which nobody can look into."""


def lanes(data: bytes) -> None:
    """Both lanes give the same rows, reasons and unknown names. The first byte chooses the feed."""
    feed = [*FEEDS][data[0] % len(FEEDS)] if data else "purchases"
    compiled, exact = (outcome(feed, data[1:], is_compiled) for is_compiled in (True, False))
    assert compiled[0].equals(exact[0]) and compiled[1:] == exact[1:], (feed, compiled, exact)


def lane_seeds() -> Iterator[bytes]:
    feeds = [*FEEDS]
    for key, data in objects(read_cases()).items():
        first = bytes([feeds.index(feed_of(key).name)])
        yield from (first + line for line in data.split(b"\n") if len(line) < LONGEST)


def receipt_file(data: bytes) -> None:
    """A receipt is refused as damaged, or all that is asked of one can be answered."""
    try:
        rows = receipts.read_receipts(io.BytesIO(data), "bronze/receipts/x.parquet")
    except Damaged:
        return
    for row in rows:
        assert all(isinstance(count, int) for count in receipts.outputs_of(row).values()), row
        receipts.stamps_of(row), receipts.replaced_by(row)


def receipt_file_seeds() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        drop(home, "purchases/a.ndjson", event(), event(price=-1), event(event_id="b", more=1))
        drop(home, "stores/s.ndjson", '{"store_id": "S1", "ts": "2026-01-01T00:00:00Z"}')
        result = CliRunner().invoke(medallion, ["clean", "--home", folder])
        assert result.exit_code == 0, result.output
        yield from (path.read_bytes() for path in (home / receipts.RECEIPTS).iterdir())


def receipt_row(data: bytes) -> None:
    """The same for a sound file with any content: one JSON object with its columns."""
    try:
        row = json.loads(data)
        table = receipts.receipts_table([dict.fromkeys(receipts.COLUMNS) | row])
    except Exception:
        return  # No writer of Parquet would take it.
    stream = io.BytesIO()
    pq.write_table(table, stream)
    receipt_file(stream.getvalue())


def receipt_row_seeds() -> Iterator[bytes]:
    for data in receipt_file_seeds():
        (row,) = receipts.read_receipts(io.BytesIO(data), "")
        sealed = {name: row[name] for name in (*RECEIPT, receipts.SEAL) if name in row}
        texts = {name: value for name, value in sealed.items() if isinstance(value, str | int)}
        yield json.dumps(texts).encode()
        yield json.dumps({**texts, receipts.SEAL: None}).encode()


def mapping(data: bytes) -> None:
    """A mapping is read, or refused in one sentence."""
    with tempfile.NamedTemporaryFile(suffix=".toml", dir="/dev/shm") as file:
        Path(file.name).write_bytes(data)
        try:
            load_mapping(Path(file.name))
        except SettingsError as error:
            assert str(error).strip()


def mapping_seeds() -> Iterator[bytes]:
    for path in sorted((ROOT / "examples").rglob("*.toml")):
        if {"fields", "events"} & tomllib.loads(path.read_text()).keys():
            yield path.read_bytes()
    yield b"a = " + b"[" * LONGEST


@dataclass(frozen=True)
class Target:
    """What is fuzzed, and the inputs to begin with."""

    check: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]

    @property
    def name(self) -> str:
        return self.check.__name__


TARGETS = (
    Target(lanes, lane_seeds),
    Target(receipt_file, receipt_file_seeds),
    Target(receipt_row, receipt_row_seeds),
    Target(mapping, mapping_seeds),
)


def main() -> int:
    """Fuzz each target; return how many of them a finding has stopped."""
    if Path(sys.argv[1]).is_file():
        return _again(Path(sys.argv[1]))
    seconds = max(1, round(float(sys.argv[1]) * 60 / len(TARGETS)))
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else secrets.randbelow(1 << 31) + 1
    print(f"seed {seed}", flush=True)
    path = os.pathsep.join(map(str, (library("fuzz", LOCK), ROOT / "src", ROOT)))
    FINDINGS.mkdir(parents=True, exist_ok=True)
    found = 0
    for target in TARGETS:
        with tempfile.TemporaryDirectory() as corpus:
            for number, data in enumerate(target.seeds()):
                (Path(corpus) / str(number)).write_bytes(data)
            options = [
                f"-max_total_time={seconds}",
                f"-seed={seed}",
                f"-max_len={10 * LONGEST}",
                f"-artifact_prefix={FINDINGS}/{target.name}-",
                "-verbosity=0",
                "-print_final_stats=1",
            ]
            command = [sys.executable, "-c", _START, target.name]
            environment = os.environ | {"PYTHONPATH": path}
            process = subprocess.run(
                [*command, *options, corpus], env=environment, capture_output=True, text=True
            )
        said = process.stdout + process.stderr
        runs = said.partition("number_of_executed_units:")[2].split("\n")[0].strip()
        verdict = "a finding" if process.returncode else "holds"
        print(f"{target.name:<13} {runs:>9} inputs  {verdict}", flush=True)
        if process.returncode:
            found += 1
            print(said)
    return found


def _again(path: Path) -> int:
    (target,) = (t for t in TARGETS if path.name.startswith(f"{t.name}-"))
    plain.load()
    target.check(path.read_bytes())
    return 0


def in_atheris(name: str, options: list[str]) -> None:
    """Fuzz a target, in a process that has imported this module with counters of coverage."""
    import atheris

    (target,) = (t for t in TARGETS if t.name == name)
    plain.load()
    atheris.Setup([name, *options], target.check)
    atheris.Fuzz()


_START = f"""
import atheris, sys
with atheris.instrument_imports(include={[*INSTRUMENTED]}):
    from tests import fuzz
fuzz.in_atheris(sys.argv[1], sys.argv[2:])
"""

if __name__ == "__main__":
    sys.exit(main())
