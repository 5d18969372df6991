"""Amounts are rounded alike on DuckDB and by Snowflake's rule for products."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import duckdb
import pytest
from jinja2 import Environment

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
    (cast,) = re.findall(r"if_money\('cost_rate \* cost_in_its_currency', 14, '(.*?)'\)", model)
    by_rule = to_digits(product(COST, cost_scale, RATE, rate_scale), 4)
    sql = f"round(CAST({RATE}::DECIMAL(18,8) * {COST}::DECIMAL(18,6) AS {{}}), 4)"
    assert duckdb.sql(f"SELECT {sql.format(cast)}").fetchall() == [(by_rule,)]
    assert duckdb.sql(f"SELECT {sql.format('DECIMAL(28,14)')}").fetchall() != [(by_rule,)]


AMOUNTS = [0.0001, 0.005, 1.25, 12.5, 99.9999, 12_345.6789, 1e10, 99_999_999_999, 1e13, 7e13]
RATES = ["0.00000001", "0.5", "0.33333333", "1.5", "0.0625", "151.12345678"]


def macros() -> Any:
    """The macros of portable.sql as functions, with DuckDB's where the warehouses differ."""
    functions: dict[str, Any] = {"return": lambda value: value}
    text = (ROOT / "dbt" / "macros" / "portable.sql").read_text()
    module = Environment(extensions=["jinja2.ext.do"]).from_string(text, functions).module
    dispatch = {"dispatch": lambda name, _: getattr(module, f"duckdb__{name}")}
    functions["adapter"] = dispatch
    return Environment(extensions=["jinja2.ext.do"]).from_string(text, functions).module


def test_products_and_quotients_of_rates_are_exact() -> None:
    """Halves go away from zero, whatever the size and the sign."""
    module = macros()
    halves = [Decimal(n) / 10000 for n in range(-21, 22, 2)]
    amounts = [Decimal(str(a)).quantize(Decimal("0.0001")) for a in AMOUNTS]
    amounts += [-a for a in amounts] + halves
    pairs = [(a, Decimal(r)) for a in amounts for r in RATES]
    rows = ", ".join(f"({a}::DECIMAL(18,4), {r}::DECIMAL(20,8))" for a, r in pairs)
    product, quotient = module.times_rate("r", "a"), module.duckdb__by_rate("b", "r")
    results = duckdb.sql(
        "WITH t AS (SELECT *, CAST(a * 0.00001 AS DECIMAL(28,12)) AS b "
        f"FROM (VALUES {rows}) t(a, r))"
        f" SELECT a, r, b, CASE WHEN abs(r * a) < 1e14 THEN {product} END, {quotient} FROM t"
    ).fetchall()
    assert len(results) == len(pairs)
    for a, r, b, multiplied, divided in results:
        assert multiplied is None or multiplied == to_digits(a * r, 4), (a, r)
        assert divided == to_digits(b / r, 4), (b, r)


@pytest.mark.parametrize(("scale", "digits"), [(6, 4), (11, 6), (12, 4), (14, 12)])
def test_rounding_is_the_same_in_few_digits_and_in_many(scale: int, digits: int) -> None:
    """Amounts around the greatest that has 18 digits, halves and their neighbours, both signs."""
    last = Decimal(1).scaleb(-scale)
    half = Decimal(5).scaleb(-digits - 1)
    limit = Decimal(10) ** (18 - scale)
    amounts = [
        sign * (base + near)
        for sign in (1, -1)
        for base in (Decimal(0), Decimal(1), limit - 1, limit - last, limit, 10 * limit)
        for near in (Decimal(0), half - last, half, half + last, last)
    ]
    rows = ", ".join(f"({amount:f}::DECIMAL(38,{scale}))" for amount in amounts)
    sql = macros().rounded("a", scale, f"DECIMAL(28,{digits})")
    results = duckdb.sql(f"SELECT a, {sql} FROM (VALUES {rows}) t(a)").fetchall()
    assert results == [(amount, to_digits(amount, digits)) for amount in amounts]
