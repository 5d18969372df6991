"""What Streamlit runs: `streamlit run app.py -- HOME`; beside Snowflake, without a home."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import streamlit as st

from medallion.errors import DashboardError, NothingYet
from medallion.operations.freshness import Clock, freshness
from medallion.outputs.dashboard import page, text
from medallion.outputs.dashboard.header import header
from medallion.outputs.dashboard.model import Choice, Choices
from medallion.outputs.dashboard.snapshot import NO_CATEGORY, Board
from medallion.outputs.dashboard.sources import PublishedSnapshots, SnowflakeRelations, Source

STYLE = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")


@st.cache_resource
def source() -> Source:
    """Where this app reads, for all its visitors."""
    if len(sys.argv) > 1:
        return PublishedSnapshots(Path(sys.argv[1]))
    return SnowflakeRelations(st.connection("snowflake").raw_connection)


@st.cache_resource(max_entries=2)
def board(version: str) -> Board:
    """The relations of a version, read once however many look at them."""
    return Board(source().read())


def newest() -> Board:
    """The board of the newest version. Raises NothingYet when it holds no sale."""
    found = board(source().version())
    found.newest_sale()
    return found


def main() -> None:
    """Draws the page, and again whenever there is something new."""
    st.set_page_config(page_title="Retail, live", page_icon="🛒", layout="wide")
    st.html(f"<style>{STYLE}</style>")
    drawn, clock, when, now = state(), Clock(), "", datetime.now(UTC)
    try:
        board = newest()
        clock = board.clock
        shown = board.snapshot(choose(board.choices, now))
        when, body = page.when(shown, now), page.board(shown, now)
    except DashboardError as error:
        body = page.message(*nothing_to_show(error))
    except Exception as error:  # A fault of ours is a sentence on the page, too.
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        body = page.message("The page cannot be drawn", f"{reason[:300]}; please report it")
    st.fragment(look, run_every=source().refresh)(drawn, clock, when)
    st.html(body)


def nothing_to_show(error: DashboardError) -> tuple[str, str]:
    """A title and a sentence: a first build that is under way is something else than nothing."""
    runner = source().runner()
    if not isinstance(error, NothingYet):
        return "The page cannot be drawn", str(error)
    if runner and not runner.ended and not runner.error:
        return "The first build is under way", (
            f"process {runner.process} works on this home; the page fills as soon as it has "
            f"published a snapshot with a sale ({error})"
        )
    return "Nothing to show yet", str(error)


def state() -> str:
    """What the page depends on, but for what the user chose."""
    now = datetime.now(UTC)
    try:
        board = newest()
        return f"{board.relations.version} {board.choices.is_today(now)}"
    except DashboardError as error:
        return " ".join(nothing_to_show(error))
    except Exception as error:
        return repr(error)


def look(drawn: str, clock: Clock, when: str) -> None:
    """Says how fresh the page is, and has it drawn anew when it no longer says what there is: most
    looks cost nothing."""
    if state() != drawn:
        st.rerun()
    now, refresh = datetime.now(UTC), source().refresh
    st.html(header(when, freshness(clock, source().runner(), now), now, refresh))


def choose(choices: Choices, now: datetime) -> Choice:
    """The row of filters."""
    title, days, stores, categories = st.columns([2.2, 1.2, 2, 1.2], vertical_alignment="bottom")
    title.markdown("## Retail")
    newest_day = "No sale yet"
    if choices.days:
        newest_day = "Today" if choices.is_today(now) else f"{text.day(choices.days[0])} (newest)"
    day = days.selectbox(
        f"Day in {choices.time_zone}, of the last {len(choices.days)} with sales",
        choices.days[1:],
        index=None,
        format_func=text.day,
        placeholder=newest_day,
        key="day",
    )
    chosen = stores.multiselect(
        "Stores",
        list(choices.stores),
        format_func=lambda store: f"{text.isolated(choices.stores[store])} ({store})",
        placeholder="All stores",
        key="stores",
    )
    category = categories.selectbox(
        "Category",
        choices.categories,
        index=None,
        format_func=lambda category: text.isolated(text.named(category, NO_CATEGORY)),
        placeholder="All categories",
        key="category",
    )
    return Choice(day, tuple(chosen), category)


main()
