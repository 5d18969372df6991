"""The dashboard in a real browser: its numbers equal the warehouse, and it survives failures."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, TimeoutError, WebSocketRoute

from medallion.outputs.dashboard import text
from tests.browser import (  # noqa: F401 (a fixture)
    REVENUE,
    Watched,
    browser,
    dashboard,
    page_kept,
    page_of,
    point,
)
from tests.conftest import Cli, drop, event
from tests.processes import free_port, wait_for
from tests.screenshots import IMAGES, PICTURES, looks
from tests.test_end_to_end import answer_keys

Query = Callable[[Path, str], list[dict[str, Any]]]
ORDERS = '[data-metric="transactions"] .value'
LINES = "FROM fct_sales_line WHERE"


@pytest.fixture(scope="module")
def url(built: Path) -> Iterator[str]:
    """A dashboard of the home that never changes."""
    with dashboard(built) as served:
        yield served


@pytest.fixture
def shown(browser: Browser, url: str) -> Iterator[Watched]:  # noqa: F811
    """A page of it."""
    with page_of(browser, url) as watched:
        watched.page.wait_for_selector(REVENUE)
        yield watched


def money(amount: str | Decimal) -> str:
    """As the dashboard writes it, by other means."""
    cents = Decimal(amount).quantize(Decimal("0.01"), ROUND_HALF_UP)
    return f"${cents:,}" if cents >= 0 else f"−${-cents:,}"


def today(home: Path, query: Query) -> str:
    """The day of the newest sale that is not dated after its arrival."""
    (row,) = query(home, "SELECT max(dt) AS d FROM purchases_silver WHERE ts <= ingested_at")
    return str(row["d"])


def busiest(home: Path, query: Query) -> dict[str, str]:
    """The day, store and category with the most lines sold, so that each filter changes figures."""
    (row,) = query(
        home,
        f"SELECT CAST(sales_date AS VARCHAR) AS sales_date, store_id, category {LINES} "
        "NOT is_return GROUP BY ALL ORDER BY count(*) DESC, 1, 2, 3 LIMIT 1",
    )
    return row


def figures(
    home: Path, query: Query, on: str, where: str = "true", day: str = "utc_date"
) -> dict[str, str]:
    """The cards as the warehouse has them, from the receipt lines."""
    (row,) = query(
        home,
        "SELECT sum(reporting_net_sales) AS net, "
        "count(DISTINCT CASE WHEN NOT is_return THEN (store_id, currency, basket_id) END) "
        "AS orders, sum(reporting_gross_sales) - sum(reporting_discounts) AS sold, "
        "sum(units_sold) AS units "
        f"{LINES} {day} = DATE '{on}' AND {where}",
    )
    orders = Decimal(row["orders"])

    def each(total: Any) -> Decimal:
        return (Decimal(total) / orders).quantize(Decimal("0.01"), ROUND_HALF_UP)

    return {
        "reporting_net_sales": money(row["net"]),
        "transactions": f"{orders:,}",
        "reporting_average_order_value": money(each(row["sold"])),
        "units_per_transaction": f"{each(row['units']):,}",
    }


def cards(watched: Watched, names: dict[str, str]) -> dict[str, str]:
    return {name: watched.text(f'[data-metric="{name}"] .value') for name in names}


def test_the_cards_say_what_the_warehouse_says(shown: Watched, built: Path, query: Query) -> None:
    """To the cent, and the same as gold."""
    day = today(built, query)
    expected = figures(built, query, day)
    assert cards(shown, expected) == expected
    (gold,) = query(
        built, f"SELECT sum(transactions) AS n FROM purchases_gold WHERE sales_date = DATE '{day}'"
    )
    assert shown.text(ORDERS) == f"{int(gold['n']):,}"


def test_each_card_is_compared_with_the_week_before(
    shown: Watched, built: Path, query: Query
) -> None:
    """Today against the same time of that day."""
    day = today(built, query)
    (row,) = query(
        built,
        "SELECT sum(reporting_net_sales) AS net FROM fct_sales_line, "
        "(SELECT max(ts) AS now FROM purchases_silver WHERE ts <= ingested_at) "
        f"WHERE utc_date = DATE '{day}' - 7 "
        "AND date_trunc('minute', ts) <= now - INTERVAL 7 DAY",
    )
    told = shown.text('[data-metric="reporting_net_sales"] .change')
    assert told.endswith(f"from {money(row['net'])}")


def test_the_filters_leave_what_they_name(
    browser: Browser,  # noqa: F811
    url: str,
    built: Path,
    query: Query,
) -> None:
    """Of the busiest day, so that each choice changes the figures: a store, then one of its
    categories, then neither. Then the day before, the live page, and a store of it."""
    row = busiest(built, query)
    day = row["sales_date"]
    address = f"/?period=range&from={day}&to={day}&compare=nothing"
    store, category = f"store_id = '{row['store_id']}'", f"category = '{row['category']}'"

    def expected(where: str = "true") -> dict[str, str]:
        return figures(built, query, day, where, "sales_date")

    steps = [expected(), expected(store), expected(f"{store} AND {category}"), expected(category)]
    assert len({tuple(step.values()) for step in steps}) == len(steps)
    with page_of(browser, url, address) as watched:
        _expect(watched, steps[0])
        _choose(watched, "Stores", f"({row['store_id']})")
        _expect(watched, steps[1])
        listed = watched.page.locator('[data-key^="S0"]').evaluate_all(
            "rows => rows.map(row => row.dataset.key)"
        )
        assert set(listed) == {row["store_id"]}  # in the list of stores, and in that of targets
        _choose(watched, "Category", row["category"])
        _expect(watched, steps[2])
        # One after the other: a click while the page is drawn anew may be lost.
        watched.page.get_by_test_id("stMultiSelect").get_by_label("Clear all").click()
        _expect(watched, steps[3])
        watched.page.get_by_test_id("stSelectbox").nth(2).get_by_label("Clear value").click()
        _expect(watched, steps[0])
        newest = today(built, query)
        earlier = str(datetime.fromisoformat(newest).date() - timedelta(days=1))
        _choose(watched, "Period", "Yesterday")
        _expect(watched, figures(built, query, earlier, day="sales_date"))
        _choose(watched, "Period", "Today" if newest == str(datetime.now(UTC).date()) else "Newest")
        _expect(watched, figures(built, query, newest))
        (sold,) = query(
            built,
            f"SELECT min(store_id) AS id {LINES} utc_date = DATE '{newest}' AND NOT is_return",
        )
        _choose(watched, "Stores", f"({sold['id']})")
        _expect(watched, figures(built, query, newest, f"store_id = '{sold['id']}'"))


def test_choices_that_outrun_the_answer_all_count(
    browser: Browser,  # noqa: F811
    url: str,
    built: Path,
    query: Query,
) -> None:
    """On a slow line the address of the first choice arrives after the second one was made. The
    second must not undo the first, nor be lost itself; Back undoes them."""
    waiting: list[tuple[WebSocketRoute, str | bytes]] = []
    slow = False

    def between(socket: WebSocketRoute) -> None:
        def answer(message: str | bytes) -> None:
            if slow:
                waiting.append((socket, message))
            else:
                socket.send(message)

        socket.connect_to_server().on_message(answer)

    row = busiest(built, query)
    day = row["sales_date"]
    store, category = f"store_id = '{row['store_id']}'", f"category = '{row['category']}'"
    address = f"/?period=range&from={day}&to={day}&compare=nothing"
    whole = figures(built, query, day, day="sales_date")
    with page_of(browser, url, address) as watched:
        watched.page.route_web_socket(lambda _: True, between)
        watched.page.reload()
        _expect(watched, whole)
        slow = True
        _choose(watched, "Stores", f"({row['store_id']})")
        watched.page.wait_for_timeout(1_000)  # The server has answered, the page does not know.
        _choose(watched, "Category", row["category"])
        watched.page.wait_for_timeout(1_000)
        slow = False
        for socket, message in waiting:
            socket.send(message)
        _expect(watched, figures(built, query, day, f"{store} AND {category}", "sales_date"))
        chosen = {"store": [row["store_id"]], "category": [row["category"]]}
        watched.page.wait_for_url(lambda to: chosen.items() <= parse_qs(urlsplit(to).query).items())
        watched.page.go_back()
        _expect(watched, figures(built, query, day, store, "sales_date"))
        watched.page.go_back()
        _expect(watched, whole)


def _choose(watched: Watched, label: str, option: str) -> None:
    listed = watched.page.get_by_role("option").filter(has_text=option).first
    for _ in range(3):  # A list that is open while the page is drawn anew closes.
        watched.page.get_by_label(label).first.click()
        watched.page.keyboard.press("Control+A")
        watched.page.keyboard.type(option)
        with suppress(TimeoutError):
            listed.click(timeout=5_000)
            break
    else:
        raise AssertionError(f"{label} does not offer {option}")
    if label == "Stores":  # It stays open for more; Escape would empty the other two.
        watched.page.keyboard.press("Escape")


def _expect(watched: Watched, expected: dict[str, str]) -> None:
    for name, value in expected.items():
        watched.wait_until(f'[data-metric="{name}"] .value', value)


def test_quarantine_and_late_events(shown: Watched, built: Path, query: Query) -> None:
    """By the day of arrival: reasons with their counts, and the events that the simulator made
    late; its history, which arrived as a whole, is not late."""
    rows = query(
        built,
        "SELECT reason, sum(lines)::BIGINT AS n FROM (SELECT feed, reason, count(*) AS lines "
        "FROM staging.quarantine GROUP BY ALL ORDER BY 3 DESC, 1, 2 LIMIT 7) GROUP BY 1",
    )
    for row in rows:
        assert f"{row['n']:,}" in shown.text(f'[data-reason="{row["reason"]}"] .amount')
    late = sum(key["kinds"].get("late_event", 0) for key in answer_keys(built))
    assert late > 0
    assert shown.text('[data-metric="late_events"] .value') == f"{late:,}"
    assert shown.page.locator("[data-layer]").count() == 3


def test_it_moves_while_events_stream_and_ctrl_c_ends_it(
    browser: Browser,  # noqa: F811
    built: Path,
    tmp_path: Path,
    cli: Cli,
    query: Query,
) -> None:
    """`medallion up` shows each new sale, and says so when it is frozen; Ctrl-C ends all of it
    within 3 seconds, whatever it is at, and the next start goes on."""
    home = Path(shutil.copytree(built, tmp_path / "home"))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "medallion.cli", "up", "--home", home, "--rate", "40"]
    with (tmp_path / "up.log").open("w") as log:
        process = subprocess.Popen([*map(str, command), "--port", str(port)], stdout=log)
    try:
        wait_for(f"{url}/_stcore/health")
        with page_of(browser, url) as watched:
            watched.page.wait_for_selector(REVENUE)
            watched.page.wait_for_selector('[data-state="streaming"]', timeout=150_000)
            before = watched.text(REVENUE)
            watched.page.wait_for_function(
                "before => document.querySelector('[data-metric] .value')?.innerText !== before",
                arg=before,
                timeout=150_000,
            )
            at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            probe = event(
                event_id="probe",
                basket_id="probe",
                ts=at,
                price=987654.32,
                quantity=1,
                total_amount=987654.32,
            )
            drop(home, "probe.jsonl.tmp", probe).rename(home / "raw" / "probe.jsonl")
            watched.page.wait_for_selector('[data-key="P1"]', timeout=150_000)
            process.send_signal(signal.SIGSTOP)
            watched.page.wait_for_selector('.bad[data-state="stalled"]', timeout=30_000)
            process.send_signal(signal.SIGCONT)
            watched.page.wait_for_selector('.good[data-state="streaming"]', timeout=30_000)
            watched.server_leaves = True
            asked = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 130
            assert time.monotonic() - asked < 3
    finally:
        process.kill()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
    result = cli(home, "run", "--events", "0")
    assert result.exit_code == 0, result.output
    (row,) = query(home, "SELECT count(*) AS n FROM purchases_silver WHERE event_id = 'probe'")
    assert row["n"] == 1


def test_a_port_that_is_taken(built: Path, cli: Cli) -> None:
    """One sentence, exit code 2, nothing started."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        result = cli(built, "dashboard", "--port", str(port))
    assert result.exit_code == 2
    assert f"port {port} of this machine cannot be used" in result.output


