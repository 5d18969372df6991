with

clock as {{ materialized() }} (

    select * from {{ ref('live_clock') }}

),

live_sales as (

    select * from {{ ref('live_sales') }}

),

sales as (

    {{ sales_of_two_days() }}

)

select
    cast(sales.local_minute as date) as sales_day,
    cast(extract(hour from sales.local_minute) as integer) as sales_hour,
    sales.store_id,
    sales.category,
    {{ is_to_date('sales.local_minute', 'sales.local_as_of') }} as is_to_date,
    {{ live_sums() }}
from sales
group by 1, 2, 3, 4, 5
