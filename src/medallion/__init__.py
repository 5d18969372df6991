"""Retail Streaming Medallion: purchases from raw JSON to gold, nothing lost, nothing twice."""

__version__ = "0.1.0"
