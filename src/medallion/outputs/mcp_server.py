"""An MCP server: an assistant asks for metrics and for the state of the data, and changes nothing.

Each answer says of which snapshot it is, and whether the sums of that snapshot hold.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

from medallion import __version__
from medallion.audit import warehouse_checks
from medallion.errors import MedallionError, SettingsError
from medallion.layers.quarantine import rejected_counts
from medallion.layers.staging import require_current
from medallion.metrics import project
from medallion.metrics.selection import Selection, described, select
from medallion.operations.freshness import freshness
from medallion.operations.status import layers, newest
from medallion.platforms.heartbeat import read_runner
from medallion.platforms.platform import Platform
from medallion.platforms.warehouse import Warehouse

INSTRUCTIONS = (
    "Figures of a retailer, each from one definition. Ask list_metrics first. Amounts are decimals "
    "in texts; null is unknown, never 0. An amount in the transaction currency is null for rows of "
    "several currencies: cut it by currency, or ask for its reporting_ metric. Do not use a figure "
    "whose audit does not hold."
)
Grain = Literal[
    "day",
    "retail_week",
    "retail_month",
    "retail_quarter",
    "retail_year",
    "month",
    "quarter",
    "year",
]


def serve(platform: Platform) -> None:
    """Answer on standard input and output until the client hangs up.

    Raises:
        SettingsError: the library is not installed.
    """
    server(platform).run("stdio")


def server(platform: Platform) -> Any:
    """Return the server of a platform.

    Raises:
        SettingsError: the library is not installed.
    """
    if importlib.util.find_spec("mcp") is None:
        raise SettingsError(
            "medallion mcp needs the extra 'mcp': pip install -e '.[mcp]' in the project's folder"
        )
    from mcp.server import MCPServer
    from mcp_types import ToolAnnotations

    server = MCPServer(
        "medallion", version=__version__, instructions=INSTRUCTIONS, log_level="ERROR"
    )
    tool = server.tool(annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False))

    @tool
    def list_metrics() -> dict[str, Any]:
        """List the metrics: what each says, its formula, its unit, and what it can be cut by."""
        with _reading(platform) as (_, evidence):
            return {"metrics": [described(metric) for metric in project().metrics]} | evidence

    @tool
    def query_metric(
        name: str,
        by: list[str] | None = None,
        grain: Grain | None = None,
        first_day: date | None = None,
        last_day: date | None = None,
        compare: Literal["last_year", "before"] | None = None,
    ) -> dict[str, Any]:
        """Evaluate a metric, cut by dimensions and periods, and compare it.

        Args:
            name: a metric of list_metrics.
            by: dimensions to cut by, of those that list_metrics names.
            grain: a row for each such period; without one all days are one.
            first_day: the first store-local day, included.
            last_day: the last store-local day, included.
            compare: with the same days of last year, or with the period before.
        """
        asked = Selection(name, tuple(by or ()), grain or "", first_day, last_day, compare or "")
        with _reading(platform) as (warehouse, evidence):
            answer = select(warehouse, asked)
            rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
            return _plain({"rows": rows, "unit": project().metric(name).unit} | evidence)

    @tool
    def state_of_data() -> dict[str, Any]:
        """Tell what each layer holds, how fresh it is, and what was rejected."""
        now = datetime.now(UTC)
        with _reading(platform) as (warehouse, evidence):
            runner = None if platform.snowflake else read_runner(platform.home)
            fresh = freshness(newest(warehouse), runner, now)
            return _plain(
                {
                    "layers": [asdict(layer) for layer in layers(platform.lake, warehouse)],
                    "freshness": str(fresh),
                    "rejected_lines": rejected_counts(platform.lake, warehouse),
                }
                | evidence
            )

    return server


@contextmanager
def _reading(platform: Platform) -> Iterator[tuple[Warehouse, dict[str, Any]]]:
    """Open the warehouse; yield it with what says how far its snapshot can be trusted.

    What an operator must mend is told to the assistant, too.
    """
    from mcp.server.mcpserver.exceptions import ToolError

    try:
        with platform.reader() as warehouse:
            if not platform.snowflake:
                require_current(warehouse)
            yield warehouse, _plain(_evidence(warehouse))
    except MedallionError as error:
        raise ToolError(str(error)) from error


def _evidence(warehouse: Warehouse) -> dict[str, Any]:
    waiting: dict[str, int] = {}
    checks = warehouse_checks(warehouse, waiting)
    ((load, loaded_at),) = warehouse.execute(
        "SELECT max(load_seq), max(loaded_at) FROM staging.loads"
    ).fetchall()
    return {
        "snapshot": {
            "load": load,
            "loaded_at": loaded_at,
            "newest_sale": newest(warehouse).newest_event,
        },
        "audit": {
            "holds": all(check.holds for check in checks),
            "checks": [asdict(check) | {"holds": check.holds} for check in checks],
            "waiting": waiting,
            "not_compared": "raw/ and bronze/, which 'medallion audit' reads anew",
        },
    }


def _plain(value: Any) -> Any:
    """Return a value as JSON holds it: decimals and times as texts."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, date) else value
