"""The cleaner on Spark: the same judge over a decoder of built-in functions, no Python per row.

The decoder never lets a number become a double. It first rewrites a line so that every scalar is a
string that tells its type: a string value gets `=` before its first character, a number gets
quotes. One strict parse into a map of texts then yields the exact text and the type of each member.
The rewriting keeps what is not JSON from becoming JSON: a token is only ever replaced by a string
where a string is as good or as bad as what stood there, and at the first thing that is no token the
rewriting stops, so that the parser meets it as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession

from medallion.cleaning.judge import Dialect, judge
from medallion.contract import (
    MALFORMED,
    MAX_DEPTH,
    MAX_LINE_BYTES,
    MAX_NUMBER_LENGTH,
    MAX_UNKNOWN_NAMES,
    OTHER_NAMES,
    OVERSIZE,
    Feed,
    Field,
)

LINE_COLUMNS = ("source_file", "source_line", "ingested_at", "line")
"""What `clean` reads: an object's key, a line's number in it from 1, when the object arrived, and
the line as a string that may hold any bytes."""

_WITHIN = f"octet_length(line) <= {MAX_LINE_BYTES}"
IS_BLANK = rf"{_WITHIN} AND trim(BOTH ' \t\r' FROM line) = ''"
"""Holds for a line that is counted but not judged."""

_ROOT = "array<map<string, string>>"
_SPACE = r"[ \t\r]*+"
_BODY = r'[^"\\]*+(?:\\.[^"\\]*+)*+'
_NAME = rf'"{_BODY}"{_SPACE}:'
_VALUE_STRING = rf'\G([^"]*+(?:{_NAME}[^"]*+)*+)"({_BODY})"'
"""A string that is no member name. `\\G` ties each match to the end of the last: no quote is ever
looked at from the wrong side."""
_DIGITS = r"-?(?:0|[1-9][0-9]*+)(?:[.][0-9]++)?+(?:[eE][-+]?+[0-9]++)?+"
_NUMBER = rf'\G((?:[^"0-9-]++|"{_BODY}")*+)({_DIGITS})(?![-+.0-9eE]|{_SPACE}:)'
_LONG_NUMBER = rf"(?<![-+.0-9eE])[-+.0-9eE]{{{MAX_NUMBER_LENGTH + 1}}}"
_HARMLESS = r"\\[^u]|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HARMFUL = r"\\u(?:0000|[dD][89a-fA-F])"
"""An escaped NUL or half of a pair; searched for after the harmless escapes are taken out."""

_ZERO = r"^=?[ \t\r\n]*-?0+([.]0+)?[eE][-+]?[0-9]{1,3}[ \t\r\n]*$"
"""Zero with an exponent, as a number or in a string: Spark takes 0e99 for a number of 99 digits."""

_PARSER = (
    "map('allowSingleQuotes', 'false', 'allowNonNumericNumbers', 'false', "
    f"'maxNestingDepth', '{MAX_DEPTH + 1}', 'maxNumLen', '{MAX_LINE_BYTES}')"
)


def _literal(text: str) -> str:
    """A SQL literal of a text; backslashes are escaped as Spark wants them."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _instant(text: str) -> str:
    """RFC 3339 by arithmetic: Spark's own reader knows no offset beyond 18 hours."""
    local = f"TRY_CAST(concat(left({text}, 10), 'T', substr({text}, 12, 8)) AS TIMESTAMP_NTZ)"
    fraction = f"rpad(regexp_extract({text}, '[.]([0-9]{{1,3}})', 1), 3, '0')"
    offset = f"CASE WHEN right({text}, 1) IN ('Z', 'z') THEN '+00:00' ELSE right({text}, 6) END"
    minutes = f"(CAST(substr({offset}, 2, 2) AS INT) * 60 + CAST(right({offset}, 2) AS INT))"
    signed = f"CASE WHEN left({offset}, 1) = '-' THEN {minutes} ELSE -{minutes} END"
    return (
        f"timestampadd(MILLISECOND, CAST({fraction} AS INT), "
        f"timestampadd(MINUTE, {signed}, {local}))"
    )


