"""Flipped bits and cut files: `python -m tests.chaos` tries them all, the tests a sample.

In a small home one byte of a file of raw, bronze or gold is damaged at a time, or the file is cut.
The file keeps its time of modification, as on a disk that rots. Then either the audit names the
damage, or a warehouse made anew from bronze holds the same values, and so does the published
snapshot. The warehouse itself is left out: DuckDB checks its own blocks.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from random import Random

import duckdb
import pyarrow.parquet as pq
from click.testing import CliRunner

from medallion.audit import audit
from medallion.cli import main
from medallion.contract import FEEDS
from medallion.errors import MedallionError
from medallion.layers.snapshots import POINTER
from medallion.layers.staging import TABLES, Loader
from medallion.platforms.local import LocalLake
from medallion.platforms.warehouse import open_warehouse
from tests.conftest import drop, event

EVERY = 64
"""A file is cut at every so manieth byte."""


@dataclass(frozen=True)
class Damage:
    """One flipped byte of a file of a home, or the length that is left of it."""

    path: Path
    place: int
    is_cut: bool = False

    def apply(self, data: bytes) -> bytes:
        """Return damaged content."""
        if self.is_cut:
            return data[: self.place]
        return data[: self.place] + bytes([data[self.place] ^ 0x10]) + data[self.place + 1 :]


def small_home(home: Path) -> None:
    """Bring a few lines of two feeds to gold: accepted, rejected, compressed."""
    lines = [event(event_id=f"e{n}", price=n + 0.25, total_amount=...) for n in range(6)]
    drop(home, "purchases/a.ndjson", *lines, event(price=-1), "no json")
    drop(home, "stores/s.ndjson", '{"store_id": "S1", "ts": "2026-01-01T00:00:00Z"}')
    result = CliRunner().invoke(main, ["run", "--events", "0", "--home", str(home)])
    assert result.exit_code == 0, result.output


def damages(home: Path) -> Iterator[Damage]:
    """Yield every damage of every file of the lake, and of the published snapshot."""
    current = (home / "gold" / POINTER).read_text()
    folders = [home / "raw", home / "bronze", home / "gold" / current]
    paths = [p for folder in folders for p in sorted(folder.rglob("*")) if p.is_file()]
    for path in [*paths, home / "gold" / POINTER]:
        size, name = path.stat().st_size, path.relative_to(home)
        yield from (Damage(name, place) for place in range(size))
        yield from (Damage(name, length, True) for length in range(0, size, EVERY))


@contextmanager
def damaged(home: Path, damage: Damage) -> Iterator[None]:
    """Damage a file while the block lasts; its time stays."""
    path = home / damage.path
    stat = path.stat()
    data = path.read_bytes()
    times = (stat.st_atime_ns, stat.st_mtime_ns)
    path.write_bytes(damage.apply(data))
    os.utime(path, ns=times)
    try:
        yield
    finally:
        path.write_bytes(data)
        os.utime(path, ns=times)


class Judge:
    """The values of an undamaged home, and the verdict on a damage."""

    def __init__(self, home: Path) -> None:
        self._home, self._lake = home, LocalLake(home)
        self._names = {name: _columns(name) for name in TABLES if name in (*FEEDS, "quarantine")}
        self._sound = self.values()

    def verdict(self) -> str:
        """Return 'named', 'harmless', or a sentence about damage that nothing reports."""
        try:
            with open_warehouse(self._home, read_only=True) as warehouse:
                report = audit(self._lake, warehouse, home=self._home, progress=lambda _: None)
        except (MedallionError, OSError, duckdb.Error):
            return "named"  # One line, exit 2.
        except Exception as error:
            return f"A DEFECT: {error!r}"
        if not report.holds:
            return "named"
        return "harmless" if self.values() == self._sound else "ANOTHER NUMBER"

    def values(self) -> dict[str, str]:
        """Return a hash of each table that bronze gives, and of each published relation."""
        with duckdb.connect() as db:
            db.execute("CREATE SCHEMA staging")
            Loader(self._lake, db).load()
            hashes = {
                name: _hash(db.execute(f"SELECT {columns} FROM staging.{name} ORDER BY ALL"))
                for name, columns in self._names.items()
            }
        folder = self._home / "gold" / (self._home / "gold" / POINTER).read_text().strip()
        for path in sorted(folder.glob("*.parquet")):
            hashes[path.name] = _digest(pq.read_table(path, partitioning=None).to_pylist())
        return hashes


def _columns(table: str) -> str:
    return ", ".join(n for n in TABLES[table] if n not in ("load_seq", "loaded_at"))


def _hash(answer: duckdb.DuckDBPyConnection) -> str:
    return _digest(answer.fetchall())


def _digest(rows: object) -> str:
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def try_all(home: Path, chosen: list[Damage]) -> dict[str, list[Damage]]:
    """Return the damages by verdict."""
    judge, verdicts = Judge(home), dict[str, list[Damage]]()
    for damage in chosen:
        with damaged(home, damage):
            verdicts.setdefault(judge.verdict(), []).append(damage)
    return verdicts


def try_on_all_cores(home: Path, chosen: list[Damage]) -> dict[str, list[Damage]]:
    """Return the damages by verdict; each process damages a copy of the home."""
    cores, verdicts = os.cpu_count() or 1, dict[str, list[Damage]]()
    copies = [Path(shutil.copytree(home, home.with_name(f"home-{n}"))) for n in range(cores)]
    with ProcessPoolExecutor(cores, get_context("spawn")) as pool:
        for answer in pool.map(try_all, copies, [chosen[n::cores] for n in range(cores)]):
            for word, found in answer.items():
                verdicts.setdefault(word, []).extend(found)
    return verdicts


def sample(home: Path, seed: int, count: int) -> list[Damage]:
    """Return damages drawn at random: as many of each folder."""
    folders: dict[str, list[Damage]] = {}
    for damage in damages(home):
        kind = "/".join(damage.path.parts[:2])
        folders.setdefault(kind, []).append(damage)
    chance = Random(seed)
    share = max(1, count // len(folders))
    return [
        d
        for kind in sorted(folders)
        for d in chance.sample(folders[kind], min(share, len(folders[kind])))
    ]


def run() -> int:
    """Try every damage, or so many as an argument says; print the verdicts."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        small_home(home := Path(folder) / "home")
        chosen = sample(home, 7, int(sys.argv[1])) if len(sys.argv) > 1 else [*damages(home)]
        verdicts = try_on_all_cores(home, chosen)
    silent = [d for word, ds in verdicts.items() if word not in ("named", "harmless") for d in ds]
    for word, found in sorted(verdicts.items()):
        print(f"{word:<15} {len(found):>8,}")
    for damage in silent[:20]:
        print(f"  {damage.path} at byte {damage.place:,}, cut: {damage.is_cut}")
    print(f"{len(chosen):,} damages in {time.monotonic() - started:,.0f} s")
    return bool(silent)


if __name__ == "__main__":
    sys.exit(run())
