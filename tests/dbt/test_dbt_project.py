"""The spine of the dbt project: what silver keeps, which days gold rebuilds, what tests catch."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest

from tests.dbt.dbt_warehouse import (  # noqa: F401
    manifest_fixture,
    new_warehouse_fixture,
    warehouse_fixture,
)

SPINE = ("--select", "bronze", "silver", "dim_products", "gold")
STREAM = ("--select", "+tag:stream")
CHECKS = (
    "test_silver_keeps_earliest",
    "test_silver_is_complete",
    "test_gold_equals_silver",
    "test_gold_net_sales_identity",
    "test_total_amount_consistency",
)
SILVER = "silver.purchases_silver"
GOLD = "gold.purchases_gold"


def sale(event_id: str, ts: str, price: str = "1", **changes: Any) -> dict[str, Any]:
    return {"event_id": event_id, "ts": ts, "price": price} | changes


def test_models_and_tests_pass_on_good_data(warehouse: Any) -> None:
    """Everything builds on empty staging tables too, again on data, and every test holds."""
    warehouse.run()
    warehouse.load(
        "products", {"product_id": "P1", "ts": "2026-01-01", "category": "grocery", "price": 1}
    )
    warehouse.sell(
        sale("a", "2026-01-01 10:00", "2.5", quantity=2, discount_amount="0.25", basket_id="b"),
        sale("b", "2026-01-01 10:00", "0.333333", quantity=3, basket_id="b", total_amount="1.00"),
        sale("c", "2026-01-02 10:00", "2.5", event_type="return", original_event_id="a"),
        sale("d", "2026-01-02 10:00", "7", currency="EUR", product_id="never described"),
    )
    warehouse.run()
    assert warehouse.failures() == {}
    assert warehouse.rows(
        "SELECT currency, transactions, lines, gross_sales, discounts, returns, net_sales "
        f"FROM {GOLD} ORDER BY sales_date, currency"
    ) == [
        ("USD", 1, 2, Decimal("6.0000"), Decimal("0.2500"), 0, Decimal("5.7500")),
        ("EUR", 1, 1, 7, 0, 0, 7),
        ("USD", 0, 1, 0, 0, Decimal("2.5000"), Decimal("-2.5000")),
    ]


def test_amounts_are_decimals(warehouse: Any) -> None:
    """No column of silver or gold is a floating-point number."""
    warehouse.sell(sale("a", "2026-01-01"))
    warehouse.run()
    types = warehouse.rows(
        "SELECT DISTINCT data_type FROM information_schema.columns "
        "WHERE table_schema IN ('bronze', 'silver', 'gold', 'marts')"
    )
    assert not {t for (t,) in types} & {"DOUBLE", "FLOAT", "HUGEINT"}


@pytest.mark.parametrize("total, fails", [("5.01", 0), ("5.0101", 1), ("4.98", 1), (None, 1)])
def test_the_total_amount_test_can_fail(warehouse: Any, total: str | None, fails: int) -> None:
    """A total that is off by more than the tolerance, or absent, fails the custom test."""
    warehouse.sell(
        sale("good", "2026-01-01", "2.5", quantity=2),
        sale("planted", "2026-01-01", "2.5", quantity=2, total_amount=total),
    )
    warehouse.run(*SPINE)
    failed = warehouse.failures("--select", "test_total_amount_consistency")
    assert failed == ({"test_total_amount_consistency": 1} if fails else {})


@pytest.mark.parametrize(
    "planted, test",
    [
        ({"price": "-1"}, "at_least_silver_price__0"),
        ({"event_type": "refund"}, "accepted_values_silver_event_type__purchase__return"),
        ({"store_id": None}, "not_null_silver_store_id"),
        ({"source_file": "raw/purchases/f001.ndjson", "source_line": 1}, "unique_bronze_bronze_id"),
    ],
)
def test_planted_rows_fail_their_test(warehouse: Any, planted: dict[str, Any], test: str) -> None:
    """A negative price, an unknown type, a missing store and a row that was staged twice show."""
    warehouse.sell(sale("good", "2026-01-01"))
    warehouse.sell(sale("planted", "2026-01-01") | planted)
    warehouse.run(*SPINE)
    assert test in warehouse.failures("--select", "bronze", "silver", "--exclude", "test_type:unit")


def test_gold_that_differs_from_silver_fails(warehouse: Any) -> None:
    """A ten-thousandth in one day of gold is found, and so is a day too many."""
    warehouse.sell(sale("a", "2026-01-01"), sale("b", "2026-01-02"))
    warehouse.run(*SPINE)
    select = ("--select", "test_gold_equals_silver", "test_gold_net_sales_identity")
    assert warehouse.failures(*select) == {}
    warehouse.db.execute(
        f"UPDATE {GOLD} SET net_sales = net_sales + 0.0001 WHERE sales_date = '2026-01-01'"
    )
    warehouse.db.execute(
        f"INSERT INTO {GOLD} BY NAME SELECT * REPLACE (DATE '2025-01-01' AS sales_date, "
        f"0 AS net_sales, 0 AS gross_sales) FROM {GOLD} LIMIT 1"
    )
    assert warehouse.failures(*select) == {
        "test_gold_equals_silver": 2,
        "test_gold_net_sales_identity": 1,
    }


def test_a_copy_on_another_day_is_found(warehouse: Any) -> None:
    """A second event_id with another ts, loaded later, adds nothing anywhere."""
    models = (*SPINE, "purchases_duplicates")
    warehouse.sell(sale("a", "2026-01-01", "5"), sale("b", "2026-01-02", "7"))
    warehouse.run(*models)
    before = warehouse.table(SILVER), warehouse.table(GOLD)
    warehouse.sell(sale("a", "2026-03-01", "5"), arrived="2026-06-02")
    warehouse.run(*models)
    assert (warehouse.table(SILVER), warehouse.table(GOLD)) == before
    assert warehouse.rows(
        "SELECT event_id, CAST(dt AS VARCHAR), CAST(kept_dt AS VARCHAR) "
        "FROM ops.purchases_duplicates"
    ) == [("a", "2026-03-01", "2026-01-01")]


def test_an_earlier_arrival_takes_the_place(warehouse: Any) -> None:
    """A copy that arrived earlier, though loaded later, moves the sale to its own day; a day that
    loses its last line leaves gold."""
    warehouse.sell(sale("a", "2026-01-01", "5"), sale("b", "2026-01-02", "7"))
    warehouse.run(*SPINE)
    warehouse.sell(sale("a", "2026-01-03", "6"), arrived="2026-05-01")
    warehouse.run(*SPINE)
    assert warehouse.gold() == {"2026-01-02": 7, "2026-01-03": 6}
    assert warehouse.failures("--select", *CHECKS) == {}


def test_a_late_event_changes_only_its_day(warehouse: Any) -> None:
    """An event of thirty days ago changes that day; the rows of the other days are not written."""
    warehouse.sell(*(sale(f"e{d}", f"2026-01-{d:02}", "2") for d in range(1, 31)))
    warehouse.run(*SPINE)
    # A mark that is wiped out where a row is written.
    warehouse.db.execute(f"UPDATE {GOLD} SET average_order_value = 99")
    warehouse.sell(sale("late", "2026-01-01 23:59:59.999", "3"))
    warehouse.run(*SPINE)
    written = (
        f"SELECT CAST(sales_date AS VARCHAR), net_sales FROM {GOLD} WHERE average_order_value <> 99"
    )
    assert warehouse.rows(written) == [("2026-01-01", 5)]


def test_a_repeated_run_changes_nothing(warehouse: Any) -> None:
    """Without new rows, and after a load of nothing but copies, all relations stay as they are."""
    events = [sale(f"e{n}", f"2026-01-{n:02}", "2") for n in range(1, 9)]
    warehouse.sell(*events)
    warehouse.run(*STREAM)
    marts = ("marts.sales_hourly", "marts.sales_hourly_product", "marts.sales_daily_product")
    before = {name: warehouse.table(name) for name in (SILVER, GOLD, *marts)}
    warehouse.run(*STREAM)
    warehouse.sell(*events, arrived="2026-06-05")
    warehouse.run(*STREAM)
    warehouse.run(*STREAM)
    assert {name: warehouse.table(name) for name in before} == before


def test_a_run_killed_between_silver_and_gold_loses_nothing(warehouse: Any) -> None:
    """Silver advanced twice without gold, once by replacing a row: the next run catches up."""
    warehouse.sell(sale("a", "2026-01-01", "5"), sale("b", "2026-01-02", "7"))
    warehouse.run(*SPINE)
    warehouse.sell(sale("c", "2026-01-03", "1"))
    warehouse.run("--select", "silver")
    warehouse.sell(sale("a", "2026-01-04", "6"), arrived="2026-05-01")
    warehouse.run("--select", "silver")
    warehouse.run(*SPINE)
    assert_as_rebuilt(warehouse)


def test_a_failed_model_leaves_the_tables_as_they_were(warehouse: Any) -> None:
    """An error in the middle of silver's statements rolls all of them back."""
    warehouse.sell(sale("a", "2026-01-01", "5"))
    warehouse.run(*SPINE)
    before = warehouse.table(SILVER)
    # The copy takes the place of `a`; then a row whose amount overflows stops the insertion.
    warehouse.sell(sale("a", "2026-01-02", "6"), arrived="2026-05-01")
    warehouse.db.execute(f"ALTER TABLE {SILVER} ALTER price TYPE DECIMAL(2,1)")
    warehouse.sell(sale("big", "2026-01-02", "99999"))
    with pytest.raises(AssertionError):
        warehouse.run("--select", "silver")
    assert [r[0] for r in warehouse.table(SILVER)] == [r[0] for r in before]
    assert warehouse.rows(f"SELECT count(*) FROM {SILVER} WHERE dt = '2026-01-01'") == [(1,)]


