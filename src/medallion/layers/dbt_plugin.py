"""A plugin of dbt-duckdb that checks the warehouse first; dbt/profiles.yml names this module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError


class Plugin(BasePlugin):
    """A check that the warehouse exists: DuckDB would create an empty one, without sources."""

    def initialize(self, config: dict[str, Any]) -> None:
        """Raise DbtRuntimeError when the warehouse of the profile is missing."""
        path = Path(self.creds.path if self.creds else "").resolve()
        if not path.exists():
            raise DbtRuntimeError(
                f"there is no warehouse {path}: set MEDALLION_HOME to a home, as an absolute path, "
                "or start dbt in the folder dbt/ of the project; 'medallion run' makes a warehouse"
            )
