"""Prints what a month costs, by events a day: `python infra/terraform/costs.py`.

README.md shows what it prints and says where each price comes from.
"""

from __future__ import annotations

from dataclasses import dataclass

# Prices in USD, us-east-1 and Snowflake Enterprise on AWS US East, November 2026.
DPU_HOUR = 0.44
GB_MONTH, GB_MONTH_INFREQUENT = 0.023, 0.0125
PUT, GET = 0.005 / 1000, 0.0004 / 1000
NOTICE, MESSAGE = 0.50 / 1e6, 0.40 / 1e6
FIXED = 1.00 + 7 * 0.10 + 1.00  # a key; five alarms and the metrics of two; a few GB of logs
CREDIT, CREDITS_PER_GB, TB_MONTH = 3.00, 0.0037, 23.00

# Measured on simulated purchases: bytes of an event in raw/ (zstd) and in bronze/ (Parquet), events
# that a core of Spark cleans in a second.
RAW, BRONZE, EVENTS_PER_CORE_SECOND = 35, 47, 4_264

# Guesses, to be replaced by the first month's bill.
BUSY = 0.5  # the share of a run in which its cores have work
START_SECONDS = 60  # of a run, before the first line is read
BUILD_SECONDS, EVENTS_PER_BUILD_SECOND = 90, 25_000  # of the warehouse, size XS; a minute asleep
OBJECTS_PER_RUN = 12
DAYS = 30


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
    work = size.events / EVENTS_PER_CORE_SECOND / 4 / BUSY
    dpu_hours = (size.runs * START_SECONDS * 2 + work) / 3600
    bytes_a_day = size.events * (RAW + BRONZE)
    recent, old = bytes_a_day * 30 / 1e9, bytes_a_day * 330 / 1e9
    raw_objects = max(1440, size.events * RAW / 64e6)
    bronze_objects = size.runs * OBJECTS_PER_RUN
    puts = raw_objects + 3 * bronze_objects
    gets = 4 * raw_objects + 10 * bronze_objects
    build = size.runs * (BUILD_SECONDS + 60) + size.events / EVENTS_PER_BUILD_SECOND
    return {
        "Glue": DAYS * dpu_hours * DPU_HOUR,
        "S3": recent * GB_MONTH + old * GB_MONTH_INFREQUENT + DAYS * (puts * PUT + gets * GET),
        "SNS, SQS": DAYS * bronze_objects * (NOTICE + 2 * MESSAGE),
        "other AWS": FIXED,
        "Snowpipe": DAYS * size.events * BRONZE / 1e9 * CREDITS_PER_GB * CREDIT,
        "warehouse": DAYS * build / 3600 * CREDIT
        + size.events * BRONZE * 2 * 360 / 1e12 * TB_MONTH,
    }


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


if __name__ == "__main__":
    print(table())