DIALECT = Dialect(
    matches=lambda text, pattern: (
        f"{text} RLIKE {_literal(pattern.removesuffix('$') + chr(92) + 'z')}"
    ),
    instant=_instant,
    epoch=lambda text: f"CAST(timestamp_millis(CAST({text} AS BIGINT)) AS TIMESTAMP_NTZ)",
    trim=lambda text: rf"trim(BOTH ' \t\r\n' FROM {text})",
    ascii=lambda text: f"octet_length({text}) = char_length({text})",
    char0="char(0)",
)


@dataclass(frozen=True)
class Cleaned:
    """The outcome of one feed's lines.

    `accepted` has the feed's columns, `rejected` the quarantine's, `unknown_fields` one row
    (source_file, name, count) per unknown name of an object. All three read `judged`: whoever
    wants more than one should keep that first.
    """

    feed: Feed
    judged: DataFrame

    @property
    def accepted(self) -> DataFrame:
        return self.judged.where("reason IS NULL").select(*self.feed.columns)

    @property
    def rejected(self) -> DataFrame:
        return self.judged.where("reason IS NOT NULL").selectExpr(
            f"'{self.feed.name}' AS feed",
            "reason",
            "raw",
            "raw_size",
            "source_file",
            "source_line",
            "ingested_at",
        )

    @property
    def unknown_fields(self) -> DataFrame:
        return _count_names(self.judged)


def configure(spark: SparkSession) -> None:
    """Sets what the cleaner's SQL relies on: UTC, and timestamps without a zone."""
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    spark.conf.set("spark.sql.timestampType", "TIMESTAMP_NTZ")
    spark.conf.set("spark.sql.ansi.enabled", "false")


def clean(lines: DataFrame, feed: Feed) -> Cleaned:
    """Judges lines (LINE_COLUMNS) of one feed; blank ones are left out."""
    spark = lines.sparkSession
    name = f"decoded_{feed.name}"
    decode(lines, feed).createOrReplaceTempView(name)
    judged = spark.sql(judge(feed, name, DIALECT))
    day = "CAST(ts AS DATE)" if "ts" in feed.names else "CAST(NULL AS DATE)"
    carried = [f"line_no.{c} AS {c}" for c in _CARRIED if c != "raw"]
    carried.append("CASE WHEN reason IS NOT NULL THEN line_no.raw END AS raw")
    return Cleaned(feed, judged.selectExpr("reason", *feed.names, *carried, f"{day} AS dt"))


_CARRIED = ("source_file", "source_line", "ingested_at", "raw", "raw_size", "unknown")
"""The judge hands its `line_no` through untouched: here it is a struct of these."""


def decode(lines: DataFrame, feed: Feed) -> DataFrame:
    """The relation that the judge reads, one row per line that is not blank."""
    known = ", ".join(_literal(n) for n in feed.names)
    parsed = (
        lines.where(f"NOT ({IS_BLANK})")
        .selectExpr("*", f"CASE WHEN {_WITHIN} AND {_is_text('line')} THEN line END AS text")
        .selectExpr("*", f"{_marked('text')} AS marked")
        .selectExpr("*", f"from_json(concat('[', marked, ']'), '{_ROOT}', {_PARSER}) AS roots")
        .selectExpr("*", "CASE WHEN size(roots) = 1 THEN roots[0] END AS members")
        .selectExpr("*", "map_keys(members) AS names")
    )
    damage = (
        f"CASE WHEN NOT ({_WITHIN}) THEN '{OVERSIZE}' "
        f"WHEN members IS NULL OR size(array_distinct(names)) < size(names) OR {_ends_late()} "
        f"OR {_has_harmful_escape('text')} OR {_has_long_number('text')} THEN '{MALFORMED}' END"
    )
    judged = parsed.selectExpr("*", f"{damage} AS damage").selectExpr(
        "*",
        f"CASE WHEN damage IS NULL THEN array_except(names, array({known})) END AS unknown",
        f"CAST(substr(CAST(line AS BINARY), 1, {MAX_LINE_BYTES}) AS BINARY) AS raw",
        "CAST(octet_length(line) AS BIGINT) AS raw_size",
    )
    return judged.selectExpr(
        f"struct({', '.join(_CARRIED)}) AS line_no", "damage", *(_text(f) for f in feed.fields)
    )


