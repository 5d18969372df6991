"""Settings: what the environment and the command line say about where things are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medallion.errors import SettingsError

DEFAULT_HOME = Path("data")


@dataclass(frozen=True)
class Settings:
    """Where this home is, and the bucket of its lake when that is in S3. Made once, by the command
    line; nothing else reads the environment."""

    home: Path
    bucket: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], home: Path | None) -> Settings:
        """`home` wins over MEDALLION_HOME, and that over ./data; MEDALLION_LAKE moves the lake.
        Raises SettingsError for what cannot be used."""
        chosen = home or Path(environment.get("MEDALLION_HOME") or DEFAULT_HOME)
        if chosen.exists() and not chosen.is_dir():
            raise SettingsError(f"the home {chosen} is a file; give a directory with --home")
        return cls(chosen.absolute(), _bucket(environment.get("MEDALLION_LAKE")))


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
