"""How to add a metric and a mart, following the steps of CONTRIBUTING.md in a copy of the
checkout."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, drop, event
from tests.contributing import (
    MART,
    METRIC,
    checkout_with_a_metric_and_a_mart,
    environment,
    steps,
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout in which somebody has followed the steps."""
    return checkout_with_a_metric_and_a_mart(tmp_path_factory.mktemp("metric"))


@pytest.fixture(scope="module")
def home(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a few sales, whose relations the copy has built."""
    home = tmp_path_factory.mktemp("home")
    sales = [("card", 2.5), ("card", 4), ("cash", 1)]
    drop(
        home,
        "till.jsonl",
        *(
            event(event_id=f"e{n}", payment_method=method, price=price, total_amount=...)
            for n, (method, price) in enumerate(sales)
        ),
    )
    for verb in ("clean", "load"):
        python(checkout, home, "-m", "medallion.cli", verb)
    dbt(checkout, home, "run", "--select", "+fct_sales_line", "+dim_dates")
    return home


def dbt(checkout: Path, home: Path, *arguments: str) -> str:
    """Run dbt in the project of the copy; return what it printed."""
    return python(checkout / "dbt", home, "-m", "dbt.cli.main", *arguments)


def python(folder: Path, home: Path, *arguments: str) -> str:
    """Run Python in a folder of the copy; return what it printed."""
    checkout = folder.parent if folder.name == "dbt" else folder
    variables = environment(checkout) | {
        "MEDALLION_HOME": str(home),
        "DBT_TARGET_PATH": str(home / "target"),
        "DBT_LOG_PATH": str(home / "logs"),
    }
    done = subprocess.run(
        [sys.executable, *arguments], env=variables, cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_mart_holds_what_its_model_says(checkout: Path, home: Path) -> None:
    """The command of the page builds it, and runs its tests of data and of arithmetic."""
    *_, command = steps("a mart")
    assert "PASS=5 WARN=0 ERROR=0" in dbt(checkout, home, *command.split()[1:])
    sql = f"SELECT payment_method, net_sales FROM {MART} ORDER BY 1"
    rows = json.loads(python(checkout, home, "-m", "medallion.cli", "query", sql, "--json"))
    assert [(row["payment_method"], float(row["net_sales"])) for row in rows] == [
        ("card", 13),
        ("cash", 2),
    ]


def test_the_metric_is_evaluated(checkout: Path, home: Path) -> None:
    """By the command line, cut by a dimension of its model."""
    arguments = ("metric", METRIC, "--by", "payment_method", "--json")
    rows = json.loads(python(checkout, home, "-m", "medallion.cli", *arguments))
    assert {row["payment_method"]: float(row[METRIC]) for row in rows} == {"card": 4, "cash": 1}


@pytest.mark.parametrize("tool", ["snowflake", "tableau", "powerbi", "quicksight"])
def test_the_templates_have_the_metric(checkout: Path, tool: str) -> None:
    """Each BI tool offers it under its label, and no template did before."""
    label = re.compile("Highest price", re.IGNORECASE)
    texts = [p.read_text() for p in (checkout / "bi" / tool).rglob("*") if p.is_file()]
    assert any(map(label.search, texts))
    committed = [p.read_text() for p in (ROOT / "bi" / tool).rglob("*") if p.is_file()]
    assert not any(map(label.search, committed))
