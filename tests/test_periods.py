"""The periods of the dashboard: calendar, comparison, address, and tables downloaded as CSV."""

from __future__ import annotations

import csv
import io
import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from medallion.outputs.dashboard import text
from medallion.outputs.dashboard.choice import Choice, read_choice
from medallion.outputs.dashboard.periods import (
    Period,
    compared,
    grain,
    parts,
    period,
    retail_year,
    unit_of,
)
from medallion.outputs.dashboard.snapshot import Board
from medallion.outputs.dashboard.sources import PublishedSnapshots
from medallion.outputs.dashboard.tables import Column, Row, Table
from medallion.outputs.dashboard.views import view_of
from tests.conftest import Cli, drop, event
from tests.walks import Walker


@pytest.fixture(scope="module")
def yen_shop(tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Path:
    """A home of a shop that sells in yen and euros for a year and a half, with a store without a
    name, and reports in yen."""
    home = tmp_path_factory.mktemp("yen")
    rate = {
        "currency": "EUR",
        "ts": "2024-01-01T00:00:00Z",
        "rate": 160.5,
        "reporting_currency": "JPY",
    }
    drop(
        home,
        "fx_rates/r.jsonl",
        json.dumps(rate),
        json.dumps(rate | {"currency": "JPY", "rate": 1}),
    )
    zones = {"S1": "Asia/Tokyo", "S2": "Europe/Berlin"}
    drop(
        home,
        "stores/s.jsonl",
        *(
            json.dumps({"store_id": store, "ts": "2024-01-01T00:00:00Z", "time_zone": zone})
            for store, zone in zones.items()
        ),
    )
    targets = (
        {"store_id": store, "ts": "2024-01-01T00:00:00Z", "sales_date": f"2025-{month:02}-{day:02}"}
        | {"net_sales_target": 9000, "currency": currency}
        for store, currency in (("S1", "JPY"), ("S2", "EUR"), ("S3", "GBP"))
        for month in range(1, 8)
        for day in range(1, 29)
    )
    drop(home, "targets/t.jsonl", *map(json.dumps, targets))
    lines = []
    for n in range(900):
        month, day, hour = 1 + n // 50, 1 + n % 28, n * 7 % 24
        at = f"{2024 + (month - 1) // 12}-{(month - 1) % 12 + 1:02}-{day:02}T{hour:02}:15:00.000Z"
        currency = "EUR" if n % 3 == 0 else "JPY"
        price = round(1.37 * (n % 40 + 1), 2) if currency == "EUR" else 100 * (n % 40 + 1)
        lines.append(
            event(
                event_id=f"e{n}",
                basket_id=f"b{n // 2}",
                ts=at,
                store_id=f"S{n % 4 % 3 + 1}",
                product_id=f"P{n % 17}",
                category=("tea", "rice", "cups")[n % 3],
                customer_id=f"C{n % 11}" if n % 5 else None,
                event_type="return" if n % 13 == 5 else "purchase",
                return_reason=("damaged", None, "too small")[n % 3],
                currency=currency,
                price=price,
                quantity=1,
                total_amount=price,
            )
        )
    drop(home, "till.jsonl", *lines)
    result = cli(home, "run", "--events", "0", "--reporting-currency", "JPY")
    assert result.exit_code == 0, result.output
    return home


def test_the_calendar_is_that_of_the_marts(built: Path) -> None:
    """Retail year, quarter, month and week of each day of fifty years, as dim_dates has them."""
    with duckdb.connect(str(built / "warehouse.duckdb"), read_only=True) as db:
        days = db.execute(
            "SELECT date_day, retail_year, retail_quarter, retail_month, retail_week FROM "
            "marts.dim_dates WHERE retail_year IS NOT NULL ORDER BY 1"
        ).fetchall()
    assert len(days) > 18_000
    seen: dict[tuple[str, int, int], tuple[Period, list[date]]] = {}
    for day, year, *numbers in days:
        assert retail_year(day) == year, day
        for unit, number in zip(("quarter", "month", "week"), numbers, strict=True):
            first, members = seen.setdefault((unit, year, number), (unit_of(day, unit), []))
            assert unit_of(day, unit) == first, day
            members.append(day)
    last_year = days[-1][1]
    for (_, year, _), (of, members) in seen.items():
        if days[0][1] < year < last_year:
            assert (of.first, of.last) == (members[0], members[-1])


@pytest.mark.parametrize(
    ("name", "days", "before", "last_year"),
    [
        ("today", "2026-11-26 2026-11-26", "2026-11-25 2026-11-25", "2025-11-27 2025-11-27"),
        ("yesterday", "2026-11-25 2026-11-25", "2026-11-24 2026-11-24", "2025-11-26 2025-11-26"),
        ("last_7_days", "2026-11-20 2026-11-26", "2026-11-13 2026-11-19", "2025-11-21 2025-11-27"),
        ("last_28_days", "2026-10-30 2026-11-26", "2026-10-02 2026-10-29", "2025-10-31 2025-11-27"),
        ("this_week", "2026-11-22 2026-11-26", "2026-11-15 2026-11-19", "2025-11-23 2025-11-27"),
        ("last_week", "2026-11-15 2026-11-21", "2026-11-08 2026-11-14", "2025-11-16 2025-11-22"),
        ("this_month", "2026-11-01 2026-11-26", "2026-10-04 2026-10-29", "2025-11-02 2025-11-27"),
        ("last_month", "2026-10-04 2026-10-31", "2026-08-30 2026-10-03", "2025-10-05 2025-11-01"),
        ("this_quarter", "2026-11-01 2026-11-26", "2026-08-02 2026-08-27", "2025-11-02 2025-11-27"),
        ("last_quarter", "2026-08-02 2026-10-31", "2026-05-03 2026-08-01", "2025-08-03 2025-11-01"),
        ("year_to_date", "2026-02-01 2026-11-26", "2025-02-02 2025-11-27", "2025-02-02 2025-11-27"),
    ],
)
def test_each_period_and_what_it_is_compared_with(
    name: str, days: str, before: str, last_year: str
) -> None:
    """A period that is not over is compared with as many days; last year by retail weeks."""
    of = period(name, date(2026, 11, 26))
    assert f"{of.first} {of.last}" == days
    for comparison, expected in (("before", before), ("last_year", last_year)):
        other = compared(name, of, comparison)
        assert other and f"{other.first} {other.last}" == expected, comparison
    assert compared(name, of, "nothing") is None


def test_the_grain_follows_the_length() -> None:
    """Hours of a day, days of a month, weeks of half a year, retail months of more; the bars of a
    period are its days, each once."""
    first = date(2026, 2, 1)
    for days, unit in ((1, "hour"), (28, "day"), (91, "week"), (364, "month")):
        of = period("range", first, Period(first, date.fromordinal(first.toordinal() + days - 1)))
        assert grain(of) == unit
        bars = list(parts(of, unit)) if unit != "hour" else [of]
        assert sum(bar.days for bar in bars) == days
        assert bars[0].first == of.first and bars[-1].last == of.last


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ({"period": ["fortnight"]}, "period must be one of today, yesterday"),
        ({"view": ["<b>"]}, "view must be one of sales, stores"),
        ({"period": ["range"], "from": ["2026-02-30"], "to": ["x"]}, "from and to must be days"),
        (
            {"period": ["range"], "from": ["2026-02-02"], "to": ["2026-02-01"]},
            "the first not after",
        ),
        ({"hour": ["24"]}, "hour must be a whole number from 0 to 23"),
        ({"compare": [""]}, "compare must be one of before, last_year, nothing"),
    ],
)
def test_an_address_that_cannot_be_used(address: dict[str, list[str]], problem: str) -> None:
    """One sentence that says what to write; the page shows the rest."""
    choice, problems = read_choice(address, "today")
    assert len(problems) == 1 and problem in problems[0]
    assert choice == Choice()


