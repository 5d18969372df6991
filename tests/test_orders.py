"""Orders as shops export them: examples to the shops' own totals, and the parts of a mapping."""

from __future__ import annotations

import csv
import json
import re
import shutil
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medallion.errors import SettingsError
from medallion.importing import ImportReport, import_files
from medallion.importing.allocation import Share, allocated
from medallion.outputs.dashboard.text import counted
from medallion.platforms.local import LocalLake
from tests.conftest import ROOT, Cli
from tests.test_importing import events

NOW = datetime(2026, 5, 6, 7, 8, tzinfo=UTC)
EXAMPLES = ROOT / "examples/orders"
IMPORTS = {
    "shopify-orders": ["shopify-orders-?.csv"],
    "shopify-admin": ["shopify-admin-?.json"],
    "square-items": ["square-items-?.csv"],
    "woocommerce-orders": ["woocommerce-orders*.json"],
    "woocommerce-refunds": ["woocommerce-refunds.json"],
    "olist": ["olist_items-?.csv"],
    "uci-invoices": ["uci-invoices-?.csv"],
}
"""The files of each mapping under examples/orders. Each shop has a month of its own."""
TOTALS = sorted(path.name for path in EXAMPLES.glob("*-totals.csv"))


@pytest.fixture(scope="module")
def shops(built: Path, tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Path:
    """A copy of the built home with the exports of all shops in gold, beside its own events."""
    home = tmp_path_factory.mktemp("shops") / "home"
    shutil.copytree(built, home)
    for name, patterns in IMPORTS.items():
        paths = [str(EXAMPLES / pattern) for pattern in patterns]
        result = cli(home, "import", *paths, "--mapping", str(EXAMPLES / f"{name}.toml"))
        assert result.exit_code == 0, result.output
    for verb in (("clean",), ("load",), ("transform", "--select", "+gold")):
        result = cli(home, *verb)
        assert result.exit_code == 0, result.output
    return home


@pytest.mark.parametrize("name", TOTALS)
def test_gold_equals_what_the_shop_reports(
    shops: Path, query: Callable[[Path, str], list[dict[str, Any]]], name: str
) -> None:
    """Day by day and currency by currency, to the last unit: void orders, refunds of another day,
    discounts of a whole order, shipping, tips, gift cards, taxes in prices, yen, two exports that
    overlap."""
    with (EXAMPLES / name).open() as file:
        reported = list(csv.DictReader(file))
    columns = list(reported[0])
    wanted = {(r["sales_date"], r["currency"]): _amounts(r) for r in reported}
    month = reported[0]["sales_date"][:7]
    rows = query(
        shops,
        f"SELECT {', '.join(columns)} FROM purchases_gold WHERE currency IS NOT NULL "
        f"AND sales_date::VARCHAR LIKE '{month}%'",
    )
    assert {(r["sales_date"], r["currency"]): _amounts(r) for r in rows} == wanted
    assert all(Decimal(r["net_sales"]) == _net(r) for r in reported)


def test_a_larger_refund_of_a_later_export_corrects_the_one_before(
    tmp_path: Path, cli: Cli
) -> None:
    """Shopify's CSV has the sum of an order's refunds, under one event_id: the larger one is the
    later correction, whichever export is imported first."""
    with (EXAMPLES / "shopify-orders-1.csv").open() as file:
        rows = list(csv.DictReader(file))
    refunded = next(r for r in rows if Decimal(r["Refunded Amount"] or 0) > 1)
    refunds = []
    for name, amount in (("later", refunded["Refunded Amount"]), ("earlier", "0.50")):
        refunded["Refunded Amount"] = amount
        with (path := tmp_path / f"{name}.csv").open("w") as file:
            writer = csv.DictWriter(file, list(refunded))
            writer.writeheader()
            writer.writerows(rows)
        home = tmp_path / name
        result = cli(home, "import", str(path), "--mapping", str(EXAMPLES / "shopify-orders.toml"))
        assert result.exit_code == 0, result.output
        of_order = f"{refunded['Name']}-refund"
        refunds += [e for e in events(home) if e["event_id"] == of_order]
    later, earlier = refunds
    assert later["price"] > earlier["price"] and later["corrected_at"] > earlier["corrected_at"]


def test_a_weight_is_shown_as_it_was_sold(shops: Path, cli: Cli) -> None:
    """In the terminal and on the page: with its fraction, and whole numbers without one."""
    sql = "SELECT sum(quantity) AS units, sum(total_amount) AS paid FROM purchases_silver WHERE "
    shown = [cli(shops, "query", f"{sql} product_id = '{p}'").stdout for p in ("CHED", "ROLL")]
    assert [text.splitlines()[-1].split() for text in shown] == [
        ["0.69", "12.4200"],
        ["9", "6.1200"],
    ]
    units = [Decimal(n) for n in ("1.00000", "0.34500", "1200.00000", "1234.50000")]
    assert [counted(n, "unit") for n in units] == [
        "1 unit",
        "0.345 units",
        "1,200 units",
        "1,234.5 units",
    ]


def test_the_examples_have_no_rejected_line(shops: Path) -> None:
    """Every row of every export is an event or left out with a reason."""
    receipts = pq.read_table(shops / "bronze/receipts").to_pylist()
    imported = [r for r in receipts if "/import-" in r["source_file"]]
    assert len(imported) == 13 and {r["quarantined"] for r in imported} == {0}


def test_the_worked_example_of_the_guide_runs_as_shown(tmp_path: Path, cli: Cli) -> None:
    """Its files, its output, and the shares of its discount."""
    guide = (ROOT / "docs/importing.md").read_text("utf-8")
    section = guide[guide.index("## Orders") : guide.index("## How values are written")]
    blocks = dict(re.findall(r"```(\w*)\n(.*?)```", section, re.DOTALL))
    file = write(tmp_path / "orders.json", blocks["json"])
    mapping = write(tmp_path / "orders.toml", blocks["toml"])
    result = cli(tmp_path / "home", "import", str(file), "--mapping", str(mapping))
    assert result.stdout == blocks[""].partition("\n")[2]
    discounts = [e["discount_amount"] for e in events(tmp_path / "home") if "discount_amount" in e]
    assert [f"{d:.2f}" for d in discounts] == ["0.33", "0.50", "0.17"]
    assert "shared as 0.33, 0.50 and 0.17" in section
    till = ("examples/till.csv", "--mapping", "examples/till.toml", "--preview")
    shown = cli(tmp_path / "none", "import", *(str(ROOT / t) if "/" in t else t for t in till))
    assert shown.stdout.splitlines()[0] in guide


def _amounts(row: dict[str, Any]) -> dict[str, Decimal]:
    return {n: Decimal(v) for n, v in row.items() if n not in ("sales_date", "currency")}


def _net(row: dict[str, Any]) -> Decimal:
    return Decimal(row["gross_sales"]) - Decimal(row["discounts"]) - Decimal(row["returns"])


ORDER_FIELDS = {
    "event_id": "id || '-' || order_line",
    "ts": "'2026-01-01T00:00:00Z'",
    "store_id": "'s'",
    "product_id": "sku",
    "price": "price",
    "quantity": "1",
}


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def toml(fields: dict[str, str]) -> str:
    return "".join(f"{name} = {json.dumps(sql)}\n" for name, sql in fields.items())


@pytest.fixture
def take(tmp_path: Path) -> Callable[..., ImportReport]:
    """Imports files by the text of a mapping."""

    def run(mapping: str, *files: Path) -> ImportReport:
        path = write(tmp_path / "mapping.toml", mapping)
        lake = LocalLake(tmp_path / "home")
        return import_files(files, path, lake, now=NOW, progress=lambda _: None)

    return run


@given(
    amount=st.integers(-(10**9), 10**9),
    weights=st.lists(st.integers(0, 10**9), min_size=1, max_size=12),
    decimals=st.integers(0, 4),
)
@settings(max_examples=40, deadline=None)
def test_an_allocation_adds_up_to_its_amount(
    amount: int, weights: list[int], decimals: int
) -> None:
    """Exactly, by the largest remainder; no line without weight gets anything if others have some,
    and no share is further from its part than one unit."""
    exact = Decimal(amount).scaleb(-4)
    rows = ", ".join(f"({i}, {Decimal(w).scaleb(-2)})" for i, w in enumerate(weights))
    lines = f"SELECT * FROM (VALUES {rows}) AS t(n, w)"
    share = Share(str(exact), "w", str(decimals))
    query = allocated(lines, [share], "1", "n")
    shares = duckdb.execute(f"SELECT a0, f0 FROM ({query}) ORDER BY n").fetchall()
    assert sum(a for a, _ in shares) == exact and not any(failed for _, failed in shares)
    unit = Decimal(1).scaleb(-decimals)
    unit = unit if exact % unit == 0 else Decimal("0.0001")
    total = sum(weights)
    for (part, _), weight in zip(shares, weights, strict=True):
        assert part % unit == 0
        ideal = exact * weight / total if total else exact / len(weights)
        assert abs(part - ideal) < unit
        assert weight or not total or part == 0


def test_an_amount_of_an_order_that_cannot_be_shared_rejects_its_lines(
    tmp_path: Path, take: Callable[..., ImportReport]
) -> None:
    """A weight that is no number makes every share of its order unknown, never 0."""
    file = write(tmp_path / "a.csv", "id,sku,price,off\no1,a,1.00,0.50\no1,b,x,\no2,c,2.00,0.10\n")
    fields = ORDER_FIELDS | {"price": "'1'", "discount_amount": "allocate(off, price)"}
    take(f'[source]\nformat = "csv"\norder = "id"\n[fields]\n{toml(fields)}', file)
    first, second, third = (e["discount_amount"] for e in events(tmp_path / "home"))
    assert first == {"off": "0.50", "price": "1.00"} and second == {"off": None, "price": "x"}
    assert third == Decimal("0.1")


def test_values_are_carried_down_within_an_order_only(
    tmp_path: Path, take: Callable[..., ImportReport]
) -> None:
    """Lines of other orders in between, a blank, and a first line without a value change nothing;
    the number of a line counts those of its order."""
    rows = ["o1,a,1,USD", "o2,b,1,", "o1,c,1,", "o2,d,1,EUR", "o1,e,1, ", ",f,1,", ",g,1,GBP"]
    file = write(tmp_path / "a.csv", "\n".join(["id,sku,price,cur", *rows, ""]))
    fields = ORDER_FIELDS | {"event_id": "coalesce(id, '') || order_line", "currency": "cur"}
    source = '[source]\nformat = "csv"\norder = "id"\ncarry_down = ["cur"]\n'
    take(f"{source}[fields]\n{toml(fields)}", file)
    assert [
        (e["event_id"], e["product_id"], e.get("currency")) for e in events(tmp_path / "home")
    ] == [
        ("o11", "a", "USD"),
        ("o21", "b", None),
        ("o12", "c", "USD"),
        ("o22", "d", "EUR"),
        ("o13", "e", "USD"),
        ("1", "f", None),
        ("1", "g", "GBP"),
    ]


NESTED = {
    "shop": "berlin",
    "orders": [
        {
            "id": 1,
            "lines": [{"sku": "a", "price": 1.10, "tags": ["x", "y"]}, {"sku": "b", "price": "2"}],
            "refunds": [{"at": "2026-02-02T00:00:00Z", "lines": [{"sku": "a", "price": "1.1"}]}],
        },
        {"id": 2, "lines": [], "refunds": []},
        {"id": 3, "lines": {"sku": "c", "price": 12345678901234567890.12}, "refunds": None},
    ],
}
NESTED_MAPPING = """
[source]
format = "json"
rows = "orders"
[fields]
store_id = "shop"
ts = "'2026-01-01T00:00:00Z'"
quantity = "1"
[[events]]
name = "line"
rows = "lines"
[events.fields]
event_id = "orders.id || '-' || order_line"
product_id = "lines.sku"
price = "lines.price"
category = "lines.tags[2]"
[[events]]
name = "refund"
rows = "refunds.lines"
[events.fields]
event_id = "orders.id || '-refund-' || order_line"
ts = "refunds.at"
product_id = "lines.sku"
price = "lines.price"
"""


@pytest.mark.parametrize("kind", ["one object", "lines"])
def test_elements_of_nested_arrays_are_rows(
    tmp_path: Path, take: Callable[..., ImportReport], kind: str
) -> None:
    """With what surrounds them at hand, digits as written, a lone object as an array of one, and an
    order without elements counted."""
    documents = (
        [NESTED] if kind == "one object" else [NESTED | {"orders": [o]} for o in NESTED["orders"]]
    )
    text = "\n".join(
        json.dumps(d).replace("1.2345678901234567e+19", "12345678901234567890.12")
        for d in documents
    )
    report = take(NESTED_MAPPING, write(tmp_path / "a.json", text))
    assert (report.events, report.left_out) == (
        {"line": 3, "refund": 1},
        {"no [[events]] takes the row": 1},
    )
    imported = {e["event_id"]: e for e in events(tmp_path / "home")}
    assert imported.keys() == {"1-1", "1-2", "3-1", "1-refund-1"}
    assert imported["1-1"]["price"] == "1.1"
    assert imported["3-1"]["price"] == "12345678901234567890.12"
    assert imported["1-1"]["category"] == "y" and "category" not in imported["1-2"]
    assert imported["1-refund-1"]["ts"] == "2026-02-02T00:00:00Z"
    assert {e["store_id"] for e in imported.values()} == {"berlin"}


def test_nested_parquet_gives_the_same_events(
    tmp_path: Path, take: Callable[..., ImportReport]
) -> None:
    """Lists of structs, with decimals of their own."""
    line = pa.struct({"sku": pa.string(), "price": pa.decimal128(9, 2)})
    rows = [{"id": 1, "lines": [{"sku": "a", "price": Decimal("1.10")}, {"sku": "b", "price": 2}]},
            {"id": 2, "lines": []}]  # fmt: skip
    schema = pa.schema({"id": pa.int64(), "lines": pa.list_(line)})
    pq.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "a.parquet")
    fields = ORDER_FIELDS | {"product_id": "lines.sku", "price": "lines.price * 2"}
    report = take(
        f'[source]\nformat = "parquet"\nrows = "lines"\n[fields]\n{toml(fields)}',
        tmp_path / "a.parquet",
    )
    assert report.left_out == {"no element in lines": 1}
    assert [(e["event_id"], e["price"]) for e in events(tmp_path / "home")] == [
        ("1-1", Decimal("2.20")),
        ("1-2", Decimal("4.00")),
    ]


