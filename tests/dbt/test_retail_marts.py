"""The retail model: what late products, stores and rates repair, and what an increment costs."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.dbt.dbt_warehouse import (  # noqa: F401
    manifest_fixture,
    new_warehouse_fixture,
    warehouse_fixture,
)

STREAM = ("--select", "+tag:stream")
RANKED = ("top_movers", "store_ranking")
INCREMENTAL = (
    "sales_hourly",
    "sales_hourly_product",
    "sales_daily_product",
    "dim_products",
    "dim_stores",
)


def sale(event_id: str, ts: str, price: str = "1", **changes: Any) -> dict[str, Any]:
    return {"event_id": event_id, "ts": ts, "price": price} | changes


def assert_as_rebuilt(warehouse: Any) -> None:
    """Assert that the incremental marts and dimensions equal the result of a full refresh."""
    before = {name: warehouse.table(f"marts.{name}") for name in INCREMENTAL}
    warehouse.run(*STREAM, "--full-refresh")
    assert {name: warehouse.table(f"marts.{name}") for name in INCREMENTAL} == before


def test_a_late_product_repairs_the_sales_of_its_time(warehouse: Any) -> None:
    """A product that comes after its sales takes the unknown one's place; so does an older version
    that comes after a newer one, and only the days in which it held are rebuilt."""
    warehouse.sell(*(sale(f"e{d}", f"2026-01-{d:02}", "2") for d in range(1, 6)))
    warehouse.run(*STREAM)
    categories = (
        "SELECT day(sales_date), category, cost_of_sales FROM marts.sales_daily_product ORDER BY 1"
    )
    assert {row[1] for row in warehouse.rows(categories)} == {"(unknown)"}
    product = {"product_id": "P1", "currency": "USD"}
    warehouse.load("products", product | {"ts": "2026-01-04", "category": "new", "cost": "1.5"})
    warehouse.run(*STREAM)
    assert [row[1] for row in warehouse.rows(categories)] == ["new"] * 5
    warehouse.db.execute("UPDATE marts.sales_daily_product SET tax = 99")
    warehouse.load("products", product | {"ts": "2026-01-02", "category": "old", "cost": "1.2"})
    warehouse.load("products", product | {"ts": "2026-01-03", "category": "mid"})
    warehouse.run(*STREAM)
    # The first version holds for all time before it as well.
    assert [row[1] for row in warehouse.rows(categories)] == ["old", "old", "mid", "new", "new"]
    kept = "SELECT day(sales_date) FROM marts.sales_daily_product WHERE tax = 99 ORDER BY 1"
    assert warehouse.rows(kept) == [(4,), (5,)]
    warehouse.run(*STREAM, "--full-refresh")
    assert [r[2] for r in warehouse.rows(categories)] == [
        Decimal("1.2"),
        Decimal("1.2"),
        None,
        Decimal("1.5"),
        Decimal("1.5"),
    ]


def test_a_store_moves_its_sales_to_its_own_day(warehouse: Any) -> None:
    """A store that is described late, or anew, moves its sales to the local day."""
    warehouse.sell(sale("e", "2026-01-02 03:00"))
    days = "SELECT sales_date, sales_hour, transactions FROM marts.sales_hourly"
    warehouse.run(*STREAM)
    assert warehouse.rows(days) == [(date(2026, 1, 2), 3, 1)]
    store = {"store_id": "S1", "currency": "USD"}
    warehouse.load("stores", store | {"ts": "2026-01-01", "time_zone": "America/New_York"})
    warehouse.run(*STREAM)
    assert warehouse.rows(days) == [(date(2026, 1, 1), 22, 1)]
    warehouse.load("stores", store | {"ts": "2026-01-03", "time_zone": "Asia/Tokyo"})
    warehouse.run(*STREAM)
    assert warehouse.rows(days) == [(date(2026, 1, 2), 12, 1)]
    warehouse.load("stores", store | {"ts": "2026-01-04", "time_zone": "No/Where"})
    warehouse.run(*STREAM)
    assert warehouse.rows(days) == [(date(2026, 1, 2), 3, 1)]
    assert_as_rebuilt(warehouse)


@pytest.mark.parametrize(
    ("zone", "first", "second"),
    [
        ("America/New_York", "2026-11-01 05:10", "2026-11-01 06:50"),
        ("Antarctica/Casey", "2018-03-10 15:10", "2018-03-10 18:50"),
    ],
)
def test_a_local_hour_that_comes_twice(warehouse: Any, zone: str, first: str, second: str) -> None:
    """Clocks are set back by one hour, or by three: both sales are of one hour of the shop."""
    store = {"store_id": "S1", "currency": "USD", "ts": "2018-01-01", "time_zone": zone}
    warehouse.load("stores", store)
    warehouse.sell(sale("a", first))
    warehouse.run(*STREAM)
    warehouse.sell(sale("b", second))
    warehouse.run(*STREAM)
    hours = "SELECT lines, transactions FROM marts.sales_hourly_product"
    assert warehouse.rows(hours) == [(2, 2)]
    assert_as_rebuilt(warehouse)


@pytest.mark.parametrize(
    ("zone", "first", "newest"),
    [
        ("UTC", "2026-05-13 00:00", "2026-05-20 23:59:59"),
        ("Pacific/Kiritimati", "2026-05-12 10:00", "2026-05-20 09:59:59"),
        ("Pacific/Pago_Pago", "2026-05-13 11:00", "2026-05-21 10:59:59"),
        ("Europe/Berlin", "2025-10-24 22:00", "2025-11-01 22:59:59"),  # clocks were set back
    ],
)
def test_the_live_page_holds_two_whole_days(
    warehouse: Any, zone: str, first: str, newest: str
) -> None:
    """From the first second of a local day to the last of the same day a week later, and no more
    than the two days."""
    warehouse.load("settings", {"reporting_currency": "USD", "time_zone": zone})
    began = datetime.fromisoformat(first)
    beside = (began - timedelta(seconds=1), began, began + timedelta(hours=25))
    warehouse.sell(*(sale(str(time), str(time)) for time in beside))
    warehouse.run(*STREAM)
    warehouse.sell(sale("newest", newest))
    warehouse.run(*STREAM)
    for relation in ("live_today", "live_products"):
        rows = warehouse.rows(
            f"SELECT sales_day, sum(lines) FROM marts.{relation} GROUP BY 1 ORDER BY 1"
        )
        assert [lines for _, lines in rows] == [1, 1], relation
        assert (rows[1][0] - rows[0][0]).days == 7


def test_a_late_rate_converts_what_waited_for_it(warehouse: Any) -> None:
    """Sales in a currency without a rate are counted, not converted; a late rate converts them."""
    warehouse.sell(
        sale("a", "2026-01-02", "10", currency="EUR"), sale("b", "2026-01-02", "5", currency="USD")
    )
    warehouse.run(*STREAM)
    sums = (
        "SELECT currency, net_sales, reporting_net_sales, unconverted_lines "
        "FROM marts.sales_hourly ORDER BY 1"
    )
    assert warehouse.rows(sums) == [("EUR", 10, None, 1), ("USD", 5, 5, 0)]
    warehouse.load(
        "fx_rates",
        {
            "currency": "EUR",
            "ts": "2026-01-01",
            "reporting_currency": "USD",
            "rate": "1.23456",
        },
    )
    warehouse.run(*STREAM)
    assert warehouse.rows(sums) == [("EUR", 10, Decimal("12.3456"), 0), ("USD", 5, 5, 0)]
    assert_as_rebuilt(warehouse)


def test_increments_equal_a_full_refresh(warehouse: Any) -> None:
    """Random loads of all feeds, with copies and late dimensions, give what one run gives."""
    rng = random.Random(5)

    def moment() -> str:
        return f"2026-01-{rng.randrange(1, 12):02} {rng.randrange(24):02}:{rng.randrange(60):02}"

    for _ in range(6):
        events = [
            sale(
                f"e{rng.randrange(150)}",
                moment(),
                f"{rng.randrange(1, 900) / 100:.2f}",
                event_type=rng.choice(["purchase", "purchase", "return"]),
                currency=rng.choice(["USD", "EUR"]),
                basket_id=f"b{rng.randrange(50)}",
                product_id=f"P{rng.randrange(8)}",
                store_id=f"S{rng.randrange(3)}",
            )
            for _ in range(40)
        ]
        warehouse.sell(*events, arrived=f"2026-06-{rng.randrange(1, 29):02}")
        if rng.random() < 0.7:
            warehouse.load(
                "products",
                {
                    "product_id": f"P{rng.randrange(8)}",
                    "ts": moment(),
                    "currency": "USD",
                    "category": rng.choice("abc"),
                    "cost": f"{rng.randrange(1, 90) / 100:.2f}",
                },
            )
        if rng.random() < 0.7:
            warehouse.load(
                "stores",
                {
                    "store_id": f"S{rng.randrange(3)}",
                    "ts": moment(),
                    "currency": "USD",
                    "time_zone": rng.choice(["Asia/Tokyo", "America/Lima", "UTC"]),
                },
            )
        if rng.random() < 0.7:
            warehouse.load(
                "fx_rates",
                {
                    "currency": "EUR",
                    "ts": moment(),
                    "reporting_currency": "USD",
                    "rate": f"1.{rng.randrange(1, 999):03}",
                },
            )
        warehouse.run(*STREAM)
    assert_as_rebuilt(warehouse)
    warehouse.run()
    assert warehouse.failures("--select", "test_type:singular") == {}


@pytest.mark.parametrize(
    "year, start, weeks",
    [
        (2006, date(2006, 1, 29), 53),
        (2012, date(2012, 1, 29), 53),
        (2017, date(2017, 1, 29), 53),
        (2018, date(2018, 2, 4), 52),
        (2023, date(2023, 1, 29), 53),
        (2024, date(2024, 2, 4), 52),
        (2025, date(2025, 2, 2), 52),
        (2026, date(2026, 2, 1), 52),
    ],
)
def test_retail_years(built: Any, year: int, start: date, weeks: int) -> None:
    """Retail years begin and end as the National Retail Federation's calendars print them."""
    assert built.rows(
        "SELECT min(date_day), max(retail_week), count(*) FROM marts.dim_dates "
        f"WHERE retail_year = {year}"
    ) == [(start, weeks, weeks * 7)]


