with

clock as {{ materialized() }} (

    select * from {{ ref('live_clock') }}

),

sales as (

    select * from {{ ref('live_sales') }}

)

select
    minute_at,
    minute_at >= {{ before_now(1440) }} as is_current,
    store_id,
    category,
    {{ live_sums() }}
from sales
where (minute_at > {{ before_now(61) }} and minute_at <= {{ before_now(0) }})
    or (minute_at > {{ before_now(7 * 1440 + 61) }} and minute_at <= {{ before_now(7 * 1440) }})
group by 1, 2, 3, 4
