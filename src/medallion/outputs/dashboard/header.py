"""The line that says how fresh the page is. It is drawn anew with each look of the browser at the
server; when no look is answered any more, its own style sheet turns it into a notice that the
server is gone: no script has to run for that, and no server."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from medallion.operations.freshness import GONE, Freshness, State


def header(when: str, fresh: Freshness, now: datetime, refresh: float) -> str:
    """Return the line. `when` is HTML; `refresh` are the seconds between two looks.

    Each carries the time of its look, so that no two are the same: the browser starts counting
    anew.
    """
    heard = f"{now.astimezone(UTC):%H:%M:%S} UTC"
    patience = max(GONE, 3 * refresh)
    gone = (
        f"{State.GONE}: no answer since {heard}. The page shows what was known then, and goes on "
        "by itself when the server is back."
    )
    return (
        f'<div class="board"><header style="--gone:{patience:g}s" '
        f'data-heard="{now.timestamp():.1f}"><div class="when">{when}</div><div class="pulse">'
        f'<div class="pill alive {fresh.state.lamp}" data-state="{fresh.state}" '
        f'title="{escape(fresh.reason)}"><i></i><b>{fresh.state}</b> {escape(_detail(fresh))}</div>'
        f'<div class="pill gone {State.GONE.lamp}" role="alert" data-state="{State.GONE}"><i></i>'
        f"<b>{escape(gone)}</b></div></div></header></div>"
    )


def _detail(fresh: Freshness) -> str:
    """The ages, and the reason where something wants looking at."""
    reason = f"{fresh.reason}; " if fresh.state in (State.STALLED, State.CATCHING_UP) else ""
    return f"{reason}{fresh.ages}"
