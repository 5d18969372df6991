with arrived as (

    select
        cast({{ reporting_time('modified_at') }} as date) as arrival_day,
        cast(sum(lines - blank) as bigint) as lines,
        cast(sum(quarantined) as bigint) as quarantined
    from {{ ref('receipts') }}
    where modified_at >= {{ arrivals_since() }}
    group by 1

),

late as (

    select
        cast({{ reporting_time('ingested_at') }} as date) as arrival_day,
        cast(count(*) as bigint) as late_events
    from {{ ref('silver') }}
    where ingested_at >= {{ arrivals_since() }}
        and ingested_at > {{ dbt.dateadd('day', 1, 'ts') }}
    group by 1

)

select
    arrived.arrival_day,
    arrived.lines,
    arrived.quarantined,
    coalesce(late.late_events, 0) as late_events
from arrived
left join late on arrived.arrival_day = late.arrival_day
