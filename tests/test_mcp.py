"""The MCP server: an assistant's three questions, asked by the library's own client."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters, stdio_client

from medallion.outputs.mcp_server import server
from medallion.platforms.platform import Platform
from medallion.settings import Settings
from tests.conftest import Cli

Call = Callable[..., Any]


def called(transport: Any, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
    """What the tools answer, one after the other; the text of a refusal."""

    async def ask() -> list[Any]:
        answers = []
        async with Client(transport) as client:
            for name, arguments in calls:
                result = await client.call_tool(name, arguments)
                answers.append(
                    result.content[0].text if result.is_error else result.structured_content
                )
        return answers

    return anyio.run(ask)


def test_an_assistant_asks_over_stdio(built: Path) -> None:
    """The command as a process of its own: nothing but the protocol is on its standard output."""
    command = ["-m", "medallion.cli", "mcp", "--home", str(built)]
    transport = stdio_client(StdioServerParameters(command=sys.executable, args=command))
    (listed,) = called(transport, ("list_metrics", {}))
    assert {"net_sales", "gross_margin_rate"} <= {m["name"] for m in listed["metrics"]}


def test_the_answers_are_those_of_the_command_line(built: Path, cli: Cli) -> None:
    """To the digit, with the snapshot that they are of and its audit."""
    before = {p: p.stat().st_mtime_ns for p in built.rglob("*")}
    asked = {"name": "net_sales", "by": ["currency"], "grain": "retail_week", "compare": "before"}
    answer, state = called(
        server(Platform.of(Settings(built))), ("query_metric", asked), ("state_of_data", {})
    )
    options = ("--by", "currency", "--grain", "retail_week", "--compare", "before", "--json")
    assert answer["rows"] == json.loads(cli(built, "metric", "net_sales", *options).stdout)
    assert answer["unit"] == "transaction currency"
    for part in (answer, state):
        assert part["audit"]["holds"] and len(part["audit"]["checks"]) >= 5
        assert part["snapshot"]["load"] >= 1 and part["snapshot"]["newest_sale"]
    layers = {(row["layer"], row["unit"]): row["count"] for row in state["layers"]}
    assert layers["silver", "events"] > 5_000 and state["rejected_lines"]["open"] > 100
    assert {p: p.stat().st_mtime_ns for p in built.rglob("*")} == before


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("query_metric", {"name": "net_salez"}, "did you mean net_sales?"),
        ("query_metric", {"name": "net_sales", "by": ["stor"]}, "did you mean store?"),
        ("query_metric", {"name": "net_sales", "grain": "fortnight"}, "retail_week"),
        ("query_metric", {"name": "net_sales", "first_day": "soon"}, "first_day"),
    ],
)
def test_a_wrong_question_is_answered_with_a_sentence(
    built: Path, tool: str, arguments: dict[str, Any], message: str
) -> None:
    """And the server goes on."""
    refused, listed = called(
        server(Platform.of(Settings(built))), (tool, arguments), ("list_metrics", {})
    )
    assert message in refused and listed["metrics"]


def test_every_tool_says_that_it_only_reads(built: Path) -> None:
    """So that an assistant need not ask before each."""

    async def tools() -> list[Any]:
        async with Client(server(Platform.of(Settings(built)))) as client:
            return list((await client.list_tools()).tools)

    offered = anyio.run(tools)
    assert [tool.name for tool in offered] == ["list_metrics", "query_metric", "state_of_data"]
    assert all(tool.annotations.read_only_hint and tool.description for tool in offered)


def test_a_broken_sum_is_told_with_the_figure(copy: Path) -> None:
    """A row of gold that no sale explains."""
    platform = Platform.of(Settings(copy))
    with platform.warehouse() as warehouse:
        warehouse.execute("UPDATE gold.purchases_gold SET net_sales = net_sales + 1")
    (answer,) = called(server(platform), ("query_metric", {"name": "reporting_net_sales"}))
    broken = [c["name"] for c in answer["audit"]["checks"] if not c["holds"]]
    assert not answer["audit"]["holds"] and "gold sums = silver sums, per day" in broken
