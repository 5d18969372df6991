with

clock as {{ materialized() }} (

    select * from {{ ref('live_clock') }}

),

live_sales as (

    select * from {{ ref('live_sales') }}

),

sales as (

    select
        live_sales.*,
        {{ local_time('live_sales.minute_at', 'clock.time_zone') }} as local_minute,
        clock.local_as_of,
        clock.sales_day as today
    from live_sales
    cross join clock
    -- Local days differ from UTC days by less than a day: these bounds hold both days whole.
    where live_sales.minute_at >= {{ before_now(2 * 1440) }}
        or (
            live_sales.minute_at >= {{ before_now(9 * 1440) }}
            and live_sales.minute_at < {{ before_now(5 * 1440) }}
        )

)

select
    cast(sales.local_minute as date) as sales_day,
    cast(extract(hour from sales.local_minute) as integer) as sales_hour,
    sales.store_id,
    sales.category,
    {{ is_to_date('sales.local_minute', 'sales.local_as_of') }} as is_to_date,
    {{ live_sums() }}
from sales
where cast(sales.local_minute as date)
    in (sales.today, {{ dbt.dateadd('day', -7, 'sales.today') }})
group by 1, 2, 3, 4, 5
