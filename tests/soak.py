"""A soak: `python -m tests.soak [MINUTES] [SEED]`, on a disk and on a bucket.

`medallion up` streams simulated events and is killed at random, again and again. Other producers
write, copy, rewrite and touch objects meanwhile; the disk fails now and then, is slow or full; the
bucket refuses, hangs, and loses its answers. In between `up` runs undisturbed for a while: its
memory and open files must not grow. In the end everything is well again: one run, an audit of every
line, and every relation must be what another home makes of the same raw objects.

The seed decides what is tried and when; what comes of it is a matter of time as well.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median

import duckdb

from tests.conftest import event
from tests.crashes.points import SHIM, differences, facts, preloadable
from tests.s3_here import S3, emulator
from tests.storm import Storm, storm

RATE = 50
"""Simulated events a second."""
UNDISTURBED = 0.25
"""The share of the time in which nobody kills `up`."""
WARM = 30.0
"""Seconds of an undisturbed `up` after which its memory may not grow any more."""
ROOM, FILES = 1.25, 8
"""How much more memory (a factor) and how many more files it may hold at the end."""
LOOK = 0.5
"""Seconds between two looks at a process, and between two acts of other producers."""


@dataclass
class Usage:
    """Memory (MiB) and open files of a process, at each look."""

    memory: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def look(self, process: int) -> None:
        self.seconds = time.monotonic() - self.started
        status = Path(f"/proc/{process}/status").read_text()
        if size := re.search(r"VmRSS:\s+(\d+)", status):
            self.memory.append(int(size[1]) / 1024)
            self.files.append(len(os.listdir(f"/proc/{process}/fd")))  # noqa: PTH208

    def growth(self) -> str:
        """Return what has grown, or nothing."""
        warm = int(len(self.memory) * WARM / max(WARM, self.seconds))
        memory, files = self.memory[warm:], self.files[warm:]
        part = len(memory) // 4
        if not part:
            return ""
        before, after = median(memory[:part]), median(memory[-part:])
        if after > before * ROOM:
            return f"memory grew from {before:.0f} to {after:.0f} MiB"
        if median(files[-part:]) > median(files[:part]) + FILES:
            return f"open files grew from {median(files[:part])} to {median(files[-part:])}"
        return ""


class Weather:
    """What the disk does, as tests/crashes/shim.c has it."""

    def __init__(self, home: Path) -> None:
        self._path = home.with_name(f"{home.name}.weather")
        self.set()
        self.environment = {
            "LD_PRELOAD": str(preloadable(SHIM)),
            "DISK": str(home),
            "WEATHER": str(self._path),
        }

    def set(self, errors: int = 0, slow: int = 0, full: bool = False) -> None:
        """Let so many of a million changes fail or be slow, and all that need room when full."""
        with self._path.open("r+b" if self._path.exists() else "wb", buffering=0) as file:
            file.write(struct.pack("III", errors, slow, full))


class DiskLake:
    """The raw objects of a home on a disk."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def keys(self) -> list[str]:
        paths = (self._home / "raw").rglob("*.ndjson*")
        keys = (str(path.relative_to(self._home)) for path in paths)
        return sorted(key for key in keys if "/." not in key)

    def read(self, key: str) -> bytes:
        return (self._home / key).read_bytes()

    def write(self, key: str, data: bytes) -> None:
        final = self._home / key
        final.parent.mkdir(parents=True, exist_ok=True)
        hidden = final.with_name(f".{final.name}")
        hidden.write_bytes(data)
        hidden.rename(final)

    def touch(self, key: str, chance: Random) -> None:
        moment = time.time() - chance.choice((0, chance.uniform(0, 86_400)))
        os.utime(self._home / key, (moment, moment))

    def download(self, home: Path) -> None:
        for key in self.keys():
            (home / key).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._home / key, home / key)


