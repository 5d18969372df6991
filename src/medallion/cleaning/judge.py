"""The judge: which lines of a feed are accepted, with which values, and why the others are not.

One SQL text, generated from the contract, that DuckDB and Spark SQL both run. It reads the
relation that a decoder makes: one row per line that is not blank, with

* `line_no` BIGINT: the line's number in its object, from 1;
* `damage`: NULL, or the reason why the line could not be read at all;
* one text column per field of the feed: the value as it was written, NULL when absent,
  `contract.WRONG_TYPE` when its JSON type is none that the field takes.

It yields `line_no`, `reason` (NULL: accepted) and the typed value of every field.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from medallion.contract import (
    BEFORE,
    DATE,
    EARLIEST,
    EPOCH_MS,
    LOWER_FROM,
    LOWER_TO,
    MAX_NUMBER_LENGTH,
    MONEY,
    NUMBER,
    RFC3339,
    UPPER_FROM,
    UPPER_TO,
    Feed,
    Field,
)

TOLERANCE = "0.01 + 0.0000005 * TRY_CAST(quantity AS DECIMAL(9,0))"
"""How far total_amount may lie from price x quantity - discount_amount: a cent, and what rounding
the unit price to six decimals can add."""


@dataclass(frozen=True)
class Dialect:
    """What the engines spell differently. Every member turns SQL text into SQL text.

    `matches` tests a text against a regular expression; `instant` reads an RFC 3339 text and
    `epoch` a text of epoch milliseconds as a UTC timestamp of milliseconds; `trim` strips JSON
    white space; `ascii` tells whether a text has only ASCII characters; `char0` is
    contract.WRONG_TYPE.
    """

    matches: Callable[[str, str], str]
    instant: Callable[[str], str]
    epoch: Callable[[str], str]
    trim: Callable[[str], str]
    ascii: Callable[[str], str]
    char0: str


def judge(feed: Feed, decoded: str, dialect: Dialect) -> str:
    """The SELECT over the relation `decoded` (a name or a parenthesised query)."""
    texts = ", ".join(f"NULLIF({dialect.trim(f.name)}, '') AS x_{f.name}" for f in feed.fields)
    typed = ", ".join(f"x_{f.name}, {_value(f, dialect)} AS {f.name}" for f in feed.fields)
    filled = ", ".join(f"x_{f.name}, {_filled(f)} AS {f.name}" for f in feed.fields)
    query = f"SELECT line_no, damage, {texts} FROM {decoded} AS decoded"
    query = f"SELECT line_no, damage, {typed} FROM ({query}) AS texts"
    query = f"SELECT line_no, damage, {filled} FROM ({query}) AS typed"
    if feed.totals:
        query = _with_total(feed, query)
    values = ", ".join(
        f"TRY_CAST({f.name} AS BIGINT) AS {f.name}" if f.type.kind == "integer" else f.name
        for f in feed.fields
    )
    return f"SELECT line_no, {_reason(feed, dialect)} AS reason, {values} FROM ({query}) AS filled"


def _value(field: Field, dialect: Dialect) -> str:
    """The typed value of a trimmed text, NULL when it is none of the field's type."""
    text, kind = f"x_{field.name}", field.type.kind
    if kind == "text":
        return _folded(field, text, dialect)
    if kind == "timestamp":
        return (
            f"CASE WHEN {dialect.matches(text, RFC3339)} THEN {dialect.instant(text)} "
            f"WHEN {dialect.matches(text, EPOCH_MS)} THEN {dialect.epoch(text)} END"
        )
    if kind == "date":
        return f"CASE WHEN {dialect.matches(text, DATE)} THEN TRY_CAST({text} AS DATE) END"
    exact = "DECIMAL(38,10)" if kind == "integer" else field.type.duckdb
    number = f"LENGTH({text}) <= {MAX_NUMBER_LENGTH} AND {dialect.matches(text, NUMBER)}"
    return f"CASE WHEN {number} THEN TRY_CAST({text} AS {exact}) END"


def _folded(field: Field, text: str, dialect: Dialect) -> str:
    if field.fold is None:
        return text
    source, target = (LOWER_FROM, LOWER_TO) if field.fold == "lower" else (UPPER_FROM, UPPER_TO)
    return (
        f"CASE WHEN {dialect.ascii(text)} THEN {field.fold}({text}) "
        f"ELSE translate({text}, '{source}', '{target}') END"
    )


def _filled(field: Field) -> str:
    """The value with the default in place of absence; a bad value stays NULL."""
    if field.default is None:
        return field.name
    default = field.default
    if field.type.kind == "integer":
        default = f"CAST({default} AS DECIMAL(38,10))"
    elif field.type.kind == "decimal":
        default = f"CAST({default} AS {field.type.duckdb})"
    return f"CASE WHEN x_{field.name} IS NULL THEN {default} ELSE {field.name} END"


def _with_total(feed: Feed, query: str) -> str:
    """Adds `expected`, and takes it as total_amount where none was given."""
    # Nineteen digits make DuckDB multiply in 128 bits: eighteen overflow, and that is an error.
    expected = "CAST(price AS DECIMAL(19,6)) * TRY_CAST(quantity AS DECIMAL(9,0)) - discount_amount"
    others = ", ".join(f"x_{n}, {n}" for n in feed.names if n != "total_amount")
    query = f"SELECT *, {expected} AS expected FROM ({query}) AS quantified"
    total = (
        f"CASE WHEN x_total_amount IS NULL THEN TRY_CAST(expected AS {MONEY.duckdb}) "
        "ELSE total_amount END AS total_amount"
    )
    return (
        f"SELECT line_no, damage, {others}, x_total_amount, {total}, expected "
        f"FROM ({query}) AS totalled"
    )


def _reason(feed: Feed, dialect: Dialect) -> str:
    whens = ["WHEN damage IS NOT NULL THEN damage"]
    for f in feed.fields:
        if f.required:
            whens.append(f"WHEN x_{f.name} IS NULL THEN '{f.missing}'")
        whens.append(f"WHEN {_is_bad(f, dialect)} THEN '{f.bad}'")
    if feed.totals:
        whens.append(f"WHEN ABS(total_amount - expected) > {TOLERANCE} THEN 'total_mismatch'")
    return "CASE " + " ".join(whens) + " END"


def _is_bad(field: Field, dialect: Dialect) -> str:
    name, kind = field.name, field.type.kind
    if kind == "text":
        wrong = f"x_{name} = {dialect.char0}"
        if not field.allowed:
            return wrong
        allowed = ", ".join(f"'{a}'" for a in field.allowed)
        return f"{wrong} OR ({name} IS NOT NULL AND {name} NOT IN ({allowed}))"
    tests = [f"{name} IS NULL"]
    if kind == "timestamp":
        tests.append(f"{name} < TIMESTAMP '{EARLIEST} 00:00:00'")
        tests.append(f"{name} >= TIMESTAMP '{BEFORE} 00:00:00'")
    if kind == "date":
        tests += [f"{name} < DATE '{EARLIEST}'", f"{name} >= DATE '{BEFORE}'"]
    if kind == "integer":
        tests.append(f"{name} <> FLOOR({name})")
    if field.minimum is not None:
        tests.append(f"{name} < {field.minimum}")
    if field.maximum is not None:
        tests.append(f"{name} > {field.maximum}")
    given = "TRUE" if name == "total_amount" else f"x_{name} IS NOT NULL"
    return f"{given} AND ({' OR '.join(tests)})"
