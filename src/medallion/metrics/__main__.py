"""`python -m medallion.metrics` prints docs/metrics.md."""

from medallion.metrics.definitions import metrics, page

print(page(metrics()), end="")
