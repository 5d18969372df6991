"""What is wrong with SQL files by Snowflake's grammar, as JSON: by file the places that sqlfluff's
Snowflake dialect cannot parse, and by file the functions that Snowflake does not have. Runs among
the tools of these tests:

    python grammar.py FILE...
"""

from __future__ import annotations

import json
import logging
import re
import sys
from io import StringIO
from pathlib import Path

import sqlglot
from snowflake.connector.util_text import split_statements
from sqlfluff.core import FluffConfig, Linter
from sqlglot import exp

FUNCTIONS = frozenset(
    re.findall(
        r"\S+",
        """
        abs alert_history array_agg array_slice array_to_string cast ceil coalesce concat
        convert_timezone copy_history count current_timestamp date_part date_trunc dateadd
        datediff dayofweekiso dense_rank extract first_value flatten floor greatest hash iff
        is_role_in_session lag last_value lead least left length listagg lower lpad max max_by md5
        md5_number_lower64 min min_by mod ntile nullif parse_json percent_rank percentile_disc
        power rank replace right round row_number rtrim sha2 sign split_part sqrt substr substring
        sum system$pipe_force_resume system$pipe_status system$send_snowflake_notification
        system$stream_has_data to_char to_date to_timestamp_ntz trim try_cast upper
        """,
    )
)
"""Of Snowflake's function reference: what the project may call."""
KEYWORDS = frozenset(
    re.findall(
        r"\S+",
        """
        all and any as between by distinct else except exclude exists from group in intersect is
        join lateral not on or over partition qualify recursive select then union using values
        when where with within decimal number varchar char numeric timestamp_ntz timestamp_ltz
        timestamp_tz case cluster table
        """,
    )
)
"""Words before a bracket that call nothing."""


def violations(linter: Linter, sql: str) -> list[str]:
    """What the dialect cannot parse, statement by statement: after the first such place it reads no
    further."""
    problems = []
    for statement, _ in split_statements(StringIO(sql), remove_comments=True):
        problems += [str(problem)[:300] for problem in linter.parse_string(statement).violations]
    return problems


def foreign(sql: str) -> list[str]:
    """The functions that Snowflake does not have."""
    tokens = sqlglot.tokenize(sql, read="snowflake")
    names, own = set(), set()
    for before, token, after in zip([None, *tokens], tokens, tokens[1:], strict=False):
        name, left = token.text.lower(), before.text.lower() if before else ""
        quoted = token.token_type.name in ("IDENTIFIER", "STRING", "NUMBER")
        if after.text == "(" and left != "." and not quoted:  # not a table with its columns
            names.add(name)
        if left in (",", "with", "into", "table", "as"):  # a relation with its columns
            own.add(name)
    calls = {n for n in names - KEYWORDS - FUNCTIONS if n.isidentifier() or "$" in n}
    return sorted(calls - own | {n for n in _anonymous(sql) if n not in FUNCTIONS})


def _anonymous(sql: str) -> set[str]:
    parsed = sqlglot.parse(sql, read="snowflake", error_level=sqlglot.ErrorLevel.IGNORE)
    return {node.name.lower() for tree in parsed if tree for node in tree.find_all(exp.Anonymous)}


def main(paths: list[str]) -> None:
    logging.disable(logging.CRITICAL)
    linter = Linter(config=FluffConfig(overrides={"dialect": "snowflake", "templater": "raw"}))
    faults: dict[str, dict[str, list[str]]] = {"violations": {}, "foreign": {}}
    for path in paths:
        sql = Path(path).read_text()
        if wrong := violations(linter, sql):
            faults["violations"][path] = wrong
        if calls := foreign(sql):
            faults["foreign"][path] = calls
    json.dump(faults, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
