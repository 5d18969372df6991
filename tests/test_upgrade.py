"""A home of another version of the program: what it is told, and that rebuild makes it right."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.conftest import ROOT, Cli
from tests.test_end_to_end import agrees_with_answer_key
from tests.test_refusals import one_sentence

Query = Callable[[Path, str], list[dict[str, Any]]]
EARLIER = ROOT / "tests" / "data" / "home-before-return-reasons.tar.xz"
"""A home as an earlier version left it: purchases had no `return_reason`, and there was no feed of
targets. 150 simulated events, 8 % of them with a fault, and the first lines of the other feeds; the
folders .dbt and .scratch, which every run makes anew, are left out."""


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """The home of the earlier version."""
    home = tmp_path / "earlier"
    shutil.unpack_archive(EARLIER, home)
    return home


def test_a_home_of_an_earlier_version_is_made_right_by_rebuild(
    earlier: Path, cli: Cli, query: Query
) -> None:
    """Every verb that would mix the versions says so in a sentence and changes nothing; then
    rebuild makes all of it again, with the numbers of the answer key."""
    agrees_with_answer_key(earlier, query)  # it can still be asked
    before = (earlier / "warehouse.duckdb").read_bytes()
    for verb in (("run", "--events", "0"), ("load",), ("transform",), ("status",), ("audit",)):
        one_sentence(cli(earlier, *verb), "'medallion rebuild'", "return_reason")
    assert (earlier / "warehouse.duckdb").read_bytes() == before

    result = cli(earlier, "rebuild")
    assert result.exit_code == 0, result.output
    agrees_with_answer_key(earlier, query)
    assert query(earlier, "SELECT count(return_reason) AS n FROM purchases_silver") == [{"n": 0}]
    assert cli(earlier, "run", "--events", "0").exit_code == 0
    assert cli(earlier, "audit").exit_code == 0


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("ALTER TABLE staging.purchases ADD COLUMN promotion_id VARCHAR", "purchases.promotion_id"),
        ("CREATE TABLE staging.promotions (promotion_id VARCHAR)", "staging.promotions"),
    ],
)
def test_a_home_of_a_newer_version_is_left_alone(
    copy: Path, cli: Cli, change: str, what: str
) -> None:
    """A column that this version would leave empty, or a feed that it would take for purchases."""
    with duckdb.connect(str(copy / "warehouse.duckdb")) as warehouse:
        warehouse.execute(change)
    for verb in (("run", "--events", "0"), ("load",), ("transform",), ("status",), ("audit",)):
        one_sentence(cli(copy, *verb), "newer version", what)
    assert cli(copy, "query", "SELECT 1").exit_code == 0
