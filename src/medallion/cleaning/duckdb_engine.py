"""The cleaner on a laptop: DuckDB in process, one block of lines at a time."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from functools import cache

import duckdb
import numpy as np
import pyarrow as pa

from medallion.cleaning.exact import Decoded, decode_line
from medallion.cleaning.judge import Dialect, judge
from medallion.cleaning.lines import Block
from medallion.cleaning.suspects import Survey, survey
from medallion.contract import MALFORMED, MAX_LINE_BYTES, OVERSIZE, WHITE_SPACE, Feed

_WHITE_SPACE = WHITE_SPACE.encode()
ENGINE = f"duckdb {duckdb.__version__}"

DIALECT = Dialect(
    matches=lambda text, pattern: f"regexp_matches({text}, '{pattern}')",
    instant=lambda text: (
        f"date_trunc('millisecond', TRY_CAST(upper({text}) AS TIMESTAMPTZ) AT TIME ZONE 'UTC')"
    ),
    epoch=lambda text: f"make_timestamp(TRY_CAST({text} AS BIGINT) * 1000)",
    trim=lambda text: text,  # the survey sends every text with outer space to the exact reader
    ascii=lambda text: f"strlen({text}) = length({text})",
    char0="chr(0)",
)


@dataclass
class Tally:
    """What was counted while the lines of one object were cleaned."""

    lines: int = 0
    blank: int = 0
    unknown_fields: Counter[str] = field(default_factory=Counter)


def connect(threads: int = 1) -> duckdb.DuckDBPyConnection:
    """A private in-memory DuckDB whose session reads and writes UTC."""
    connection = duckdb.connect(":memory:", config={"threads": threads})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET preserve_insertion_order = false")
    return connection


class Cleaner:
    """Cleans the lines of one object after another into the temporary tables `accepted` and
    `rejected`, which have the feed's fields and what the quarantine adds.

    Its statements are prepared once: planning them takes longer than running them on a
    micro-batch.
    """

    def __init__(self, feed: Feed) -> None:
        self.db = connect()
        self._feed = feed
        self._shapes: dict[tuple[str, ...], tuple[bool, tuple[str, ...]]] = {}
        typed = ", ".join(f"{f.name} {f.type.duckdb}" for f in feed.fields)
        texts = ", ".join(f"{name} VARCHAR" for name in feed.names)
        names = ", ".join(feed.names)
        for statement in (
            "CREATE TEMP TABLE lines (line_no BIGINT, line VARCHAR, colons INTEGER)",
            f"CREATE TEMP TABLE decoded (line_no BIGINT, damage VARCHAR, {texts}, "
            "doubtful BOOLEAN, names VARCHAR[])",
            f"CREATE TEMP TABLE judged (line_no BIGINT, reason VARCHAR, {typed})",
            f"CREATE TEMP TABLE accepted (source_line BIGINT, {typed})",
            "CREATE TEMP TABLE rejected "
            "(source_line BIGINT, reason VARCHAR, raw BLOB, raw_size BIGINT)",
            f"PREPARE decode AS INSERT INTO decoded {_decoding(feed)}",
            f"PREPARE judge AS INSERT INTO judged {judge(feed, 'decoded', DIALECT)}",
            f"PREPARE accept AS INSERT INTO accepted SELECT line_no, {names} FROM judged "
            "WHERE reason IS NULL",
        ):
            self.db.execute(statement)

    def clear(self) -> None:
        """Empties both tables, for a new object or a new part of one."""
        self._empty("accepted", "rejected")

    def add(self, block: Block, tally: Tally) -> None:
        """Judges the lines of a block and adds them to `accepted` and `rejected`."""
        found = survey(block)
        exact = self._read_exactly(block, np.flatnonzero(found.suspect), tally)
        self._decode(block, found)
        doubtful = self._count_names(tally)
        exact += self._read_exactly(block, doubtful - block.first_line, tally)
        self._judge(exact)
        self._reject(block)
        tally.lines += len(block)

    def _empty(self, *tables: str) -> None:
        for table in tables:
            self.db.execute(f"TRUNCATE {table}")

    def _read_exactly(
        self, block: Block, indexes: np.ndarray, tally: Tally
    ) -> list[tuple[int, Decoded]]:
        read = []
        for index in indexes.tolist():
            if block.sizes[index] > MAX_LINE_BYTES:
                decoded = Decoded(OVERSIZE)
            elif not (line := block.line(index)).strip(_WHITE_SPACE):
                tally.blank += 1
                continue
            else:
                decoded = decode_line(line, self._feed)
            tally.unknown_fields.update(set(decoded.names) - set(self._feed.names))
            read.append((block.first_line + index, decoded))
        return read

    def _decode(self, block: Block, found: Survey) -> None:
        """Fills the table `decoded` from the lines that are no suspects.

        `names` stays NULL where the colons prove that a line has no other members than the known
        ones that it gave a value to, each once."""
        text = pa.StringArray.from_buffers(
            len(block), pa.py_buffer(block.offsets), pa.py_buffer(block.data)
        )
        numbers = np.arange(block.first_line, block.first_line + len(block))
        table = pa.table({"line_no": numbers, "line": text, "colons": found.colons})
        self._empty("lines", "decoded")
        self._insert("lines", table.filter(pa.array(~found.suspect)))
        self.db.execute("EXECUTE decode")

    def _insert(self, target: str, rows: pa.Table) -> None:
        """Adds Arrow rows to a table. The rows are found by their variable's name, not registered:
        that would change the catalog and make every prepared statement be planned again."""
        self.db.execute(f"INSERT INTO {target} BY NAME FROM rows")

    def _count_names(self, tally: Tally) -> np.ndarray:
        """Counts unknown names; returns the numbers of the lines that the exact reader must read
        again, and takes them out of `decoded`."""
        found = self.db.execute(
            "SELECT names, count(*), count(*) FILTER (doubtful) FROM decoded "
            "WHERE names IS NOT NULL OR doubtful GROUP BY names"
        ).fetchall()
        again, doubtful = [], 0
        for names, count, doubts in found:
            repeated, unknown = self._shape(tuple(names or ()))
            doubtful += doubts
            if repeated:
                again.append(names)
                continue
            for name in unknown:
                tally.unknown_fields[name] += count - doubts
        if not again and not doubtful:
            return np.array([], np.int64)
        lines = self.db.execute(
            "DELETE FROM decoded WHERE doubtful OR list_contains(?, names) RETURNING line_no",
            [again],
        ).fetchall()
        return np.sort(np.array([number for (number,) in lines]))

    def _shape(self, names: tuple[str, ...]) -> tuple[bool, tuple[str, ...]]:
        """Whether a name stands twice, and which names the feed does not know."""
        if names not in self._shapes:
            if len(self._shapes) > 10_000:
                self._shapes.clear()
            unknown = tuple(n for n in names if n not in self._feed.names)
            self._shapes[names] = len(set(names)) < len(names), unknown
        return self._shapes[names]

    def _judge(self, exact: list[tuple[int, Decoded]]) -> None:
        """Judges `decoded` and what was read exactly; fills `judged` and `accepted`."""
        if exact:
            rows = {"line_no": pa.array([number for number, _ in exact], pa.int64())}
            rows["damage"] = pa.array([d.damage for _, d in exact], pa.string())
            for name in self._feed.names:
                rows[name] = pa.array([d.texts.get(name) for _, d in exact], pa.string())
            self._insert("decoded", pa.table(rows))
        self._empty("judged")
        # The judge is written as it should run: to improve it takes three times as long as to
        # judge a micro-batch.
        self.db.execute("PRAGMA disable_optimizer")
        self.db.execute("EXECUTE judge")
        self.db.execute("PRAGMA enable_optimizer")
        self.db.execute("EXECUTE accept")

    def _reject(self, block: Block) -> None:
        """Adds what was refused to `rejected`, with its bytes."""
        refused = self.db.execute(
            "SELECT line_no, reason FROM judged WHERE reason IS NOT NULL ORDER BY line_no"
        ).fetchall()
        if not refused:
            return
        indexes = [number - block.first_line for number, _ in refused]
        rows = {
            "source_line": pa.array([number for number, _ in refused], pa.int64()),
            "reason": pa.array([reason for _, reason in refused], pa.string()),
            "raw": pa.array([block.line(i) for i in indexes], pa.binary()),
            "raw_size": pa.array([int(block.sizes[i]) for i in indexes], pa.int64()),
        }
        self._insert("rejected", pa.table(rows))


@cache
def cleaner(feed: Feed) -> Cleaner:
    """This process's cleaner of a feed."""
    return Cleaner(feed)


