"""Templates for BI tools, made from the metrics: `python -m medallion.outputs.bi` writes bi/."""
