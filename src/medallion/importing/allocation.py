"""The allocation of an amount of an order to its lines, exact to the last unit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """One allocation in SQL: the amount of the order, the weight of the line, the decimals.

    `lost` is SQL that is true if one of them cannot be computed.
    """

    amount: str
    weight: str
    decimals: str | None = None
    lost: str = "false"


def allocated(query: str, shares: list[Share], partition: str, position: str) -> str:
    """Return a query with the share of each line as a<i>, and f<i> where it cannot be computed.

    Shares are rounded by the largest remainder: each line gets its part of the amount, cut to whole
    units, and the units that are left go to the lines with the largest remainders, the earlier line
    first. So the shares of an order add up to its amount. A unit is a hundredth unless `decimals`
    says otherwise; an amount that is not a whole number of units is allocated in ten-thousandths.
    If no line has a weight, all get equal shares.

    Args:
        query: the lines; an amount is taken from the first line of its order that has one.
        shares: what is allocated.
        partition: SQL that is equal on the lines of an order.
        position: SQL of the place of a line in its order.
    """
    over = f"OVER (PARTITION BY {partition} ORDER BY {position})"
    whole = f"OVER (PARTITION BY {partition})"
    each = range(len(shares))
    money = "CAST({} AS DECIMAL(28,4))"
    units = "TRY(CAST(CAST({} * 10000 AS DECIMAL(34,0)) AS HUGEINT))"
    steps = [
        [
            part
            for i, share in enumerate(shares)
            for part in (
                f"TRY(struct_pack(v := {money.format(share.amount)})) AS am{i}",
                f"TRY(struct_pack(v := {money.format(share.weight)})) AS we{i}",
                f"TRY(CAST({share.decimals or '2'} AS INTEGER)) AS de{i}",
            )
        ],
        [
            part
            for i in each
            for part in (
                f"first_value(am{i}.v IGNORE NULLS) {over.removesuffix(')')} "
                f"ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS to{i}",
                units.format(f"greatest(coalesce(we{i}.v, 0), 0)") + f" AS wu{i}",
                f"bool_or({shares[i].lost} OR am{i} IS NULL OR we{i} IS NULL OR we{i}.v < 0 "
                f"OR de{i} IS NULL "
                f"OR de{i} NOT BETWEEN 0 AND 4) {whole} AS bad{i}",
            )
        ],
        [
            part
            for i in each
            for part in (
                f"{units.format(f'abs(to{i})')} AS un{i}",
                f"CASE WHEN sum(wu{i}) {whole} = 0 THEN 1 ELSE wu{i} END AS wt{i}",
            )
        ],
        [
            part
            for i in each
            for part in (
                f"CASE WHEN un{i} % CAST(10 ** (4 - de{i}) AS HUGEINT) = 0 "
                f"THEN CAST(10 ** (4 - de{i}) AS HUGEINT) ELSE 1 END AS ui{i}",
                f"sum(wt{i}) {whole} AS ws{i}",
            )
        ],
        [
            part
            for i in each
            for part in (
                f"TRY((un{i} // ui{i}) * wt{i} // ws{i}) AS qu{i}",
                f"TRY((un{i} // ui{i}) * wt{i} % ws{i}) AS re{i}",
            )
        ],
        [
            part
            for i in each
            for part in (
                f"un{i} // ui{i} - sum(qu{i}) {whole} AS le{i}",
                f"row_number() OVER (PARTITION BY {partition} ORDER BY re{i} DESC, {position}) "
                f"AS ra{i}",
            )
        ],
        [
            part
            for i in each
            for part in (
                f"TRY(CAST(CAST(sign(to{i}) * (qu{i} + CAST(ra{i} <= le{i} AS HUGEINT)) * ui{i} "
                f"AS DECIMAL(34,0)) * CAST(0.0001 AS DECIMAL(4,4)) AS DECIMAL(38,4))) AS a{i}",
                f"(bad{i} OR (to{i} IS NOT NULL AND qu{i} IS NULL)) AS f{i}",
            )
        ],
    ]
    for step in steps:
        query = f"SELECT *, {', '.join(step)} FROM ({query})"
    return query
