"""Prints what a month costs, by events a day: `python infra/terraform/costs.py`.

README.md shows what it prints and says where each price comes from.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from math import log10

# Prices in USD, us-east-1 and Snowflake Enterprise on AWS US East, November 2026. README.md has the
# page of each; those marked "memory" were not looked up again.
DPU_HOUR = 0.44
GB_MONTH, GB_MONTH_INFREQUENT = 0.023, 0.0125
PUT, GET = 0.005 / 1000, 0.0004 / 1000
NOTICE, MESSAGE = 0.50 / 1e6, 0.40 / 1e6
KMS_REQUEST = 0.03 / 10_000  # memory
FIXED = 1.00 + 7 * 0.10 + 1.00  # a key; five alarms and the metrics of two; a few GB of logs
CREDIT, CREDITS_PER_GB, TB_MONTH = 3.00, 0.0037, 23.00

# Measured on simulated purchases: bytes of an event in raw/ (zstd), of its line, and in bronze/
# (Parquet); CPU seconds of an event on Spark (docs/architecture.md: 21.7 µs on a busy machine).
RAW, LINE, BRONZE, CPU_SECONDS = 35, 385, 47, 20e-6

# Guesses, to be replaced by the first month's bill.
BUSY = 0.5  # the share of a run in which its cores have work
START_SECONDS = 60  # of a run, before the first line is read
DAYS_IN_TMP = 2  # lines and rows of a run in tmp/; old versions go after a day, once a day
BUILDS_PER_RUN = 2  # the stream triggers one when the first rows land, and one for the rest
BUILD_SECONDS, EVENTS_PER_BUILD_SECOND = 90, 25_000  # of the warehouse, size XS; a minute asleep
# Read again by each build: the events of 24 hours. DuckDB made silver to the hourly marts of
# 300,000 events in 5 CPU seconds; eight such CPUs are an XS (memory).
LOOKBACK_EVENTS_PER_SECOND = 8 * 60_000
CLUSTERING_CREDITS_PER_GB = 0.1  # of silver, as it grows
OBJECTS_PER_RUN = 12
REQUESTS_PER_NOTICE = 4  # to the key: a topic and a queue, encrypting and decrypting
DASHBOARD_HOURS = (
    10  # a day with the page open: a look every 30 s keeps a warehouse awake that sleeps after 60
)
DAYS = 30

COLORS = ("#e69f00", "#56b4e9", "#999999", "#777777", "#0072b2", "#d55e00", "#cc79a7", "#000000")


@dataclass(frozen=True)
class Size:
    """Events a day, and how often the job is started."""

    events: float
    runs: int


SIZES = (
    Size(1e4, 24),
    Size(1e5, 24),
    Size(1e6, 24),
    Size(1e7, 96),
    Size(1e8, 96),
    Size(1e9, 96),
)


def month(size: Size) -> dict[str, float]:
    """USD a month, in the twelfth month: nothing was deleted since the first."""
    work = size.events * CPU_SECONDS / 4 / BUSY
    dpu_hours = (size.runs * START_SECONDS * 2 + work) / 3600
    bytes_a_day = size.events * (RAW + BRONZE)
    recent, old = bytes_a_day * 30 / 1e9, bytes_a_day * 330 / 1e9
    raw_objects = max(1440, size.events * RAW / 64e6)
    bronze_objects = size.runs * OBJECTS_PER_RUN
    puts = raw_objects + 3 * bronze_objects
    gets = 4 * raw_objects + 10 * bronze_objects
    tmp = size.events * (LINE + BRONZE) * DAYS_IN_TMP / 1e9
    builds = size.runs * BUILDS_PER_RUN
    build = (
        builds * (BUILD_SECONDS + 60 + size.events / LOOKBACK_EVENTS_PER_SECOND)
        + size.events / EVENTS_PER_BUILD_SECOND
    )
    return {
        "Glue": DAYS * dpu_hours * DPU_HOUR,
        "S3": (recent + tmp) * GB_MONTH
        + old * GB_MONTH_INFREQUENT
        + DAYS * (puts * PUT + gets * GET),
        "SNS, SQS, KMS": DAYS
        * bronze_objects
        * (NOTICE + 2 * MESSAGE + REQUESTS_PER_NOTICE * KMS_REQUEST),
        "other AWS": FIXED,
        "Snowpipe": DAYS * size.events * BRONZE / 1e9 * CREDITS_PER_GB * CREDIT,
        "warehouse": DAYS * build / 3600 * CREDIT
        + size.events * BRONZE * 2 * 360 / 1e12 * TB_MONTH,
        "clustering": DAYS * size.events * BRONZE / 1e9 * CLUSTERING_CREDITS_PER_GB * CREDIT,
    }


def dashboard() -> float:
    """Return USD a month for a dashboard that is open some hours a day."""
    return DAYS * DASHBOARD_HOURS * CREDIT


def table() -> str:
    """Return the table in Markdown."""
    names = list(month(SIZES[0]))
    lines = [
        "| events a day | runs a day | " + " | ".join(names) + " | USD a month |",
        "|--:" * (len(names) + 3) + "|",
    ]
    for size in SIZES:
        costs = month(size)
        shown = [f"{cost:,.2f}" if cost < 10 else f"{cost:,.0f}" for cost in costs.values()]
        cells = [f"{size.events:,.0f}", str(size.runs), *shown, f"{sum(costs.values()):,.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot() -> str:
    """Return the same as a drawing: dollars a month over events a day, both axes logarithmic."""
    width, height, left, top = 640, 360, 60, 20

    def place(events: float, cost: float) -> str:
        x = left + (log10(events) - 4) / 5 * (width - left - 150)
        y = top + (5 - log10(max(cost, 0.1))) / 6 * (height - top - 40)
        return f"{x:.0f},{y:.0f}"

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for power in range(4, 10):
        x, y = place(10**power, 0.1).split(",")
        label = f"{10**power:,}" if power < 6 else f"{10 ** (power - 6):,} million"
        lines.append(f'<text x="{x}" y="{int(y) + 18}" text-anchor="middle">{label}</text>')
    for power in range(-1, 6):
        x, y = place(1e4, 10.0**power).split(",")
        lines.append(
            f'<text x="{int(x) - 8}" y="{int(y) + 4}" text-anchor="end">{10**power:g}</text>'
        )
        lines.append(f'<path d="M{x},{y}H{width - 150}" stroke="#ddd"/>')
    costs = [month(size) | {"total": sum(month(size).values())} for size in SIZES]
    for name, color in zip(costs[0], COLORS, strict=True):
        points = [place(size.events, c[name]) for size, c in zip(SIZES, costs, strict=True)]
        wide = 3 if name == "total" else 1.5
        lines.append(
            f'<polyline points="{" ".join(points)}" fill="none" stroke="{color}" '
            f'stroke-width="{wide}"/>'
        )
        x, y = points[-1].split(",")
        lines.append(f'<text x="{int(x) + 6}" y="{int(y) + 4}" fill="{color}">{name}</text>')
    return "\n".join([*lines, "</svg>"])


if __name__ == "__main__":
    print(plot() if "--svg" in sys.argv else table())
