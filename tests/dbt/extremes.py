"""Events of extreme values, generated from the contract."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from random import Random
from typing import Any

from medallion.cleaning.exact import Validator
from medallion.contract import EARLIEST, Feed, Field


def extremes(rng: Random, feed: Feed, wanted: int) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield lines of extreme values that the contract accepts, and the row of each."""
    validator = Validator(feed)
    while wanted:
        values = {f.name: _extreme(rng, f) for f in feed.fields}
        if feed.total:
            values |= {feed.total.field: None, "event_id": str(wanted)}
        line = json.dumps({k: v for k, v in values.items() if v is not None}).encode()
        verdict = validator.validate(line, len(line))
        if verdict.reason is None:
            row = dict(zip(feed.names, verdict.values, strict=True))
            yield line, row | {"dt": row["ts"].date()}
            wanted -= 1


def _extreme(rng: Random, field: Field) -> str | int | None:
    """A value at or near the bounds of a field, as a producer writes it; None leaves it out."""
    if field.allowed:
        return rng.choice(field.allowed[:3])
    if field.type.kind == "timestamp":
        return rng.choice((EARLIEST, "2026-06-19", "2199-12-31")) + "T23:59:59.999Z"
    if field.type.kind == "date":
        return rng.choice((EARLIEST, "2199-12-31"))
    if field.type.kind == "text":
        return rng.choice(("a", "b", "c" * 300))
    if field.type.kind == "integer":
        return rng.choice((int(field.minimum or 0), 1, 99_000, field.maximum))
    scale, digits = field.type.scale, field.type.precision - field.type.scale
    least = Decimal(1).scaleb(-scale)
    largest = Decimal(10) ** rng.randrange(1, digits + 1) - least
    if field.maximum is not None:
        largest = rng.choice((min(largest, Decimal(field.maximum)), Decimal(field.maximum)))
    return rng.choice((None, "0", str(least), "1", f"{largest:f}"))
