"""docs/benchmarks.md and its plots, from benchmarks/results.json."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "benchmarks.md"

OURS = "this project"
WHOLE = "this project, all models and the audit"
DLT = "dlt + dbt"
SPARK = "PySpark + dbt"
OUR_EVENTS = "medallion simulate"


def write(plots: Path) -> None:
    """Write the page, and the plots with the environment for plots."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    PAGE.write_text(rendered(results), encoding="utf-8")
    script = RESULTS.parent / "plots.py"
    images = ROOT / "docs" / "images"
    subprocess.run([plots / "bin" / "python", script, RESULTS, images], check=True)


def rendered(results: dict[str, Any]) -> str:
    """Return the text of the page."""
    text = (ROOT / "benchmarks" / "page.md").read_text(encoding="utf-8")
    return text.format(
        events=results["events"],
        rounds=results["rounds"],
        path=_path(results["path"]),
        whole=WHOLE,
        faker=round(results["events"] / results["generator"]["Faker"]["events"]),
        generator=_generator(results["generator"]),
        made=results["made"],
        machine=results["machine"],
        versions=", ".join(f"{name} {version}" for name, version in results["versions"].items()),
    )


def _path(ways: dict[str, Any]) -> str:
    base = _column(ways[OURS], "seconds")
    lines = [
        "| way | median | spread | times ours | CPU | peak memory |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, way in ways.items():
        if way["wrong"]:
            lines.append(f"| {name} | {way['wrong']} | – | – | – | – |")
            continue
        seconds, cpu, peak = (_column(way, c) for c in ("seconds", "cpu", "peak"))
        times = f"{median(seconds) / median(base):.1f}" if base else "–"
        lines.append(
            f"| {name} | {median(seconds):.1f} s | {_spread(seconds)} s | {times} "
            f"| {median(cpu):.1f} s | {max(peak):,.0f} MiB |"
        )
    return "\n".join(lines)


def _generator(ways: dict[str, Any]) -> str:
    lines = [
        "| tool | events | events per second | spread | CPU of an event | peak memory |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, way in ways.items():
        if way["wrong"]:
            lines.append(f"| {name} | {way['events']:,} | {way['wrong']} | – | – | – |")
            continue
        seconds, cpu, peak = (_column(way, c) for c in ("seconds", "cpu", "peak"))
        lines.append(
            f"| {name} | {way['events']:,} | {way['events'] / median(seconds):,.0f} "
            f"| {_spread(seconds)} s | {median(cpu) / way['events'] * 1e6:.1f} µs "
            f"| {max(peak):,.0f} MiB |"
        )
    return "\n".join(lines)


def _column(way: dict[str, Any], name: str) -> list[float]:
    return [cost[name] for cost in way["costs"]]


def _spread(values: list[float]) -> str:
    return f"{min(values):.1f} to {max(values):.1f}"