class BucketLake:
    """The raw objects of a bucket, which is reached directly."""

    def __init__(self, bucket: S3) -> None:
        self._bucket = bucket

    def keys(self) -> list[str]:
        return sorted(key for key in self._bucket.objects("raw/") if ".ndjson" in key)

    def read(self, key: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            self._bucket.download([key], Path(folder))
            return (Path(folder) / key).read_bytes()

    def write(self, key: str, data: bytes) -> None:
        self._bucket.put({key: data})

    def touch(self, key: str, chance: Random) -> None:
        self.write(key, self.read(key))

    def download(self, home: Path) -> None:
        self._bucket.download(self.keys(), home)


class Producers:
    """Other producers than the simulator, who are careless."""

    def __init__(self, lake: DiskLake | BucketLake, chance: Random) -> None:
        self._lake, self._chance, self._own = lake, chance, list[str]()
        self.acts = Counter[str]()

    def act(self) -> None:
        """Do one thing at random."""
        chance, keys = self._chance, self._lake.keys()
        act = chance.choice(("new", "copied", "rewritten", "touched", "grown"))
        if not self._own or act == "new":
            act, key = "new", f"raw/purchases/till-{len(self._own)}.ndjson"
            self._lake.write(key, self._sales())
            self._own.append(key)
        elif act == "copied":
            key = chance.choice(keys)
            name = f"copy-{self.acts[act]}-{Path(key).name}"
            self._lake.write(f"raw/{key.split('/')[1]}/{name}", self._lake.read(key))
        elif act == "touched":
            self._lake.touch(chance.choice(keys), chance)
        else:
            key = chance.choice(self._own)
            before = self._lake.read(key) if act == "grown" else b""
            self._lake.write(key, before + self._sales())
        self.acts[act] += 1

    def _sales(self) -> bytes:
        """Return some lines; a few of them are copies of others, and a few are rejected."""
        chance = self._chance
        names = (chance.choice(("a", "b")) + str(chance.randrange(10**4)) for _ in range(30))
        sales = [event(event_id=name, customer_id=name[:2]) for name in names]
        sales += [event(price=-1), "no json"] * chance.randrange(2)
        return "".join(f"{sale}\n" for sale in chance.sample(sales, len(sales) // 2)).encode()


class Soak:
    """A home, its lake, and what was done to it."""

    def __init__(self, name: str, folder: Path, chance: Random, bucket: S3 | None) -> None:
        self.name, self.home, self._chance = name, folder / name, chance
        self.home.mkdir()
        self._weather = Weather(self.home)
        self._lake = BucketLake(bucket) if bucket else DiskLake(self.home)
        self._producers = Producers(self._lake, chance)
        self._log = folder / f"{name}.log"
        self.environment = dict(os.environ)
        self.storm: Storm | None = None
        self.kills, self.ends, self.violations = 0, Counter[str](), list[str]()
        self.usage, self.relations = Usage(), 0

    def round(self, seconds: float, *, is_killed: bool) -> None:
        """Let `up` run for some seconds."""
        self._change_weather(is_rough=is_killed)
        arguments = ("up", "--no-dashboard", "--rate", str(RATE), "--faults", "0.02")
        command = [sys.executable, "-m", "medallion.cli", *arguments, "--home", str(self.home)]
        with self._log.open("wb") as log:
            up = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env=self.environment | self._weather.environment,
                start_new_session=True,
            )
        try:
            usage = self._watch(up, seconds, is_killed=is_killed)
            if up.poll() is not None:
                self._ended(up.returncode)
            elif is_killed:
                self.kills += 1
            else:
                up.terminate()
                self._ended(up.wait(60))
                if growth := usage.growth():
                    self.violations.append(growth)
        finally:
            if up.poll() is None:
                os.killpg(up.pid, signal.SIGKILL)
                up.wait()

    def _watch(self, up: subprocess.Popen[bytes], seconds: float, *, is_killed: bool) -> Usage:
        """Let other producers act while `up` runs, for some seconds; return what it has held."""
        end, usage = time.monotonic() + seconds, Usage()
        while time.monotonic() < end and up.poll() is None:
            self._producers.act()
            usage.look(up.pid)
            if self._chance.random() < 0.05:
                self._change_weather(is_rough=is_killed)
            time.sleep(LOOK)
        self.usage = max(self.usage, usage, key=lambda usage: usage.seconds)
        return usage

    def _change_weather(self, *, is_rough: bool) -> None:
        chance = self._chance
        kind = chance.choice(("fine", "slow", "errors", "full")) if is_rough else "slow"
        self._weather.set(
            slow=20_000 * (kind == "slow"), errors=500 * (kind == "errors"), full=kind == "full"
        )
        if self.storm:
            self.storm.share = chance.choice((0.0, 0.02, 0.1, 0.4) if is_rough else (0.0, 0.02))

    def _ended(self, code: int) -> None:
        """Note how `up` has ended by itself: with one line, or it is a violation."""
        said = self._log.read_text(errors="replace")
        errors = [line for line in said.splitlines() if line.startswith("error:")]
        if code not in (0, 1, 2) or "Traceback" in said or "leaked" in said:
            self.violations.append(f"exit {code}:\n{said[-3000:]}")
        elif code == 2 and len(errors) != 1:
            self.violations.append(f"exit 2 with {len(errors)} lines that say why:\n{said[-3000:]}")
        for line in errors or [""]:
            self.ends[f"exit {code} " + re.sub(r"/\S+|\d+", "…", line)[:150]] += 1

    def finish(self, folder: Path) -> None:
        """Bring everything to gold by a fine weather, and compare it with another home."""
        self._weather.set()
        if self.storm:
            self.storm.share = 0.0
        for arguments in (["run", "--events", "0"], ["audit", "--all"]):
            self._do(arguments, self.home, self.environment)
        if left := [str(p) for p in self.home.rglob("*.tmp")]:
            self.violations.append(f"left behind: {left}")
        other = folder / f"{self.name}-undisturbed"
        self._lake.download(other)
        with duckdb.connect(str(self.home / "warehouse.duckdb"), read_only=True) as db:
            arrivals = db.execute(
                "SELECT source_file, epoch_ms(max(modified_at)) FROM staging.receipts GROUP BY ALL"
            ).fetchall()
        for key, moment in arrivals:
            os.utime(other / key, ns=(moment * 1_000_000,) * 2)
        self._do(["run", "--events", "0"], other, dict(os.environ))
        mine, theirs = (_without_earlier_versions(facts(home)) for home in (self.home, other))
        self.relations = len(mine)
        if unlike := differences(mine, theirs):
            self.violations.append(f"other values than undisturbed in {', '.join(unlike)}")

    def _do(self, arguments: list[str], home: Path, environment: dict[str, str]) -> None:
        command = [sys.executable, "-m", "medallion.cli", *arguments, "--home", str(home)]
        result = subprocess.run(command, capture_output=True, text=True, env=environment)
        if result.returncode:
            said = (result.stdout + result.stderr)[-3000:]
            self.violations.append(f"{' '.join(arguments)} ends with {result.returncode}:\n{said}")

    def print(self) -> None:
        """Print what was done, and what came of it."""
        memory, files = self.usage.memory or [0.0], self.usage.files or [0]
        acts = ", ".join(f"{count} {act}" for act, count in sorted(self._producers.acts.items()))
        print(f"{self.name}: {self.kills} kills, {self.ends.total()} ends by itself; {acts}")
        print(
            f"  longest up: {self.usage.seconds:.0f} s, memory {memory[-1]:.0f} MiB at the end, "
            f"{max(memory):.0f} at most, open files {files[-1]}, {max(files)} at most"
        )
        for line, count in self.ends.most_common():
            print(f"  {count:>4} {line}")
        if self.storm:
            fates = sorted(self.storm.fates.items())
            print("  requests:", ", ".join(f"{count:,} {fate or 'well'}" for fate, count in fates))
        for violation in self.violations:
            print(f"  VIOLATION {violation}")
        print(f"  {self.relations} relations, {len(self.violations)} violations", flush=True)


def _without_earlier_versions(facts: dict[str, str]) -> dict[str, str]:
    """Leave out what also keeps the rows of objects that were rewritten later."""
    return {name: digest for name, digest in facts.items() if not name.startswith("staging.")}


def main() -> int:
    """Soak for so many minutes; return whether a promise was broken."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else secrets.randbelow(1 << 31)
    print(f"seed {seed}", flush=True)
    chance, started = Random(seed), time.monotonic()
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        bucket = opened.enter_context(emulator(folder))
        network = opened.enter_context(storm(bucket.endpoint, chance))
        disk, cloud = Soak("disk", folder, chance, None), Soak("bucket", folder, chance, bucket)
        cloud.storm = network
        through = f"http://127.0.0.1:{network.server_address[1]}"
        cloud.environment |= bucket.environment() | {"AWS_ENDPOINT_URL": through}
        end = started + minutes * 60 * (1 - UNDISTURBED)
        while time.monotonic() < end:
            # Some are killed before the first batch, some after many.
            chance.choice((disk, cloud)).round(chance.expovariate(1 / 10) + 2, is_killed=True)
        for soak in (disk, cloud):
            soak.round(minutes * 60 * UNDISTURBED / 2, is_killed=False)
            soak.finish(folder)
            soak.print()
    return bool(disk.violations or cloud.violations)


if __name__ == "__main__":
    sys.exit(main())
