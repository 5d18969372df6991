"""The renderer of columns as NDJSON: fixed-width rows of bytes, filled from lookup tables.

A row is a numpy structured value in which every text has room for its longest form. Shorter ones
are padded with NUL bytes, which no JSON text may contain, and one pass removes them all. The fields
of a basket are rendered once per basket, then copied into each of its lines.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from medallion.contract import VERSION
from medallion.simulation.columns import Baskets, ReceiptLines
from medallion.simulation.events import PAYMENTS
from medallion.simulation.geography import CURRENCIES
from medallion.simulation.prices import DAY_MS, Ints
from medallion.simulation.tables import numerals, table
from medallion.simulation.world import CUSTOMERS, World

CHANNELS = ("store", "web")
REASONS = ("", "damaged", "wrong size", "not as described", "changed mind", "changed mind", "late")
"""Reasons of returns, of which each product has three; the empty one means that none is given."""
ID_BITS = 48
SCRAMBLE = 0x5DEECE66D
"""An odd number: multiplication by it modulo 2**48 maps counters to distinct ids."""


def layout(*parts: tuple[str, str | np.dtype[Any]]) -> tuple[np.dtype[Any], dict[str, str]]:
    """Return a row type of parts (name, lane type) and ("", constant text), and its constants."""
    fields: list[tuple[str, Any]] = []
    constants: dict[str, str] = {}
    for n, (name, kind) in enumerate(parts):
        if not name:
            name, constants[f"_{n}"] = f"_{n}", str(kind)
            kind = f"V{len(str(kind).encode())}"
        fields.append((name, kind))
    return np.dtype(fields), constants


class Renderer:
    """The renderer of one run, whose ids begin with `run`, 16 hexadecimal digits."""

    def __init__(self, world: World, run: str) -> None:
        high, low, salt = f"{run[:8]}-{run[8:12]}-8{run[12:15]}", run[15], int(run, 16)
        self._salt = salt & ((1 << ID_BITS) - 1)
        self._event_prefix = f"{high}-b{low}00-"
        self._basket_prefix = f"{run[:8]}-"
        self._numerals = numerals()
        self._products = table(
            f'"product_id":"{p.product_id}","category":{json.dumps(p.category)},'
            for p in world.products
        )
        self._stores = table(
            f'"store_id":"{s.store_id}","currency":"{CURRENCIES[c].code}",'
            for s, c in zip(world.stores, world.store_currency, strict=True)
        )
        self._payments = table(
            f'","payment_method":"{p}","channel":"{c}","schema_version":{VERSION}}}\n'
            for p in PAYMENTS
            for c in CHANNELS
        )
        self._reasons = table(f'"return_reason":"{r}",' if r else "" for r in REASONS)
        self._layouts = {"basket": self._basket_layout()}
        for kind in ("purchase", "return"):
            self._layouts[kind] = self._line_layout(kind)
        self._blank = {kind: np.zeros(0, dtype=row) for kind, (row, _) in self._layouts.items()}

    def _basket_layout(self) -> tuple[np.dtype[Any], dict[str, str]]:
        customer, _ = layout(
            ("", '"customer_id":"C'), ("thousands", "u4"), ("ones", "u4"), ("", '",')
        )
        return layout(
            ("store", self._stores.dtype),
            ("customer", customer),
            ("", f'"basket_id":"{self._basket_prefix}'),
            ("id0", "u4"),
            ("id1", "u4"),
            ("id2", "u4"),
            ("payment", self._payments.dtype),
        )

    def _line_layout(self, kind: str) -> tuple[np.dtype[Any], dict[str, str]]:
        money: list[tuple[str, str]] = []
        for name in ("discount", "tax", "total"):
            money += [
                ("", f'"{name}_amount":'),
                (f"{name}_high", "u8"),
                (f"{name}_low", "V5"),
                ("", ","),
            ]
        original: list[tuple[str, str | np.dtype[Any]]] = []
        if kind == "return":
            original = [
                ("", f'"original_event_id":"{self._event_prefix}'),
                ("of0", "u4"),
                ("of1", "u4"),
                ("of2", "u4"),
                ("", '",'),
                ("reason", self._reasons.dtype),
            ]
        return layout(
            ("", f'{{"event_id":"{self._event_prefix}'),
            ("id0", "u4"),
            ("id1", "u4"),
            ("id2", "u4"),
            ("", f'","event_type":"{kind}","ts":"'),
            ("day", "V11"),
            ("clock", numerals().clock.dtype),
            ("millis", "u4"),
            ("", '",'),
            ("product", self._products.dtype),
            ("", '"price":'),
            ("price_high", "u8"),
            ("price_low", "V5"),
            ("", ',"quantity":'),
            ("quantity", "u8"),
            ("", ","),
            *money,
            *original,
            ("basket", f"V{self._layouts['basket'][0].itemsize}"),
        )

    def _rows(self, kind: str, count: int) -> npt.NDArray[Any]:
        """Return rows with their constant texts, in the same memory each time."""
        if len(self._blank[kind]) < count:
            row, constants = self._layouts[kind]
            self._blank[kind] = np.zeros(count, dtype=row)
            for name, text in constants.items():
                self._blank[kind][name] = np.void(text.encode())
        return self._blank[kind][:count]

    def lines(self, lines: ReceiptLines) -> memoryview:
        """Return the NDJSON of lines that are all purchases or all returns."""
        if not len(lines):
            return memoryview(b"")
        kind = "return" if len(lines.original) else "purchase"
        rows, texts = self._rows(kind, len(lines)), self._numerals
        self._identify(rows, "id", lines.number)
        day, within = np.divmod(lines.ts, DAY_MS)
        first = int(day.min())
        days = table(f"{np.datetime64(d, 'D')}T" for d in range(first, int(day.max()) + 1))
        rows["day"] = days[day - first]
        second, milli = np.divmod(within, 1_000)
        rows["clock"], rows["millis"] = texts.clock[second], texts.millis[milli]
        rows["product"] = self._products[lines.product]
        rows["quantity"] = texts.thousandths[lines.quantity]
        for name in ("price", "discount", "tax", "total"):
            high, low = np.divmod(getattr(lines, name), 10_000)
            rows[f"{name}_high"] = texts.hundreds[high]
            rows[f"{name}_low"] = texts.units[low + 10_000 * (high > 0)]
        if kind == "return":
            self._identify(rows, "of", lines.original)
            rows["reason"] = self._reasons[(lines.product + lines.number % 3) % len(REASONS)]
        rows["basket"] = self._baskets(lines.baskets).take(lines.basket)
        packed = rows.view(np.uint8)
        return packed[packed != 0].data

    def _baskets(self, baskets: Baskets) -> npt.NDArray[Any]:
        rows, texts = self._rows("basket", len(baskets.number)), self._numerals
        rows["store"] = self._stores[baskets.store]
        customer = rows["customer"]
        thousands, ones = np.divmod(baskets.customer, 10_000)
        customer["_0"], customer["_3"] = np.void(b'"customer_id":"C'), np.void(b'",')
        customer["thousands"], customer["ones"] = texts.four[thousands], texts.four[ones]
        rows["customer"][baskets.customer == 0] = np.zeros((), dtype=customer.dtype)
        self._identify(rows, "id", baskets.number)
        rows["payment"] = self._payments[baskets.payment * len(CHANNELS) + baskets.channel]
        return rows.view(f"V{rows.dtype.itemsize}")

    def _identify(self, rows: npt.NDArray[Any], name: str, number: Ints) -> None:
        """Write a scrambled number of twelve hexadecimal digits, so that ids have no order."""
        scrambled = (number * SCRAMBLE + self._salt) & ((1 << ID_BITS) - 1)
        for part, bits in enumerate((32, 16, 0)):
            rows[f"{name}{part}"] = self._numerals.hexadecimal[scrambled >> bits & 0xFFFF]


assert CUSTOMERS < 100_000_000, "customer numbers have eight digits"
