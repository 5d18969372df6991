"""What dbt-duckdb asks before it opens a warehouse: dbt/profiles.yml names this module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError


class Plugin(BasePlugin):
    """Refuses a warehouse that is not there: DuckDB would make an empty one, in which no model
    finds its sources."""

    def initialize(self, config: dict[str, Any]) -> None:
        """Raises DbtRuntimeError when the warehouse of the profile is missing."""
        path = Path(self.creds.path if self.creds else "").resolve()
        if not path.exists():
            raise DbtRuntimeError(
                f"there is no warehouse {path}: set MEDALLION_HOME to a home, as an absolute path, "
                "or start dbt in the folder dbt/ of the project; 'medallion run' makes a warehouse"
            )