def test_nothing_published_yet(browser: Browser, copy: Path) -> None:  # noqa: F811
    """The page says what to do, and shows the snapshot as soon as there is one."""
    gold = copy / "gold"
    gold.rename(copy / "later")
    with dashboard(copy) as url, page_of(browser, url) as watched:
        watched.page.wait_for_selector(".message")
        assert "there is no snapshot" in watched.text(".message")
        assert "medallion up" in watched.text(".message")
        (copy / "later").rename(gold)
        watched.page.wait_for_selector(REVENUE)


def test_a_snapshot_that_vanishes_and_one_that_lacks_a_relation(
    browser: Browser,  # noqa: F811
    copy: Path,
) -> None:
    """A reader that lags behind takes the newest; before half a snapshot it says so and waits."""
    current = copy / "gold" / "CURRENT"
    version = current.read_text()
    with dashboard(copy) as url, page_of(browser, url) as watched:
        watched.page.wait_for_selector(REVENUE)
        shutil.copytree(copy / "gold" / version, copy / "gold" / "v9998")
        (copy / "gold" / "v9998" / "live_today.parquet").unlink()
        point(current, "v9998")
        watched.page.wait_for_selector(".message")
        assert "lacks live_today.parquet" in watched.text(".message")
        shutil.copytree(copy / "gold" / version, copy / "gold" / "v9999")
        shutil.rmtree(copy / "gold" / version)
        point(current, "v9999")
        watched.page.wait_for_selector('[data-version="v9999"]')