def test_a_hundred_walks_give_the_lines_of_the_warehouse(built: Path) -> None:
    """Any period, comparison and filters: each sum equals that of the receipt lines, to the last
    digit, and the parts of each list add up to it."""
    walker = Walker(built, seed=18)
    lines = [walker.step() for _ in range(100)]
    assert sum(1 for n in lines if n) > 40
    assert sum(walker.against_targets() > 0 for _ in range(30)) > 15
    assert sum(walker.returns() for _ in range(30)) > 100
    walker.drilled()


def test_walks_through_a_shop_in_yen_and_euros(yen_shop: Path) -> None:
    """A year and more, two currencies and time zones."""
    walker = Walker(yen_shop, seed=7)
    assert sum(walker.step() for _ in range(40)) > 500
    assert sum(walker.against_targets() for _ in range(20)) > 10
    assert sum(walker.returns() for _ in range(20)) > 10
    walker.drilled()
    for name in ("sales", "stores", "products", "customers", "hours", "quality"):
        walker.view(name)


def test_yen_have_no_decimals_and_the_nameless_show_their_id(yen_shop: Path) -> None:
    """On every view; and the line of a list that has no sales says so."""
    board = Board(PublishedSnapshots(yen_shop).read())
    for name in ("sales", "stores", "products"):
        html = view_of(board, Choice(view=name, period="year_to_date")).html
        assert "¥" in html and "¥0.00" not in html and ".00</span>" not in html
        assert "(unknown)" not in html
    stores = view_of(board, Choice(view="stores", period="year_to_date")).tables[0]
    assert {row.values[0] for row in stores.rows} == {"S1", "S2", "S3"}


