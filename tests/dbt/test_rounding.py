"""Amounts are rounded alike on DuckDB and by Snowflake's rule for products."""

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


def test_a_cost_is_rounded_alike_in_both_warehouses() -> None:
    """Cost times rate has 14 decimals on DuckDB and 12 in Snowflake. The model casts the product to
    12, so that DuckDB rounds where Snowflake does."""
    scales = []
    for feed, name in (("products", "cost"), ("fx_rates", "rate")):
        scales += re.findall(r",(\d+)\)", TABLES[feed][name].snowflake)
    cost_scale, rate_scale = map(int, scales)
    model = (ROOT / "dbt" / "macros" / "sales_lines.sql").read_text()
    (cast,) = re.findall(r"if_money\('cost_rate \* cost_in_its_currency', '(.*?)'\)", model)
    by_rule = to_digits(product(COST, cost_scale, RATE, rate_scale), 4)
    sql = f"round(CAST({RATE}::DECIMAL(18,8) * {COST}::DECIMAL(18,6) AS {{}}), 4)"
    assert duckdb.sql(f"SELECT {sql.format(cast)}").fetchall() == [(by_rule,)]
    assert duckdb.sql(f"SELECT {sql.format('DECIMAL(28,14)')}").fetchall() != [(by_rule,)]
