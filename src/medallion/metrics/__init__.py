"""The metrics: one definition, one parser and one evaluation, for dashboard, BI templates and docs.

dbt/models/marts/metrics.yml defines them. `read_definitions` parses it, `value` evaluates a metric
over sums of its measures, and `python -m medallion.metrics` prints docs/metrics.md.
"""

from __future__ import annotations

from medallion.metrics.definitions import DEFINITIONS, Definitions, Metric, read_definitions
from medallion.metrics.evaluation import project, value

__all__ = ["DEFINITIONS", "Definitions", "Metric", "project", "read_definitions", "value"]
