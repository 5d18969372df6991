"""Write random purchases as NDJSON with dbldatagen on Spark.

python events_by_dbldatagen.py COUNT FOLDER
"""

from __future__ import annotations

import sys

import dbldatagen
from sessions import session


def main() -> None:
    """Write the files."""
    count, folder = int(sys.argv[1]), sys.argv[2]
    spark = session()
    events = (
        dbldatagen.DataGenerator(spark, rows=count, partitions=2, randomSeed=7)
        .withColumn("event_id", "string", expr="uuid()")
        .withColumn("event_type", "string", values=["purchase"])
        .withColumn("second", "int", minValue=0, maxValue=15 * 86_400, random=True, omit=True)
        .withColumn(
            "ts",
            "string",
            expr="date_format(current_timestamp() - make_dt_interval(0, 0, 0, second), "
            "\"yyyy-MM-dd'T'HH:mm:ss.SSS'Z'\")",
            baseColumn="second",
        )
        .withColumn("store_id", "string", template=r"\SDDD", random=True)
        .withColumn("product_id", "string", template=r"\PDDDDD", random=True)
        .withColumn("customer_id", "string", template=r"\CDDDDDDDD", random=True)
        .withColumn("basket_id", "string", expr="uuid()")
        .withColumn("category", "string", values=["dairy", "bakery", "toys", "books"], random=True)
        .withColumn("payment_method", "string", values=["card", "cash", "mobile"], random=True)
        .withColumn("channel", "string", values=["store", "web"], random=True)
        .withColumn("currency", "string", values=["USD", "EUR", "GBP"], random=True)
        .withColumn("price", "decimal(18,2)", minValue=0.5, maxValue=99.99, step=0.01, random=True)
        .withColumn("quantity", "int", minValue=1, maxValue=5, random=True)
        .withColumn("discount_amount", "decimal(18,2)", expr="0")
        .withColumn(
            "total_amount",
            "decimal(18,2)",
            expr="price * quantity",
            baseColumn=["price", "quantity"],
        )
        .withColumn(
            "tax_amount", "decimal(18,2)", expr="total_amount * 0.2", baseColumn="total_amount"
        )
        .withColumn("schema_version", "int", expr="2")
    )
    events.build().write.json(folder)
    spark.stop()


if __name__ == "__main__":
    main()
