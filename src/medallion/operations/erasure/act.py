"""The erasure of a customer, from the first search to the final one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medallion.audit.bronze import require_sound_bronze
from medallion.contract import WHITE_SPACE
from medallion.errors import HomeBusy, LakeError, SettingsError
from medallion.lake.orphans import retired
from medallion.lake.seals import Stamp
from medallion.operations.erasure.account import AccountEraser, Kept, account_eraser
from medallion.operations.erasure.lake import Before, LakeEraser, Rewritten
from medallion.operations.erasure.pseudonym import Replacement
from medallion.operations.erasure.search import Search, search
from medallion.operations.erasure.versions import purge
from medallion.operations.erasure.warehouse import catch_up, rewrite_warehouse
from medallion.platforms.home import UNFINISHED_ERASURE, replaced_copies
from medallion.platforms.lake import Lake
from medallion.platforms.local import sync
from medallion.platforms.platform import Platform
from medallion.platforms.warehouse import WAREHOUSE_FILE

RECORDS = "erasures"


@dataclass
class ForgetReport:
    """The result of an erasure; `left` names the places that still hold the id.

    `landed_rows` counts the rows in Snowflake that held it, and `kept` says until when Snowflake
    keeps their old content.
    """

    pseudonym: str
    at: datetime
    rewritten: Rewritten
    searched: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    landed_rows: int = 0
    kept: Kept | None = None
    seconds: float = 0.0

    @property
    def was_found(self) -> bool:
        """Return whether the home, the lake or the account held the id."""
        done = self.rewritten
        return bool(
            done.raw_objects or done.bronze_objects or done.old_versions or self.landed_rows
        )


def forget(
    platform: Platform, customer: str | None, progress: Callable[[str], None] = lambda _: None
) -> ForgetReport:
    """Replace a customer's id by a random pseudonym in the lake, the warehouse and all snapshots.

    In Snowflake the pipes and the task are stopped meanwhile, and stay so if the erasure is
    interrupted. Every count and sum stays the same. Old versions of objects in a bucket are
    deleted. Afterwards nothing links the pseudonym to the id.

    Args:
        platform: the platform.
        customer: the id; None finishes an erasure that was interrupted.
        progress: called with a message at each step.

    Raises:
        SettingsError: no event can have this id.
        LakeError: a run of a cluster has not ended, or the lake refuses.
        WarehouseError: a total would change; then the warehouse and old versions stay as they were.
    """
    started = time.monotonic()
    act = _Act.open(platform, customer)
    where = account_eraser(platform.snowflake, act.replacement) if platform.snowflake else None
    with where or nullcontext() as account:
        return _forget(platform, act, account, started, progress)


def _forget(
    platform: Platform,
    act: _Act,
    account: AccountEraser | None,
    started: float,
    progress: Callable[[str], None],
) -> ForgetReport:
    if not act.is_resumed:
        _require_no_cluster_run(platform.lake)
        _require_no_old_copy(platform.home)
        _require_all_of_bronze(platform.lake)
        # A damaged object would look undamaged after it is rewritten.
        require_sound_bronze(platform.lake, "then forget")
        catch_up(platform)
    if account:
        progress("pausing the pipes")
        act.rest(account)
    eraser = LakeEraser(platform.lake, act.replacement, act.stamps, act.store)
    progress("searching raw/")
    act.note(_nobody_writes(platform.lake, eraser.find_raw()))
    progress("rewriting the lake")
    eraser.rewrite_raw(act.raw)
    eraser.rewrite_bronze()
    eraser.rewrite_quarantine()
    eraser.rewrite_receipts(act.raw)
    report = ForgetReport(act.replacement.pseudonym, datetime.now(UTC), eraser.done)
    if account:
        progress("rewriting what has landed")
        report.landed_rows = account.rewrite_landing(platform.lake, list(act.raw))
        progress("resuming the pipes")
        account.resume_pipes(act.newest)
    if act.is_resumed or report.was_found:
        progress("building the warehouse anew")
        rewrite_warehouse(platform)
        if account and not act.is_built:
            account.build()
            act.is_built = True
            act.store()
    progress("deleting old versions")
    eraser.done.old_versions = purge(platform.lake, act.replacement, act.raw)
    progress("searching every file")
    _prove(report, search(platform.home, platform.lake, act.replacement))
    if account:
        progress("searching every table of the account")
        report.left += [f"Snowflake: {place}" for place in account.places()]
        report.kept = account.kept(datetime.now(UTC))
        if act.was_task_started:
            account.resume_task()
    report.seconds = time.monotonic() - started
    act.end(report)
    return report


def _require_no_cluster_run(lake: Lake) -> None:
    """Raise LakeError when a run of a cluster is under way, because it would publish the id later.

    Empty objects do not count: they mark folders, or a register without content.
    """
    output = next((stored for stored in lake.list("tmp/") if stored.size), None)
    if output:
        raise LakeError(
            f"{lake.url}/{output.key} is of a run of the cleaner that has not ended: start the job "
            "again, let it end, and forget then"
        )


def _nobody_writes(lake: Lake, raw: dict[str, Before]) -> dict[str, Before]:
    """Return the raw objects that hold the id; raise LakeError when a producer is writing one."""
    if key := next((key for key in raw if lake.is_being_written(key)), None):
        raise LakeError(
            f"{key} is being written by another process, which would go on in the old file: stop "
            "that first, or let it begin a new file"
        )
    return raw


def _require_no_old_copy(home: Path) -> None:
    """Raise SettingsError when a rebuild has kept an old copy, which may hold the id."""
    if copies := replaced_copies(home):
        raise SettingsError(
            f"{next(iter(copies))} is an old copy that may hold the id; 'medallion rebuild "
            "--remove-old' removes it, then forget"
        )


def _require_all_of_bronze(lake: Lake) -> None:
    """Raise SettingsError when bronze objects are retired: the new warehouse would lack their rows.

    Only the warehouse holds these, and it is built again from bronze.
    """
    if retired(lake).bronze_before:
        raise SettingsError(
            "only the warehouse holds the rows of retired bronze objects; 'medallion rebuild' "
            "brings them back to bronze, then forget, and 'medallion retain' retires them again"
        )


@dataclass
class _Act:
    """The plan of an erasure in a file, from which an interrupted erasure can be finished.

    The file holds the id only until the erasure has ended.
    """

    path: Path
    lake: str
    replacement: Replacement
    raw: dict[str, Before]
    is_resumed: bool
    stamps: dict[str, Stamp] = field(default_factory=dict)
    newest: dict[str, str] = field(default_factory=dict)
    was_task_started: bool | None = None
    is_built: bool = False

    @classmethod
    def open(cls, platform: Platform, customer: str | None) -> _Act:
        """Return the plan of the interrupted erasure, or else a new one."""
        path, url = platform.home / UNFINISHED_ERASURE, platform.lake.url
        lake = "the home" if url == platform.home.as_uri() else url
        if path.exists():
            plan = json.loads(path.read_text(encoding="utf-8"))
            if customer not in (None, plan["customer"]):
                raise HomeBusy(
                    "an erasure was interrupted; 'medallion forget --resume' finishes it first"
                )
            if plan["lake"] != lake:
                raise SettingsError(
                    f"an erasure was interrupted whose lake is {plan['lake']}, not {lake}: set "
                    "MEDALLION_LAKE as it was then"
                )
            raw = {
                key: Before(Stamp(*then["stamp"]), datetime.fromisoformat(then["arrived"]))
                for key, then in plan["raw"].items()
            }
            by = Replacement(plan["customer"], plan["pseudonym"])
            stamps = {key: Stamp(*stamp) for key, stamp in plan["rewritten"].items()}
            newest, started = plan.get("newest", {}), plan.get("was_task_started")
            is_built = plan.get("is_built", False)
            return cls(path, lake, by, raw, True, stamps, newest, started, is_built)
        if customer is None:
            raise SettingsError("no erasure was interrupted; name a customer with --customer")
        if not customer or customer != customer.strip(WHITE_SPACE):
            raise SettingsError("no event can have this customer_id: it is blank or padded")
        return cls(path, lake, Replacement.of(customer), {}, False)

    def rest(self, account: AccountEraser) -> None:
        """Stop the pipes and the task of an account, after storing their state."""
        if self.was_task_started is None:
            account.require_running()
            self.was_task_started = account.is_task_started()
            self.store()
        account.pause()
        if not self.newest:
            self.newest = account.newest()
            self.store()

    def note(self, raw: dict[str, Before]) -> None:
        """Store which raw objects will change, with their old checksums and arrivals."""
        self.raw = raw | self.raw
        self.store()

    def store(self) -> None:
        """Write the plan to disk, with the stamps of the objects that were rewritten."""
        plan = {
            "customer": self.replacement.customer,
            "pseudonym": self.replacement.pseudonym,
            "lake": self.lake,
            "raw": {
                key: {
                    "stamp": [then.stamp.size, then.stamp.sha256],
                    "arrived": then.arrived.isoformat(),
                }
                for key, then in self.raw.items()
            },
            "rewritten": {key: [stamp.size, stamp.sha256] for key, stamp in self.stamps.items()},
            "newest": self.newest,
            "was_task_started": self.was_task_started,
            "is_built": self.is_built,
        }
        _write(self.path, plan)

    def end(self, report: ForgetReport) -> None:
        """Remove the plan; leave a record without the id if anything was replaced."""
        if report.was_found or self.is_resumed:
            records = self.path.parent / RECORDS
            records.mkdir(exist_ok=True)
            record = asdict(report)
            _write(records / f"{report.pseudonym}.json", record)
        self.path.unlink()
        sync(self.path.parent)


def _write(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(
        json.dumps(content, indent=2, ensure_ascii=False, default=datetime.isoformat),
        encoding="utf-8",
    )
    sync(temporary)
    temporary.rename(path)
    sync(path.parent)


def _prove(report: ForgetReport, result: Search) -> None:
    own = {UNFINISHED_ERASURE, WAREHOUSE_FILE + ".wal"}
    report.searched = dict(result.searched)
    report.left = [place for place in result.places if place not in own]
