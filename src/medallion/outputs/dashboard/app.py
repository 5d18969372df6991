"""The Streamlit app: `streamlit run app.py -- HOME`, or without a home to read Snowflake."""

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
    """Return the source of relations, one for all visitors of this app."""
    if len(sys.argv) > 1:
        return PublishedSnapshots(Path(sys.argv[1]))
    return SnowflakeRelations(st.connection("snowflake").raw_connection)


@st.cache_resource(max_entries=2)
def board(version: str) -> Board:
    """Return the relations of a version; they are read once for all visitors."""
    return Board(source().read())


def newest_board() -> Board:
    """Return the board of the newest version; raise NothingYet when it holds no sale."""
    newest = board(source().version())
    newest.newest_sale()
    return newest


def main() -> None:
    """Draw the page, and draw it again whenever the source has something new."""
    st.set_page_config(page_title="Retail, live", page_icon="🛒", layout="wide")
    st.html(f"<style>{STYLE}</style>")
    drawn, clock, when, now = state(), Clock(), "", datetime.now(UTC)
    try:
        board = newest_board()
        clock = board.clock
        shown = board.snapshot(choose(board.choices, now))
        when, body = page.when(shown, now), page.board(shown, now)
    except DashboardError as error:
        body = page.message(*nothing_to_show(error))
    except Exception as error:  # A bug, too, is a sentence on the page, not a traceback.
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        body = page.message("The page cannot be drawn", f"{reason[:300]}; please report it")
    st.fragment(look, run_every=source().refresh)(drawn, clock, when)
    st.html(body)


def nothing_to_show(error: DashboardError) -> tuple[str, str]:
    """Return a title and a sentence that say why there is nothing to show.

    A first build that is under way is told apart from a home in which nothing runs.
    """
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
    """Return a text that changes whenever the page must be drawn again.

    It covers all that the page depends on but the choices of the user, which redraw the page
    anyway.
    """
    now = datetime.now(UTC)
    try:
        board = newest_board()
        return f"{board.relations.version} {board.choices.is_today(now)}"
    except DashboardError as error:
        return " ".join(nothing_to_show(error))
    except Exception as error:
        return repr(error)


def look(drawn: str, clock: Clock, when: str) -> None:
    """Draw the header, and rerun the app when the page no longer shows the newest state.

    Streamlit calls this at each refresh; mostly nothing has changed, and only the header is drawn.
    """
    if state() != drawn:
        st.rerun()
    now, refresh = datetime.now(UTC), source().refresh
    st.html(header(when, freshness(clock, source().runner(), now), now, refresh))


def choose(choices: Choices, now: datetime) -> Choice:
    """Draw the row of filters; return what the user chose."""
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
