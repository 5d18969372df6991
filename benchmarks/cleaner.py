"""What cleaning costs: ours beside other ways, CPU microseconds an event.

    python -m benchmarks.cleaner FOLDER [--events 500000] [--rounds 5]

All ways take turns on the same input in processes of their own, one thread each; what is printed is
the least of the rounds, less what the same process takes for one event (start, imports, loading the
compiled pass). A way whose rows are not those that the simulator's answer key states has no figure.
FOLDER must be new; what was made stays there. `pip install polars` for that row.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
from rich.console import Console
from rich.table import Table

MEDALLION = Path(sys.executable).parent / "medallion"
OURS = (
    "import sys; from pathlib import Path; from medallion.cleaning import plain;"
    "from medallion.layers.bronze import clean; from medallion.platforms.local import LocalLake;"
    "plain.load(); report = clean(LocalLake(Path(sys.argv[1])), workers=int(sys.argv[2]));"
    "print(report.accepted, report.quarantined)"
)
PEER = (
    "import sys; from pathlib import Path; import peers;"
    "files = sorted(Path(sys.argv[1], 'raw').rglob('*.ndjson'));"
    "print(getattr(peers, sys.argv[2])(files, Path(sys.argv[3])), 0)"
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    folder = asked.folder.absolute()
    folder.mkdir(parents=True)
    events, rounds = asked.events, asked.rounds
    clean = simulated(folder / "clean", events)
    with next(_objects(clean)).open("rb") as lines:
        nothing = home(folder / "nothing", [("one.ndjson", next(lines))])
    expected = {clean: events}
    ways: dict[str, Callable[[], tuple[float, float, int, int]]] = {}
    for peer in ("floor", "python", *["polars"] * bool(find_spec("polars"))):
        ways[f"{peer}, clean"] = lambda peer=peer: run(PEER, clean, peer, folder)
        ways[f"{peer}, nothing"] = lambda peer=peer: run(PEER, nothing, peer, folder)
    inputs = {
        "clean": clean,
        "2 % faults": simulated(folder / "faults", events, faults=0.02),
        "gzip": packed(folder / "gzip", clean, ".gz", gzip.compress),
        "zstd": packed(folder / "zstd", clean, ".zst", zstd),
        "worst style": restyled(folder / "worst", clean, worst),
        "all rejected": restyled(folder / "rejected", clean, rejected),
        "nothing": nothing,
    }
    for name, lake in inputs.items():
        ways[f"ours, {name}"] = lambda lake=lake: run(OURS, lake, 1)
    ways["ours, clean, two workers"] = lambda: run(OURS, clean, 2)
    best = measured(ways, rounds, folder)
    show(best, events, expected[clean])


def measured(
    ways: dict[str, Callable[[], tuple[float, float, int, int]]], rounds: int, folder: Path
) -> dict[str, tuple[float, float, int, int]]:
    """Run all ways in turn, again and again: the least CPU seconds, the least seconds, the largest
    MiB, and the rows of each."""
    best: dict[str, tuple[float, float, int, int]] = {}
    for _ in range(rounds):
        for name, way in ways.items():
            for made in folder.glob("*/bronze"):
                shutil.rmtree(made)
            cpu, wall, peak, rows = way()
            if name in best:
                cpu, wall = min(cpu, best[name][0]), min(wall, best[name][1])
                peak = max(peak, best[name][2])
            best[name] = cpu, wall, peak, rows
    return best


def run(script: str, lake: Path, *arguments: object) -> tuple[float, float, int, int]:
    """Run a script on a lake: CPU seconds, seconds, peak MiB, rows."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), os.times().elapsed
    single = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script + PEAK, lake, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=Path(__file__).parent,
        env=os.environ | single,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    rows, _, peak = map(int, done.stdout.split())
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, os.times().elapsed - started, peak // 1024, rows


PEAK = "\nprint(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"


