"""Tableau extracts (.hyper) of Parquet files, written by Tableau's own library (optional)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medallion.errors import ExportError

SCHEMA = "marts"


def write_hyper(tables: Mapping[str, Path], extract: Path) -> None:
    """Write Parquet files as the tables of one new extract, in the schema "marts".

    Decimals of up to 38 digits become NUMERIC (file format 3, which Tableau 2022.4.1 or newer
    reads), UTC timestamps become TIMESTAMP WITH TIME ZONE. The library sends no usage data to
    Tableau.

    Args:
        tables: the Parquet file of each table, by the name of the table.
        extract: the file to write.

    Raises:
        ExportError: the library is missing, or refuses a table.
    """
    api = hyper_library()
    settings = {"log_config": "", "default_database_version": "3"}
    silent = api.Telemetry.DO_NOT_SEND_USAGE_DATA_TO_TABLEAU
    name = ""
    try:
        with (
            api.HyperProcess(silent, parameters=settings) as process,
            api.Connection(process.endpoint, str(extract), api.CreateMode.CREATE) as connection,
        ):
            connection.catalog.create_schema(api.SchemaName(SCHEMA))
            for name, path in tables.items():
                source = api.escape_string_literal(str(path))
                connection.execute_command(
                    f"CREATE TABLE {api.TableName(SCHEMA, name)} AS "
                    f"(SELECT * FROM external({source}, FORMAT => 'parquet'))"
                )
    except api.HyperException as error:
        first = str(error).splitlines()[0]
        raise ExportError(f"Tableau's library cannot write {name}: {first}") from error


def hyper_library() -> Any:
    """Return Tableau's library; raise ExportError when it is not installed."""
    try:
        import tableauhyperapi
    except ImportError as error:
        raise ExportError(
            "a Tableau extract needs Tableau's library: pip install tableauhyperapi"
        ) from error
    return tableauhyperapi
