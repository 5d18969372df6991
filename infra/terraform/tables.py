"""Prints tables.json, the tables of bronze as the Data Catalog knows them:
`python infra/terraform/tables.py > infra/terraform/tables.json`."""

from __future__ import annotations

import json

from medallion.contract import FEEDS, QUARANTINE, RECEIPT, Type

HIVE = {
    "text": "string",
    "timestamp": "timestamp",
    "date": "date",
    "integer": "bigint",
    "bytes": "binary",
}


def tables() -> dict[str, dict[str, object]]:
    """Each table by its folder under bronze/. A feed is partitioned by its day `dt`, which is then
    no column."""
    found = {
        name: _table(feed.description, feed.columns, by_day=True) for name, feed in FEEDS.items()
    }
    return found | {
        "quarantine": _table("One row per rejected line.", QUARANTINE),
        "receipts": _table("One row per cleaned raw object.", RECEIPT),
    }


def _table(description: str, columns: dict[str, Type], by_day: bool = False) -> dict[str, object]:
    shown = [
        {"name": name, "type": HIVE.get(kind.kind, kind.duckdb.lower())}
        for name, kind in columns.items()
        if not (by_day and name == "dt")
    ]
    return {"description": description, "by_day": by_day, "columns": shown}


if __name__ == "__main__":
    print(json.dumps(tables(), indent=2))
