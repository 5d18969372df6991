"""Settings: the environment, the command line and the settings file of a home."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from medallion.contract import KNOWN_CURRENCIES, TIME_ZONES
from medallion.errors import SettingsError, did_you_mean

DEFAULT_HOME = Path("data")
_INSTALLED = Path(__file__).with_name("project")
PROJECT = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[2]
"""The folder with dbt/, bi/ and examples/: part of the package in a wheel, else the checkout."""

DBT_PROJECT = PROJECT / "dbt"
EXAMPLES = PROJECT / "examples"
_UNUSABLE = set("?#\n\r\0")
FILE = "medallion.toml"
"""The settings file of a home."""


def dbt_project(home: Path) -> Path:
    """Return the folder of the dbt project that builds a home: its own, or else the shared one."""
    own = home / "dbt"
    return own if (own / "dbt_project.yml").is_file() else DBT_PROJECT


@dataclass(frozen=True)
class SnowflakeAccount:
    """How to sign in to a warehouse in Snowflake by key pair, from the variables SNOWFLAKE_<FIELD>.

    dbt reads the same variables through dbt/profiles.yml, with the same defaults. Without a host,
    the account's own address is used.
    """

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
        """Read the account from the environment.

        Raises:
            SettingsError: something is missing or cannot be used.
        """
        names = {name: f"SNOWFLAKE_{name.upper()}" for name in cls.__dataclass_fields__}
        variables = {n: environment[v] for n, v in names.items() if environment.get(v)}
        needed = [names[n] for n in ("account", "private_key_path") if n not in variables]
        if needed:
            raise SettingsError(
                f"MEDALLION_WAREHOUSE=snowflake needs {' and '.join(needed)} in the environment; "
                "docs/snowflake.md lists the variables"
            )
        if not variables.get("port", "443").isdecimal():
            raise SettingsError(
                f"SNOWFLAKE_PORT is {variables['port']!r}: give a number, or unset it"
            )
        if not re.fullmatch(r"\w+", variables.get("database", "RETAIL")):
            raise SettingsError("SNOWFLAKE_DATABASE must be a plain name, such as RETAIL")
        return cls(**variables)


@dataclass(frozen=True)
class Reporting:
    """The reporting settings of a home.

    - `reporting_currency`: the currency that amounts are converted to (ISO 4217); None for the only
      currency of the sales, or USD if there are several.
    - `time_zone`: that of the dashboard, and of stores whose own is unknown (IANA); None for UTC.
    """

    reporting_currency: str | None = None
    time_zone: str | None = None


ALARM_RULES = ("silence", "sales", "quarantine", "unknown field", "late", "freshness", "audit")
"""The rules of the alarms, by name."""


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of the alarms: the table [alarms] of the settings file.

    - `*_minutes`: the shortest duration that raises an alarm.
    - `*_lines`: the smallest number of lines that is compared.
    - `*_share`: the share of the lines, up to 1, above which an alarm is raised.
    - `sales_spreads`: how many times their usual spread sales must differ.
    - `share_times`: how many times its usual value a share must reach.
    - `off`: the rules that are switched off.
    """

    silence_minutes: float = 1
    silence_lines: int = 10
    sales_lines: int = 30
    sales_spreads: float = 4
    share_lines: int = 10
    share_times: float = 4
    rejected_share: float = 0.01
    unknown_field_share: float = 0.01
    late_share: float = 0.05
    behind_minutes: float = 10
    off: tuple[str, ...] = ()


@dataclass(frozen=True)
class SettingsFile:
    """The content of the settings file of a home.

    `raw_days` and `bronze_days` are the ages in days at which objects of raw/ and of bronze are
    retired; None for never.
    """

    reporting: Mapping[str, str] = field(default_factory=dict)
    thresholds: Thresholds = Thresholds()
    raw_days: int | None = None
    bronze_days: int | None = None


