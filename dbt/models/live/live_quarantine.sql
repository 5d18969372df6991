select
    cast({{ reporting_time('ingested_at') }} as date) as arrival_day,
    feed,
    reason,
    cast(count(*) as bigint) as lines
from {{ ref('quarantine') }}
where ingested_at >= {{ arrivals_since() }}
group by 1, 2, 3
