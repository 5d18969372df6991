"""The DuckDB connection of imports.

It has one thread, so that rows keep their order, bounded memory, and access to no other files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from medallion.contract import THOUSANDTHS, WHOLE_CURRENCIES

EXACT = "DECIMAL(38,10)"
"""The type in which numbers with a fraction are computed."""

BATCH_ROWS = 20_000

_UNIT_PRICE = f"""
CREATE MACRO unit_price(amount, quantity) AS (
    CASE WHEN quantity = 0 THEN CAST(amount AS DECIMAL(38,6))
    ELSE CAST(CAST(
        sign(CAST(amount AS {EXACT})) * sign(CAST(quantity AS {EXACT}))
        * ((CAST(abs(CAST(amount AS {EXACT})) * 10000000000 AS HUGEINT) * 2000000
            + CAST(abs(CAST(quantity AS {EXACT})) * 10000000000 AS HUGEINT))
           // (CAST(abs(CAST(quantity AS {EXACT})) * 10000000000 AS HUGEINT) * 2))
        AS DECIMAL(32,0)) * CAST(0.000001 AS DECIMAL(6,6)) AS DECIMAL(38,6)) END)
"""
"""The exact quotient amount / quantity to six decimals, rounded half away from zero. It is computed
in integers, because DuckDB would divide floats. For a quantity of 0 it is the amount, and the
cleaner rejects the row."""


_NUMBER = f"CREATE MACRO number(x) AS CAST(x AS {EXACT})"

_DECIMALS = f"""
CREATE MACRO decimals(currency) AS (
    CASE WHEN upper(currency) IN {WHOLE_CURRENCIES} THEN 0
    WHEN upper(currency) IN {THOUSANDTHS} THEN 3 ELSE 2 END)
"""
"""The decimals of a currency's smallest unit, as ISO 4217 lists them."""


_KNOWN_ZONE = """
CREATE MACRO known_zone(zone) AS (
    CASE WHEN list_contains({zones}, zone) THEN zone
    WHEN zone IS NOT NULL THEN CAST(CAST('no zone ' || zone AS INTEGER) AS VARCHAR) END)
"""
"""A time zone. An unknown one raises an error that TRY catches, unlike DuckDB's own error."""


@contextmanager
def engine(files: list[Path], scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection that can read `files`, use the folder `scratch`, and nothing else."""
    spill = scratch / "spill"
    spill.mkdir()
    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "memory_limit": "600MiB",
        "temp_directory": str(spill),
    }
    with duckdb.connect(config=settings) as con:
        con.execute("SET TimeZone = 'UTC'; SET python_enable_replacements = false")
        # It would move what two TRY() share out of both, where nothing catches its errors.
        con.execute("SET disabled_optimizers = 'common_subexpressions'")
        for macro in (_UNIT_PRICE, _NUMBER, _DECIMALS):
            con.execute(macro)
        zones = sorted(z for (z,) in con.execute("SELECT name FROM pg_timezone_names()").fetchall())
        con.execute(_KNOWN_ZONE.format(zones=zones))
        con.execute("SET allowed_paths = ?", [[str(f) for f in files]])
        con.execute("SET allowed_directories = ?", [[str(scratch)]])
        con.execute("SET enable_external_access = false; SET lock_configuration = true")
        yield con


def record_batches(con: duckdb.DuckDBPyConnection, query: str) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a query as they are computed."""
    with con.sql(query).to_arrow_reader(BATCH_ROWS) as reader:
        yield from reader