def show(best: dict[str, tuple[float, float, int, int]], events: int, expected: int) -> None:
    """Print microseconds an event, and how they relate."""
    table = Table("way", "CPU µs an event", "events a CPU second", "peak MiB")
    cost: dict[str, float] = {}
    for name, (cpu, _, peak, rows) in best.items():
        way, _, kind = name.partition(", ")
        if kind == "nothing":
            continue
        cost[name] = (cpu - best[f"{way}, nothing"][0]) / events * 1e6
        wrong = {"all rejected": rows != 0, "2 % faults": not 0.9 * events < rows < events}
        if wrong.get(kind, rows < expected):
            table.add_row(name, f"wrong: {rows:,} rows", "", "")
            del cost[name]
        else:
            table.add_row(name, f"{cost[name]:.2f}", f"{1e6 / cost[name]:,.0f}", f"{peak}")
    console = Console()
    console.print(table)
    ratios = [
        ("ours / floor, clean (at most 1.5)", "ours, clean", "floor, clean"),
        ("ours / floor, 2 % faults (at most 1.8)", "ours, 2 % faults", "floor, clean"),
        ("per-line Python / ours (at least 4)", "python, clean", "ours, clean"),
        ("ours / Polars (at most 1.4)", "ours, clean", "polars, clean"),
    ]
    for text, one, other in ratios:
        if one in cost and other in cost:
            console.print(f"{text}: {cost[one] / cost[other]:.2f}")
    idle = best["ours, nothing"][1]
    speedup = (best["ours, clean"][1] - idle) / (best["ours, clean, two workers"][1] - idle)
    console.print(f"two workers / one, by the clock (at least 1.8): {speedup:.2f}")


def simulated(folder: Path, events: int, faults: float = 0.0) -> Path:
    """A home with simulated purchases and nothing else."""
    subprocess.run(
        [MEDALLION, "simulate", "--events", str(events), "--seed", "5", "--faults", str(faults),
         "--compression", "none", "--home", folder],
        check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    for feed in (folder / "raw").iterdir():
        if feed.name != "purchases":
            shutil.rmtree(feed)
    return folder


def home(folder: Path, objects: list[tuple[str, bytes]]) -> Path:
    """A home with these raw objects."""
    (folder / "raw/purchases").mkdir(parents=True)
    for name, data in objects:
        (folder / "raw/purchases" / name).write_bytes(data)
    return folder


def packed(folder: Path, source: Path, suffix: str, pack: Callable[[bytes], bytes]) -> Path:
    """The same objects, compressed."""
    return home(folder, [(f"{p.name}{suffix}", pack(p.read_bytes())) for p in _objects(source)])


def zstd(data: bytes) -> bytes:
    """Compress as zstd."""
    return pa.compress(data, "zstd", asbytes=True)


def restyled(folder: Path, source: Path, style: Callable[[dict, random.Random], str]) -> Path:
    """The same events, each line written in another style."""
    chance = random.Random(1)
    written = []
    for path in _objects(source):
        lines = (style(json.loads(line), chance) for line in path.read_text().splitlines())
        written.append((path.name, "\n".join(lines).encode()))
    return home(folder, written)


def worst(event: dict, chance: random.Random) -> str:
    """As unlike our own style as the contract takes: members in any order, space around all of
    them, names and texts in escapes, capital letters of other alphabets to fold, numbers in texts
    with exponents and more decimals than are kept, offsets, members that nobody knows."""
    event["category"] = "ÉPICERIE ΟΔΟΣ"
    event["note"] = {"a": [1, {"b": None}], "c": 'x"y'}
    event["ts"] = event["ts"].replace("Z", "+00:00").replace("T", " ")
    for name in ("price", "discount_amount", "tax_amount", "total_amount"):
        event[name] = f"{event[name] * 10:.12f}e-1"
    members = list(event.items())
    chance.shuffle(members)
    return " { " + " , ".join(f"{escaped(n)} : {json.dumps(v)}" for n, v in members) + " } "


def escaped(name: str) -> str:
    """A name with an escape in it."""
    return f'"\\u{ord(name[0]):04x}{name[1:]}"'


def rejected(event: dict, _: random.Random) -> str:
    """An event whose last rule is broken, also in yen, where a difference of 1 is tolerated."""
    return json.dumps(event | {"total_amount": event["total_amount"] + 2})


def _objects(source: Path) -> Iterator[Path]:
    return iter(sorted((source / "raw/purchases").rglob("*.ndjson")))


if __name__ == "__main__":
    main()
