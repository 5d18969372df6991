with

silver as {{ inlined() }} (

    select * from {{ ref('silver') }}

),

products as (

    select * from {{ ref('dim_products') }}

),

stores as (

    select * from {{ ref('dim_stores') }}

),

rates as {{ inlined() }} (

    select * from {{ ref('dim_fx_rates') }}

),

clock as (

    select * from {{ ref('live_clock') }}

),

live_sales as (

    select * from {{ ref('live_sales') }}

),

-- The last baskets of each past day fill minutes that the sums by minute tell, so that silver is
-- read for those only.
by_minute as (

    select
        cast({{ reporting_time('minute_at') }} as date) as sales_day,
        minute_at,
        sum(lines) as lines
    from live_sales
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
    from silver
    where dt in (select cast(minute_at as date) from minutes)
        and {{ dbt.date_trunc('minute', 'ts') }} in (select minute_at from minutes)

),

lines as (

    {{ sales_lines('newest_lines') }}

)

{{ baskets_of_lines() }}
