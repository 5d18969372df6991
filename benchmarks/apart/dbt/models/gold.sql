-- One row per UTC day and currency.
select
    cast(ts as date) as sales_date,
    currency,
    count(*) as lines,
    sum(case when event_type = 'return' then -total_amount else total_amount end) as net_sales
from {{ ref('silver') }}
group by all
