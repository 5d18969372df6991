"""Lookup tables of texts for the renderer, padded with NUL bytes to the same width."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[Any]


def table(texts: Iterable[str], lane: str | None = None, right: bool = False) -> Table:
    """Return one row per text, aligned left or right; `lane` is an integer type for the rows."""
    encoded = [t.encode() for t in texts]
    width = np.dtype(lane).itemsize if lane else max(map(len, encoded))
    pad = bytes.rjust if right else bytes.ljust
    rows = np.frombuffer(b"".join(pad(e, width, b"\0") for e in encoded), dtype=f"V{width}")
    return rows.view(lane) if lane else rows


@dataclass(frozen=True)
class Numerals:
    """Tables of numbers as text.

    An amount of cents is a row of `hundreds` for cents // 10,000, then a row of `units` for the
    rest. Rows of `units` from 10,000 on have leading zeros, for amounts with hundreds.
    """

    hexadecimal: Table
    units: Table
    hundreds: Table
    clock: Table
    millis: Table
    four: Table
    thousandths: Table


@cache
def numerals() -> Numerals:
    """Return the tables of numbers."""
    minutes = [f"{h:02d}:{m:02d}:" for h in range(24) for m in range(60)]
    seconds = [f"{s:02d}." for s in range(60)]
    whole = [f"{n}" for n in range(100)]
    cents = [f".{n:02d}" for n in range(100)]
    return Numerals(
        hexadecimal=table((f"{n:04x}" for n in range(1 << 16)), "u4"),
        units=table(
            [w + c for w in whole for c in cents] + [w.zfill(2) + c for w in whole for c in cents],
            right=True,
        ),
        hundreds=table(["", *map(str, range(1, 1 << 16))], "u8", right=True),
        clock=table(m + s for m in minutes for s in seconds),
        millis=table((f"{n:03d}Z" for n in range(1_000)), "u4"),
        four=table((f"{n:04d}" for n in range(10_000)), "u4"),
        thousandths=table((f"{n / 1_000:g}" for n in range(10_000)), "u8"),
    )
