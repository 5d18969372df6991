"""The result of the last audit of a home, stored in the home for later readers."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from medallion.audit.checks import Check
from medallion.platforms.local import own_scratch, sync

LAST_AUDIT = "audit.json"
"""The file in a home."""


@dataclass(frozen=True)
class CheckResult:
    """A check of the last audit: its figure, and the number of lines about violations."""

    promise: str
    name: str
    figure: str
    offenders: int

    @property
    def holds(self) -> bool:
        return not self.offenders


@dataclass(frozen=True)
class LastAudit:
    """The last audit: when it ended, in UTC, and its checks."""

    at: datetime
    checks: tuple[CheckResult, ...]

    @property
    def broken(self) -> int:
        """The number of failed checks."""
        return sum(not check.holds for check in self.checks)


def keep_result(home: Path, checks: list[Check], at: datetime) -> None:
    """Write the result of an audit into the home, durably, in place of the one before.

    Violations are counted but not written: they may name customers, and `forget` must find every
    id. If the home cannot be written, the audit still succeeds.
    """
    results = [asdict(CheckResult(c.promise, c.name, c.figure, len(c.offenders))) for c in checks]
    content = json.dumps({"at": at.isoformat(), "checks": results}, indent=1)
    with suppress(OSError):
        folder = own_scratch(home)
        (written := folder / LAST_AUDIT).write_text(content, encoding="utf-8")
        sync(written)
        written.rename(home / LAST_AUDIT)
        sync(home)
        folder.rmdir()


def last_audit(home: Path) -> LastAudit | None:
    """Return the result of the last audit of a home; None if there is none."""
    try:
        content = json.loads((home / LAST_AUDIT).read_text(encoding="utf-8"))
        at = datetime.fromisoformat(content["at"]).astimezone(UTC)
        return LastAudit(at, tuple(CheckResult(**check) for check in content["checks"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
