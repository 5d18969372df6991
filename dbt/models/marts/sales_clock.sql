with

clock as (

    select * from {{ ref('live_clock') }}

),

sales_lines as (

    select * from {{ ref('fct_sales_line') }}

),

-- The local day of another store may be later than that of the newest sale, and begins a UTC day
-- before at most.
newest as (

    select max(sales_lines.sales_date) as last_date
    from sales_lines
    cross join clock
    where sales_lines.utc_date >= cast({{ dbt.dateadd('day', -1, 'clock.as_of') }} as date)
        and sales_lines.ts <= clock.as_of

)

select
    clock.as_of,
    cast(coalesce(newest.last_date, cast(clock.as_of as date)) as date) as last_date
from clock
cross join newest
