"""What Streamlit runs: `streamlit run app.py -- HOME`; beside Snowflake, without a home."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import streamlit as st

from medallion.dashboard import page, text
from medallion.dashboard.model import Choice, Choices
from medallion.dashboard.snapshot import Board
from medallion.dashboard.sources import PublishedSnapshots, SnowflakeRelations, Source
from medallion.errors import DashboardError

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
    """The board of the newest version."""
    return board(source().version())


def main() -> None:
    """Draws the page, and again whenever there is something new."""
    st.set_page_config(page_title="Retail, live", page_icon="🛒", layout="wide")
    st.html(f"<style>{STYLE}</style>")
    try:
        board = newest()
        shown = board.snapshot(choose(board.choices()))
    except DashboardError as error:
        st.html(page.message("Nothing to show yet", str(error)))
    else:
        st.html(page.board(shown, datetime.now(UTC)))
    st.fragment(look, run_every=source().refresh)(state())


def state() -> str:
    """What the page depends on, but for what the user chose."""
    try:
        return page.state(newest().relations, datetime.now(UTC))
    except DashboardError as error:
        return str(error)


def look(drawn: str) -> None:
    """Has the page drawn anew when it no longer says what there is: most looks cost nothing."""
    if state() != drawn:
        st.rerun()


def choose(choices: Choices) -> Choice:
    """The row of filters."""
    title, days, stores, categories = st.columns([2.2, 1.2, 2, 1.2], vertical_alignment="bottom")
    title.markdown("## Retail, live")
    day = days.selectbox(
        "Day",
        choices.days[1:],
        index=None,
        format_func=text.day,
        placeholder="Today",
        key="day",
    )
    chosen = stores.multiselect(
        "Stores",
        list(choices.stores),
        format_func=lambda store: f"{choices.stores[store]} ({store})",
        placeholder="All stores",
        key="stores",
    )
    category = categories.selectbox(
        "Category", choices.categories, index=None, placeholder="All categories", key="category"
    )
    return Choice(day, tuple(chosen), category)


main()