def test_a_column_may_be_missing_in_some_files_of_a_batch(
    tmp_path: Path, take: Callable[..., ImportReport]
) -> None:
    """It is absent there; a name that no file has is an error, unless it is optional."""
    old = write(tmp_path / "old.csv", "id,sku,price\n1,a,1\n")
    new = write(tmp_path / "new.csv", "id,sku,tip,price\n2,b,0.5,1\n")
    fields = ORDER_FIELDS | {"event_id": "id", "tax_amount": "tip * 2"}
    mapping = f'[source]\nformat = "csv"\n[fields]\n{toml(fields)}'
    take(mapping, old, new)
    taxes = {e["event_id"]: e.get("tax_amount") for e in events(tmp_path / "home")}
    assert taxes == {"1": None, "2": Decimal(1)}
    with pytest.raises(SettingsError, match=r"field tax_amount: old\.csv has no column tip; its"):
        take(mapping, old)
    take(mapping.replace('"csv"', '"csv"\noptional = ["tip"]'), old)


def test_every_row_is_an_event_or_left_out_or_rejected(
    tmp_path: Path, take: Callable[..., ImportReport]
) -> None:
    """The counts add up: rows that no condition takes, rows whose condition cannot be computed,
    rows that cannot be read."""
    rows = ["1,a,1,paid", "2,b,1,void", "3,c,x,paid", "too,few", "5,e,0,paid", "6,f,9,paid"]
    file = write(tmp_path / "a.csv", "\n".join(["id,sku,price,status", *rows, ""]))
    fields = ORDER_FIELDS | {"event_id": "id"}
    report = take(
        '[source]\nformat = "csv"\nwhere = "status <> \'void\'"\n'
        f'[[events]]\nname = "sale"\nwhere = "price > 0"\n[events.fields]\n{toml(fields)}',
        file,
    )
    assert report.left_out == {
        "where in [source] is not true: status <> 'void'": 1,
        "no [[events]] takes the row": 1,
    }
    imported = events(tmp_path / "home")
    broken = {e[1]: e[2] for e in imported if isinstance(e, list)}
    assert broken.keys() == {3, 4} and "where of sale" in broken[3]
    assert [e["event_id"] for e in imported if isinstance(e, dict)] == ["1", "6"]
    assert len(imported) + sum(report.left_out.values()) == len(rows)


