"""Clean purchases from NDJSON to Parquet by day with PySpark: `from_json`, filters, casts.

python clean_by_spark.py RAW TARGET
"""

from __future__ import annotations

import sys

from pyspark.sql import functions as f
from sessions import session

SCHEMA = """
    event_id string, event_type string, ts string, store_id string, product_id string,
    customer_id string, basket_id string, category string, payment_method string, channel string,
    currency string, price decimal(18,6), quantity decimal(18,5), discount_amount decimal(18,4),
    tax_amount decimal(18,4), total_amount decimal(18,4), original_event_id string
"""


def main() -> None:
    """Run the job."""
    raw, target = sys.argv[1:]
    spark = session()
    texts = spark.read.option("recursiveFileLookup", "true").text(f"{raw}/purchases")
    events = texts.select(f.from_json("value", SCHEMA).alias("event")).select("event.*")
    expected = f.col("price") * f.col("quantity") - f.coalesce("discount_amount", f.lit(0))
    cleaned = (
        events.withColumn("ts", f.to_timestamp("ts"))
        .withColumn("dt", f.to_date("ts"))
        .withColumns({n: f.lower(f.trim(n)) for n in ("category", "payment_method", "channel")})
        .withColumn("event_type", f.coalesce(f.lower("event_type"), f.lit("purchase")))
        .withColumn("currency", f.coalesce(f.upper("currency"), f.lit("USD")))
        .withColumn("total_amount", f.coalesce("total_amount", expected))
        .where("event_id is not null and ts is not null")
        .where("store_id is not null and product_id is not null")
        .where("price >= 0 and quantity > 0")
        .where(
            f.abs(f.col("total_amount") - expected)
            <= f.when(f.col("currency") == "JPY", 1).otherwise(0.01)
        )
    )
    cleaned.write.partitionBy("dt").parquet(target)
    spark.stop()


if __name__ == "__main__":
    main()
