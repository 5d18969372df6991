"""Templates for BI tools, from the metric definitions: `python -m medallion.bi` writes bi/."""
