"""The warehouse in a Snowflake account, read with Snowflake's connector.

Nothing is written this way: Snowpipe loads, dbt builds. The connector is an extra:
`pip install -e '.[snowflake]'`.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medallion.errors import SettingsError, WarehouseError
from medallion.platforms.warehouse import SCHEMAS
from medallion.settings import SnowflakeAccount

_SECONDS_TO_SIGN_IN, _SECONDS_WITHOUT_NETWORK, _LONGEST_PAUSE = 10, 120, 4


@dataclass(frozen=True)
class Rows:
    """The result of a query, with all its rows."""

    description: list[tuple[str]]
    rows: list[tuple[Any, ...]]

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.rows


class SnowflakeWarehouse:
    """A session in an account, in UTC."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Rows:
        """Run a statement; raise WarehouseError when the account refuses it."""
        with self._cursor() as cursor:
            cursor.execute(sql, parameters or None)
            names = [(_name(column.name),) for column in cursor.description]
            return Rows(names, [tuple(map(_value, row)) for row in cursor.fetchall()])

    def read(self, sql: str) -> Rows:
        """Run one query; raise WarehouseError for any other statement.

        Only a query can stand in parentheses after FROM. The account checks that first, without
        running it.
        """
        sql = sql.strip().rstrip(";")
        try:
            with self._cursor() as cursor:
                # On lines of its own: the text may end in a comment.
                cursor.describe(f"SELECT * FROM (\n{sql}\n)")
        except WarehouseError as error:
            raise WarehouseError(f"{error} (one query is run here, and nothing else)") from error
        return self.execute(sql)

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        from snowflake.connector import Error

        try:
            with self._connection.cursor() as cursor:
                yield cursor
        except Error as error:
            raise WarehouseError(f"Snowflake: {_one_line(error)}") from error


@contextmanager
def open_snowflake(account: SnowflakeAccount) -> Iterator[SnowflakeWarehouse]:
    """Open a session for as long as the block lasts.

    Raises:
        SettingsError: the key cannot be read, or the connector is not installed.
        WarehouseError: the account cannot be reached or rejects the user.
    """
    connector = _connector()
    try:
        connection = connector.connect(**_options(account))
    except connector.Error as error:
        raise WarehouseError(
            f"cannot sign in to Snowflake account {account.account} as {account.user} in role "
            f"{account.role}: {_one_line(error)}"
        ) from error
    try:
        yield SnowflakeWarehouse(connection)
    finally:
        with suppress(connector.Error):
            connection.close()


def require_extra(module: str) -> None:
    """Raise SettingsError unless a module of the extra `snowflake` is installed."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None:
        raise SettingsError(
            f"MEDALLION_WAREHOUSE=snowflake needs {module}; in the project's folder: "
            ".venv/bin/pip install -e '.[snowflake]'"
        )


def _connector() -> Any:
    require_extra("snowflake.connector")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about versions of other packages
        import snowflake.connector
    return snowflake.connector


def _options(account: SnowflakeAccount) -> dict[str, Any]:
    """Return the options of the connector, without platform detection and telemetry."""
    from snowflake.connector.backoff_policies import exponential_backoff

    schemas = ", ".join(f"{account.database}.{schema}".upper() for schema in SCHEMAS)
    options = {
        "account": account.account,
        "user": account.user,
        "private_key": _private_key(account),
        "role": account.role,
        "warehouse": account.warehouse,
        "database": account.database,
        "port": int(account.port),
        "protocol": account.protocol,
        "paramstyle": "qmark",
        "login_timeout": _SECONDS_TO_SIGN_IN,
        "network_timeout": _SECONDS_WITHOUT_NETWORK,
        "backoff_policy": exponential_backoff(cap=_LONGEST_PAUSE),
        "platform_detection_timeout_seconds": 0,
        "session_parameters": {
            "TIMEZONE": "UTC",
            "SEARCH_PATH": schemas,
            "QUERY_TAG": "medallion",
            "CLIENT_TELEMETRY_ENABLED": False,
        },
    }
    return options | ({"host": account.host} if account.host else {})


def _private_key(account: SnowflakeAccount) -> bytes:
    """Return the private key in the form of the connector: PKCS 8, DER."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization as forms

    try:
        pem = Path(account.private_key_path).expanduser().read_bytes()
        secret = account.private_key_passphrase.encode() or None
        key = forms.load_pem_private_key(pem, secret)
    except OSError as error:
        raise SettingsError(
            f"SNOWFLAKE_PRIVATE_KEY_PATH: cannot read {account.private_key_path}: {error.strerror}"
        ) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SettingsError(
            f"SNOWFLAKE_PRIVATE_KEY_PATH: {account.private_key_path} is no private key in PEM, or "
            "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE is not its passphrase"
        ) from error
    return key.private_bytes(forms.Encoding.DER, forms.PrivateFormat.PKCS8, forms.NoEncryption())


def _name(column: str) -> str:
    """Return a column name in lower case unless it was quoted: others come in capitals."""
    return column.lower() if column.isupper() else column


def _value(value: Any) -> Any:
    """Return a value in the form that DuckDB gives it: times in UTC, binary values as bytes."""
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC)
    return bytes(value) if isinstance(value, bytearray) else value


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
