with {{ the_clock() }},

sales as (

    select
        sales.*,
        {{ reporting_time('sales.minute_at') }} as local_minute,
        clock.local_as_of,
        clock.sales_day as today
    from {{ ref('live_sales') }} as sales
    cross join clock
    where sales.minute_at >= {{ before_now(2 * 1440) }}
        or (
            sales.minute_at >= {{ before_now(9 * 1440) }}
            and sales.minute_at < {{ before_now(5 * 1440) }}
        )

)

select
    cast(sales.local_minute as date) as sales_day,
    cast(extract(hour from sales.local_minute) as integer) as sales_hour,
    sales.store_id,
    sales.category,
    extract(hour from sales.local_minute) * 60 + extract(minute from sales.local_minute)
        <= extract(hour from sales.local_as_of) * 60 + extract(minute from sales.local_as_of)
        as is_to_date,
    {{ live_sums() }}
from sales
where cast(sales.local_minute as date) in (sales.today, {{ dbt.dateadd('day', -7, 'sales.today') }})
group by 1, 2, 3, 4, 5
