"""What the page says about itself: its freshness, its day, and what is unknown."""

from __future__ import annotations

import csv
import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from playwright.sync_api import Browser, expect

from medallion.audit.last import LAST_AUDIT
from medallion.errors import DashboardError
from medallion.metrics import definitions, evaluation
from medallion.outputs.dashboard import text
from medallion.outputs.dashboard.choice import Choice
from medallion.outputs.dashboard.header import rejected_share
from medallion.outputs.dashboard.snapshot import BASKETS, Board
from medallion.outputs.dashboard.sources import PublishedSnapshots
from medallion.platforms.heartbeat import HEARTBEAT_FILE, Heartbeat
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
from tests.processes import free_port

EVIL = '<img src=x onerror="document.title=1"><script>document.title=2</script> **b** `$1` &lt;'
RIGHT_TO_LEFT = "\u202eשלום"
"""A mark that turns the direction of writing, never taken back, and a word that is written so."""


@pytest.fixture(scope="module")
def url(built: Path) -> Iterator[str]:
    """A dashboard of the home that never changes."""
    with dashboard(built) as served:
        yield served


@pytest.fixture(scope="module")
def old_shop(tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Path:
    """A home of a shop that sold three lines in 2018, in pounds and euros, without any rate;
    with names that are HTML, or written from right to left."""
    home = tmp_path_factory.mktemp("old")
    at = "2018-01-01T04:01:20.000Z"
    names = {"P1": EVIL, "P2": RIGHT_TO_LEFT}
    products = [
        {"product_id": key, "ts": at, "product_name": name, "category": EVIL.lower()}
        | {"price": 5, "currency": "GBP"}
        for key, name in names.items()
    ]
    drop(home, "products/p.jsonl", *map(json.dumps, products))
    store = {"store_id": "S1", "ts": at, "store_name": EVIL, "time_zone": "UTC", "currency": "GBP"}
    drop(home, "stores/s.jsonl", json.dumps(store))
    lines = [("e1", "P1", EVIL, "GBP"), ("e2", "P2", EVIL, "GBP"), ("e3", "P2", "other", "EUR")]
    drop(
        home,
        "till.jsonl",
        *(
            event(event_id=key, product_id=product, basket_id=basket, ts=at, currency=currency)
            for key, product, basket, currency in lines
        ),
    )
    result = cli(home, "run", "--events", "0")
    assert result.exit_code == 0, result.output
    return home


@pytest.fixture
def old_page(browser: Browser, old_shop: Path) -> Iterator[Watched]:  # noqa: F811
    with dashboard(old_shop) as served, page_of(browser, served) as watched:
        watched.page.wait_for_selector(REVENUE)
        yield watched


def test_after_a_run_it_is_idle_and_nothing_is_red(browser: Browser, url: str) -> None:  # noqa: F811
    """However long ago the run was: no lamp is amber or red."""
    with page_of(browser, url) as watched:
        watched.page.wait_for_selector(REVENUE)
        assert watched.text(".pulse .alive").startswith("idle newest event ")
        assert not [e for e in watched.page.locator(".late, .bad").all() if e.is_visible()]


def test_a_server_that_died_is_told_by_the_browser(browser: Browser, copy: Path) -> None:  # noqa: F811
    """Within seconds, in words, without a server; and taken back when the server is back."""
    port = free_port()
    with page_kept(browser, copy, port) as watched:
        gone, alive = watched.page.locator(".pulse .gone"), watched.page.locator(".pulse .alive")
        expect(gone).to_be_visible(timeout=15_000)
        assert not alive.is_visible()
        said = watched.page.locator("body").inner_text()
        assert re.search(r"server gone: no answer since \d\d:\d\d:\d\d UTC", said)
        assert not re.search(r"\b(live|streaming|idle)\b", said, re.IGNORECASE)
        with dashboard(copy, port):
            expect(alive).to_be_visible(timeout=150_000)
            assert not gone.is_visible()


def test_a_first_build_is_something_else_than_an_empty_home(
    browser: Browser,  # noqa: F811
    tmp_path: Path,
) -> None:
    """While a runner is at work the page says so, and when it has stopped by an error, too."""
    (tmp_path / "home").mkdir()
    with dashboard(tmp_path / "home") as served, page_of(browser, served) as watched:
        watched.page.wait_for_selector(".message")
        assert "there is no snapshot" in watched.text(".message")
        assert "nothing to show yet" in watched.text(".message").lower()
        with Heartbeat(tmp_path / "home") as heartbeat:
            heartbeat.at("transform")
            watched.wait_until(".message h2", "The first build is under way")
            watched.page.wait_for_selector('.late[data-state="catching up"]')
            heartbeat.end("no space left on device")
            watched.page.wait_for_selector('.bad[data-state="stalled"]')
            assert "no space left on device" in watched.text(".pulse .alive")
        (tmp_path / "home" / HEARTBEAT_FILE).unlink()
        watched.wait_until(".message h2", "Nothing to show yet")


def test_an_old_day_is_not_today_and_what_is_not_known_is_no_zero(old_page: Watched) -> None:
    """Of sales in 2018 nothing is "today"; amounts without a rate are – with the reason, and what
    arrived is of the day on which it did."""
    # The header is drawn after the cards.
    old_page.page.wait_for_function("document.body.innerText.includes('until 04:01:20 UTC')")
    said = old_page.page.locator("body").inner_text()
    assert "Mon 1 Jan 2018, the newest day, until 04:01:20 UTC" in said
    assert "today" not in said.lower()
    assert "04:00 –, a week before $0.00" in said and "05:00 $0.00" in said
    shown = old_page.page.locator(".card:not(.wide)").all_inner_texts()
    assert not [card for card in shown if "$0.00" in card]
    for metric in ("reporting_net_sales", "reporting_average_order_value", "reporting_returns"):
        assert old_page.text(f'[data-metric="{metric}"] .value') == "–"
        reason = old_page.text(f'[data-metric="{metric}"] .change')
        assert reason == "none of 3 lines has a rate to USD"
    assert old_page.text('[data-metric="transactions"] .value') == "2"
    assert old_page.text('[data-key="P2"] .amount') == "–"
    assert old_page.text('[data-key="S1"] .amount') == "–"
    assert old_page.text(".ticker .amount") in ("€5.00", "£10.00")
    assert "3 of 3 lines have no rate to USD" in said
    assert old_page.text('[data-metric="quarantined"] .change') == "0.0 % of 6 lines"
    assert old_page.text('[data-metric="late_events"] .value') == "0"
    assert said.count("nothing to compare") == 2  # In the header, and in the list of movers.


def test_names_are_shown_as_they_are_and_keep_to_themselves(old_page: Watched) -> None:
    """HTML, Markdown and scripts stay text; a direction of writing ends with its name."""
    page = old_page.page
    assert page.title() == "Retail, live"
    assert page.locator(".board img, .board script").count() == 0
    assert any(EVIL in name for name in page.locator(".ticker .name").all_inner_texts())
    assert EVIL in old_page.text('[data-key="P1"] .name')
    assert EVIL in old_page.text('[data-key="S1"] .name')
    assert old_page.text('[data-key="P2"] .name bdi') == RIGHT_TO_LEFT
    outside = page.evaluate(
        "() => { const walker = document.createTreeWalker(document.querySelector('.grid'), "
        "NodeFilter.SHOW_TEXT); const found = []; while (walker.nextNode()) { "
        "const node = walker.currentNode; if (/[\\u202e\\u05d0-\\u05ea]|onerror/.test(node.data) "
        "&& !node.parentElement.closest('bdi')) found.push(node.data); } return found; }"
    )
    assert outside == []
    page.get_by_label("Category").first.click()
    assert page.get_by_role("option").first.inner_text() == f"\u2068{EVIL.lower()}\u2069"


def test_the_last_baskets_are_those_of_silver(built: Path) -> None:
    """Of the newest day, in order; of a store and of a category that are chosen."""
    board = Board(PublishedSnapshots(built).read())
    shown = board.snapshot(Choice()).baskets
    with duckdb.connect(str(built / "warehouse.duckdb"), read_only=True) as db:
        expected = db.execute(
            "SELECT basket_id, event_type, sum(net_amount), count(*) FROM "
            "silver.purchases_silver WHERE dt = ? AND ts <= ingested_at "
            "GROUP BY basket_id, event_type, store_id, currency "
            "ORDER BY max(ts) DESC, basket_id LIMIT ?",
            [board.today, BASKETS],
        ).fetchall()
    names = ("basket_id", "event_type", "net_sales", "lines")
    assert [tuple(basket[n] for n in names) for basket in shown] == expected
    for choice in (Choice(stores=("S001",)), Choice(category=board.choices.categories[0])):
        baskets = board.snapshot(choice).baskets
        assert all(b["store_id"] in (choice.stores or b["store_id"]) for b in baskets)
        assert all((choice.category or "") in b["categories"] for b in baskets)


def test_the_header_waits_for_no_other_visitor(built: Path) -> None:
    """The header of one visitor, while the page of another is drawn. Each waited for the other
    where both asked for the arrivals first: from then on every page of the server stayed blank."""
    board, told = Board(PublishedSnapshots(built).read()), []

    def header_of_another() -> None:
        told.append(rejected_share(board.arrivals, Choice()))

    def page_of_one() -> bool:
        other = threading.Thread(target=header_of_another, daemon=True)
        other.start()
        other.join(10)
        return bool(told)

    assert board.kept("a page that takes its time", page_of_one)


def test_the_first_screen_says_whether_the_day_is_on_target(
    browser: Browser,  # noqa: F811
    url: str,
    built: Path,
) -> None:
    """Net sales, target, difference and share, of the stores that have a target; a store leads to
    its own. With a category there is no target, and nothing empty stands in its place."""
    with duckdb.connect(str(built / "warehouse.duckdb"), read_only=True) as db:
        ((sold, target, stores),) = db.execute(
            "SELECT sum(coalesce(net, 0)), sum(reporting_net_sales_target), count(*) "
            "FROM marts.sales_targets JOIN marts.live_clock ON sales_date = sales_day LEFT JOIN ("
            "SELECT store_id, sales_day, sum(reporting_net_sales) AS net FROM marts.live_today "
            "GROUP BY ALL) AS sold USING (store_id, sales_day)"
        ).fetchall()
    with page_of(browser, url) as watched:
        watched.page.wait_for_selector('[data-metric="target"]')
        said = watched.text('[data-metric="target"]')
        for amount in (sold, target, sold - target):
            assert text.money(amount, "USD") in said, (amount, said)
        assert text.percent(sold / target) in said and f"{stores} stores" in said
        worst = watched.page.locator('table[aria-label="Targets by store"] tbody a').first
        name = worst.inner_text()
        worst.click()
        watched.page.get_by_role("link", name=f"Leave {name}").wait_for()
        watched.page.wait_for_function(
            "() => document.querySelector('[data-metric=target]').innerText.includes('1 store')"
        )
    with page_of(browser, url, "/?period=last_7_days&category=dairy") as watched:
        watched.page.wait_for_selector(REVENUE)
        assert "target" not in watched.page.locator(".board").last.inner_text().lower()


def test_the_page_of_data_quality_says_how_the_last_audit_ended(
    browser: Browser,  # noqa: F811
    copy: Path,
) -> None:
    """All checks hold; one is broken; and of a home that nobody audited, that. The header of each
    view says which share of lines was rejected, and leads there; the filters are off, with the
    reason."""
    with dashboard(copy) as served, page_of(browser, served) as watched:
        watched.page.locator('[data-metric="rejected"]').click()
        audit = 'section[aria-label="The last audit"]'
        expect(watched.page.locator(audit)).to_contain_text(re.compile(r"all \d+ checks hold"))
        expect(watched.page.locator(".when")).to_contain_text("a rejected line has no store")
        expect(watched.page.get_by_label("Category").first).to_be_disabled()
        kept = json.loads((copy / LAST_AUDIT).read_text())
        kept["checks"][0]["offenders"], kept["at"] = 2, "2026-03-01T00:00:00+00:00"
        (copy / LAST_AUDIT).write_text(json.dumps(kept))
        expect(watched.page.locator(audit)).to_contain_text("2026-03-01 00:00:00 UTC; 1 of")
        expect(watched.page.locator(f"{audit} .broken")).to_contain_text("BROKEN")
        (copy / LAST_AUDIT).unlink()
        expect(watched.page.locator(audit)).to_contain_text("No audit of this home is known")


def test_a_link_shows_its_page_and_a_click_drills_down(browser: Browser, url: str) -> None:  # noqa: F811
    """From 28 days to a category and to a day of it, and back by the path; the address follows."""
    with page_of(browser, url, "/?period=last_28_days") as watched:
        page = watched.page
        page.wait_for_selector(REVENUE)
        row = page.locator('table[aria-label="Categories"] tbody tr').first
        category, net = row.get_attribute("data-key"), row.locator("td").nth(1).inner_text()
        row.get_by_role("link").click()
        watched.wait_until(REVENUE, net)
        assert f"category={category}" in page.url.replace("+", " ")
        bars = page.get_by_role("list", name="Net sales by day").get_by_role("link")
        reading = bars.last.inner_text()
        bars.last.focus()
        assert bars.last.locator(".tip").is_visible()
        page.keyboard.press("Enter")
        page.wait_for_selector('section[aria-label="Net sales by hour"]')
        assert watched.text(REVENUE) in reading
        address = page.url
        assert "from=" in address and f"category={category}" in address.replace("+", " ")
        page.get_by_role("link", name=f"Leave {category}").click()
        page.wait_for_url(lambda there: "category" not in there)
    with page_of(browser, url, address.removeprefix(url)) as linked:
        linked.page.wait_for_selector(REVENUE)
        assert linked.text(REVENUE) in reading


def test_a_table_sorts_and_is_taken_away(browser: Browser, url: str) -> None:  # noqa: F811
    """By a click on the head of a column, and a second one turns it; the CSV has that order."""
    with page_of(browser, url, "/?view=stores&period=last_28_days") as watched:
        page = watched.page
        page.wait_for_selector('table[aria-label="Stores"]')
        page.get_by_role("columnheader", name="Orders").get_by_role("link").click()
        head = page.locator('th[aria-sort="descending"]')
        expect(head).to_contain_text("Orders")
        head.get_by_role("link").click()
        page.wait_for_selector('th[aria-sort="ascending"]')
        orders = page.locator('table[aria-label="Stores"] tbody td:nth-child(3)')
        shown = [int(cell.replace(",", "")) for cell in orders.all_inner_texts()]
        assert shown == sorted(shown) and len(shown) > 20
        page.locator("[data-testid=stPopover] button:visible").first.click()
        with page.expect_download() as download:
            page.get_by_test_id("stDownloadButton").filter(has_text="Stores").click()
        rows = list(csv.DictReader(download.value.path().open(encoding="utf-8-sig")))
        assert [int(row["Orders"]) for row in rows] == shown


def test_an_address_that_cannot_be_used_is_said_on_the_page(browser: Browser, url: str) -> None:  # noqa: F811
    """In a sentence, above the page of what is left of the choice."""
    with page_of(browser, url, "/?period=fortnight&store=S999") as watched:
        said = watched.page.get_by_test_id("stAlert")
        expect(said.filter(has_text="period must be one of today, yesterday")).to_be_visible()
        expect(said.filter(has_text="There is no store 'S999'")).to_be_visible()
        watched.page.wait_for_selector(REVENUE)


def test_a_home_of_the_simulator_has_something_to_compare(browser: Browser, url: str) -> None:  # noqa: F811
    """Each card has its week before, and what moved is not what sold most."""
    with page_of(browser, url) as watched:
        watched.page.wait_for_selector(REVENUE)
        changes = watched.page.locator(
            ".figure:not([data-metric=orders]) .change"
        ).all_inner_texts()
        assert len(changes) == 4 and all(" from " in change for change in changes), changes
        keys = "rows => rows.map(row => row.dataset.key)"
        top, movers = (
            watched.page.locator(f'section[aria-label="{name}"] [data-key]').evaluate_all(keys)
            for name in ("Top products", "Movers")
        )
        assert len(top) == 10 and len(movers) == 10 and top != movers


def test_lists_and_tables_have_names_and_roles(browser: Browser, url: str) -> None:  # noqa: F811
    """As a screen reader finds them: on a desk and on a phone."""
    for width in (1440, 390):
        with page_of(browser, url, viewport={"width": width, "height": 900}) as watched:
            page = watched.page
            page.wait_for_selector(REVENUE)
            hours = page.get_by_role("list", name="Revenue by hour").get_by_role("listitem")
            assert hours.count() == 24
            assert re.match(r"00:00 \S+, a week before \S+", hours.first.inner_text())
            columns = {
                "Latest baskets": ["Time", "Basket", "Amount"],
                "Categories": ["Category", "Orders", "Revenue"],
                "Top products": ["Product", "Units", "Revenue"],
                "Movers": ["Product", "Change in %", "Change"],
                "Stores": ["Store", "Orders", "Revenue"],
                "Rejected lines": ["Reason", "Feed", "Lines"],
            }
            for name, heads in columns.items():
                table = page.get_by_role("table", name=name)
                assert table.get_by_role("columnheader").all_text_contents() == heads, name
                rows = table.get_by_role("row").count() - 1
                assert rows > 0 and table.get_by_role("rowheader").count() == rows
                assert table.get_by_role("cell").count() == 2 * rows
            assert page.get_by_role("region", name="Revenue by hour").count() == 1


def test_a_metric_without_its_documentation_still_has_a_value(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only documents a metric may be missing; a formula that cannot be used is a sentence."""
    defined = yaml.safe_load(definitions.DEFINITIONS.read_text())
    expected = Board(PublishedSnapshots(built).read()).snapshot(Choice())
    for entry in defined["metrics"]:
        entry.pop("config"), entry.pop("description"), entry.pop("label")
    _define(defined, tmp_path, monkeypatch)
    assert Board(PublishedSnapshots(built).read()).snapshot(Choice()) == expected
    for entry in defined["metrics"]:
        if entry["name"] == "reporting_average_order_value":
            entry["type_params"]["numerator"] = "no_such_metric"
    _define(defined, tmp_path, monkeypatch)
    with pytest.raises(DashboardError, match="reporting_average_order_value cannot be worked"):
        Board(PublishedSnapshots(built).read()).snapshot(Choice())
    evaluation.project.cache_clear()


def _define(defined: object, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "metrics.yml").write_text(yaml.safe_dump(defined))
    monkeypatch.setattr(definitions, "DEFINITIONS", folder / "metrics.yml")
    evaluation.project.cache_clear()


def test_a_snapshot_without_a_sale_says_so(browser: Browser, copy: Path) -> None:  # noqa: F811
    """Master data alone is no page of zeros, and the page fills when the first sale comes."""
    with dashboard(copy) as served, page_of(browser, served) as watched:
        watched.page.wait_for_selector(REVENUE)
        current = copy / "gold" / "CURRENT"
        version = current.read_text()
        without = Path(shutil.copytree(copy / "gold" / version, copy / "gold" / "v9999"))
        clock = pq.read_table(without / "live_clock.parquet")
        nothing = pa.nulls(1, clock.schema.field("as_of").type)
        index = clock.schema.get_field_index("as_of")
        pq.write_table(clock.set_column(index, "as_of", nothing), without / "clock")
        (without / "clock").rename(without / "live_clock.parquet")
        point(current, "v9999")
        watched.wait_until(".message h2", "Nothing to show yet")
        assert "the snapshot holds no sale yet" in watched.text(".message")
        assert "$0.00" not in watched.page.locator("body").inner_text()
        point(current, version)
        watched.page.wait_for_selector(REVENUE)
