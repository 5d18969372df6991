"""The notebook under examples/: its cells run, and its charts hold the sums of a snapshot."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import altair
import pytest

from tests.conftest import ROOT

Query = Callable[[Path, str], list[dict[str, Any]]]
NOTEBOOK = ROOT / "examples" / "snapshot.ipynb"


def shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What each cell shows: the value of its last line, as a kernel would have it."""
    monkeypatch.setitem(os.environ, "MEDALLION_HOME", str(home))
    values, names = [], dict[str, Any]()
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], "committed without outputs"
            tree = ast.parse("".join(cell["source"]))
            last = tree.body.pop()
            assert isinstance(last, ast.Expr)
            exec(compile(tree, NOTEBOOK.name, "exec"), names)
            values.append(eval(compile(ast.Expression(last.value), NOTEBOOK.name, "eval"), names))
    return values


def test_the_notebook_draws_the_snapshot(
    built: Path, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three charts, whose data add up to what the warehouse holds."""
    relations, *charts = shown(built, monkeypatch)
    assert "purchases_gold" in relations
    drawn = [chart.to_dict() for chart in charts if isinstance(chart, altair.Chart)]
    assert len(drawn) == 3
    rows = [next(iter(chart["datasets"].values())) for chart in drawn]
    (sums,) = query(
        built,
        "SELECT sum(net_sales)::DOUBLE AS net, sum(transactions)::BIGINT AS baskets, "
        "sum(return_lines)::BIGINT AS returned FROM purchases_gold WHERE currency IS NOT NULL",
    )
    assert sum(row["net_sales"] for row in rows[0]) == pytest.approx(sums["net"])
    assert sum(row["transactions"] for row in rows[1]) == sums["baskets"]
    assert sum(row["return_lines"] for row in rows[2]) == sums["returned"]