KEYS = tuple(field.name for field in fields(Reporting))
"""The keys of the settings file that stand outside of its tables."""
TABLES = {"alarms": tuple(f.name for f in fields(Thresholds)), "retention": ("raw", "bronze")}
"""The keys of each table of the settings file."""


@dataclass(frozen=True)
class Settings:
    """The settings of a command: the home, its lake, its warehouse, and how it reports.

    `bucket` is that of a lake in S3, `snowflake` the account of a warehouse there. `changes` are
    the settings that were given with this command and are not in the home's file. The command line
    creates this object once; nothing else reads the environment.
    """

    home: Path
    bucket: str | None = None
    snowflake: SnowflakeAccount | None = None
    reporting: Reporting = Reporting()
    changes: Mapping[str, str] = field(default_factory=dict)
    file: SettingsFile = SettingsFile()

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str],
        home: Path | None,
        given: Mapping[str, str | None] | None = None,
    ) -> Settings:
        """Combine the environment, the options of a command and the home's file.

        Args:
            environment: MEDALLION_HOME, MEDALLION_LAKE and MEDALLION_WAREHOUSE count.
            home: takes precedence over MEDALLION_HOME; without both it is ./data.
            given: options by key; they take precedence over the home's file.

        Raises:
            SettingsError: something cannot be used.
        """
        chosen = home or Path(environment.get("MEDALLION_HOME") or DEFAULT_HOME)
        if chosen.exists() and not chosen.is_dir():
            raise SettingsError(f"the home {chosen} is a file; give a directory with --home")
        if strange := sorted(_UNUSABLE & set(str(chosen.absolute()))):
            raise SettingsError(
                f"the path of the home {chosen} holds {strange[0]!r}, which DuckDB "
                "cannot open: choose another with --home"
            )
        bucket = _bucket(environment.get("MEDALLION_LAKE"))
        written = read_file(chosen / FILE)
        options = {name: value for name, value in (given or {}).items() if value is not None}
        for name, value in options.items():
            _require(name, value, f"--{name.replace('_', '-')}")
        changes = {name: v for name, v in options.items() if written.reporting.get(name) != v}
        reporting = Reporting(**{**written.reporting, **changes})
        return cls(chosen.absolute(), bucket, _snowflake(environment), reporting, changes, written)


def read_file(path: Path) -> SettingsFile:
    """Return the content of a settings file; the defaults if there is none.

    Raises:
        SettingsError: the file, a key or a value cannot be used.
    """
    try:
        written = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return SettingsFile()
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is no TOML that can be read: {error}") from error
    tables: dict[str, dict[str, Any]] = {}
    for table, keys in TABLES.items():
        tables[table] = written.pop(table, {})
        if not isinstance(tables[table], dict):
            raise SettingsError(f"{path}: {table} must be a table: a line [{table}] above its keys")
        _require_known(tables[table], keys, f"{path}: [{table}]")
    _require_known(written, KEYS, str(path))
    for name, value in written.items():
        _require(name, value, f"{path}: {name}")
    return SettingsFile(
        written,
        _thresholds(tables["alarms"], path),
        *(_days(tables["retention"], name, path) for name in TABLES["retention"]),
    )


def days_of(age: str) -> int | None:
    """Return the days of an age such as 400d; None for a text that is not an age."""
    match = re.fullmatch(r"([1-9]\d{0,4})d", age.strip())
    return int(match[1]) if match else None


def _thresholds(alarms: Mapping[str, Any], path: Path) -> Thresholds:
    for name, value in alarms.items():
        _require_threshold(name, value, f"{path}: [alarms] {name}")
    return Thresholds(**{**alarms, "off": tuple(alarms.get("off", ()))})


def _days(retention: Mapping[str, Any], name: str, path: Path) -> int | None:
    if (age := retention.get(name)) is None:
        return None
    if not (days := days_of(str(age))):
        raise SettingsError(
            f'{path}: [retention] {name} must be a number of days, such as "400d"; got {age!r}'
        )
    return days


