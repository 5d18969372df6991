-- Over the days that live_sales holds whole, it has the lines, units, baskets and net sales of the lines.
with bounds as (

    select cast({{ dbt.dateadd('day', -live_days(), 'as_of') }} as date) as since
    from {{ ref('live_clock') }}

),

live as (

    select
        cast(minute_at as date) as utc_date,
        sum(lines) as lines,
        sum(units_sold) as units,
        sum(transactions) as transactions,
        sum(reporting_net_sales) as net_sales
    from {{ ref('live_sales') }}
    group by 1

),

baskets as (

    select utc_date, count(*) as transactions
    from (
        select distinct utc_date, store_id, currency, basket_id
        from {{ ref('fct_sales_line') }}
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
    from {{ ref('fct_sales_line') }}
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
