"""The contract in the dbt project: sources.yml, and the columns of the models that pass it on."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

import yaml

from medallion.contract import CURRENCIES, FEEDS, LOAD_COLUMNS, PURCHASES, Column, Field
from medallion.outputs.contract.tables import EDIT_NOTE, TABLES, Table

_WIDTH = 100
_FRESH = ("purchases", "receipts")
"""Tables that grow as long as the shop is open; the others may rest for weeks."""

_HEAD = f"""\
# {EDIT_NOTE}
# What the loader (on a laptop) or Snowpipe (in the cloud) fills.
sources:
  - name: staging
    description: Bronze objects as rows, each object once.
    schema: staging
    loaded_at_field: loaded_at
    config:
      freshness:
        warn_after: {{count: 1, period: day}}
        error_after: {{count: 7, period: day}}
    tables:
"""


def sources() -> str:
    """Return dbt/models/sources.yml."""
    return _HEAD + "".join(_source(table) for table in TABLES)


def _source(table: Table) -> str:
    lines = [f"- name: {table.name}", *_described(table.grain)]
    if table.name not in _FRESH:
        lines.append("  config: {freshness: null}")
    head = "".join(f"      {line}\n" for line in [*lines, "  columns:"])
    return head + "".join(_entry(c, (), 10) for c in (*table.columns, *LOAD_COLUMNS))


def spine_columns() -> dict[str, str]:
    """Return the regions of dbt/models/schema.yml: the columns of bronze and silver that come from
    the contract, with the tests that follow from it."""
    table = next(t for t in TABLES if t.name == PURCHASES.name)
    load = [(c, ["not_null"] if c.name == "load_seq" else []) for c in LOAD_COLUMNS]
    bronze = [(c, _required(table, c)) for c in table.columns]
    silver = [(c, _tests(table, c)) for c in table.columns]
    kept = [(c, tests) for c, tests in load if c.name != "bronze_file"]
    return {"bronze": _entries([*bronze, *load]), "silver": _entries([*silver, *kept])}


def ops_columns() -> dict[str, str]:
    """Return the regions of dbt/models/ops/ops.yml: the columns of quarantine and receipts."""
    return {
        table.name: _entries(
            (c, ["not_null"] if c.name in _KEPT else []) for c in (*table.columns, *LOAD_COLUMNS)
        )
        for table in TABLES
        if table.name not in FEEDS
    }


_KEPT = ("reason", "source_file", "source_line")
"""Columns that say of a line what became of it, and where it stands."""


def _required(table: Table, column: Column) -> list[str]:
    """Return the test of bronze, which holds what the cleaner accepted: nothing but presence."""
    is_default = isinstance(column, Field) and column.default is not None
    return ["not_null"] if table.is_never_null(column) and not is_default else []


def _tests(table: Table, column: Column) -> list[str]:
    """Return the tests of silver: presence, the key, allowed values, the least value."""
    tests = ["not_null"] if table.is_never_null(column) else []
    if table.feed and column.name == table.feed.key:
        tests.append("unique")
    if isinstance(column, Field) and column.allowed and column.allowed != CURRENCIES:
        values = ", ".join(column.allowed)
        tests.append(f"accepted_values: {{arguments: {{values: [{values}]}}}}")
    if isinstance(column, Field) and column.minimum is not None:
        tests.append(f"at_least: {{arguments: {{minimum: {column.minimum}}}}}")
    return tests


def _entries(columns: Iterable[tuple[Column, list[str]]]) -> str:
    return "".join(_entry(column, tests, 6) for column, tests in columns)


def _entry(column: Column, tests: Iterable[str], indent: int) -> str:
    """Return the lines of one column, `indent` characters from the left."""
    lines = [f"- name: {column.name}", f"  data_type: {column.type.duckdb.lower()}"]
    lines += _described(column.description)
    if any(":" in test for test in tests):
        lines += ["  data_tests:", *(f"    - {test}" for test in tests)]
    elif tests:
        lines.append(f"  data_tests: [{', '.join(tests)}]")
    return "".join(f"{' ' * indent}{line}\n" for line in lines)


def _described(text: str) -> list[str]:
    """Return a description: on its own line where YAML reads that as it stands, else folded."""
    line = f"  description: {text}"
    try:
        is_plain = yaml.safe_load(line) == {"description": text}
    except yaml.YAMLError:
        is_plain = False
    if is_plain and len(line) <= _WIDTH - 10:
        return [line]
    return ["  description: >", *(f"    {part}" for part in textwrap.wrap(text, _WIDTH - 16))]