def test_a_period_without_sales_before_it_is_compared_with_nothing(yen_shop: Path) -> None:
    """What was sold before the data begin is not known: no 0, no line and no change stands for it,
    and a sentence says so once."""
    board = Board(PublishedSnapshots(yen_shop).read())
    for view in ("sales", "stores", "products", "hours"):
        first = Choice(view=view, period="range", days=Period(date(2024, 1, 1), date(2024, 3, 31)))
        seen = view_of(board, first)
        assert "nothing was sold then, there is nothing to compare" in seen.when
        assert not {column.label for table in seen.tables for column in table.columns} & {
            "Before", "Change %", "Same store",
        }  # fmt: skip
        for word in ("before", "Before", "Same-store growth", 'class="then"'):
            assert word not in seen.html, (view, word)
        later = first.but(days=Period(date(2024, 4, 1), date(2024, 6, 30)))
        seen = view_of(board, later)
        assert "nothing to compare" not in seen.when
        assert view == "hours" or "Change %" in {c.label for t in seen.tables for c in t.columns}


def test_what_is_taken_away_is_what_is_seen(yen_shop: Path) -> None:
    """The rows in the order seen, with the digits of the currency, and nothing that a spreadsheet
    would run."""
    rows = [
        Row("P1", ('=HYPERLINK("http://x")', Decimal("1234.5600"), Decimal("0.0312"))),
        Row("P2", ("@sum", None, None)),
        Row("P3", ("tea", Decimal("-5"), Decimal("-1"))),
    ]
    columns = (
        Column("product", "Product"),
        Column("net", "Net", "money"),
        Column("by", "By", "change"),
    )
    table = Table("t", "T", columns, rows, "EUR")
    read = list(csv.reader(io.StringIO(table.csv(""))))
    assert read[0] == ["id", "Product", "Net, EUR", "By, %"]
    assert read[1] == ["P1", '\'=HYPERLINK("http://x")', "1234.56", "3.1"]
    assert read[2] == ["P2", "'@sum", "", ""]
    assert [row[0] for row in csv.reader(io.StringIO(table.csv("t.net")))][1:] == ["P1", "P3", "P2"]
    assert [row[0] for row in csv.reader(io.StringIO(table.csv("-t.net")))][1:] == [
        "P3",
        "P1",
        "P2",
    ]
    board = Board(PublishedSnapshots(yen_shop).read())
    view = view_of(board, Choice(view="sales", period="year_to_date"))
    for table in view.tables:
        exported = list(csv.reader(io.StringIO(table.csv(""))))
        assert len(exported) == len(table.rows) + 1
    categories = next(table for table in view.tables if table.key == "categories")
    net = [text.plain("money", row.values[2], "JPY") for row in categories.rows]
    exported = list(csv.reader(io.StringIO(categories.csv(""))))
    assert [row[exported[0].index("Net sales, JPY")] for row in exported[1:]] == net


@pytest.mark.parametrize(
    ("amount", "currency", "shown", "plain"),
    [
        ("1744.0000", "JPY", "¥1,744", "1744"),
        ("-0.5", "JPY", "−¥1", "-1"),
        ("2.5", "EUR", "€2.50", "2.50"),
        ("1.2345", "KWD", "KWD 1.235", "1.235"),
    ],
)
def test_a_currency_has_its_own_digits(amount: str, currency: str, shown: str, plain: str) -> None:
    """As ISO 4217 lists them."""
    assert text.money(Decimal(amount), currency) == shown
    assert text.plain("money", Decimal(amount), currency) == plain
