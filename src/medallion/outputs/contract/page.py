"""docs/contract.md: the text of page.md with its placeholders filled from the contract."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from string import Template

from medallion.contract import (
    BEFORE,
    CURRENCIES,
    EARLIEST,
    FEEDS,
    INTEGER_DECIMALS,
    MALFORMED,
    MAX_DEPTH,
    MAX_LINE_BYTES,
    MAX_NAME_LENGTH,
    MAX_NUMBER_LENGTH,
    MAX_UNKNOWN_NAMES,
    OTHER_NAMES,
    OVERSIZE,
    PURCHASES,
    QUARANTINE_COLUMNS,
    RECEIPT_COLUMNS,
    TECHNICAL_COLUMNS,
    TIME_ZONES,
    TOTAL_MISMATCH,
    UNREADABLE,
    VERSION,
    WHOLE_CURRENCIES,
    WITHDRAWN_CURRENCIES,
    Column,
    Feed,
    Field,
    Total,
)
from medallion.outputs.contract.json_schema import LIMITS
from medallion.outputs.contract.tables import EDIT_NOTE


def page() -> str:
    """Return the text of docs/contract.md."""
    total = PURCHASES.total or Total()
    values = {
        "edit_note": EDIT_NOTE,
        "version": VERSION,
        "max_line_bytes": f"{MAX_LINE_BYTES:,}",
        "max_depth": MAX_DEPTH,
        "max_number_length": f"{MAX_NUMBER_LENGTH:,}",
        "max_name_length": MAX_NAME_LENGTH,
        "max_unknown_names": MAX_UNKNOWN_NAMES,
        "other_names": OTHER_NAMES,
        "integer_decimals": INTEGER_DECIMALS,
        "earliest": EARLIEST,
        "before": BEFORE,
        "oversize": OVERSIZE,
        "malformed": MALFORMED,
        "unreadable": UNREADABLE,
        "total_mismatch": TOTAL_MISMATCH,
        "total": f"{total.price} x {total.quantity} - {total.discount}",
        "tolerance": f"{total.fixed} + {total.each:f} x {total.quantity}",
        "whole": total.whole,
        "whole_currencies": ", ".join(WHOLE_CURRENCIES),
        "fixed": total.fixed,
        "withdrawn_currencies": _by_end(),
        "feeds": "\n".join(map(_feed, FEEDS.values())),
        "technical": _columns(TECHNICAL_COLUMNS),
        "quarantine": _columns(QUARANTINE_COLUMNS),
        "receipts": _columns(RECEIPT_COLUMNS),
        "limits": LIMITS,
    }
    return Template(Path(__file__).with_name("page.md").read_text("utf-8")).substitute(values)


def _by_end() -> str:
    """Return the withdrawn currencies by the first day without them, the latest day first."""
    codes: dict[date, list[str]] = {}
    for code, end in WITHDRAWN_CURRENCIES:
        codes.setdefault(end, []).append(code)
    return _rows((f"{end}", ", ".join(codes[end])) for end in sorted(codes, reverse=True)).strip()


def _feed(feed: Feed) -> str:
    rest = " Whatever lies elsewhere under raw/ is read as this feed." * (feed is PURCHASES)
    last = f"\nLast: `{TOTAL_MISMATCH}`.\n" * (feed.total is not None)
    return (
        f"## {feed.name}\n\n"
        f"{feed.description} Folder `raw/{feed.name}/`, key `{feed.key}`.{rest}\n\n"
        "| field | type | rule | meaning | reasons |\n|---|---|---|---|---|\n"
        f"{_rows(_field(field) for field in feed.fields)}{last}"
    )


def _field(field: Field) -> tuple[str, ...]:
    reasons = [field.missing] * field.required + [field.bad]
    named = ", ".join(f"`{reason}`" for reason in reasons)
    return f"`{field.name}`", field.type.duckdb, _rule(field), field.description, named


def _rule(field: Field) -> str:
    """Return the rules of a field as a short list."""
    lists = {CURRENCIES: "ISO 4217, in use at `ts`", TIME_ZONES: "IANA, with links"}
    allowed = lists.get(field.allowed, " or ".join(field.allowed))
    rules = [
        "required" if field.required else "",
        "" if field.default is None else f"default {field.default.strip(chr(39))}",
        f"{field.fold} case" if field.fold else "",
        allowed,
        "" if field.minimum is None else f">= {field.minimum:,}",
        "" if field.maximum is None else f"<= {field.maximum:,}",
    ]
    return ", ".join(filter(None, rules))


def _columns(columns: Iterable[Column]) -> str:
    rows = ((f"`{c.name}`", c.type.duckdb, c.description) for c in columns)
    return f"| column | type | meaning |\n|---|---|---|\n{_rows(rows)}".rstrip("\n")


def _rows(rows: Iterable[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
