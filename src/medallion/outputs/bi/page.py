"""The visuals of the report page of every template."""

from __future__ import annotations

from dataclasses import dataclass

TITLE = "Retail"
TABLE = "sales_lines"


@dataclass(frozen=True)
class Visual:
    """A card with one metric, or a chart of a metric by a column.

    The column is one of the sales lines or of a table that they join. Place and size are in
    twelfths of the page's width and ninths of its height.
    """

    metric: str
    by: str | None
    x: int
    y: int
    width: int
    height: int

    @property
    def name(self) -> str:
        """A name that no other visual has."""
        return f"{self.metric} by {self.by}" if self.by else self.metric


PAGE = (
    Visual("reporting_net_sales", None, 0, 0, 3, 2),
    Visual("transactions", None, 3, 0, 3, 2),
    Visual("reporting_average_order_value", None, 6, 0, 3, 2),
    Visual("units_per_transaction", None, 9, 0, 3, 2),
    Visual("reporting_net_sales", "sales_date", 0, 2, 12, 3),
    Visual("reporting_net_sales", "category", 0, 5, 4, 4),
    Visual("reporting_net_sales", "store_name", 4, 5, 4, 4),
    Visual("transactions", "sales_hour", 8, 5, 4, 4),
)
LINE = "sales_date"
"""The column of dates: a chart by it is a line, all other charts are bars."""
