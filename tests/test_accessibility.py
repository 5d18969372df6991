"""Accessibility: axe-core finds nothing on any view, in either theme, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from medallion.outputs.dashboard.choice import VIEWS
from tests.browser import LIVE, browser, dashboard, page_of  # noqa: F401 (a fixture)
from tests.environments import library

AXE_LOCK = Path(__file__).parent / "axe.lock"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
PAGES = (LIVE, *(f"/?view={view}&period=last_28_days" for view in VIEWS))

ON_A_PHONE = """() => [
    ...[...document.querySelectorAll('.board .scroll')]
        .filter(e => !e.querySelector('.heat') && e.scrollWidth > e.clientWidth)
        .map(e => ['scrolls sideways', e.ariaLabel]),
    ...[...document.querySelectorAll('.board .tabs a, .board thead a, .board .name a')]
        .filter(e => e.getClientRects().length && e.getBoundingClientRect().height < 40)
        .map(e => ['is too low for a finger', e.innerText]),
]"""
"""What is wrong on a phone: tables that scroll sideways, and links that a finger misses."""


@pytest.fixture(scope="module")
def url(built: Path) -> Iterator[str]:
    """A dashboard of the home that never changes."""
    with dashboard(built) as served:
        yield served


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core."""
    folder = library("axe", AXE_LOCK)
    return (folder / "axe_playwright_python" / "axe.min.js").read_text()


@pytest.mark.parametrize(
    ("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 768), ("dark", 390)]
)
def test_axe_finds_nothing(
    browser: Browser,  # noqa: F811
    url: str,
    axe: str,
    theme: str,
    width: int,
) -> None:
    """Contrast, names, roles and order of each view; and nothing sticks out of the page."""
    options = {"color_scheme": theme, "viewport": {"width": width, "height": 900}}
    faults: list[tuple[str, str, Any]] = []
    with page_of(browser, url, **options) as watched:
        page = watched.page
        for address in PAGES:
            page.goto(url + address)
            page.wait_for_selector(".board .card h2")
            page.locator('[data-testid="stPopover"] button:visible').first.wait_for()
            page.evaluate(axe)
            result = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
            faults += [
                (address, fault["id"], [node["html"][:200] for node in fault["nodes"]])
                for fault in result["violations"]
            ]
            if not page.evaluate("document.documentElement.scrollWidth <= innerWidth"):
                faults.append((address, "wider than the page", width))
            if width < 500:
                faults += [(address, *fault) for fault in page.evaluate(ON_A_PHONE)]
    assert not faults, faults


def test_nothing_moves_for_who_wants_less_motion(browser: Browser, url: str) -> None:  # noqa: F811
    """No element of the page has a transition, where the machine asks for reduced motion."""
    with page_of(browser, url, reduced_motion="reduce") as watched:
        watched.page.wait_for_selector(".board .card")
        moving = watched.page.evaluate(
            "() => [...document.querySelectorAll('.board *')].filter(element => "
            "getComputedStyle(element).transitionDuration.split(', ').some(s => s !== '0s')).length"
        )
        assert moving == 0
