-- The last baskets of each past day. Which minutes they fill is known from the sums by minute, so that
-- silver is asked for those only.
with {{ the_clock() }},

by_minute as (

    select
        cast({{ reporting_time('sales.minute_at') }} as date) as sales_day,
        sales.minute_at,
        sum(sales.lines) as lines
    from {{ ref('live_sales') }} as sales
    group by 1, 2

),

later as (

    select
        sales_day,
        minute_at,
        sum(lines) over (partition by sales_day order by minute_at desc) - lines as lines_later
    from by_minute
    where sales_day < (select sales_day from clock)

),

-- As in live_baskets, the oldest of them may lack its first lines.
minutes as (

    select minute_at from later where lines_later < 300

),

newest_lines as (

    select *
    from {{ ref('silver') }}
    where dt in (select cast(minute_at as date) from minutes)
        and {{ dbt.date_trunc('minute', 'ts') }} in (select minute_at from minutes)

),

lines as (

    {{ sales_lines('newest_lines') }}

)

{{ baskets_of_lines(by_day=true) }}
