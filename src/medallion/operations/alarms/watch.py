"""The watch over a home: looks at it repeatedly, and reports each alarm once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from medallion.layers.staging import require_current
from medallion.operations.alarms.rules import AUDIT, Alarm, look
from medallion.platforms.heartbeat import read_runner
from medallion.platforms.local import sync
from medallion.platforms.platform import Platform

LOG, STANDING = "alarms.jsonl", ".alarms.json"
"""Files of a home: all changes, one a line; and the active alarms, for the next watch."""
AUDIT_EVERY = timedelta(minutes=10)
"""The time between two audits: an audit reads all of silver, so not every look includes it."""


@dataclass(frozen=True)
class Change:
    """An alarm that begins or ends."""

    at: datetime
    begins: bool
    alarm: Alarm

    def __str__(self) -> str:
        word = "ALARM" if self.begins else "over"
        return f"{self.at:%Y-%m-%d %H:%M:%S}Z {word} {self.alarm.rule}: {self.alarm.message}"

    def as_json(self) -> dict[str, Any]:
        """Return the change for a program."""
        state = "begins" if self.begins else "ends"
        return {"at": self.at.isoformat(), "state": state} | asdict(self.alarm)


@dataclass
class Watch:
    """The active alarms of a home, remembered between looks and between watches."""

    platform: Platform
    standing: dict[tuple[str, str], Alarm] = field(default_factory=dict)
    _audited: datetime | None = None

    def __post_init__(self) -> None:
        with suppress(OSError, ValueError, TypeError):
            for kept in json.loads((self.platform.home / STANDING).read_text(encoding="utf-8")):
                self._stand(Alarm(**kept))

    def look(self, now: datetime | None = None) -> list[Change]:
        """Evaluate the rules, and write what began or ended to the home; return these changes.

        Raises:
            WarehouseError: the warehouse cannot be read.
        """
        now = now or datetime.now(UTC)
        is_due = self._audited is None or now - self._audited >= AUDIT_EVERY
        runner = None if self.platform.snowflake else read_runner(self.platform.home)
        with self.platform.reader() as warehouse:
            if not self.platform.snowflake:
                require_current(warehouse)
            without = () if is_due else (AUDIT,)
            alarms = look(warehouse, now, runner, without, self.platform.file.thresholds)
        if is_due:
            self._audited = now
        else:
            alarms += [alarm for alarm in self.standing.values() if alarm.rule == AUDIT]
        changes = list(self._changes(alarms, now))
        if changes:
            _append(self.platform.home / LOG, changes)
            _keep(self.platform.home / STANDING, list(self.standing.values()))
        return changes

    def _changes(self, alarms: list[Alarm], now: datetime) -> Iterator[Change]:
        before, self.standing = self.standing, {}
        for alarm in alarms:
            self._stand(alarm)
        for name in self.standing.keys() - before.keys():
            yield Change(now, True, self.standing[name])
        for name in before.keys() - self.standing.keys():
            yield Change(now, False, before[name])

    def _stand(self, alarm: Alarm) -> None:
        self.standing[alarm.rule, alarm.subject] = alarm


def _append(path: Path, changes: list[Change]) -> None:
    lines = [json.dumps(change.as_json(), ensure_ascii=False) + "\n" for change in changes]
    with path.open("a", encoding="utf-8") as file:
        file.writelines(lines)


def _keep(path: Path, alarms: list[Alarm]) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(json.dumps([asdict(alarm) for alarm in alarms]), encoding="utf-8")
    sync(temporary)
    temporary.rename(path)