def _is_text(line: str) -> str:
    """True for valid UTF-8: anything else does not survive decoding and encoding."""
    return f"CAST(decode(CAST({line} AS BINARY), 'UTF-8') AS BINARY) = CAST({line} AS BINARY)"


def _marked(line: str) -> str:
    strings = f"regexp_replace({line}, {_literal(_VALUE_STRING)}, '$1\"=$2\"')"
    return f"regexp_replace({strings}, {_literal(_NUMBER)}, '$1\"$2\"')"


def _ends_late() -> str:
    """True when something follows the object. Spark's parser stops where its value ends: a line
    inside [] can end early only by a ], and that is no end inside {}."""
    inside = f"from_json(concat('{{\"\":', marked, '}}'), 'map<string, string>', {_PARSER})"
    return f"(contains(text, ']') AND {inside} IS NULL)"


def _has_harmful_escape(line: str) -> str:
    rest = f"regexp_replace({line}, {_literal(_HARMLESS)}, ' ')"
    return f"(contains({line}, '\\\\u') AND {rest} RLIKE {_literal(_HARMFUL)})"


def _has_long_number(line: str) -> str:
    long = f"RLIKE {_literal(_LONG_NUMBER)}"
    strings = _literal(f'"{_BODY}"')
    return (
        f"(length({line}) > {MAX_NUMBER_LENGTH} AND {line} {long} "
        f"AND regexp_replace({line}, {strings}, '\"\"') {long})"
    )


def _text(field: Field) -> str:
    """A member's value as the judge wants it: strings without their mark, numbers as written."""
    value = f"members[{_literal(field.name)}]"
    is_text = field.type.kind == "text"
    number = f"WHEN {value} RLIKE '^[0-9]+$' THEN {value}" if is_text else _number(value)
    zero = "" if is_text else f"WHEN {value} RLIKE {_literal(_ZERO)} THEN '0' "
    return (
        f"CASE WHEN damage IS NOT NULL OR {value} IS NULL THEN NULL {zero}"
        f"WHEN startswith({value}, '=') THEN substr({value}, 2) "
        f"{number} ELSE char(0) END AS {field.name}"
    )


def _number(value: str) -> str:
    """The text of a number. An exponent loses its leading zeros; one of more than three digits
    leaves nothing of the number, or too much."""
    short = f"regexp_replace({value}, '[eE]([-+]?)0*([0-9]{{1,3}})$', 'e$1$2')"
    vanishes = f"{value} RLIKE '^-?[0.]+[eE]|[eE]-'"
    return (
        f"WHEN {value} RLIKE '^-?[0-9]' AND NOT {value} RLIKE '[eE][-+]?[0-9]{{4}}' THEN {value} "
        f"WHEN {value} RLIKE '^-?[0-9.]+[eE][-+]?0*[0-9]{{1,3}}$' THEN {short} "
        f"WHEN {value} RLIKE '^-?[0-9]' THEN CASE WHEN {vanishes} THEN '0' ELSE char(0) END"
    )


def _count_names(judged: DataFrame) -> DataFrame:
    """Unknown names per object: the MAX_UNKNOWN_NAMES most frequent, the rest as OTHER_NAMES."""
    counts = (
        judged.where("size(unknown) > 0")
        .selectExpr("source_file", "explode(unknown) AS name")
        .groupBy("source_file", "name")
        .count()
    )
    ranked = counts.selectExpr(
        "*", "row_number() OVER (PARTITION BY source_file ORDER BY count DESC, name) AS rank"
    )
    kept = f"CASE WHEN rank <= {MAX_UNKNOWN_NAMES} THEN name ELSE '{OTHER_NAMES}' END AS name"
    return (
        ranked.selectExpr("source_file", kept, "count")
        .groupBy("source_file", "name")
        .agg({"count": "sum"})
        .withColumnRenamed("sum(count)", "count")
    )
