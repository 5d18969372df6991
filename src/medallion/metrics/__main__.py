"""`python -m medallion.metrics` prints docs/metrics.md."""

from __future__ import annotations

from medallion.metrics.definitions import read_definitions
from medallion.metrics.page import page

if __name__ == "__main__":
    print(page(read_definitions()), end="")