def _require_known(written: Collection[str], keys: tuple[str, ...], where: str) -> None:
    """Raise SettingsError for a key that is not one of `keys`."""
    for name in written:
        if name in keys:
            continue
        hint = next(
            (f"; it belongs below the line [{t}]" for t, names in TABLES.items() if name in names),
            did_you_mean(name, (*keys, *(TABLES if keys is KEYS else ()))),
        )
        if name in KEYS:
            hint = "; it belongs above the first line in brackets"
        listed = (*keys, *(f"[{table}]" for table in TABLES if keys is KEYS))
        hint = hint or f"; the keys are {', '.join(listed)}"
        raise SettingsError(f"{where} has a key {name} that nothing reads{hint}")


def _require_threshold(name: str, value: Any, where: str) -> None:
    """Raise SettingsError for a value that a key of [alarms] cannot have."""
    if name == "off":
        rules = f"a list of rules out of {', '.join(ALARM_RULES)}"
        if not isinstance(value, list):
            raise SettingsError(f"{where} must be {rules}; got {value!r}")
        for rule in value:
            if rule not in ALARM_RULES:
                hint = did_you_mean(str(rule), ALARM_RULES)
                raise SettingsError(f"{where} must be {rules}; got {rule!r}{hint}")
        return
    is_share, is_count = name.endswith("_share"), name.endswith("_lines")
    kind = int if is_count else int | float
    most = 1 if is_share else 1_000_000
    if not isinstance(value, kind) or isinstance(value, bool) or not 0 < value <= most:
        what = "a whole number from 1" if is_count else "a number above 0"
        upto = " and at most 1, such as 0.05" * is_share
        raise SettingsError(f"{where} must be {what}{upto}; got {value!r}")


def with_setting(text: str, name: str, value: str) -> str:
    """Return the text of a settings file with a key set.

    The key keeps its line, even if that line is commented out; else it gets a new first line.
    """
    line = f'{name} = "{value}"'
    for start in ("", "#"):
        changed, count = re.subn(rf"(?m)^{start}[ \t]*{name}[ \t]*=.*$", line, text, count=1)
        if count:
            return changed
    return f"{line}\n{text}"


def _require(name: str, value: Any, where: str) -> None:
    """Raise SettingsError for a value that a key cannot have; `where` names key or option."""
    if name == "reporting_currency":
        known, what = set(KNOWN_CURRENCIES), "a currency code of ISO 4217, such as EUR"
    else:
        known = set(TIME_ZONES)
        what = "an IANA time zone, such as Europe/Berlin"
    if not isinstance(value, str) or value not in known:
        raise SettingsError(f"{where} must be {what}; got {value!r}{_nearest(str(value), known)}")


def _nearest(word: str, known: Collection[str]) -> str:
    """Return the nearest known word as the end of a sentence; a city also finds its zone."""
    city = word.replace(" ", "_").casefold()
    zones = sorted(name for name in known if name.casefold().endswith(f"/{city}"))
    return f"; did you mean {zones[0]}?" if zones else did_you_mean(word, known)


def _bucket(lake: str | None) -> str | None:
    """Return the bucket of a lake in S3; None for a lake in the home."""
    if not lake:
        return None
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/?", lake):
        raise SettingsError(
            f"MEDALLION_LAKE is {lake!r}: give a whole bucket, such as s3://retail-lake, or unset "
            "it for a lake in the home"
        )
    return lake.removeprefix("s3://").rstrip("/")


def _snowflake(environment: Mapping[str, str]) -> SnowflakeAccount | None:
    """Return the account of a warehouse in Snowflake; None for a warehouse in the home."""
    warehouse = environment.get("MEDALLION_WAREHOUSE")
    if not warehouse:
        return None
    if warehouse != "snowflake":
        raise SettingsError(
            f"MEDALLION_WAREHOUSE is {warehouse!r}: give snowflake, or unset it for a warehouse in "
            "the home"
        )
    return SnowflakeAccount.from_environment(environment)
