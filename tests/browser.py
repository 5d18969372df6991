"""A real browser on this machine; a request to any other machine is a failure."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from medallion.errors import SettingsError
from tests.processes import free_port, running, wait_for

REVENUE = '[data-metric="reporting_net_sales"] .value'
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str:
    """Return the path of Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not browser:
        raise SettingsError("the dashboard's tests need Chromium: apt-get install chromium")
    return browser


@dataclass
class Watched:
    """A page, with its errors and its requests to other machines."""

    page: Page
    errors: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    server_leaves: bool = False
    """Set by a test that takes the server away: the browser tells that as an error."""

    def text(self, selector: str) -> str:
        """Return the text of an element, as a reader sees it."""
        return self.page.locator(selector).first.inner_text()

    def wait_until(self, selector: str, expected: str, seconds: float = 30) -> None:
        """Waits until an element reads as expected."""
        self.page.wait_for_function(
            "([selector, expected]) => document.querySelector(selector)?.innerText === expected",
            arg=[selector, expected],
            timeout=seconds * 1000,
        )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window; an expectation waits as long as a selector does."""
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield opened
        opened.close()


LIVE = "/?period=today"
"""The address of the live page. Without a period a home of old sales shows its last 28 days."""


@contextmanager
def page_of(browser: Browser, url: str, address: str = LIVE, **options: Any) -> Iterator[Watched]:
    """A page of the dashboard; fails the test on an error in its console or a request to anywhere
    but `url`."""
    context = browser.new_context(**({"viewport": {"width": 1440, "height": 1000}} | options))
    page = context.new_page()
    watched = Watched(page)
    page.on(
        "console",
        lambda message: watched.errors.append(message.text) if message.type == "error" else None,
    )
    page.on("pageerror", lambda error: watched.errors.append(str(error)))
    page.on("request", lambda request: _check(request.url, url, watched))
    page.on("websocket", lambda socket: _check(socket.url, url.replace("http", "ws", 1), watched))
    page.goto(url + address)
    yield watched
    context.close()
    assert not watched.strangers, watched.strangers
    assert watched.server_leaves or not watched.errors, watched.errors


def _check(asked: str, url: str, watched: Watched) -> None:
    if not asked.startswith((url, "data:", "blob:")):
        watched.strangers.append(f"asked for {asked}")


@contextmanager
def dashboard(home: Path, port: int | None = None, verb: str = "dashboard", *more: str) -> Any:
    """The command `medallion dashboard`, or another that shows it."""
    port = port or free_port()
    command = [sys.executable, "-m", "medallion.cli", verb, "--home", home, "--port", port, *more]
    with running(home.parent / f"{verb}-{port}.log", *command):
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/_stcore/health")
        yield url


@contextmanager
def page_kept(browser: Browser, home: Path, port: int) -> Iterator[Watched]:
    """A page whose server has gone."""
    with ExitStack() as opened:
        with dashboard(home, port) as served:
            watched = opened.enter_context(page_of(browser, served))
            watched.server_leaves = True
            watched.page.wait_for_selector(REVENUE)
            # A server may need seconds to end; only before is it certain what the page says.
            expect(watched.page.locator(".pulse .alive")).to_be_visible()
            expect(watched.page.locator(".pulse .gone")).to_be_hidden()
        yield watched


def point(current: Path, version: str) -> None:
    """Make a version of the snapshots of a home the current one, as publishing does."""
    temporary = current.with_name(".CURRENT.test")
    temporary.write_text(version)
    temporary.rename(current)
