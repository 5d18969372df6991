"""What fakesnow 0.12 does otherwise than the account it stands for."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Any

import fakesnow.arrow
import fakesnow.cursor
import fakesnow.dialect
import fakesnow.instance
import fakesnow.server
import fakesnow.transforms
import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from sqlglot import exp

from tests.snowflake.standin.account import refusal

_timestamp_struct = fakesnow.arrow.timestamp_to_sf_struct
_integer_precision = fakesnow.transforms.integer_precision
_create_table_as = fakesnow.transforms.create_table_as
_transform = fakesnow.cursor.FakeSnowflakeCursor._transform

_STATEMENTS = 256
"""How many statements are kept, read and translated: scripts and dbt run the same ones again."""


@lru_cache(maxsize=_STATEMENTS)
def parsed(text: str) -> exp.Expr:
    """Return the tree of a statement, to look at and not to change: the stand-in, fakesnow's server
    and its cursor read the same text one after the other. Raise a syntax error."""
    tree: exp.Expr = fakesnow.dialect.parse_one(text)
    tree.meta["text"] = text
    return tree


_translations: dict[tuple[str, str | None, str | None], exp.Expr] = {}
"""Statements for DuckDB by text, database and schema."""
_TRANSLATED_ONCE = (exp.Query, exp.Create, exp.Insert, exp.Update, exp.Delete)
"""Whose translation depends on nothing else. The others are rare, or change the session."""

_SAME = (exp.Paren, exp.Neg, exp.Abs, exp.Nullif, exp.Coalesce)
_WIDER = (exp.Add, exp.Sub, exp.Mod)


def _with_nulls(column: Any) -> Any:
    """A missing timestamp stays missing; fakesnow sends 1970-01-01."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if not column.null_count:
        return _timestamp_struct(column)
    zone = dt.UTC if column.type.tz else None
    filled = _timestamp_struct(column.fill_null(dt.datetime(1970, 1, 1, tzinfo=zone)))
    return pa.StructArray.from_arrays(
        filled.flatten(), fields=list(filled.type), mask=pc.is_null(column)
    )


def _scale(node: exp.Expr) -> int | None:
    """The digits after the point of an expression, where its text tells."""
    if isinstance(node, exp.Literal) and not node.is_string:
        return len(node.name.partition(".")[2])
    if isinstance(node, exp.Cast):
        if node.to.is_type(exp.DataType.Type.BIGINT, exp.DataType.Type.INT):
            return 0
        if node.to.is_type(exp.DataType.Type.DECIMAL):
            return int(node.to.expressions[1].name) if len(node.to.expressions) > 1 else 0
    if isinstance(node, _SAME):
        return _scale(node.this)
    if isinstance(node, (*_WIDER, exp.Mul)):
        scales = _scale(node.left), _scale(node.right)
        if None not in scales:
            return sum(scales) if isinstance(node, exp.Mul) else max(scales)  # type: ignore[arg-type,type-var]
    return None


def _divided(node: exp.Expr) -> exp.Expr:
    """Division as the account does it: of decimals exact to max(s, min(s + 6, 12)) digits, rounded
    half away from zero; by zero an error. DuckDB gives a double, and NULL."""
    if not isinstance(node, exp.Div):
        return node
    left, right = node.left, node.right
    scales = _scale(left), _scale(right)
    if isinstance(right, exp.Literal) and None in scales and float(right.name):
        return node
    zero = "error('Division by zero')"
    if None in scales:
        return _parsed(f"CASE WHEN (:d) = 0 THEN {zero} ELSE (:n) / (:d) END", left, right)
    of, by = scales
    common, digits = max(of, by), max(of, min(of + 6, 12))  # type: ignore[type-var,operator,arg-type]
    units = (
        "CAST((:x) AS HUGEINT)"
        if common == 0
        else (f"CAST(CAST((:x) AS DECIMAL(28,{common})) * {10**common} AS HUGEINT)")
    )
    n, d = units.replace(":x", ":n"), units.replace(":x", ":d")
    whole = f"(abs({n}) // abs({d}))"
    rest = f"((2 * (abs({n}) % abs({d})) * {10**digits} + abs({d})) // (2 * abs({d})))"
    exact = (
        f"CAST(sign({n}) * sign({d}) AS DECIMAL(1,0)) * "
        f"(CAST({whole} AS DECIMAL({38 - digits},0)) + "
        f"CAST({rest} AS DECIMAL({digits + 1},0)) * CAST(0.{'0' * (digits - 1)}1 AS "
        f"DECIMAL({digits + 1},{digits})))"
    )
    return _parsed(f"CASE WHEN (:d) = 0 THEN {zero} ELSE {exact} END", left, right)


def _parsed(text: str, n: exp.Expr, d: exp.Expr) -> exp.Expr:
    expression = sqlglot.parse_one(text, read="duckdb")
    values = {"n": n, "d": d}

    def fill(node: exp.Expr) -> exp.Expr:
        return values[node.name].copy() if isinstance(node, exp.Placeholder) else node

    return exp.Paren(this=expression.transform(fill))


