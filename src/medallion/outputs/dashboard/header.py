"""The header, which says how fresh the page is.

It is drawn again each time the browser asks the server. When the server no longer answers, an
animation in the style sheet turns the header into a notice that the server is gone. That needs
neither a script nor the server.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from html import escape

from medallion.operations.freshness import GONE, Freshness, State
from medallion.outputs.dashboard import text
from medallion.outputs.dashboard.choice import Choice
from medallion.outputs.dashboard.model import Arrivals


def header(when: str, fresh: Freshness, now: datetime, refresh: float) -> str:
    """Return the header as HTML.

    Each header contains the time at which it was drawn. No two are the same, so the browser
    replaces the old one and starts counting the seconds anew.

    Args:
        when: the day that is shown, as HTML.
        fresh: how fresh the home is.
        now: the time.
        refresh: the seconds between two requests of the browser.
    """
    answered = f"{now.astimezone(UTC):%H:%M:%S} UTC"
    gone_after = max(GONE, 3 * refresh)
    gone = (
        f"{State.GONE}: no answer since {answered}. The page shows the state of that time, "
        "and continues by itself when the server is back."
    )
    return (
        f'<div class="board"><header style="--gone:{gone_after:g}s" '
        f'data-heard="{now.timestamp():.1f}"><div class="when">{when}</div><div class="pulse">'
        f'<div class="pill alive {fresh.state.lamp}" data-state="{fresh.state}" '
        f'title="{escape(fresh.reason)}"><i></i><b>{fresh.state}</b> {escape(_detail(fresh))}</div>'
        f'<div class="pill gone {State.GONE.lamp}" role="alert" data-state="{State.GONE}"><i></i>'
        f"<b>{escape(gone)}</b></div></div></header></div>"
    )


def rejected_share(arrivals: Arrivals | None, choice: Choice) -> str:
    """Return the share of quarantine on the last day of arrival as HTML, a link to its page."""
    if arrivals is None or not arrivals.lines:
        return ""
    share = text.percent(Decimal(arrivals.quarantined) / arrivals.lines)
    link = escape(choice.but(view="quality", sort="").link)
    lines = f"{text.count(arrivals.quarantined)} of {text.count(arrivals.lines)} lines"
    return (
        f'<a href="{link}" target="_self" title="{lines} that arrived {text.day(arrivals.day)}" '
        f'data-metric="rejected">{share} rejected</a>'
    )


def _detail(fresh: Freshness) -> str:
    """Return the ages, after the reason where a user should act or wait."""
    reason = f"{fresh.reason}; " if fresh.state in (State.STALLED, State.CATCHING_UP) else ""
    return f"{reason}{fresh.ages}"
