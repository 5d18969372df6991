"""The SQL of docs/snowflake.md as it stands on the page, for tests that run it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.snowflake.account_here import PAGE, World, statements

GRAMMAR = Path(__file__).with_name("grammar.py")
_TITLE = re.compile(r"^(?:## (.+)|\*\*(.+?)\.?\*\*.*)$")


def blocks() -> dict[str, list[str]]:
    """Return the blocks of SQL by the title of their paragraph, or else of their section."""
    blocks: dict[str, list[str]] = {}
    title, kind, lines = "", "", list[str]()
    for line in PAGE.read_text().splitlines():
        if line.startswith("```"):
            if kind == "sql":
                blocks.setdefault(title, []).append("\n".join(lines))
            kind, lines = ("" if kind else line[3:] or "text"), []
        elif kind:
            lines.append(line)
        elif match := _TITLE.match(line):
            title = match[1] or match[2]
    return blocks


def filled(sql: str, **values: str) -> list[str]:
    """The statements of a block with its placeholders replaced: `<name from dt= on>` is `name`."""
    text = re.sub(r"<(\w+)[\w =]*>", lambda match: values[match[1]], sql)
    return statements(text)


def follow(account: World, sql: str, **values: str) -> list[list[tuple[object, ...]]]:
    """Run a block as an administrator who copies it from the page; return the rows of each
    statement."""
    with account.server.connect(database="RETAIL") as connection:
        cursor = connection.cursor()
        return [cursor.execute(text).fetchall() for text in filled(sql, **values)]
