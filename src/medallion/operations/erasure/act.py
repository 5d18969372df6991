"""The act of forgetting a customer, from the first search to the proof."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medallion.contract import WHITE_SPACE
from medallion.errors import HomeBusy, LakeError, SettingsError
from medallion.operations.erasure.lake import Before, LakeEraser, Rewritten
from medallion.operations.erasure.pseudonym import Replacement
from medallion.operations.erasure.search import Search, search
from medallion.operations.erasure.versions import purge
from medallion.operations.erasure.warehouse import catch_up, rebuild
from medallion.platforms.home import UNFINISHED_ERASURE, replaced_copies
from medallion.platforms.lake import Lake
from medallion.platforms.local import sync
from medallion.platforms.platform import Platform
from medallion.platforms.warehouse import FILE

RECORDS = "erasures"


@dataclass
class ForgetReport:
    """What was done. `left` names where the id still is; it is gone when there is nothing."""

    pseudonym: str
    at: datetime
    rewritten: Rewritten
    searched: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def found(self) -> bool:
        """Whether home or lake held the id at all."""
        done = self.rewritten
        return bool(done.raw_objects or done.bronze_objects or done.old_versions)


def forget(
    here: Platform, customer: str | None, progress: Callable[[str], None] = lambda _: None
) -> ForgetReport:
    """Replaces a customer's id by a random pseudonym in raw/, bronze, quarantine, receipts,
    warehouse and published snapshots; every count and sum stays. Old versions that a bucket keeps
    go. Nothing tells afterwards whose the pseudonym was. Without a customer it finishes an act
    that was interrupted.

    Raises SettingsError for an id that no event can have, LakeError for a lake that a cluster is
    at work on or that refuses, WarehouseError when a total would change; then the warehouse and
    the old versions stay as they were.
    """
    started = time.monotonic()
    act = _Act.take_up(here, customer)
    if not act.is_resumed:
        _require_rest(here.lake)
        _require_no_old_copy(here.home)
        catch_up(here)
    eraser = LakeEraser(here.lake, act.replacement)
    progress("searching raw/")
    act.note(eraser.find_raw())
    progress("rewriting the lake")
    eraser.rewrite_raw(act.raw)
    eraser.rewrite_bronze()
    eraser.rewrite_quarantine()
    eraser.rewrite_receipts(act.raw)
    report = ForgetReport(act.replacement.pseudonym, datetime.now(UTC), eraser.done)
    if act.is_resumed or report.found:
        progress("building the warehouse anew")
        rebuild(here)
    progress("deleting old versions")
    eraser.done.old_versions = purge(here.lake, act.replacement, act.raw)
    progress("searching every file")
    _prove(report, search(here.home, here.lake, act.replacement))
    report.seconds = time.monotonic() - started
    act.end(report)
    return report


def _require_rest(lake: Lake) -> None:
    """What a cluster has begun would come with the id when it ends. An empty object is none of
    its work: it marks a folder, or says that nothing is under way."""
    begun = next((found for found in lake.list("tmp/") if found.size), None)
    if begun:
        raise LakeError(
            f"{lake.url}/{begun.key} is of a run of the cleaner that has not ended: start the job "
            "again, let it end, and forget then"
        )


def _require_no_old_copy(home: Path) -> None:
    """What a rebuild has kept may hold the id, and is nobody's to rewrite."""
    if copies := replaced_copies(home):
        raise SettingsError(
            f"{next(iter(copies))} is an old copy that may hold the id; 'medallion rebuild "
            "--remove-old' removes it, then forget"
        )


@dataclass
class _Act:
    """What is to be done, on disk before it is begun: an act that is cut short can be finished.
    The file holds the id only until the act has ended."""

    path: Path
    lake: str
    replacement: Replacement
    raw: dict[str, Before]
    is_resumed: bool

    @classmethod
    def take_up(cls, here: Platform, customer: str | None) -> _Act:
        """The act that was interrupted, or else a new one."""
        path = here.home / UNFINISHED_ERASURE
        lake = "the home" if here.lake.url == here.home.as_uri() else here.lake.url
        if path.exists():
            told = json.loads(path.read_text(encoding="utf-8"))
            if customer not in (None, told["customer"]):
                raise HomeBusy(
                    "an erasure was interrupted; 'medallion forget --resume' finishes it first"
                )
            if told["lake"] != lake:
                raise SettingsError(
                    f"an erasure was interrupted whose lake is {told['lake']}, not {lake}: set "
                    "MEDALLION_LAKE as it was then"
                )
            raw = {
                key: Before(then["checksum"], datetime.fromisoformat(then["arrived"]))
                for key, then in told["raw"].items()
            }
            return cls(path, lake, Replacement(told["customer"], told["pseudonym"]), raw, True)
        if customer is None:
            raise SettingsError("no erasure was interrupted; name a customer with --customer")
        if not customer or customer != customer.strip(WHITE_SPACE):
            raise SettingsError("no event can have this customer_id: it is blank or padded")
        return cls(path, lake, Replacement.of(customer), {}, False)

    def note(self, raw: dict[str, Before]) -> None:
        """Writes down which raw objects are about to change, and what they were."""
        self.raw |= raw
        told = {
            "customer": self.replacement.customer,
            "pseudonym": self.replacement.pseudonym,
            "lake": self.lake,
            "raw": {
                key: {"checksum": then.checksum, "arrived": then.arrived.isoformat()}
                for key, then in self.raw.items()
            },
        }
        _write(self.path, told)

    def end(self, report: ForgetReport) -> None:
        """Leaves a record without the id, or nothing when there was nothing to forget."""
        if report.found or self.is_resumed:
            records = self.path.parent / RECORDS
            records.mkdir(exist_ok=True)
            told = asdict(report) | {"at": report.at.isoformat()}
            _write(records / f"{report.pseudonym}.json", told)
        self.path.unlink()
        sync(self.path.parent)


def _write(path: Path, told: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(told, indent=2, ensure_ascii=False), encoding="utf-8")
    sync(temporary)
    temporary.rename(path)
    sync(path.parent)


def _prove(report: ForgetReport, found: Search) -> None:
    own = {UNFINISHED_ERASURE, FILE + ".wal"}
    report.searched = dict(found.searched)
    report.left = [place for place in found.found if place not in own]