def _decoding(feed: Feed) -> str:
    members = json.dumps(dict.fromkeys(feed.names, "VARCHAR"))
    doubts = " OR ".join(_looks_retyped(f.name) for f in feed.fields if f.type.kind == "text")
    given = " + ".join(f"({name} IS NOT NULL)::INTEGER" for name in feed.names)
    return f"""
        SELECT line_no, damage, {", ".join(feed.names)}, coalesce({doubts}, false) AS doubtful,
               CASE WHEN damage IS NULL AND colons <> {given} THEN json_keys(line) END AS names
        FROM (SELECT line_no, line, colons, CASE WHEN NOT valid THEN '{MALFORMED}' END AS damage,
                     unnest(CASE WHEN valid THEN json_transform(line, '{members}') END)
              FROM (SELECT *, json_valid(line) AS valid FROM lines))"""


_NO_INTEGER = "^(-[0-9]+|-?[0-9]+[.][0-9]+|-?[0-9]+([.][0-9]+)?[eE][-+]?[0-9]+)$"


def _looks_retyped(text: str) -> str:
    """True for the text of a JSON number that is no plain integer, a boolean, an array or an
    object. A string may look so too: the exact reader then tells."""
    return (
        f"({text} < ':' AND regexp_matches({text}, '{_NO_INTEGER}')) "
        f"OR {text} = 'true' OR {text} = 'false' "
        f"OR ({text} >= '[' AND {text} < '\\') OR ({text} >= '{{' AND {text} < '|')"
    )
