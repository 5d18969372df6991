"""The act of forgetting a customer, from the first search to the proof."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from medallion.audit import audit
from medallion.contract import WHITE_SPACE
from medallion.erasure.lake import LakeEraser, Rewritten
from medallion.erasure.pseudonym import Replacement
from medallion.erasure.search import Search, search
from medallion.errors import HomeBusy, SettingsError, WarehouseError
from medallion.layers.marts import Transformer, publish
from medallion.layers.staging import Loader
from medallion.platforms.local import UNFINISHED_ERASURE, LocalLake, sync
from medallion.platforms.platform import Platform
from medallion.platforms.warehouse import FILE, open_warehouse, warehouse_path

RECORDS = "erasures"

TOTALS = (
    "SELECT * EXCLUDE (load_seq) FROM gold.purchases_gold ORDER BY ALL",
    "SELECT count(*), count(DISTINCT customer_id), count(DISTINCT basket_id) "
    "FROM silver.purchases_silver",
    # Not row by row: of two customers alike, the id decides who falls into which quintile.
    "SELECT count(*), sum(baskets), sum(units_sold), sum(basket_value) FROM marts.customer_rfm",
    "SELECT feed, reason, count(*) FROM staging.quarantine GROUP BY ALL ORDER BY ALL",
    "SELECT count(*), sum(lines), sum(accepted), sum(blank) FROM staging.receipts",
)
"""What must be the same before and after."""


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
        """Whether the home held the id at all."""
        done = self.rewritten
        return bool(done.raw_objects or done.bronze_objects)


def forget(
    here: Platform, customer: str | None, progress: Callable[[str], None] = lambda _: None
) -> ForgetReport:
    """Replaces a customer's id by a random pseudonym in raw/, bronze, quarantine, receipts,
    warehouse and published snapshots; every count and sum stays. Nothing tells afterwards whose
    the pseudonym was. Without a customer it finishes an act that was interrupted.

    Raises SettingsError for a lake that is not in the home or an id that no event can have,
    WarehouseError when a total would change; then the warehouse stays as it was.
    """
    if not isinstance(here.lake, LocalLake):
        raise SettingsError("forget works on a lake in the home, not on one in S3")
    started = time.monotonic()
    act = _Act.take_up(here, customer)
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
        _rebuild(here)
    progress("searching every file")
    _prove(report, search(here.lake, act.replacement))
    report.seconds = time.monotonic() - started
    act.end(report)
    return report


class _Act:
    """What is to be done, on disk before it is begun: an act that is cut short can be finished.
    The file holds the id only until the act has ended."""

    def __init__(self, path: Path, replacement: Replacement, raw: dict[str, str]) -> None:
        self._path, self.replacement, self.raw = path, replacement, raw
        self.is_resumed = path.exists()

    @classmethod
    def take_up(cls, here: Platform, customer: str | None) -> _Act:
        """The act that was interrupted, or else a new one."""
        path = here.home / UNFINISHED_ERASURE
        if path.exists():
            told = json.loads(path.read_text(encoding="utf-8"))
            if customer not in (None, told["customer"]):
                raise HomeBusy(
                    "an erasure was interrupted; 'medallion forget --resume' finishes it first"
                )
            replacement = Replacement(told["customer"], told["pseudonym"])
            return cls(path, replacement, told["raw"])
        if customer is None:
            raise SettingsError("no erasure was interrupted; name a customer with --customer")
        if not customer or customer != customer.strip(WHITE_SPACE):
            raise SettingsError("no event can have this customer_id: it is blank or padded")
        return cls(path, Replacement.of(customer), {})

    def note(self, raw: dict[str, str]) -> None:
        """Writes down which raw objects are about to change, with their checksums."""
        self.raw |= raw
        told = {
            "customer": self.replacement.customer,
            "pseudonym": self.replacement.pseudonym,
            "raw": self.raw,
        }
        _write(self._path, told)

    def end(self, report: ForgetReport) -> None:
        """Leaves a record without the id, or nothing when there was nothing to forget."""
        if report.found or self.is_resumed:
            records = self._path.parent / RECORDS
            records.mkdir(exist_ok=True)
            told = asdict(report) | {"at": report.at.isoformat()}
            _write(records / f"{report.pseudonym}.json", told)
        self._path.unlink()
        sync(self._path.parent)


def _write(path: Path, told: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(told, indent=2, ensure_ascii=False), encoding="utf-8")
    sync(temporary)
    temporary.rename(path)
    sync(path.parent)


def _rebuild(here: Platform) -> None:
    """Builds the warehouse from bronze in another file, because a file that a database rewrites
    keeps what it held in its free blocks; swaps it in when every total is the same."""
    if not warehouse_path(here.home).exists():
        return
    beside = here.home / ".forget"
    shutil.rmtree(beside, ignore_errors=True)
    with open_warehouse(here.home) as old:
        before = _totals(old)
        old.execute("CHECKPOINT")
    transformer = Transformer(beside)
    with open_warehouse(beside) as new:
        Loader(here.lake, new).load()
        transformer.run()
        found = audit(here.lake, new, progress=lambda _: None)
        broken = [c.name for c in found.checks if not c.holds]
        if broken or (before is not None and _totals(new) != before):
            raise WarehouseError(
                "the warehouse without this customer has other totals, so the old one stays: "
                + (", ".join(broken) or "gold, customers, quarantine or receipts differ")
            )
        publish(here.home, new, transformer.published())
        transformer.close()
        new.execute("CHECKPOINT")
    warehouse_path(beside).replace(warehouse_path(here.home))
    sync(here.home)
    shutil.rmtree(beside)
    _drop_old_snapshots(here.home / "gold")


def _totals(warehouse: duckdb.DuckDBPyConnection) -> list[Any] | None:
    """None for a warehouse that is not built."""
    try:
        return [warehouse.execute(query).fetchall() for query in TOTALS]
    except duckdb.CatalogException:
        return None


def _drop_old_snapshots(gold: Path) -> None:
    current = (gold / "CURRENT").read_text()
    for folder in gold.glob("v*"):
        if folder.name != current:
            shutil.rmtree(folder)


def _prove(report: ForgetReport, found: Search) -> None:
    own = {UNFINISHED_ERASURE, FILE + ".wal"}
    report.searched = dict(found.searched)
    report.left = [place for place in found.found if place not in own]
