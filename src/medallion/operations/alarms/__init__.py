"""Alarms: what is not as it usually is, found by rules over the warehouse and the home.

`look` evaluates the rules at one moment; `Watch` remembers what stands, so that each alarm is told
once when it begins and once when it ends.
"""

from __future__ import annotations

from medallion.operations.alarms.rules import RULES, Alarm, look
from medallion.operations.alarms.watch import Change, Watch

__all__ = ["RULES", "Alarm", "Change", "Watch", "look"]
