"""The targets of the fuzzer, on a few changed inputs: `python -m tests.fuzz` tries millions."""

from __future__ import annotations

import io
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
import pytest

from medallion.cleaning import plain
from medallion.errors import SettingsError
from medallion.lake.receipts import read_receipts
from medallion.lake.seals import Damaged
from medallion.settings import read_file
from tests.conformance.damage import damaged
from tests.fuzz import TARGETS, Target, receipt_file_seeds

INPUTS = 100


def test_settings_that_are_nested_too_deeply_are_refused(tmp_path: Path) -> None:
    """As a mapping is that the fuzzer has found."""
    path = tmp_path / "medallion.toml"
    path.write_text("a = " + "[" * 2_000)
    with pytest.raises(SettingsError, match="no TOML that can be read"):
        read_file(path)


def _number(value: int) -> bytes:
    """Return a number as the footer of a Parquet file has it: zigzag, seven bits a byte."""
    value, parts = 2 * value, bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes(parts) + bytes([value])


@pytest.mark.parametrize("rows", [0, 1 << 22])
def test_a_receipt_that_says_too_many_rows_is_damaged(rows: int) -> None:
    """A found input: Arrow asks for memory for as many rows as the footer gives to a row group."""
    sound = next(receipt_file_seeds())
    size = pq.ParquetFile(io.BytesIO(sound)).metadata.row_group(0).total_byte_size
    field, footer = b"\x16", sound[-8 - int.from_bytes(sound[-8:-4], "little") : -8]
    before = field + _number(size) + field
    assert footer.count(before + _number(1)) == 1
    forged = footer.replace(before + _number(1), before + _number(rows))
    data = sound[: -8 - len(footer)] + forged + len(forged).to_bytes(4, "little") + b"PAR1"
    with pytest.raises(Damaged, match="numbers of rows"):
        read_receipts(io.BytesIO(data), "bronze/receipts/x.parquet")


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_no_input_breaks_a_promise(target: Target) -> None:
    """Sound inputs, and damage to them at random."""
    plain.load()
    seeds, chance = [*target.seeds()], Random(1)
    assert seeds
    sound = chance.sample(seeds, min(INPUTS, len(seeds)))
    for data in (
        seeds[-1],
        *sound,
        *(damaged(chance, chance.choice(seeds)) for _ in range(INPUTS)),
    ):
        target.check(data)