def test_a_second_file_is_joined_by_its_key(
    tmp_path: Path, take: Callable[..., ImportReport]
) -> None:
    """A row without a partner has no values; two partners are refused; a missing file is named."""
    items = write(tmp_path / "items.csv", "id,sku,price\n1,a,1\n2,b,2\n")
    fields = ORDER_FIELDS | {"event_id": "id", "customer_id": "orders.who"}
    mapping = '[source]\nformat = "csv"\n[source.join.orders]\nfile = "orders.json"\n'
    mapping += f'format = "json"\non = {{ number = "id" }}\n[fields]\n{toml(fields)}'
    with pytest.raises(SettingsError, match=r"needs orders\.json beside .*items\.csv"):
        take(mapping, items)
    orders = write(tmp_path / "orders.json", '{"number":1,"who":"k"}\n{"number":3,"who":"m"}\n')
    take(mapping, items)
    assert [e.get("customer_id") for e in events(tmp_path / "home")] == ["k", None]
    write(orders, '{"number":1,"who":"k"}\n{"number":1,"who":"m"}\n')
    (failure,) = take(mapping, items).failures
    assert "several rows with number = 1; a join needs one" in failure.reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('order = "id"', ""), "uses order_line, which needs order in"),
        (('order = "id"', 'carry_down = ["sku"]'), "carry_down in .source. needs order"),
        (
            ('order = "id"', 'order = "id"\nwhere = 1'),
            "where in .source. must be an SQL expression",
        ),
        (('order = "id"', 'order = "id"\nrows = "sku"'), "sku of a.csv is a text, not an array"),
        (('order = "id"', 'rows = "a..b"'), "rows in .source. must be the path of an array"),
        (('order = "id"', 'ordr = "id"'), "unknown name ordr in .source.; .* did you mean order"),
        (('order = "id"', 'order = "prise"'), r"a.csv has no column prise; its columns are id"),
        (('name = "line"', ""), r"\[\[events\]\] number 1 needs a name"),
        (('price = "price"', 'price = "allocate(price)"'), "write allocate.amount, weight"),
        (('price = "price"', 'price = "total(sku, 5)"'), "field price"),
        (('price = "price"', 'price = "(SELECT 1)"'), "must not use a query"),
        (
            ('name = "line"', 'name = "line"\nwhere = "allocate(price, 1) > 0"'),
            "must not use alloc",
        ),
        (
            (
                'name = "line"',
                'name = "line"\nwhere = "id IN (SELECT content FROM read_text(\'/x\'))"',
            ),
            "must not use a query",
        ),
        (("\"'2026", "\"id AT TIME ZONE 'Mars/Base' || '2026"), "no time zone 'Mars/Base'"),
    ],
)
def test_a_mapping_that_cannot_be_right_is_explained(
    tmp_path: Path, take: Callable[..., ImportReport], change: tuple[str, str], message: str
) -> None:
    """One sentence that says what to write, and nothing is written."""
    file = write(tmp_path / "a.csv", "id,sku,price\n1,a,1\n")
    mapping = '[source]\nformat = "csv"\norder = "id"\n[[events]]\nname = "line"\n[events.fields]\n'
    mapping += toml(ORDER_FIELDS)
    assert change[0] in mapping
    with pytest.raises(SettingsError, match=message):
        take(mapping.replace(*change), file)
    assert not (tmp_path / "home/raw").exists()