def _md5(node: exp.Expr) -> exp.Expr:
    """The lower half of an MD5 digest as a number, the first byte first."""
    if not isinstance(node, exp.MD5NumberLower64):
        return node
    halves = sqlglot.parse_one("CAST('0x' || substr(md5(:n), 17, 16) AS UBIGINT)", read="duckdb")
    return halves.transform(
        lambda part: node.this.copy() if isinstance(part, exp.Placeholder) else part
    )


def _first_texts(node: exp.Expr) -> exp.Expr:
    """array_to_string(array_slice(array_agg(x) within group (order by ...), 0, n), s), which
    fakesnow takes for JSON."""
    if not (isinstance(node, exp.ArrayToString) and isinstance(node.this, exp.ArraySlice)):
        return node
    part = node.this
    if not isinstance(part.this, exp.WithinGroup) or part.args["start"].name != "0":
        return node
    texts = exp.Order(
        this=part.this.this.this.copy(), expressions=part.this.expression.copy().expressions
    )
    call = exp.Anonymous(this="list", expressions=[texts])
    first = exp.Anonymous(
        this="list_slice", expressions=[call, exp.Literal.number(1), part.args["end"].copy()]
    )
    return exp.Anonymous(this="array_to_string", expressions=[first, node.expression.copy()])


def _described(node: exp.Expr, connection: Any) -> exp.Expr:
    """fakesnow lets DuckDB describe the query of a new table before it is mended here."""
    if isinstance(node, exp.Create):
        node = node.transform(_md5, copy=False)
    created: exp.Expr = _create_table_as(node, connection)
    return created


def _parsed_to_change(text: str) -> exp.Expr:
    """Return the tree of a statement for fakesnow's cursor, which changes what it translates."""
    tree = parsed(text)
    return tree if isinstance(tree, _TRANSLATED_ONCE) else tree.copy()


def _as_the_account(self: Any, expression: exp.Expr, params: Any) -> exp.Expr:
    """Translate a statement for DuckDB, or return the translation of an equal one."""
    text = expression.meta.get("text")
    if text is None or params or not isinstance(expression, _TRANSLATED_ONCE):
        return _translated(self, expression, params)
    key = (text, self._conn.database, self._conn.schema)
    if key not in _translations:
        if len(_translations) >= _STATEMENTS:
            _translations.clear()
        _translations[key] = _translated(self, expression.copy(), params)
    return _translations[key]


def _translated(self: Any, expression: exp.Expr, params: Any) -> exp.Expr:
    transformed: exp.Expr = _transform(self, expression.transform(_first_texts, copy=False), params)
    kept = dict(transformed.args)
    changed = transformed.transform(_md5, copy=False)
    for division in reversed(list(changed.find_all(exp.Div))):  # the inner ones first
        division.replace(_divided(division))
    for name, value in kept.items():  # what fakesnow tells itself
        changed.args.setdefault(name, value)
    return changed


def _described_columns(self: Any) -> list[Any]:
    """The columns of the last result, which DuckDB still knows. fakesnow plans the statement again
    to ask for them."""
    return [(name, str(kind), *[None] * 4) for name, kind, *_ in self._duck_conn.description]


def _whole_numbers(node: exp.Expr) -> exp.Expr:
    """A cast to 38 digits keeps 38 digits; fakesnow makes it 64 bits."""
    is_wide = isinstance(node, exp.DataType) and isinstance(node.parent, exp.Cast)
    if is_wide and node.is_type(exp.DataType.Type.DECIMAL) and node.expressions:
        return node
    cast: exp.Expr = _integer_precision(node)
    return cast


def _as_it_is(node: exp.Expr) -> exp.Expr:
    """A sum of decimals is a decimal; fakesnow makes it a double, in case it were of texts. An
    average would be another one than the account's."""
    if isinstance(node, (exp.Avg, exp.Median, exp.Stddev, exp.Variance)):
        raise refusal(f"the stand-in does not know {node.sql('snowflake')[:60]!r}")
    return node


def apply() -> Any:
    """Mends fakesnow and gives its engine: nothing is created by signing in."""
    fakesnow.arrow.timestamp_to_sf_struct = _with_nulls
    fakesnow.transforms.integer_precision = _whole_numbers
    fakesnow.transforms.create_table_as = _described
    fakesnow.transforms.numeric_agg_implicit_cast = _as_it_is
    fakesnow.cursor.FakeSnowflakeCursor._transform = _as_the_account
    fakesnow.cursor.FakeSnowflakeCursor._describe_last_sql = _described_columns
    fakesnow.server.parse_one = parsed
    fakesnow.cursor.parse_one = _parsed_to_change
    engine = fakesnow.instance.FakeSnow(
        create_database_on_connect=False, create_schema_on_connect=False
    )
    # One statement runs at a time, on few rows.
    engine.duck_conn.execute("SET threads = 1")
    fakesnow.server.shared_fs = engine
    return engine
