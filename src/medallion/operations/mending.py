"""Changes of rejected lines: SQL expressions over the members of each line."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from medallion.contract import Feed
from medallion.errors import SettingsError, did_you_mean
from medallion.importing.engine import engine
from medallion.importing.expressions import Expression, Reference, parse
from medallion.importing.render import json_text, literal, quoted
from medallion.importing.source import TEXT, Column, Formats, lost, value_of
from medallion.platforms.warehouse import one_line

WHOLE_LINE = "raw"
"""The name that stands for the text of the whole line."""


class Mender:
    """Changes of the lines of one feed by expressions, each over the line as it was rejected.

    An expression reads members of the line as texts, and `raw`, the whole line. Its result becomes
    the member; NULL removes it. Where an expression fails, or a member that it reads as a number is
    none, the member becomes an object of what was read, as in an import: no field accepts one, so
    that the line stays rejected.
    """

    def __init__(
        self, con: duckdb.DuckDBPyConnection, feed: Feed, changes: Mapping[str, Expression]
    ) -> None:
        self._con, self._feed, self._changes = con, feed, changes
        self._types: dict[str, str] = {}

    def mended(self, lines: Sequence[bytes]) -> list[bytes]:
        """Return each line with its changes.

        A line that is not a JSON object can only be replaced as a whole; one that is not UTF-8
        stays.
        """
        changed, places = list(lines), [n for n, line in enumerate(lines) if _is_text(line)]
        texts = [lines[place].decode() for place in places]
        if WHOLE_LINE in self._changes:
            wholes = self._values(texts, {WHOLE_LINE: self._changes[WHOLE_LINE]}, rendered=False)
            texts = [
                text if value is None else value
                for text, value in zip(texts, wholes[WHOLE_LINE], strict=True)
            ]
        rest = {name: e for name, e in self._changes.items() if name != WHOLE_LINE}
        values = self._values(texts, rest, rendered=True)
        for n, (place, text) in enumerate(zip(places, texts, strict=True)):
            # A line feed can only stand between the parts of JSON.
            changed[place] = self._changed(text, values, n).replace(b"\n", b" ")
        return changed

    def _changed(self, text: str, values: Mapping[str, list[str | None]], place: int) -> bytes:
        parts = members(text)
        if parts is None or not values:
            return text.encode()
        parts |= {name: of_lines[place] for name, of_lines in values.items()}
        kept = (f"{json.dumps(name)}:{value}" for name, value in parts.items() if value is not None)
        return f"{{{','.join(kept)}}}".encode()

    def _values(
        self, texts: list[str], changes: Mapping[str, Expression], rendered: bool
    ) -> dict[str, list[str | None]]:
        """Return the values of expressions for each line, as JSON text or as they are."""
        if not changes:
            return {}
        names = {r.name for e in changes.values() for r in e.references} - {WHOLE_LINE}
        columns: dict[str, list[str | None]] = {name: [] for name in sorted(names)}
        for text in texts:
            parts = members(text) or {}
            for name, column in columns.items():
                column.append(_as_text(parts.get(name)))
        table = pa.table(
            {WHOLE_LINE: pa.array(texts, pa.string())}
            | {name: pa.array(column, pa.string()) for name, column in columns.items()}
        )
        self._con.register("lines", table)
        used = list(dict.fromkeys(r for e in changes.values() for r in e.references))
        read = [value_of(Column(quoted(r.name), TEXT), (), r, Formats()) for r in used]
        inner = ", ".join(
            f"{value.sql} AS c{n}, {quoted(r.name)} AS t{n}"
            for n, (r, value) in enumerate(zip(used, read, strict=True))
        )
        source = f"(SELECT {inner or '1'} FROM lines)"
        selected = [self._written(name, e, used, source, rendered) for name, e in changes.items()]
        answer = self._run(f"SELECT {', '.join(selected)} FROM {source}")
        self._con.unregister("lines")
        return {name: [row[n] for row in answer] for n, name in enumerate(changes)}

    def _written(
        self, name: str, expression: Expression, used: list[Reference], source: str, rendered: bool
    ) -> str:
        """Return SQL of the value of an expression, as JSON text or as it is."""
        places = {r: used.index(r) for r in expression.references}
        sql = expression.sql({r: f"c{n}" for r, n in places.items()})
        if not rendered:
            return f"TRY(CAST({sql} AS VARCHAR))"
        if name not in self._types:
            rows = self._run(f"DESCRIBE SELECT TRY({sql}) AS x FROM {source}")
            self._types[name] = rows[0][1]
        (field,) = [f for f in self._feed.fields if f.name == name]
        tried = f"TRY(struct_pack(v := {sql}))"
        fails = [lost(f"c{n}", f"t{n}") for n in places.values()] + [f"{tried} IS NULL"]
        texts = ", ".join(f"{literal(r.name)}, t{n}" for r, n in places.items())
        return (
            f"CASE WHEN {' OR '.join(fails)} THEN CAST(json_object({texts}) AS VARCHAR) "
            f"ELSE {json_text(f'{tried}.v', self._types[name], field)} END"
        )

    def _run(self, sql: str) -> list[tuple[str, ...]]:
        try:
            return self._con.execute(sql).fetchall()
        except duckdb.Error as error:
            raise SettingsError(f"--set cannot be worked out: {one_line(error)}") from error


def changes_of(feed: Feed, sets: Sequence[str]) -> dict[str, Expression]:
    """Parse `FIELD=EXPRESSION` words.

    Raises:
        SettingsError: a word, a field or an expression cannot be used.
    """
    names, changes = [*feed.names, WHOLE_LINE], dict[str, Expression]()
    for word in sets:
        name, equals, text = word.partition("=")
        name = name.strip()
        if not equals:
            raise SettingsError(f"--set {word}: write FIELD=EXPRESSION")
        if name not in names:
            raise SettingsError(
                f"--set {name}: {feed.name} have no such field{did_you_mean(name, names)}"
            )
        if name in changes:
            raise SettingsError(f"--set {name} stands twice")
        changes[name] = expression = parse(f"--set {name}", text.strip())
        if any(len(r.path) > 1 or r.use == "total" for r in expression.references):
            raise SettingsError(f"--set {name}: only members of the line itself can be used")
        if expression.allocations:
            raise SettingsError(f"--set {name}: allocate() belongs to imports")
    return changes


@contextmanager
def mender(feed: Feed, changes: Mapping[str, Expression]) -> Iterator[Mender]:
    """Provide a Mender whose expressions reach no file, network or setting."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        engine([], Path(scratch)) as con,
    ):
        yield Mender(con, feed, changes)


def members(text: str) -> dict[str, str | None] | None:
    """Return the members of a JSON object with the exact text of their values; None for others."""
    decoder = json.JSONDecoder()
    parts: dict[str, str | None] = {}
    try:
        text = text.strip(" \t\r\n\ufeff")
        if not isinstance(decoder.raw_decode(text)[0], dict) or text[1:-1].strip() == "":
            return {} if text[:1] == "{" and text[-1:] == "}" else None
        place = 0
        while text[place] != "}":
            name, place = decoder.raw_decode(text, _token(text, place + 1))
            place = _token(text, _token(text, place) + 1)
            _, end = decoder.raw_decode(text, place)
            parts[name] = text[place:end]
            place = _token(text, end)
        return parts if place == len(text) - 1 else None
    except (ValueError, RecursionError, IndexError):
        return None


def _is_text(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _token(text: str, place: int) -> int:
    while text[place] in " \t\r\n":
        place += 1
    return place


def _as_text(value: str | None) -> str | None:
    """Return a member as an expression sees it: a string without its quotes, null as NULL."""
    if value is None or value == "null":
        return None
    return str(json.loads(value)) if value.startswith('"') else value
