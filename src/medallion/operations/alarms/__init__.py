"""Alarms: rules that compare the warehouse and the home with their own past.

`look` evaluates the rules at one moment. `Watch` remembers the active alarms, so that each is
reported once when it begins and once when it ends.
"""

from __future__ import annotations

from medallion.operations.alarms.rules import RULES, Alarm, look
from medallion.operations.alarms.watch import Change, Watch

__all__ = ["RULES", "Alarm", "Change", "Watch", "look"]
