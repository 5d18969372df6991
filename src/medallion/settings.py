"""Settings: what the environment and the command line say about where things are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medallion.errors import SettingsError

DEFAULT_HOME = Path("data")


@dataclass(frozen=True)
class Settings:
    """Where this home is. Made once, by the command line; nothing else reads the environment."""

    home: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], home: Path | None) -> Settings:
        """`home` wins over MEDALLION_HOME, and that over ./data. Raises SettingsError for a home
        that is a file."""
        chosen = home or Path(environment.get("MEDALLION_HOME") or DEFAULT_HOME)
        if chosen.exists() and not chosen.is_dir():
            raise SettingsError(f"the home {chosen} is a file; give a directory with --home")
        return cls(home=chosen.absolute())
