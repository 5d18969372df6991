"""A relation of all history is published as one file per month, and the newest two days apart, by
hour where it has hours; what has not changed keeps its file."""

from __future__ import annotations

from pathlib import Path

import duckdb

from medallion.layers.snapshots import publish


def files(folder: Path) -> dict[str, int]:
    """The month or day of each file of the relation, and which file it is on the disk."""
    return {
        path.name.split(".")[1]: path.stat().st_ino
        for path in sorted(folder.glob("sales.*.parquet"))
    }


def test_only_the_months_that_changed_are_written_again(tmp_path: Path) -> None:
    """An earlier month is the same file in the next snapshot, also when the relation is said to
    have changed; rows that are gone take their file with them."""
    with duckdb.connect() as db:
        db.execute(
            "CREATE TABLE sales AS SELECT CAST(day AS DATE) AS sales_date, "
            "CAST(date_trunc('month', day) AS DATE) AS sales_month, 1.5 AS net FROM "
            "range(DATE '2026-01-01', DATE '2026-04-01', INTERVAL 1 DAY) AS days(day)"
        )
        first = files(publish(tmp_path, db, {"main.sales": True}))
        assert {*first} == {"2026-01", "2026-02", "2026-03", "2026-03-30", "2026-03-31"}
        db.execute("UPDATE sales SET net = 2 WHERE sales_date = DATE '2026-02-07'")
        second = publish(tmp_path, db, {"main.sales": True})
        changed = files(second)
        assert {name for name in first if changed[name] != first[name]} == {"2026-02"}
        assert files(publish(tmp_path, db, {"main.sales": False})) == changed
        db.execute("DELETE FROM sales WHERE sales_month = DATE '2026-01-01'")
        third = publish(tmp_path, db, {"main.sales": True})
        assert {*files(third)} == changed.keys() - {"2026-01"}
        db.execute("INSERT INTO sales VALUES (DATE '2026-04-01', DATE '2026-04-01', 7)")
        fourth = publish(tmp_path, db, {"main.sales": True})
        assert {*files(fourth)} == {"2026-02", "2026-03", "2026-03-31", "2026-04-01"}
        assert files(fourth)["2026-03-31"] == first["2026-03-31"]
        db.execute("UPDATE sales SET net = 8 WHERE sales_date = DATE '2026-04-01'")
        newest = files(publish(tmp_path, db, {"main.sales": True}))
        assert newest.keys() == files(fourth).keys()
        assert {n for n in newest if newest[n] != files(fourth)[n]} == {"2026-04-01"}
        (total,) = db.execute(
            f"SELECT sum(net), count(*) FROM '{fourth}/sales.*.parquet'"
        ).fetchall()
        assert total == (2 + 58 * 1.5 + 7, 60)


def test_only_the_hours_of_the_newest_days_that_changed_are_written_again(tmp_path: Path) -> None:
    """A busy hour does not write its whole day again; a row of an old day writes its month."""
    with duckdb.connect() as db:
        db.execute(
            "CREATE TABLE sales AS SELECT CAST(hour AS DATE) AS sales_date, "
            "CAST(date_trunc('month', hour) AS DATE) AS sales_month, "
            "CAST(extract(hour FROM hour) AS INTEGER) AS sales_hour, 1.5 AS net FROM "
            "range(TIMESTAMP '2026-03-29', TIMESTAMP '2026-04-01', INTERVAL 8 HOUR) AS hours(hour)"
        )
        newest = {f"2026-03-{day}T{hour}" for day in (30, 31) for hour in (0, 8, 16)}
        first = files(publish(tmp_path, db, {"main.sales": True}))
        assert {*first} == {"2026-03"} | newest
        db.execute("UPDATE sales SET net = 2 WHERE sales_date >= '2026-03-30' AND sales_hour = 8")
        second = files(publish(tmp_path, db, {"main.sales": True}))
        assert {name for name in first if second[name] != first[name]} == {
            "2026-03-30T8",
            "2026-03-31T8",
        }
        db.execute("UPDATE sales SET net = 3 WHERE sales_date = '2026-03-29' AND sales_hour = 8")
        third = publish(tmp_path, db, {"main.sales": True})
        assert {name for name in first if files(third)[name] != second[name]} == {"2026-03"}
        (total,) = db.execute(
            f"SELECT sum(net), count(*) FROM '{third}/sales.*.parquet'"
        ).fetchall()
        assert total == (6 * 1.5 + 3 + 2 * 2, 9)
