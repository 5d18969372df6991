"""infra/terraform/tables.json: the tables of bronze for the AWS Glue Data Catalog."""

from __future__ import annotations

import json
from typing import Any

from medallion.outputs.contract.tables import TABLES, Table

_HIVE = {
    "text": "string",
    "timestamp": "timestamp",
    "date": "date",
    "integer": "bigint",
    "bytes": "binary",
}


def catalog() -> str:
    """Return the tables as JSON, by the name of their folder under bronze/."""
    return json.dumps({table.name: _table(table) for table in TABLES}, indent=2) + "\n"


def _table(table: Table) -> dict[str, Any]:
    """Return the entry of a table.

    A feed by day is partitioned by `dt`, which the catalog then does not list as a column.
    """
    by_day = bool(table.feed and table.feed.by_day)
    columns = [
        {"name": c.name, "type": _HIVE.get(c.type.kind, c.type.duckdb.lower())}
        for c in table.columns
        if not (by_day and c.name == "dt")
    ]
    description = table.feed.description if table.feed else table.grain
    return {"description": description, "by_day": by_day, "columns": columns}
