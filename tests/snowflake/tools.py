"""The tools of these tests: fakesnow, dbt-snowflake, sqlfluff. dbt-snowflake and the project want
different versions of certifi, so the tools live in an environment of their own, made once from
tools.lock. It holds the project's requirements too: `medallion` runs there with `src` on its path.

    uv pip compile tools.in --universal --python-version 3.11 --generate-hashes --no-header \\
        --no-annotate --no-emit-index-url -o tools.lock
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tests.environments import environment

LOCK = Path(__file__).with_name("tools.lock")


@cache
def python() -> Path:
    """The interpreter of the tools' environment, which is made where it is missing."""
    return environment("snowflake-tools", LOCK) / "bin" / "python"
