with

quarantine as (

    select * from {{ ref('quarantine') }}

),

receipts as (

    select * from {{ ref('receipts') }}

),

settings as (

    select * from {{ ref('reporting_settings') }}

)

select
    cast({{ local_time('ingested_at', 'settings.time_zone') }} as date) as arrival_day,
    feed,
    reason,
    cast(count(*) as bigint) as lines
from quarantine
cross join settings
where ingested_at >= {{ arrivals_since() }}
group by 1, 2, 3
