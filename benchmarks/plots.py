"""The plots of the benchmarks, readable in a light and in a dark theme.

python plots.py RESULTS FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

INK, PAPER, OURS, PEER = "#010203", "#fdfcfb", "#0b7285", "#8a8f98"
"""Ink and paper stand for what the theme of the reader says."""
THEMES = (
    "<style>svg{--ink:#1f2328;--paper:#ffffff}"
    "@media(prefers-color-scheme:dark){svg{--ink:#e6edf3;--paper:#0d1117}}</style>"
)


def main() -> None:
    """Write both plots."""
    results, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "plots", "font.family": "sans-serif"}
    path = {name: median(seconds(way)) for name, way in results["path"].items() if seconds(way)}
    title = f"Seconds from raw JSON to gold, {results['events']:,} events (less is better)"
    bars(path, title, "{:.0f} s", folder / "benchmarks-path.svg")
    rates = {
        name: way["events"] / median(seconds(way))
        for name, way in results["generator"].items()
        if seconds(way)
    }
    title = "Events written per second (more is better)"
    bars(rates, title, "{:,.0f}", folder / "benchmarks-generator.svg")


def seconds(way: dict[str, Any]) -> list[float]:
    """Return the seconds of the rounds; none for a wrong result."""
    return [] if way["wrong"] else [cost["seconds"] for cost in way["costs"]]


def bars(values: dict[str, float], title: str, label: str, path: Path) -> None:
    """Write horizontal bars, ours in colour, each with its value."""
    with plt.rc_context({"text.color": INK, "ytick.color": INK, "font.size": 12}):
        figure, axes = plt.subplots(figsize=(8, 0.9 + 0.42 * len(values)), layout="constrained")
        colors = [OURS if n.startswith(("this", "medallion")) else PEER for n in values]
        drawn = axes.barh(list(values), list(values.values()), color=colors, height=0.7)
        axes.bar_label(drawn, [label.format(v) for v in values.values()], padding=4)
        axes.invert_yaxis()
        figure.suptitle(title, fontsize=13, x=0.01, ha="left")
        axes.margins(x=0.14)
        axes.xaxis.set_visible(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        figure.patch.set_facecolor(PAPER)
        axes.patch.set_alpha(0)
        figure.savefig(path, metadata={"Date": None, "Creator": None})
    text = path.read_text(encoding="utf-8")
    text = text.replace(INK, "var(--ink)").replace(PAPER, "var(--paper)")
    start = text.index(">", text.index("<svg")) + 1
    text = text[:start] + "\n " + THEMES + text[start:]
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
