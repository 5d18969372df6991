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
        {{ local_time('live_sales.minute_at', 'clock.time_zone') }} as local_minute
    from live_sales
    cross join clock
    where live_sales.minute_at >= {{ before_now((live_days() + 1) * 1440) }}

)

select
    cast(sales.local_minute as date) as sales_day,
    cast(extract(hour from sales.local_minute) as integer) as sales_hour,
    sales.store_id,
    sales.category,
    {{ live_sums() }}
from sales
group by 1, 2, 3, 4
