"""The Streamlit app: `streamlit run app.py -- HOME`. The one in Snowflake calls `main`, too."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.scriptrunner import get_script_run_ctx

from medallion.errors import DashboardError, NothingYet, SnapshotGone
from medallion.operations.freshness import Clock, freshness
from medallion.outputs.dashboard import page, text
from medallion.outputs.dashboard.boards import Boards, boards_of, draw
from medallion.outputs.dashboard.choice import VIEWS, Choice, read_choice
from medallion.outputs.dashboard.header import header, rejected_share
from medallion.outputs.dashboard.periods import (
    COMPARISONS,
    EARLIEST,
    LATEST,
    PERIODS,
    RANGE,
    TODAY,
    Period,
)
from medallion.outputs.dashboard.snapshot import NO_CATEGORY, Board
from medallion.outputs.dashboard.views import WITHOUT_FILTERS, View

STYLE = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")


_opened: list[Callable[[], Boards]] = []
"""The function that opens the boards, as it was last passed to `main`."""


@st.cache_resource
def boards() -> Boards:
    """Return the boards of the source, the same ones for all visitors of this app."""
    return _opened[-1]()


def main(open_boards: Callable[[], Boards]) -> None:
    """Draw the page, and draw it again whenever the source has new data."""
    _opened[:] = [open_boards]
    st.set_page_config(page_title="Retail, live", page_icon="🛒", layout="wide")
    st.html(f"<style>{STYLE}</style>")
    # The cards are sent first: until its controls are loaded, a browser shows them alone.
    controls, top, cards = st.container(), st.container(), st.container()
    now, clock, when, board, view = datetime.now(UTC), Clock(), "", None, View("", ())
    choice = Choice()
    drawn = state(choice)
    try:
        board = boards().newest()
        clock = board.clock
        choice = choose(board, now)
        drawn = state(choice)
        view = draw(board, choice, now, boards().source.audit())
        when = view.when
        version = f'data-version="{escape(board.relations.version)}"'
        path = navigation(choice, board)
        body = f'<div class="board" {version} data-view="{choice.view}">{path}{view.html}</div>'
    except SnapshotGone:
        st.rerun()
    except DashboardError as error:
        body = page.message(*nothing_to_show(error))
    except Exception as error:  # A bug, too, is a sentence on the page, not a traceback.
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        body = page.message("The page cannot be drawn", f"{reason[:300]}; please report it")
    cards.html(body)
    with top:
        st.fragment(look, run_every=boards().source.refresh)(drawn, clock, when, choice)
    if board:
        with controls:
            draw_controls(board, choice, view, now)


def nothing_to_show(error: DashboardError) -> tuple[str, str]:
    """Return a title and a sentence that explain why there is nothing to show.

    A first build under way is distinguished from a home in which nothing runs.
    """
    runner = boards().source.runner()
    if not isinstance(error, NothingYet):
        return "The page cannot be drawn", str(error)
    if runner and not runner.ended and not runner.error:
        return "The first build is under way", (
            f"process {runner.process} works on this home; the page fills as soon as it has "
            f"published a snapshot with a sale ({error})"
        )
    return "Nothing to show yet", str(error)


def state(choice: Choice) -> str:
    """Return a text that changes whenever the page must be drawn again.

    It covers everything that the page depends on except the choices of the user, which redraw the
    page anyway. Sales of a period change more rarely than the live page.
    """
    now = datetime.now(UTC)
    try:
        board = boards().newest()
        is_live = choice.period == TODAY or choice.view == "quality"
        more = board.relations.more
        version = board.relations.version if is_live else more.sales_version
        if choice.view == "quality" and (audit := boards().source.audit()):
            version += f" audited {audit.at}"
        return f"{version} {board.today} {board.choices.is_today(now)}"
    except DashboardError as error:
        return " ".join(nothing_to_show(error))
    except Exception as error:
        return repr(error)


def look(drawn: str, clock: Clock, when: str, choice: Choice) -> None:
    """Draw the header, and rerun the app when the page no longer shows the newest state.

    Streamlit calls this at each refresh. Usually nothing has changed, and only the header is drawn.
    A page that the user holds is not drawn again, so that it can be read and copied.
    """
    if state(choice) != drawn and not st.session_state.get("hold"):
        st.rerun()
    now, refresh = datetime.now(UTC), boards().source.refresh
    rejected = ""
    with suppress(DashboardError):  # Which the page itself says.
        board = boards().newest()
        clock, rejected = board.clock, rejected_share(board.arrivals, choice)
    st.html(
        header(
            " · ".join(filter(None, (when, rejected))),
            freshness(clock, boards().source.runner(), now),
            now,
            refresh,
        )
    )


def choose(board: Board, now: datetime) -> Choice:
    """Return the choice of the user, and write it into the address.

    The address has priority where a page is opened, so that a link shows the page from which it was
    copied, and where the user goes back or forward. Otherwise the one that was written last counts:
    what the browser sends is older when the user chooses faster than answers arrive. The values of
    the controls are in the session state before the controls are drawn.
    """
    choices, said = board.choices, st.session_state
    run = get_script_run_ctx()
    opened = "address" not in said or (run and run.is_history_navigation)
    address = {name: st.query_params.get_all(name) for name in st.query_params}
    address = address if opened else said["address"]
    chosen, problems = read_choice(address, choices.default_period(now))
    controls = {
        "period": chosen.period,
        "compare": chosen.compare,
        "stores": [store for store in chosen.stores if store in choices.stores],
        "category": chosen.category,
    }
    if opened:
        unknown = [store for store in chosen.stores if store not in choices.stores]
        problems += [f"There is no store {store[:40]!r}." for store in unknown]
        if chosen.category not in (None, *choices.categories):
            choices.categories.append(chosen.category or "")
        said.update(controls, problems=problems)
        if chosen.days:
            said["days"] = (chosen.days.first, chosen.days.last)
    # Streamlit forgets controls that were not drawn the last time; the address has them.
    for name, value in controls.items():
        said.setdefault(name, value)
    period = said["period"]
    days = chosen.days if period == chosen.period else None
    if period == RANGE:
        picked = said.setdefault("days", (board.today - timedelta(days=27), board.today))
        if isinstance(picked, tuple) and len(picked) == 2:
            days = Period(*picked)
        days = days or Period(board.today, board.today)
    is_live = period == TODAY and chosen.view == "sales"
    choice = chosen.but(
        period=period,
        days=days,
        compare=chosen.compare if is_live else said["compare"],
        stores=tuple(said["stores"]),
        category=said["category"],
        hour=chosen.hour if days == chosen.days else None,
    )
    # Kept before it is sent: Streamlit may end this run there, and a next run that took the address
    # for a new one would forget the problems.
    said["address"] = {
        name: value if isinstance(value, list) else [value]
        for name, value in choice.parameters().items()
    }
    st.query_params.from_dict(choice.parameters())
    return choice


def draw_controls(board: Board, choice: Choice, view: View, now: datetime) -> None:
    """Draw the row of filters, with the buttons that hold the page and download its tables."""
    choices, without = board.choices, choice.view in WITHOUT_FILTERS
    title, periods, compares, stores, categories, more = st.columns(
        [1, 1.6, 1.6, 1.6, 1.4, 0.8], vertical_alignment="bottom"
    )
    title.markdown("# Retail")
    newest = f"Newest day, {text.day(board.today)}"
    labels = PERIODS if choices.is_today(now) else PERIODS | {TODAY: newest}
    periods.selectbox(
        "Period",
        list(PERIODS),
        format_func=lambda name: labels[name],
        key="period",
        disabled=without,
    )
    if choice.period == RANGE:
        periods.date_input(
            "Days",
            key="days",
            min_value=EARLIEST,
            max_value=LATEST,
            format="YYYY-MM-DD",
            disabled=without,
        )
    if choice.period == TODAY and choice.view == "sales":
        compares.selectbox("Compared with", ["The same time a week before"])
    else:
        compares.selectbox(
            "Compared with",
            list(COMPARISONS),
            format_func=lambda name: COMPARISONS[name],
            key="compare",
            disabled=without,
        )
    stores.multiselect(
        "Stores",
        list(choices.stores),
        format_func=lambda store: f"{text.isolated(choices.stores[store])} ({store})",
        placeholder="All stores",
        key="stores",
        disabled=without,
    )
    categories.selectbox(
        "Category",
        choices.categories,
        index=None,
        format_func=lambda name: text.isolated(text.named(name, NO_CATEGORY)),
        placeholder="All categories",
        key="category",
        disabled=without,
    )
    take_away(more, view, choice)
    for problem in st.session_state["problems"]:
        st.warning(problem)


def take_away(controls: DeltaGenerator, view: View, choice: Choice) -> None:
    """Draw the buttons that hold the page and that download its tables as CSV."""
    controls.toggle("Hold", key="hold", help="Stop redrawing the page, to read or to copy")
    with controls.popover("CSV", help="Take the tables of this page away, with the numbers seen"):
        for table in view.tables:
            if table.rows:
                st.download_button(
                    table.title,
                    table.csv(choice.sort).encode("utf-8-sig"),
                    f"{table.key}.csv",
                    "text/csv",
                    key=f"csv-{table.key}",
                    on_click="ignore",
                )


def navigation(choice: Choice, board: Board) -> str:
    """Return the links to the views, and the path of what is chosen, as HTML."""
    choices, current = board.choices, ' aria-current="page"'
    tabs = "".join(
        f'<a href="{escape(choice.but(view=view, sort="").link)}" target="_self"'
        f"{current if view == choice.view else ''}>{label}</a>"
        for view, label in VIEWS.items()
    )
    steps = []
    if choice.period == RANGE and choice.days and choice.days.days == 1:
        steps.append(
            (text.day(choice.days.first), choice.but(period="last_28_days", days=None, hour=None))
        )
    if choice.hour is not None:
        steps.append((f"{choice.hour:02}:00", choice.but(hour=None)))
    if choice.stores:
        name = choices.stores.get(choice.stores[0], choice.stores[0])
        many = f"{len(choice.stores)} stores" if len(choice.stores) > 1 else name
        steps.append((many, choice.but(stores=())))
    if choice.category is not None:
        steps.append((text.named(choice.category, NO_CATEGORY), choice.but(category=None)))
    path = "".join(
        f'<li><bdi>{escape(name)}</bdi> <a href="{escape(without.link)}" target="_self" '
        f'aria-label="Leave {escape(name)}">✕</a></li>'
        for name, without in steps
    )
    everything = choice.but(stores=(), category=None, hour=None).link
    crumbs = (
        f'<nav aria-label="Path"><ol class="path"><li><a href="{escape(everything)}" '
        f'target="_self">All sales</a></li>{path}</ol></nav>'
    )
    return f'<nav class="tabs" aria-label="Views">{tabs}</nav>{crumbs if steps else ""}'


if __name__ == "__main__":
    main(lambda: boards_of(Path(sys.argv[1])))