def test_increments_equal_a_full_refresh(warehouse: Any) -> None:
    """Eight random loads with copies, moves and late events give the rows that one run gives."""
    rng = random.Random(11)
    for _ in range(8):
        events = []
        for _ in range(60):
            number = rng.randrange(300)
            events.append(
                sale(
                    f"e{number}",
                    f"2026-01-{rng.randrange(1, 15):02} {rng.randrange(24):02}:00",
                    f"{rng.randrange(1, 900) / 100:.2f}",
                    quantity=rng.randrange(1, 4),
                    event_type=rng.choice(["purchase", "purchase", "return"]),
                    currency=rng.choice(["USD", "EUR"]),
                    basket_id=f"b{number // 3}",
                    product_id=f"P{rng.randrange(20)}",
                )
            )
        warehouse.sell(*events, arrived=f"2026-06-{rng.randrange(1, 29):02}")
        warehouse.run(*SPINE)
    moved = f"SELECT count(*) FROM {SILVER} WHERE first_load_seq < load_seq"
    assert warehouse.rows(moved) > [(10,)]
    assert_as_rebuilt(warehouse)
    assert warehouse.failures("--select", *CHECKS) == {}


def assert_as_rebuilt(warehouse: Any) -> None:
    """Assert that silver and gold equal the result of a full refresh."""
    incremental = warehouse.table(SILVER), warehouse.table(GOLD)
    warehouse.run(*SPINE, "--full-refresh")
    assert (warehouse.table(SILVER), warehouse.table(GOLD)) == incremental