def test_an_unknown_zone_in_a_row_rejects_the_row_alone(
    tmp_path: Path, take: Callable[..., ImportReport]
) -> None:
    """The others of the file arrive, at the right time."""
    file = write(
        tmp_path / "a.csv", "id,sku,price,zone\n1,a,1,Asia/Tokyo\n2,b,1,Mars/Base\n3,c,1,\n"
    )
    ts = "strptime('2026-01-02 09:00', '%Y-%m-%d %H:%M') AT TIME ZONE zone"
    fields = ORDER_FIELDS | {"event_id": "id", "ts": ts}
    take(f'[source]\nformat = "csv"\n[fields]\n{toml(fields)}', file)
    times = [e.get("ts") for e in events(tmp_path / "home")]
    assert times == ["2026-01-02T00:00:00.000000Z", {"zone": "Mars/Base"}, None]


def test_a_preview_shows_events_and_rejects_and_writes_nothing(tmp_path: Path, cli: Cli) -> None:
    """Of each kind, with the sentence that explains a reject, and what is left out."""
    home, mapping = tmp_path / "home", EXAMPLES / "shopify-orders.toml"
    text = (EXAMPLES / "shopify-orders-1.csv").read_text().replace(",USD,50.00,", ",US$,50.00,")
    file = write(tmp_path / "orders.csv", text)
    arguments = ("import", str(file), "--mapping", str(mapping), "--preview")
    result = cli(home, *arguments)
    assert result.exit_code == 0 and not home.exists()
    preview = result.stdout
    assert "6 lines would be accepted, 3 rejected; nothing was written" in preview
    assert all(f"  {kind}:\n" in preview for kind in ("line", "shipping", "tip"))
    assert "bad_currency: currency at character" in preview and "left out:  1: where in" in preview
    shown = json.loads(cli(home, *arguments, "--json").stdout)
    assert shown["rejected"] == {"bad_currency": 3} and len(shown["events"]["line"]) == 4
    broken = write(tmp_path / "gz.csv", "PK\x03\x04")
    result = cli(home, "import", str(broken), "--mapping", str(mapping), "--preview")
    assert result.exit_code == 1 and "gz.csv: it is a zip archive" in result.stdout
    assert cli(home, "import", "complete-journey", "--preview").exit_code == 2


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/**/*.toml")), ids=lambda p: p.name)
def test_the_schema_of_mappings_knows_every_example(path: Path) -> None:
    """It takes the mappings under examples/, and refuses them with a name that it does not know."""
    tables = tomllib.loads(path.read_text("utf-8"))
    if "source" not in tables:
        return
    schema = json.loads((ROOT / "contracts/mapping.schema.json").read_text())
    jsonschema.validate(tables, schema)
    for wrong in (tables | {"field": {}}, tables | {"source": tables["source"] | {"row": "x"}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
