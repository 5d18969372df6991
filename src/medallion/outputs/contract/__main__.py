"""`python -m medallion.outputs.contract` writes all files that repeat the contract.

Run it after a change of `contract.py`, and commit the files that it changed.
"""

from __future__ import annotations

from pathlib import Path

from medallion.outputs.contract import dbt, snowflake
from medallion.outputs.contract.catalog import catalog
from medallion.outputs.contract.json_schema import schemas
from medallion.outputs.contract.mapping_schema import mapping_schema
from medallion.outputs.contract.odcs import odcs
from medallion.outputs.contract.page import page
from medallion.outputs.contract.regions import with_regions
from medallion.settings import DBT_PROJECT

CHECKOUT = DBT_PROJECT.parent


def files() -> dict[str, str]:
    """Return the text of each file that repeats the contract, by its path in the checkout.

    Of files that are otherwise written by hand, only the generated regions change.
    """
    regions = {
        "dbt/models/schema.yml": dbt.spine_columns(),
        "dbt/models/ops/ops.yml": dbt.ops_columns(),
        "infra/snowflake.sql": snowflake.regions(),
    }
    whole = {
        "docs/contract.md": page(),
        "dbt/models/sources.yml": dbt.sources(),
        "dbt/macros/time_zones.sql": dbt.time_zones(),
        "dbt/macros/off_total.sql": dbt.off_total_macro(),
        "infra/terraform/tables.json": catalog(),
        "contracts/retail.odcs.yaml": odcs(),
        "contracts/mapping.schema.json": mapping_schema(),
    }
    whole |= {f"contracts/{name}": text for name, text in schemas().items()}
    return whole | {
        path: with_regions((CHECKOUT / path).read_text("utf-8"), texts)
        for path, texts in regions.items()
    }


def write(folder: Path = CHECKOUT) -> None:
    """Write all of these files."""
    for path, text in files().items():
        (folder / path).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write()
