"""Amounts round once, on DuckDB and by Snowflake's rule for products."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal

import duckdb

from medallion.layers.staging import TABLES
from tests.conftest import ROOT

COST, RATE = Decimal("0.000050"), Decimal("0.99999999")
"""Their product, 0.0000499999995, is 0.0000 in four decimals; rounded to twelve first, 0.0001."""


def to_digits(value: Decimal, digits: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def product(a: Decimal, a_scale: int, b: Decimal, b_scale: int) -> Decimal:
    """Return a product as Snowflake has it: of min(S1 + S2, max(S1, S2, 12)) decimals
    (docs.snowflake.com/en/sql-reference/operators-arithmetic, Multiplication)."""
    return to_digits(a * b, min(a_scale + b_scale, max(a_scale, b_scale, 12)))


def test_a_cost_is_converted_with_one_rounding() -> None:
    """The cast in the model keeps all decimals of cost times rate; without it, Snowflake's result
    is another one than DuckDB's."""
    scales = {}
    for feed, name in (("products", "cost"), ("fx_rates", "rate")):
        scales[name] = int(re.findall(r",(\d+)\)", TABLES[feed][name].snowflake)[0])
    model = (ROOT / "dbt" / "macros" / "sales_lines.sql").read_text()
    ((precision, cast),) = re.findall(r"cast\(cost_rate as decimal\((\d+),(\d+)\)\) \*", model)
    once = to_digits(COST * RATE, 4)
    assert to_digits(product(COST, scales["cost"], RATE, int(cast)), 4) == once
    assert to_digits(product(COST, scales["cost"], RATE, scales["rate"]), 4) != once
    sql = f"round({RATE}::DECIMAL({precision},{cast}) * ({COST}::DECIMAL(18,6) * 1::BIGINT), 4)"
    assert duckdb.sql(f"SELECT {sql}").fetchall() == [(once,)]
