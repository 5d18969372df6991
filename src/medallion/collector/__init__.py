"""The collector: receives events by HTTP, and answers when they are safe in raw/."""

from medallion.collector.server import collector
from medallion.collector.signatures import Keys

__all__ = ["Keys", "collector"]
