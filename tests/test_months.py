"""A relation of all history is published as one file per month; unchanged months keep their
file."""

from __future__ import annotations

from pathlib import Path

import duckdb

from medallion.layers.snapshots import publish


def files(folder: Path) -> dict[str, int]:
    """The month of each file of the relation, and which file it is on the disk."""
    return {
        path.name.split(".")[1]: path.stat().st_ino
        for path in sorted(folder.glob("sales.*.parquet"))
    }


def test_only_the_months_that_changed_are_written_again(tmp_path: Path) -> None:
    """An earlier month is the same file in the next snapshot, also when the relation is said to
    have changed; rows that are gone take their file with them."""
    with duckdb.connect() as db:
        db.execute(
            "CREATE TABLE sales AS SELECT day AS sales_date, "
            "CAST(date_trunc('month', day) AS DATE) AS sales_month, 1.5 AS net FROM "
            "range(DATE '2026-01-01', DATE '2026-04-01', INTERVAL 1 DAY) AS days(day)"
        )
        first = files(publish(tmp_path, db, {"main.sales": True}))
        assert list(first) == ["2026-01", "2026-02", "2026-03"]
        db.execute("UPDATE sales SET net = 2 WHERE sales_date = DATE '2026-02-07'")
        second = publish(tmp_path, db, {"main.sales": True})
        changed = files(second)
        assert changed["2026-01"] == first["2026-01"] and changed["2026-03"] == first["2026-03"]
        assert changed["2026-02"] != first["2026-02"]
        assert files(publish(tmp_path, db, {"main.sales": False})) == changed
        db.execute("DELETE FROM sales WHERE sales_month = DATE '2026-01-01'")
        assert list(files(publish(tmp_path, db, {"main.sales": True}))) == ["2026-02", "2026-03"]
        (total,) = db.execute(
            f"SELECT sum(net), count(*) FROM '{second}/sales.*.parquet'"
        ).fetchall()
        assert total == (2 + 89 * 1.5, 90)
