"""The contract in the dbt project: sources.yml, and the columns that models take over from it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from decimal import Decimal

import yaml

from medallion.contract import (
    CURRENCIES,
    FEEDS,
    LOAD_COLUMNS,
    PURCHASES,
    TIME_ZONES,
    Column,
    Field,
    Total,
)
from medallion.outputs.contract.tables import EDIT_NOTE, TABLES, Table, off_total

_WIDTH = 100
_FRESH = ("purchases", "receipts")
"""Tables that get rows every day that a shop is open; others may not change for weeks."""

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
    """Return the text of dbt/models/sources.yml."""
    return _HEAD + "".join(_source(table) for table in TABLES)


def time_zones() -> str:
    """Return the text of dbt/macros/time_zones.sql."""
    names = textwrap.fill(" ".join(TIME_ZONES), 96, break_on_hyphens=False)
    return f"""\
{{#- {EDIT_NOTE}
    The IANA time zones with their links. A warehouse stops at the name of an unknown zone, so
    dim_stores compares the stores' zones with this list first. It is a macro, not a seed: a seed
    would need `dbt seed` before the first `dbt run`. -#}}
{{% macro time_zones() -%}}
{{%- set names -%}}
{names}
{{%- endset -%}}
{{{{ return(names.split()) }}}}
{{%- endmacro %}}
"""


def off_total_macro() -> str:
    """Return the text of dbt/macros/off_total.sql."""
    return f"""\
{{#- {EDIT_NOTE}
    Whether the total of a line is further from its parts than the contract allows. -#}}
{{% macro off_total() -%}}
{off_total(PURCHASES.total or Total())}
{{%- endmacro %}}
"""


def _source(table: Table) -> str:
    lines = [f"- name: {table.name}", *_described(table.grain)]
    if table.name not in _FRESH:
        lines.append("  config: {freshness: null}")
    head = "".join(f"      {line}\n" for line in [*lines, "  columns:"])
    return head + "".join(_entry(c, (), 10) for c in (*table.columns, *LOAD_COLUMNS))


def spine_columns() -> dict[str, str]:
    """Return the generated regions of dbt/models/schema.yml, by name.

    They list the columns of bronze and silver that come from the contract, with the data tests that
    the contract implies.
    """
    table = next(t for t in TABLES if t.name == PURCHASES.name)
    load = [(c, ["not_null"] if c.name == "load_seq" else []) for c in LOAD_COLUMNS]
    bronze = [(c, _required(table, c)) for c in table.columns]
    silver = [(c, _tests(table, c)) for c in table.columns]
    silver_load = [(c, tests) for c, tests in load if c.name != "bronze_file"]
    return {"bronze": _entries([*bronze, *load]), "silver": _entries([*silver, *silver_load])}


def ops_columns() -> dict[str, str]:
    """Return the generated regions of dbt/models/ops/ops.yml.

    They are the columns of quarantine and receipts, and the payload of two copies in conflict.
    """
    payload = [field for field in PURCHASES.fields if field.name not in _NO_PAYLOAD]
    both = [(c, list[str]()) for field in payload for c in (field, _kept(field))]
    return {"conflicts": _entries(both)} | {
        table.name: _entries(
            (c, ["not_null"] if c.name in _NOT_NULL else [])
            for c in (*table.columns, *LOAD_COLUMNS)
        )
        for table in TABLES
        if table.name not in FEEDS
    }


_NO_PAYLOAD = ("event_id", "corrected_at", "schema_version")
"""The fields in which copies of an event may differ without a contradiction."""


def _kept(field: Field) -> Column:
    return Column(f"kept_{field.name}", field.type, f"The {field.name} that silver keeps.")


_NOT_NULL = ("reason", "source_file", "source_line")
"""The columns of quarantine and receipts that dbt tests for NULL."""


def _required(table: Table, column: Column) -> list[str]:
    """Return the tests of a bronze column: at most not_null, since the cleaner checked the rest."""
    is_default = isinstance(column, Field) and column.default is not None
    return ["not_null"] if table.is_never_null(column) and not is_default else []


def _tests(table: Table, column: Column) -> list[str]:
    """Return the tests of a silver column: presence, unique key, allowed values, minimum."""
    tests = ["not_null"] if table.is_never_null(column) else []
    if table.feed and column.name == table.feed.key:
        tests.append("unique")
    if isinstance(column, Field) and column.allowed and column.allowed != CURRENCIES:
        values = ", ".join(column.allowed)
        tests.append(f"accepted_values: {{arguments: {{values: [{values}]}}}}")
    if isinstance(column, Field) and column.minimum is not None:
        tests.append(f"at_least: {{arguments: {{minimum: {Decimal(column.minimum):f}}}}}")
    return tests


def _entries(columns: Iterable[tuple[Column, list[str]]]) -> str:
    return "".join(_entry(column, tests, 6) for column, tests in columns)


def _entry(column: Column, tests: Iterable[str], indent: int) -> str:
    """Return the YAML of one column, indented by `indent` spaces."""
    lines = [f"- name: {column.name}", f"  data_type: {column.type.duckdb.lower()}"]
    lines += _described(column.description)
    if any(":" in test for test in tests):
        lines += ["  data_tests:", *(f"    - {test}" for test in tests)]
    elif tests:
        lines.append(f"  data_tests: [{', '.join(tests)}]")
    return "".join(f"{' ' * indent}{line}\n" for line in lines)


def _described(text: str) -> list[str]:
    """Return the lines of a description.

    It stands on one line where YAML reads that line unchanged, and is folded otherwise.
    """
    line = f"  description: {text}"
    try:
        is_plain = yaml.safe_load(line) == {"description": text}
    except yaml.YAMLError:
        is_plain = False
    if is_plain and len(line) <= _WIDTH - 10:
        return [line]
    return ["  description: >", *(f"    {part}" for part in textwrap.wrap(text, _WIDTH - 16))]