def test_two_dashboards(browser: Browser, copy: Path, url: str) -> None:  # noqa: F811
    """Two of them, and two browsers at each, stand side by side."""
    with dashboard(copy) as second, page_of(browser, second) as one, page_of(browser, url) as other:
        one.page.wait_for_selector(REVENUE)
        other.page.wait_for_selector(REVENUE)
        with page_of(browser, url) as third:
            third.page.wait_for_selector(REVENUE)
            assert one.text(REVENUE) == other.text(REVENUE) == third.text(REVENUE)


def test_a_browser_that_reconnects(browser: Browser, copy: Path) -> None:  # noqa: F811
    """When the server comes back, an open page goes on by itself, with what is new."""
    port, current = free_port(), copy / "gold" / "CURRENT"
    with page_kept(browser, copy, port) as watched:
        version = current.read_text()
        shutil.copytree(copy / "gold" / version, copy / "gold" / "v9999")
        point(current, "v9999")
        with dashboard(copy, port):
            watched.page.wait_for_selector('[data-version="v9999"]', timeout=150_000)


@pytest.mark.parametrize(
    ("theme", "width"), [("light", 1440), ("dark", 1440), ("light", 390), ("dark", 390)]
)
def test_both_themes_at_both_widths(browser: Browser, url: str, theme: str, width: int) -> None:  # noqa: F811
    """The page follows the machine's theme, and nothing sticks out of it."""
    options = {"color_scheme": theme, "viewport": {"width": width, "height": 844}}
    with page_of(browser, url, **options) as watched:
        watched.page.wait_for_selector(REVENUE)
        ink, paper = watched.page.evaluate(
            "() => [getComputedStyle(document.querySelector('.board .value')).color,"
            "getComputedStyle(document.querySelector('.board .card')).backgroundColor]"
        )
        assert (_light(paper) > _light(ink)) == (theme == "light"), (ink, paper)
        assert abs(_light(paper) - _light(ink)) > 150
        wide = watched.page.evaluate(
            "() => [...document.querySelectorAll('.board .card')].filter("
            "card => card.getBoundingClientRect().right > innerWidth + 1).length"
        )
        assert wide == 0
        counts = watched.page.locator(".row .side")
        assert counts.count() > 20 and all(side.is_visible() for side in counts.all())
        assert watched.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def _light(colour: str) -> float:
    red, green, blue = (float(part) for part in colour.strip("rgba()").split(",")[:3])
    return 0.3 * red + 0.6 * green + 0.1 * blue


@pytest.mark.parametrize(
    ("by", "reads"),
    [
        ("0.0312", "+3.1 %"),
        ("-0.2", "−20.0 %"),
        ("0.0004", "0.0 %"),
        ("-0.0004", "0.0 %"),
        ("8.99", "+899.0 %"),
        ("9", "×10"),
        ("1233.6", "×1,235"),
    ],
)
def test_how_a_change_reads(by: str, reads: str) -> None:
    """A per cent with its sign; what grew tenfold is a multiple."""
    assert text.change(Decimal(by)) == reads


def test_the_pictures_are_current() -> None:
    """Those in docs/images were taken of the dashboard as it is now."""
    assert (IMAGES / "SOURCES").read_text().strip() == looks(), "run: python -m tests.screenshots"
    assert all((IMAGES / f"{name}.png").stat().st_size > 20_000 for name in PICTURES)
