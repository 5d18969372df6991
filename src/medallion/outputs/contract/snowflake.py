"""The regions of infra/snowflake.sql that list the tables of the contract or their columns."""

from __future__ import annotations

import textwrap

from medallion.contract import Column
from medallion.outputs.contract.tables import TABLES, Table

_SCAN = (("bronze_file", "VARCHAR"), ("scanned_at", "TIMESTAMP_LTZ(6)"))
"""Columns that Snowpipe adds to a row: its bronze object, and the time at which Snowpipe read that
object.

The time has a zone: without one it would be the local time of the account."""


def regions() -> dict[str, str]:
    """Return the text of each region, by its name."""
    return {
        "landing": "".join(map(_landing, TABLES)),
        "pipes": "".join(map(_pipe, TABLES)),
        "pipe_grants": "".join(map(_pipe_grant, TABLES)),
        "staging": "".join(map(_staging, TABLES)),
        "loads": _union(
            "    SELECT bronze_file, '{name}' AS kind, load_seq, loaded_at "
            "FROM RETAIL.STAGING.{upper}",
            "    UNION ALL",
        ),
        "arrivals": _union(
            "SELECT bronze_file, scanned_at FROM RETAIL.LANDING.{upper}", "UNION ALL"
        ),
        "pipe_status": _union(
            "    SELECT '{name}' AS pipe, PARSE_JSON(SYSTEM$PIPE_STATUS('RETAIL.LANDING.{upper}')) "
            "AS status",
            "    UNION ALL",
        ),
        "recent_loads": "    UNION ALL\n".join(map(_recent_loads, TABLES)),
    }


def _landing(table: Table) -> str:
    """Return SQL that creates a table, and adds the columns that an older account lacks."""
    name = f"RETAIL.LANDING.{table.name.upper()}"
    columns = [*((c.name, c.type.snowflake) for c in table.columns), *_SCAN]
    listed = ",\n".join(f"    {column} {kind}" for column, kind in columns)
    added = "".join(f"ALTER TABLE {name} ADD COLUMN {_if_missing(c)};\n" for c in table.columns)
    return f"CREATE TABLE IF NOT EXISTS {name} (\n{listed}\n)\nCHANGE_TRACKING = TRUE;\n{added}"


def _if_missing(column: Column) -> str:
    return f"IF NOT EXISTS {column.name} {column.type.snowflake}"


def _pipe(table: Table) -> str:
    name = f"RETAIL.LANDING.{table.name.upper()}"
    return f"""\
CREATE PIPE IF NOT EXISTS {name}
    AUTO_INGEST = TRUE
    ERROR_INTEGRATION = RETAIL_PIPE_ERRORS
    AWS_SNS_TOPIC = '<% bronze_topic_arn %>'
AS COPY INTO {name}
FROM @RETAIL.LANDING.BRONZE/{table.name}/
PATTERN = '.*[.]parquet'
MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE
INCLUDE_METADATA = (bronze_file = METADATA$FILENAME, scanned_at = METADATA$START_SCAN_TIME)
ON_ERROR = SKIP_FILE;
"""


def _pipe_grant(table: Table) -> str:
    name = f"RETAIL.LANDING.{table.name.upper()}"
    return (
        f"GRANT MONITOR, OPERATE ON PIPE {name} TO ROLE RETAIL_MONITOR;\n"
        f"GRANT REFERENCES ON TABLE {name} TO ROLE RETAIL_MONITOR;\n"
    )


def _recent_loads(table: Table) -> str:
    return f"""\
    SELECT * FROM TABLE(RETAIL.INFORMATION_SCHEMA.COPY_HISTORY(
        TABLE_NAME => 'RETAIL.LANDING.{table.name.upper()}',
        START_TIME => DATEADD('day', -14, CURRENT_TIMESTAMP())))
"""


def _staging(table: Table) -> str:
    """Return SQL that shows a landing table in the form that the dbt models read."""
    names = ", ".join([*(c.name for c in table.columns), "bronze_file"])
    listed = textwrap.indent(textwrap.fill(names, 92), "    ")
    return f"""\
CREATE OR REPLACE VIEW RETAIL.STAGING.{table.name.upper()} COPY GRANTS AS
SELECT
{listed},
    DATE_PART(EPOCH_MILLISECOND, scanned_at)::NUMBER(38,0) AS load_seq,
    CONVERT_TIMEZONE('UTC', scanned_at)::TIMESTAMP_NTZ(6) AS loaded_at
FROM RETAIL.LANDING.{table.name.upper()};
"""


def _union(select: str, between: str) -> str:
    rows = (select.format(name=table.name, upper=table.name.upper()) for table in TABLES)
    return f"\n{between}\n".join(rows) + "\n"
