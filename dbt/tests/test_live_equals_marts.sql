-- Days that live_sales holds in full, but not with the lines, units, baskets and net sales of
-- fct_sales_line.
with

clock as (

    select * from {{ ref('live_clock') }}

),

live_sales as (

    select * from {{ ref('live_sales') }}

),

sales_lines as (

    select * from {{ ref('fct_sales_line') }}

),

bounds as (

    select cast({{ dbt.dateadd('day', -live_days(), 'as_of') }} as date) as since
    from clock

),

live as (

    select
        cast(minute_at as date) as utc_date,
        sum(lines) as lines,
        sum(units_sold) as units,
        sum(transactions) as transactions,
        sum(reporting_net_sales) as net_sales
    from live_sales
    group by 1

),

baskets as (

    select utc_date, count(*) as transactions
    from (
        select distinct utc_date, store_id, currency, basket_id
        from sales_lines
        where not is_return
    ) as distinct_baskets
    group by utc_date

),

lines as (

    select
        utc_date,
        count(*) as lines,
        sum(units_sold) as units,
        sum(reporting_net_sales) as net_sales
    from sales_lines
    group by utc_date

)

select lines.utc_date
from lines
cross join bounds
left join live on lines.utc_date = live.utc_date
left join baskets on lines.utc_date = baskets.utc_date
where lines.utc_date >= bounds.since
    and (
        live.lines is distinct from lines.lines
        or live.units is distinct from lines.units
        or live.net_sales is distinct from lines.net_sales
        or coalesce(live.transactions, 0) <> coalesce(baskets.transactions, 0)
    )