def test_retail_months_have_four_five_and_four_weeks(built: Any) -> None:
    """A 53rd week makes the last month five weeks long."""
    weeks = (
        "SELECT count(DISTINCT retail_week) FROM marts.dim_dates WHERE retail_year = {} "
        "GROUP BY retail_month ORDER BY retail_month"
    )
    assert [n for (n,) in built.rows(weeks.format(2024))] == [4, 5, 4] * 4
    assert [n for (n,) in built.rows(weeks.format(2023))] == [4, 5, 4] * 3 + [4, 5, 5]


@pytest.fixture(scope="module")
def built(manifest: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A warehouse with the calendar."""
    from tests.dbt.dbt_warehouse import Warehouse

    warehouse = Warehouse(tmp_path_factory.mktemp("calendar"), manifest)
    warehouse.run("--select", "dim_dates")
    yield warehouse
    warehouse.db.close()


def test_a_shop_without_rates_and_master_data_shows_its_own(warehouse: Any) -> None:
    """It reports in its only currency, by ids and the till's category; a second currency makes it
    USD, and what has no rate is counted, not summed."""
    figures = (
        "SELECT sum(reporting_net_sales), sum(unconverted_lines) FROM marts.sales_hourly",
        "SELECT currency FROM marts.live_clock",
        "SELECT DISTINCT product_name, category FROM marts.fct_sales_line",
        "SELECT store_name FROM marts.dim_stores WHERE store_id <> '(unknown)'",
        "SELECT category FROM marts.dim_products WHERE product_id <> '(unknown)'",
        "SELECT product_name, category, net_sales FROM marts.top_movers",
    )
    first = sale("a", "2026-01-01", "2", currency="EUR", category="coffee")
    warehouse.sell(first)
    warehouse.run(*STREAM, *RANKED)
    answers = [warehouse.rows(sql) for sql in figures]
    assert answers[:4] == [[(2, 0)], [("EUR",)], [("P1", "coffee")], [("S1",)]]
    assert answers[4:] == [[("coffee",)], [("P1", "coffee", 2)]]
    warehouse.sell(sale("b", "2026-01-02", "3", currency="USD", category="coffee"))
    warehouse.run(*STREAM, *RANKED)
    assert [warehouse.rows(sql) for sql in figures[:2]] == [[(3, 1)], [("USD",)]]
    assert_as_rebuilt(warehouse)


def test_the_category_of_an_undescribed_product_is_what_the_till_named_first(
    warehouse: Any,
) -> None:
    """Also when its first sale had none; later names do not change it, nor that of a line."""
    category = (
        "SELECT category FROM marts.dim_products WHERE product_id = 'P1'",
        "SELECT list(category ORDER BY event_id) FROM marts.fct_sales_line",
    )
    expected = [
        (None, "(unknown)", ["(unknown)"]),
        ("tea", "tea", ["(unknown)", "tea"]),
        ("coffee", "tea", ["(unknown)", "tea", "coffee"]),
        ("apples", "tea", ["(unknown)", "tea", "coffee", "apples"]),
    ]
    for n, (sold_as, of_product, of_lines) in enumerate(expected):
        warehouse.sell(sale(f"e{n}", "2026-01-01", "2", category=sold_as))
        warehouse.run(*STREAM, *RANKED)
        assert [warehouse.rows(sql) for sql in category] == [[(of_product,)], [(of_lines,)]]
    assert_as_rebuilt(warehouse)


def test_what_has_no_rate_is_null_in_every_sum(warehouse: Any) -> None:
    """Not 0: of the live models, the movers and the ranking; beside a line with a rate the sum is
    that of the known ones, and a period without a sale is 0."""
    sums = {
        "live_sales": ("reporting_net_sales", "reporting_gross_sales", "reporting_returns"),
        "live_today": ("reporting_net_sales", "reporting_discounts"),
        "live_products": ("reporting_net_sales",),
        "top_movers": ("net_sales", "change", "growth_rate"),
        "store_ranking": ("net_sales", "same_store_growth_rate"),
    }
    day = "2026-05-31 10:00"
    warehouse.sell(*(sale(c, day, "2", currency=c) for c in ("EUR", "GBP")))
    warehouse.run(*STREAM, *RANKED)
    for relation, columns in sums.items():
        shown = warehouse.rows(f"SELECT DISTINCT {', '.join(columns)} FROM marts.{relation}")
        assert shown == [(None,) * len(columns)], relation
    assert warehouse.rows("SELECT previous_net_sales FROM marts.top_movers") == [(0,)]
    warehouse.sell(sale("USD", day, "3"))
    warehouse.run(*STREAM, *RANKED)
    for relation in sums:
        column = sums[relation][0]
        assert warehouse.rows(f"SELECT sum({column}) FROM marts.{relation}") == [(3,)], relation
    assert_as_rebuilt(warehouse)


def test_a_sale_of_the_future_moves_nothing_that_says_as_of(warehouse: Any) -> None:
    """Dated 2099 by a clock that runs ahead: ranking, movers, segments and pairs stay as they were;
    its day is in gold."""
    days = ("2026-05-01", "2026-05-28", "2026-05-30")
    warehouse.sell(*(sale(day, f"{day} 10:00", customer_id="C1") for day in days))
    warehouse.run()
    relations = ("store_ranking", "top_movers", "customer_rfm", "basket_affinity", "sales_clock")
    before = {name: warehouse.table(f"marts.{name}") for name in relations}
    assert before["sales_clock"][0][1] == date(2026, 5, 30) and before["store_ranking"]
    warehouse.sell(sale("ahead", "2099-01-01 10:00", customer_id="C1", basket_id="b"))
    warehouse.run()
    assert {name: warehouse.table(f"marts.{name}") for name in relations} == before
    assert "2099-01-01" in warehouse.gold()
