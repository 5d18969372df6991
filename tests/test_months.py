"""A relation of all history is published as one file per month, and the newest two days apart, by
hour where it has hours; what has not changed keeps its file."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb

from medallion.layers.snapshots import publish


def files(folder: Path) -> dict[str, int]:
    """The month or day of each file of the relation, and which file it is on the disk."""
    return {
        path.name.split(".")[1]: path.stat().st_ino
        for path in sorted(folder.glob("sales.*.parquet"))
    }


def sell_every_8_hours(db: duckdb.DuckDBPyConnection, first_day: str, end: str) -> None:
    """Create the relation: a sale of 1.5 at 0, 8 and 16 o'clock of each day before `end`."""
    db.execute(
        "CREATE TABLE sales AS SELECT CAST(hour AS DATE) AS sales_date, "
        "CAST(date_trunc('month', hour) AS DATE) AS sales_month, "
        "CAST(extract(hour FROM hour) AS INTEGER) AS sales_hour, 1.5 AS net FROM "
        f"range(TIMESTAMP '{first_day}', TIMESTAMP '{end}', INTERVAL 8 HOUR) AS hours(hour)"
    )


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
        sell_every_8_hours(db, "2026-03-29", "2026-04-01")
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


def test_what_has_not_changed_is_not_read_where_the_hours_are_known(tmp_path: Path) -> None:
    """Only the given hours are written again, or go; all rows are compared where the newest day is
    another one, and where a file of the snapshot before is missing."""
    with duckdb.connect() as db:
        sell_every_8_hours(db, "2026-01-31", "2026-03-02")
        is_changed = {"main.sales": True}

        def published(*hours: tuple[str, int]) -> dict[str, int]:
            known = [(date.fromisoformat(day), hour) for day, hour in hours]
            return files(publish(tmp_path, db, is_changed, {"main.sales": known}))

        first = published()
        newest = {f"{day}T{hour}" for day in ("2026-02-28", "2026-03-01") for hour in (0, 8, 16)}
        assert {*first} == {"2026-01", "2026-02"} | newest
        db.execute("UPDATE sales SET net = 2")
        assert published() == first
        second = published(("2026-02-28", 8), ("2026-01-31", 0))
        written = {name for name in first if second[name] != first[name]}
        assert written == {"2026-01", "2026-02-28T8"}
        db.execute("DELETE FROM sales WHERE sales_date = '2026-03-01' AND sales_hour = 16")
        third = published(("2026-03-01", 16))
        assert third == {k: v for k, v in second.items() if k != "2026-03-01T16"}
        db.execute("INSERT INTO sales VALUES ('2026-03-02', '2026-03-01', 5, 7)")
        fourth = published(("2026-03-02", 5))
        assert {*fourth} == {"2026-01", "2026-02"} | {
            "2026-03-01T0", "2026-03-01T8", "2026-03-02T5"
        }  # fmt: skip
        assert fourth["2026-01"] == third["2026-01"]
        assert fourth["2026-03-01T0"] != third["2026-03-01T0"]
        missing = next((tmp_path / "gold" / "v5").glob("sales.2026-01.*"))
        missing.unlink()
        folder = publish(tmp_path, db, is_changed, {"main.sales": []})
        assert files(folder).keys() == fourth.keys()
        (total,) = db.execute(
            f"SELECT sum(net), count(*) FROM '{folder}/sales.*.parquet'"
        ).fetchall()
        (rows,) = db.execute("SELECT sum(net), count(*) FROM sales").fetchall()
        assert total == rows


def test_rows_without_an_hour_are_published_once(tmp_path: Path) -> None:
    """Beside those of the hours of their day."""
    with duckdb.connect() as db:
        db.execute(
            "CREATE TABLE sales AS SELECT DATE '2026-03-01' AS sales_date, "
            "DATE '2026-03-01' AS sales_month, hour AS sales_hour, 1 AS net "
            "FROM (VALUES (7), (NULL)) AS hours(hour)"
        )
        folder = publish(tmp_path, db, {"main.sales": True})
        assert files(folder).keys() == {"2026-03-01", "2026-03-01T7"}
        assert db.execute(f"SELECT sum(net) FROM '{folder}/*.parquet'").fetchall() == [(2,)]
