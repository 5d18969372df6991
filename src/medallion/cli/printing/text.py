"""Text that is safe for a terminal, and values in a form for people."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from medallion.contract import QUANTITY

UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
"""Characters that a terminal obeys instead of showing: control characters, and marks that change
the direction of writing."""


def visible(text: str) -> str:
    """Return a text that cannot command the terminal.

    A character that could move the cursor, set a colour or hide another one becomes an escape.
    """
    return text if text.isprintable() else UNSAFE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return {9: r"\t", 10: r"\n", 13: r"\r"}.get(
        code, f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    )


def shown(value: Any) -> str:
    """Return a value for people: thousands separated, a dash for NULL, on one line."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Decimal):
        # Only quantities have five decimals: 3 articles are shown as 3, not as 3.00000.
        is_quantity = value.as_tuple().exponent == -QUANTITY.scale
        return f"{value.normalize() if is_quantity else value:,f}"
    if isinstance(value, bytes):
        return visible(value.decode("utf-8", "replace"))
    return visible(str(value))
