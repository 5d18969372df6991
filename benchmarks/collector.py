"""How many events a second one collector takes: `python -m benchmarks.collector FOLDER`.

wrk (apt-get install wrk) sends requests of 1, 100 and 1,000 events on loopback. What was
acknowledged is then counted in raw/: a collector that loses an event has no figure.
"""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa

from tests.conftest import event
from tests.processes import free_port, wait_for

SECONDS = 10
CONNECTIONS = 256

_SCRIPT = """
wrk.method = "POST"
wrk.path = "/v1/purchases"
wrk.headers["Content-Type"] = "application/x-ndjson"
wrk.body = [=[{body}]=]
local stored = 0
local threads = {{}}
function setup(thread) table.insert(threads, thread) end
function init(args) taken = 0 end
function response(status, headers, body) if status == 200 then taken = taken + 1 end end
function done(summary, latency, requests)
  local all = 0
  for _, thread in ipairs(threads) do all = all + thread:get("taken") end
  print(string.format("taken %d p50 %.1f p99 %.1f", all,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
"""


def main() -> None:
    """Print a line for each size of a request."""
    if not shutil.which("wrk"):
        sys.exit("this needs wrk: apt-get install wrk")
    folder = Path(sys.argv[1])
    print(f"{'events a request':>16} {'events/s':>10} {'events/s of CPU':>16} {'p50 ms':>7} p99 ms")
    for size in (1, 100, 1000):
        home = folder / f"home-{size}"
        shutil.rmtree(home, ignore_errors=True)
        taken, cpu, p50, p99 = _measure(home, size)
        if not taken * size <= _lines(home) <= (taken + CONNECTIONS) * size:
            sys.exit(f"{taken * size:,} events were acknowledged, {_lines(home):,} are in raw/")
        print(
            f"{size:16,} {taken * size / SECONDS:10,.0f} {taken * size / cpu:16,.0f} {p50:>7} {p99}"
        )


def _measure(home: Path, size: int) -> tuple[int, float, str, str]:
    """Return the requests that were acknowledged, the CPU seconds, and percentiles in ms."""
    home.mkdir(parents=True)
    body = "\n".join(event(event_id=f"e{n}") for n in range(size))
    (script := home / "wrk.lua").write_text(_SCRIPT.format(body=body))
    port = free_port()
    command = [sys.executable, "-m", "medallion.cli", "collect", "--port", str(port)]
    before = _cpu()
    server = subprocess.Popen([*command, "--home", str(home)], stdout=subprocess.DEVNULL)
    wait_for(f"http://127.0.0.1:{port}/health")
    load = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", str(script)]
    said = subprocess.run(
        [*load, f"http://127.0.0.1:{port}"], check=True, capture_output=True, text=True
    ).stdout
    own = _cpu()  # of wrk alone: the server has not ended yet
    server.terminate()
    server.wait()
    match = re.search(r"taken (\d+) p50 ([\d.]+) p99 ([\d.]+)", said)
    assert match, said
    assert own >= before
    return int(match[1]), _cpu() - own, match[2], match[3]


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _lines(home: Path) -> int:
    count = 0
    for path in home.glob("raw/**/*.zst"):
        with pa.CompressedInputStream(str(path), "zstd") as stream:
            count += stream.read().count(b"\n")
    return count


if __name__ == "__main__":
    main()
