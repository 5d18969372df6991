"""The verb that shows copies of an event that contradict each other."""

from __future__ import annotations

from typing import Any

from medallion.cli.commands.verbs import NOTHING_CHANGED, as_json, reading, verb
from medallion.cli.printing.report import print_json, say
from medallion.cli.printing.text import shown
from medallion.errors import WarehouseError
from medallion.platforms.platform import Platform
from medallion.platforms.warehouse import Warehouse, relations

RELATION, PREFIX = "ops.purchases_conflicts", "kept_"
PLACE = ("source_file", "source_line", "ingested_at")


@verb(stopped=NOTHING_CHANGED)
@as_json
def conflicts(platform: Platform, as_json: bool) -> None:
    """List copies of an event with another payload than the one that counts."""
    with reading(platform) as warehouse:
        rows = _conflicts(warehouse)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        copy, kept, fields = row["copy"], row["kept"], row["differs_in"]
        say(f"{row['event_id']}  differs in {', '.join(fields)}", bold=True)
        for word, one in (("counts", kept), ("does not", copy)):
            values = ", ".join(f"{name}={shown(one[name])}" for name in fields)
            say(f"  {word:<8}  {one['source_file']}:{one['source_line']}  {values}")
        say("")
    what = "1 copy contradicts" if len(rows) == 1 else f"{len(rows):,} copies contradict"
    say(f"{what} the copy of the event that counts")


def _conflicts(warehouse: Warehouse) -> list[dict[str, Any]]:
    """Return each conflict: the event, both copies, and the names of the fields that differ."""
    if RELATION not in relations(warehouse):
        raise WarehouseError("the models are not built yet: 'medallion transform' builds them")
    answer = warehouse.execute(
        f"SELECT * FROM {RELATION} ORDER BY event_id, ingested_at, source_file, source_line"
    )
    names = [name.lower() for name, *_ in answer.description or ()]
    return [_conflict(dict(zip(names, row, strict=True))) for row in answer.fetchall()]


def _conflict(row: dict[str, Any]) -> dict[str, Any]:
    kept = {name.removeprefix(PREFIX): row[name] for name in row if name.startswith(PREFIX)}
    copy = {name: row[name] for name in kept}
    differing = [name for name in kept if name not in PLACE and kept[name] != copy[name]]
    return {"event_id": row["event_id"], "differs_in": differing, "copy": copy, "kept": kept}
