"""Settings: what the environment and the command line say about where things are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medallion.errors import SettingsError

DEFAULT_HOME = Path("data")
DBT_PROJECT = Path(__file__).parents[2] / "dbt"


@dataclass(frozen=True)
class SnowflakeAccount:
    """How to sign in to the warehouse in Snowflake: by key pair, with what SNOWFLAKE_<FIELD> says.
    dbt reads the same variables, by dbt/profiles.yml, which has the same defaults. Without a host
    it is the account's own address."""

    account: str
    private_key_path: str
    private_key_passphrase: str = field(default="", repr=False)
    user: str = "SVC_RETAIL_DBT"
    role: str = "RETAIL_TRANSFORMER"
    warehouse: str = "RETAIL_TRANSFORM_WH"
    database: str = "RETAIL"
    host: str = ""
    port: str = "443"
    protocol: str = "https"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> SnowflakeAccount:
        """Raises SettingsError for what is missing or cannot be used."""
        names = {name: f"SNOWFLAKE_{name.upper()}" for name in cls.__dataclass_fields__}
        told = {n: environment[v] for n, v in names.items() if environment.get(v)}
        needed = [names[n] for n in ("account", "private_key_path") if n not in told]
        if needed:
            raise SettingsError(
                f"MEDALLION_WAREHOUSE=snowflake needs {' and '.join(needed)} in the environment; "
                "docs/snowflake.md lists the variables"
            )
        if not told.get("port", "443").isdecimal():
            raise SettingsError(f"SNOWFLAKE_PORT is {told['port']!r}: give a number, or unset it")
        if not re.fullmatch(r"\w+", told.get("database", "RETAIL")):
            raise SettingsError("SNOWFLAKE_DATABASE must be a plain name, such as RETAIL")
        return cls(**told)


@dataclass(frozen=True)
class Settings:
    """Where this home is, the bucket of its lake when that is in S3, and the account of its
    warehouse when that is in Snowflake. Made once, by the command line; nothing else reads the
    environment."""

    home: Path
    bucket: str | None = None
    snowflake: SnowflakeAccount | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], home: Path | None) -> Settings:
        """`home` wins over MEDALLION_HOME, and that over ./data; MEDALLION_LAKE and
        MEDALLION_WAREHOUSE move either half. Raises SettingsError for what cannot be used."""
        chosen = home or Path(environment.get("MEDALLION_HOME") or DEFAULT_HOME)
        if chosen.exists() and not chosen.is_dir():
            raise SettingsError(f"the home {chosen} is a file; give a directory with --home")
        bucket = _bucket(environment.get("MEDALLION_LAKE"))
        return cls(chosen.absolute(), bucket, _snowflake(environment))


def _bucket(lake: str | None) -> str | None:
    """The bucket of a lake in S3; None for one in the home."""
    if not lake:
        return None
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/?", lake):
        raise SettingsError(
            f"MEDALLION_LAKE is {lake!r}: give a whole bucket, such as s3://retail-lake, or unset "
            "it for a lake in the home"
        )
    return lake.removeprefix("s3://").rstrip("/")


def _snowflake(environment: Mapping[str, str]) -> SnowflakeAccount | None:
    """The account of a warehouse in Snowflake; None for one in the home."""
    warehouse = environment.get("MEDALLION_WAREHOUSE")
    if not warehouse:
        return None
    if warehouse != "snowflake":
        raise SettingsError(
            f"MEDALLION_WAREHOUSE is {warehouse!r}: give snowflake, or unset it for a warehouse in "
            "the home"
        )
    return SnowflakeAccount.from_environment(environment)
