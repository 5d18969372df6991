"""contracts/retail.odcs.yaml: the contract in the Open Data Contract Standard, for consumers.

It describes the rows that the cleaner accepted. Bronze holds them, and staging in the warehouse.
"""

from __future__ import annotations

from typing import Any

import yaml

from medallion.contract import VERSION, Column, Field, Total
from medallion.outputs.contract.tables import EDIT_NOTE, TABLES, Table, off_total, plain

_LOGICAL = {
    "text": "string",
    "timestamp": "timestamp",
    "date": "date",
    "integer": "integer",
    "decimal": "number",
    "bytes": "string",
}


def odcs() -> str:
    """Return the data contract as YAML."""
    contract = {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": "urn:medallion:retail",
        "name": "Retail Streaming Medallion",
        "version": str(VERSION),
        "status": "active",
        "domain": "retail",
        "description": {
            "purpose": "Purchases and returns of a retailer, line by line, as the cleaner accepted "
            "them, with the reference data that they are read with.",
            "usage": "An event may come twice: purchases_silver keeps one row per event_id. Days, "
            "amounts and metrics are in gold and in the marts.",
            "limitations": "Amounts are in the currency of the event. Times are UTC. customer_id "
            "is personal.",
        },
        "servers": [
            {
                "server": "home",
                "type": "local",
                "description": "Bronze in a home on this machine.",
                "path": "data/bronze/{model}/**/*.parquet",
                "format": "parquet",
            },
            {
                "server": "snowflake",
                "type": "snowflake",
                "description": "The account that infra/snowflake.sql has set up.",
                "account": "ORGANIZATION-ACCOUNT",
                "database": "RETAIL",
                "schema": "STAGING",
            },
        ],
        "schema": [_object(table) for table in TABLES],
    }
    text = yaml.safe_dump(contract, sort_keys=False, allow_unicode=True, width=100)
    return f"# {EDIT_NOTE}\n{text}"


def _object(table: Table) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "name": table.name,
        "physicalName": table.name,
        "physicalType": "table",
        "logicalType": "object",
        "description": table.feed.description if table.feed else table.grain,
        "dataGranularityDescription": table.grain,
        "properties": [_property(table, column) for column in table.columns],
    }
    if table.feed and table.feed.total:
        schema["quality"] = [_total_rule(table.feed.total)]
    return schema


def _property(table: Table, column: Column) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": column.name,
        "logicalType": _LOGICAL[column.type.kind],
        "physicalType": column.type.duckdb,
        "description": column.description,
        "required": table.is_never_null(column),
    }
    if column.name == "customer_id":
        described["classification"] = "personal"
    if isinstance(column, Field):
        bounds = {"minimum": column.minimum, "maximum": column.maximum}
        if options := {name: plain(bound) for name, bound in bounds.items() if bound is not None}:
            described["logicalTypeOptions"] = options
        if column.allowed:
            described["quality"] = [_allowed_rule(column)]
    return described


def _allowed_rule(field: Field) -> dict[str, Any]:
    return {
        "type": "library",
        "metric": "invalidValues",
        "description": f"{field.name} is one of the values that the contract allows.",
        "arguments": {"validValues": [*field.allowed, *dict(field.ended)]},
        "mustBe": 0,
    }


def _total_rule(total: Total) -> dict[str, Any]:
    return {
        "type": "sql",
        "description": f"{total.field} is {total.price} x {total.quantity} - {total.discount}.",
        "query": "SELECT COUNT(*) FROM ${table} WHERE " + off_total(total),
        "mustBe": 0,
    }
