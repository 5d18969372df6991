with

clock as {{ materialized() }} (

    select * from {{ ref('live_clock') }}

),

live_sales as (

    select * from {{ ref('live_sales') }}

),

minutes as {{ materialized() }} (

    {{ minutes_of_two_days() }}

)

select
    minutes.sales_day,
    minutes.sales_hour,
    sales.store_id,
    sales.category,
    minutes.is_to_date,
    {{ live_sums() }}
from live_sales as sales
inner join minutes on sales.minute_at = minutes.minute_at
group by 1, 2, 3, 4, 5
