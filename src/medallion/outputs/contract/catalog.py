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

    A feed is partitioned by its day `dt`, which the catalog then does not list as a column.
    """
    columns = [
        {"name": c.name, "type": _HIVE.get(c.type.kind, c.type.duckdb.lower())}
        for c in table.columns
        if not (table.feed and c.name == "dt")
    ]
    description = table.feed.description if table.feed else table.grain
    return {"description": description, "by_day": bool(table.feed), "columns": columns}
