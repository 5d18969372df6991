"""`medallion metric`: the numbers of the definitions, cut, by period and compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medallion.metrics.selection import Selection, dimensions, select
from tests.bi.test_numbers import definitions, expected, marts, relation_of, same
from tests.conftest import Cli, drop, event

__all__ = ["marts"]

RELATIONS: dict[str, list[str]] = {}
for _metric in definitions()["metrics"]:
    RELATIONS.setdefault(relation_of(_metric), []).append(_metric["name"])
CUTS = [(r, cut) for r, names in RELATIONS.items() for cut in ("", *dimensions(names[0]))]
ENTITIES = {"store": "store_id", "product": "product_id", "customer": "customer_id"} | {
    "line": "event_id",
    "basket": "basket_key",
    "sales_day": "sales_date",
    "city": "stores.city",
    "country": "stores.country",
}
"""The columns of entities, and of what two relations have."""
FINE = ("line", "basket", "customer")
"""Cuts into thousands of groups: here a metric of each kind is enough."""
FEW = ("net_sales", "transactions", "average_order_value", "gross_margin_rate")


@pytest.mark.parametrize(("relation", "cut"), CUTS)
def test_every_metric_by_every_dimension_is_as_defined(relation: str, cut: str, marts: Any) -> None:
    """What the templates of the BI tools are held to: with NULLs and zero denominators."""
    labels, wanted = expected(marts, relation, (ENTITIES.get(cut, cut),) if cut else ())
    names = {m["label"]: m["name"] for m in definitions()["metrics"]}
    assert sorted(names[label] for label in labels) == sorted(RELATIONS[relation]) and wanted
    for place, label in enumerate(labels):
        if cut in FINE and names[label] not in FEW:
            continue
        answer = select(marts, Selection(names[label], (cut,) if cut else ()))
        values = {row[:-1]: row[-1] for row in answer.rows}
        assert values.keys() == wanted.keys()
        for group, value in values.items():
            right = wanted[group][place]
            is_exact = value is None or not isinstance(right, float)
            assert same(right, value if is_exact else float(value)), (label, group, right, value)


SOLD = {
    # Two retail years, of which that of 2023 has 53 weeks; the newest week is not over.
    "2023-02-01": 10,
    "2024-01-31": 7,  # in week 53, which no other year has
    "2024-02-07": 20,
    "2025-01-30": 40,
    "2025-02-05": 30,
    "2025-02-06": 5,
    "2025-02-12": 60,
    "2025-02-13": 1,
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Iterator[Path]:
    """A shop that sells a thing now and then, in one currency."""
    home = tmp_path_factory.mktemp("shop")
    lines = [
        event(event_id=f"e{day}", ts=f"{day}T10:00:00Z", price=price, quantity=1, total_amount=...)
        for day, price in SOLD.items()
    ]
    drop(home, "till.jsonl", *lines)
    assert cli(home, "run", "--events", "0").exit_code == 0
    yield home


def asked(cli: Cli, home: Path, *arguments: str) -> list[list[Any]]:
    """The rows of a metric, amounts as numbers."""
    result = cli(home, "metric", "net_sales", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return [
        [
            float(v) if isinstance(v, str) and v.replace(".", "").lstrip("-").isdigit() else v
            for v in row.values()
        ]
        for row in json.loads(result.stdout)
    ]


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        ((), [[173.0]]),
        (("--from", "2025-02-05", "--to", "2025-02-06"), [[35.0]]),
        (
            ("--grain", "retail_week", "--from", "2025-01-26"),
            [
                ["2024-W52", "2025-01-26", 40.0],
                ["2025-W01", "2025-02-02", 35.0],
                ["2025-W02", "2025-02-09", 61.0],
            ],
        ),
        (
            ("--grain", "month", "--from", "2025-01-01"),
            [["2025-01", "2025-01-01", 40.0], ["2025-02", "2025-02-01", 96.0]],
        ),
        (("--grain", "day", "--from", "2025-02-12"), [["2025-02-12", 60.0], ["2025-02-13", 1.0]]),
        # Week 1 of 2024 began on 4 February: the first Wednesday was the 7th.
        (
            ("--grain", "retail_week", "--from", "2025-02-02", "--compare", "last_year"),
            [
                ["2025-W01", "2025-02-02", 35.0, 20.0, 15.0, 0.75],
                ["2025-W02", "2025-02-09", 61.0, None, None, None],
            ],
        ),
        # Week 52 of 2024 is compared with that of 2023, not with the 53rd.
        (
            ("--from", "2025-01-26", "--to", "2025-02-08", "--compare", "last_year"),
            [[75.0, 20.0, 55.0, 2.75]],
        ),
        # Day by day: the Thursday of the week before is compared, and the days after are not.
        (
            ("--grain", "retail_week", "--from", "2025-02-09", "--compare", "before"),
            [["2025-W02", "2025-02-09", 61.0, 35.0, 26.0, 0.742857142857142857142857142857]],
        ),
        (
            ("--from", "2025-02-12", "--to", "2025-02-13", "--compare", "before"),
            [[61.0, None, None, None]],
        ),
        (
            ("--from", "2025-02-06", "--to", "2025-02-12", "--compare", "before"),
            [[65.0, 70.0, -5.0, -0.0714285714285714285714285714]],
        ),
        (
            ("--grain", "year", "--compare", "last_year", "--from", "2025-01-01"),
            [[2025.0, "2025-01-01", 136.0, 27.0, 109.0, 109 / 27]],
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_periods_are_those_of_the_calendar_and_compare_like_days(
    shop: Path, cli: Cli, arguments: tuple[str, ...], rows: list[list[Any]]
) -> None:
    """Retail years of 52 and 53 weeks, a period that is not over, days without a sale."""
    answer = asked(cli, shop, *arguments)
    assert [row[:-1] for row in answer] == [row[:-1] for row in rows]
    assert [row[-1] for row in answer] == pytest.approx([row[-1] for row in rows])


def test_a_day_that_the_calendar_does_not_have_is_shown(tmp_path: Path, cli: Cli) -> None:
    """Its period is not known; its amount is."""
    drop(tmp_path, "till.jsonl", event(ts="1999-05-01T10:00:00Z"))
    assert cli(tmp_path, "run", "--events", "0").exit_code == 0
    assert asked(cli, tmp_path, "--grain", "retail_week") == [[None, None, 5.0]]


def test_amounts_keep_their_digits_and_the_table_rounds(shop: Path, cli: Cli) -> None:
    """CSV and JSON hold what was computed; people read percent and two digits."""
    arguments = ("metric", "average_order_value", "--from", "2025-01-26", "--compare", "before")
    arguments = (*arguments[:2], "--grain", "retail_week", *arguments[2:])
    csv = cli(shop, *arguments, "--csv").stdout.splitlines()
    assert csv[0] == "retail_week,first_day,average_order_value,before,difference,change"
    table = cli(shop, *arguments).stdout
    assert "17.50" in table and "%" in table and "–" in table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("net_salez",), "there is no metric net_salez; did you mean net_sales?"),
        (("net_sales", "--by", "stor"), "did you mean store?"),
        (("affinity_lift", "--grain", "day"), "has no days"),
        (("customers", "--compare", "last_year"), "has no days"),
        (("net_sales", "--compare", "before"), "Give the first day, or a grain"),
        (("net_sales", "--from", "2026-02-02", "--to", "2026-02-01"), "is after the last"),
        (("net_sales", "--json", "--csv"), "give either --json or --csv"),
        (("--by", "store"), "give the NAME of a metric"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(
    built: Path, cli: Cli, arguments: tuple[str, ...], message: str
) -> None:
    """Exit 2, and the nearest right word."""
    result = cli(built, "metric", *arguments)
    assert result.exit_code == 2 and message in result.stderr, result.output
    assert result.stderr.count("\n") == 1


def test_without_a_name_the_metrics_are_listed(built: Path, cli: Cli) -> None:
    """With what each can be cut by; the list needs no data."""
    listed = json.loads(cli(built, "metric", "--json").stdout)
    assert {m["name"] for m in listed} == {m["name"] for m in definitions()["metrics"]}
    assert all(m["by"] and m["formula"] and m["unit"] for m in listed)
    assert "gross_margin_rate" in cli(built, "metric").stdout
