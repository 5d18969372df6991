with

quarantine as (

    select * from {{ ref('quarantine') }}

),

receipts as (

    select * from {{ ref('receipts') }}

)

select
    cast({{ reporting_time('ingested_at') }} as date) as arrival_day,
    feed,
    reason,
    cast(count(*) as bigint) as lines
from quarantine
where ingested_at >= {{ arrivals_since() }}
group by 1, 2, 3
