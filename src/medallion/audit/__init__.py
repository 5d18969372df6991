"""The audit: every line of every raw object is accounted for, every row once, every sum exact.

Everything is counted again, from the raw bytes on: objects of the lake in this process, and
relations by queries in the warehouse, embedded or in Snowflake.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from medallion.audit.bronze import bronze_checks
from medallion.audit.checks import Check, count
from medallion.audit.gold import gold_checks, silver_checks
from medallion.audit.last import keep_result
from medallion.audit.live import NEEDED, live_checks
from medallion.audit.raw import raw_checks
from medallion.audit.snapshots import snapshot_check
from medallion.audit.values import value_check
from medallion.layers.quarantine import rejected_counts
from medallion.platforms.lake import Lake
from medallion.platforms.warehouse import Warehouse, relations, side_by_side

__all__ = ["AuditReport", "Check", "audit", "warehouse_checks"]


_Found = tuple[list[Check], dict[str, int]]
"""Checks, and what waits."""


@dataclass
class AuditReport:
    """All checks, and counts that are not violations.

    `waiting` counts what waits for its next stage, `rejected` the rejected lines by state.
    """

    checks: list[Check] = field(default_factory=list)
    waiting: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return all(check.holds for check in self.checks)


def audit(
    lake: Lake,
    warehouse: Warehouse,
    *,
    home: Path | None = None,
    chance: Random | None = None,
    progress: Callable[[str], None] = print,
) -> AuditReport:
    """Count everything again, without changing anything that is counted.

    Args:
        lake: the lake.
        warehouse: the warehouse.
        home: the home whose published snapshot is also checked, and in which the result is kept.
        chance: draws the sample of lines whose values are compared; None compares all.
        progress: called with the key of each raw object.
    """
    report = AuditReport(rejected=rejected_counts(lake, warehouse))

    def from_raw(db: Warehouse) -> _Found:
        waiting, sound = dict[str, int](), list[str]()
        checks = [*raw_checks(lake, db, waiting, sound, progress)]
        return [*checks, value_check(lake, db, sound, chance)], waiting

    def from_bronze(db: Warehouse) -> _Found:
        waiting = dict[str, int]()
        return [*bronze_checks(lake, db, waiting), *warehouse_checks(db, waiting)], waiting

    for checks, waiting in side_by_side(warehouse, [from_raw, from_bronze]):
        report.checks += checks
        report.waiting |= waiting
    if home and (published := snapshot_check(home, report.waiting)):
        report.checks.append(published)
    report.checks.sort(key=lambda check: check.promise)
    if home:
        keep_result(home, report.checks, datetime.now(UTC))
    return report


def warehouse_checks(warehouse: Warehouse, waiting: dict[str, int]) -> list[Check]:
    """Return the checks that read only the warehouse: silver, gold and the live model."""
    checks, built = list[Check](), relations(warehouse)
    if "silver.purchases_silver" in built:
        checks += silver_checks(warehouse, waiting)
    else:
        waiting["rows not yet in silver"] = count(warehouse, "staging.purchases")
    if "gold.purchases_gold" in built:
        checks += gold_checks(warehouse, waiting)
    if built >= NEEDED:
        checks += live_checks(warehouse, waiting)
    return checks
