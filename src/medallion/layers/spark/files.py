"""The outputs of a run as Parquet files, which Spark's Python workers make and Spark writes.

Spark's own writer of Parquet takes one row at a time, which costs more than cleaning it. Spark has
no writer of bytes, but its writer of text is one: it writes each value as it is, and a separator
behind it. So a value is a piece of a file up to the next byte END, the separator is END, and the
last byte of every Parquet file is END.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import date, datetime
from itertools import chain, groupby
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from medallion.contract import Feed
from medallion.lake.seals import Stamp
from medallion.layers.parquet import accepted_table, options, rejected_table
from medallion.layers.spark.packets import ACCEPTED

END = b"1"
"""The last byte of PAR1, with which every Parquet file begins and ends."""

PIECE = pa.schema(
    [
        ("file", pa.int64()),
        ("piece", pa.int64()),
        ("content", pa.binary()),
        ("output", pa.string()),
    ]
)
PIECE_COLUMNS = "file BIGINT, piece BIGINT, content BINARY, output STRING"
"""PIECE in the syntax of Spark. The last piece of a file has the text of its Output."""

PIECE_BYTES, GROUP_BYTES = 16 << 20, 32 << 20
"""Bytes from which on content becomes a piece, and rows become a row group."""


class Place(NamedTuple):
    """The origin of a split: key and arrival (naive UTC) of its object, and the lines before it."""

    source_file: str
    ingested_at: datetime
    before: int


Places = dict[tuple[str, int], Place]
"""The origin of each split, by path and block."""


@dataclass(frozen=True)
class Output:
    """A file: its number, the feed, kind and day of its packets, its size, SHA-256, and rows.

    `rows` are counted by key of the raw object and reason ("" for accepted rows).
    """

    file: int
    feed: str
    kind: str
    day: str | None
    size: int
    sha256: str
    rows: list[tuple[str, str, int]]

    @classmethod
    def read(cls, text: str) -> Output:
        """Return the output in a text that `text` made."""
        return cls(**json.loads(text))

    def text(self) -> str:
        return json.dumps(asdict(self))

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.size, self.sha256)


def write_files(
    batches: Iterable[pa.RecordBatch], feed: Feed, places: Places
) -> Iterator[pa.RecordBatch]:
    """Yield the pieces of one file for each kind and day of the packets of a task.

    Args:
        batches: packets, sorted by kind and day.
        feed: their feed.
        places: the origin of their splits; packets of others are left out.
    """
    packets = _packets(batches, places)
    for _, group in groupby(packets, key=lambda packet: (packet.kind, packet.day)):
        yield from _pieces(group, feed)


def _pieces(packets: Iterator[_Packet], feed: Feed) -> Iterator[pa.RecordBatch]:
    first = next(packets)
    yield from _File(first, feed).write(chain([first], packets))


class _Packet(NamedTuple):
    kind: str
    day: date | None
    path: str
    block: int
    line: int
    place: Place
    rows: pa.Buffer

    def number(self) -> int:
        """Return the number of the file that this packet begins, the same in every attempt."""
        name = f"{self.kind} {self.day} {self.path} {self.block} {self.line}"
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")


def _packets(batches: Iterable[pa.RecordBatch], places: Places) -> Iterator[_Packet]:
    for batch in batches:
        labels = (batch[name].to_pylist() for name in ("kind", "day", "path", "block", "line"))
        for *label, rows in zip(*labels, batch["rows"], strict=True):
            kind, day, path, block, line = label
            if place := places.get((path, block)):
                yield _Packet(kind, day, path, block, line, place, rows.as_buffer())


class _File:
    """One Parquet file while it is written; it is numbered after its first packet."""

    def __init__(self, first: _Packet, feed: Feed) -> None:
        self._number, self._kind, self._day = first.number(), first.kind, first.day
        self._feed = feed
        self._content, self._pieces = _Content(), 0
        self._rows = Counter[tuple[str, str]]()

    def write(self, packets: Iterable[_Packet]) -> Iterator[pa.RecordBatch]:
        """Yield the pieces of the file."""
        writer: pq.ParquetWriter | None = None
        for group in self._row_groups(packets):
            writer = writer or self._writer(group.schema)
            writer.write_table(group, row_group_size=group.num_rows)
            if piece := self._content.piece():
                yield self._piece(piece)
        if writer:
            writer.close()
            day = str(self._day) if self._day else None
            rows = [(*origin, count) for origin, count in self._rows.items()]
            stamp = self._content.stamp()
            packets_of = self._feed.name, self._kind, day
            output = Output(self._number, *packets_of, stamp.size, stamp.sha256, rows)
            yield self._piece(self._content.last_piece(), output.text())

    def _writer(self, schema: pa.Schema) -> pq.ParquetWriter:
        return pq.ParquetWriter(self._content, schema, **options(self._feed, schema))

    def _row_groups(self, packets: Iterable[_Packet]) -> Iterator[pa.Table]:
        tables, held = list[pa.Table](), 0
        for packet in packets:
            tables.append(self._table(packet))
            held += packet.rows.size
            if held >= GROUP_BYTES:
                yield pa.concat_tables(tables).unify_dictionaries()
                tables, held = [], 0
        if tables:
            yield pa.concat_tables(tables).unify_dictionaries()

    def _table(self, packet: _Packet) -> pa.Table:
        source, arrival, before = packet.place
        rows = pa.ipc.open_stream(packet.rows).read_all()
        index = rows.schema.get_field_index("source_line")
        lines = pa.compute.add(rows["source_line"], before)
        rows = rows.set_column(index, "source_line", lines)
        if packet.kind == ACCEPTED:
            self._rows[source, ""] += rows.num_rows
            return accepted_table(self._feed, rows, self._day, source, arrival)
        for reason in rows["reason"].to_pylist():
            self._rows[source, reason] += 1
        return rejected_table(self._feed, rows, source, arrival)

    def _piece(self, content: bytes, output: str | None = None) -> pa.RecordBatch:
        row = {"file": self._number, "piece": self._pieces, "content": content, "output": output}
        self._pieces += 1
        return pa.RecordBatch.from_pylist([row], PIECE)


class _Content(io.RawIOBase):
    """The content of a file, cut into pieces while it is written."""

    def __init__(self) -> None:
        self._held, self._size, self._digest = bytearray(), 0, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._held += data
        self._digest.update(data)
        self._size += len(data)
        return len(data)

    def stamp(self) -> Stamp:
        """Return the stamp of everything written so far."""
        return Stamp(self._size, self._digest.hexdigest())

    def piece(self) -> bytes | None:
        """Take out a piece without its END; None while there is too little content."""
        end = self._held.rfind(END)
        if len(self._held) < PIECE_BYTES or end < 0:
            return None
        piece = bytes(self._held[:end])
        del self._held[: end + 1]
        return piece

    def last_piece(self) -> bytes:
        """Return what is left, without its END."""
        assert self._held.endswith(END)
        return bytes(self._held[:-1])
