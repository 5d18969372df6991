with

receipts as {{ inlined() }} (

    select * from {{ ref('receipts') }}

),

silver as {{ inlined() }} (

    select * from {{ ref('silver') }}

),

settings as {{ inlined() }} (

    select * from {{ ref('reporting_settings') }}

),

arrived as (

    select
        cast({{ local_time('modified_at', 'settings.time_zone') }} as date) as arrival_day,
        cast(sum(lines - blank) as bigint) as lines,
        cast(sum(quarantined) as bigint) as quarantined
    from receipts
    cross join settings
    where modified_at >= {{ arrivals_since() }}
    group by 1

),

-- An event is late when it is more than a day older than the median sale of its own object: history
-- that arrives at once is not late. An object whose middle half spans more than a day holds such
-- history, too. To save work, only the few objects that span a day are examined.
wide as (

    select source_file, ingested_at
    from silver
    where ingested_at >= {{ arrivals_since() }}
    group by source_file, ingested_at
    having min(ts) < {{ dbt.dateadd('day', -1, 'max(ts)') }}

),

lines_of_wide as (

    select silver.source_file, silver.ingested_at, silver.ts
    from silver
    inner join wide
        on silver.source_file = wide.source_file and silver.ingested_at = wide.ingested_at
    where silver.ingested_at >= {{ arrivals_since() }}

),

middle as (

    select
        source_file,
        ingested_at,
        percentile_disc(0.25) within group (order by ts) as first_quartile,
        percentile_disc(0.5) within group (order by ts) as median_ts,
        percentile_disc(0.75) within group (order by ts) as third_quartile
    from lines_of_wide
    group by source_file, ingested_at

),

late_of_objects as (

    select
        lines_of_wide.ingested_at,
        count(*) as events
    from lines_of_wide
    inner join middle
        on lines_of_wide.source_file = middle.source_file
        and lines_of_wide.ingested_at = middle.ingested_at
    where middle.first_quartile >= {{ dbt.dateadd('day', -1, 'middle.third_quartile') }}
        and lines_of_wide.ts < {{ dbt.dateadd('day', -1, 'middle.median_ts') }}
        and lines_of_wide.ts < {{ dbt.dateadd('day', -1, 'lines_of_wide.ingested_at') }}
    group by lines_of_wide.ingested_at

),

late as (

    select
        cast({{ local_time('ingested_at', 'settings.time_zone') }} as date) as arrival_day,
        cast(sum(events) as bigint) as late_events
    from late_of_objects
    cross join settings
    group by 1

),

old as (

    select
        cast({{ local_time('ingested_at', 'settings.time_zone') }} as date) as arrival_day,
        cast(count(*) as bigint) as events
    from silver
    cross join settings
    where ingested_at >= {{ arrivals_since() }}
        and ingested_at > {{ dbt.dateadd('day', 1, 'ts') }}
    group by 1

)

select
    arrived.arrival_day,
    arrived.lines,
    arrived.quarantined,
    coalesce(late.late_events, 0) as late_events,
    coalesce(old.events, 0) - coalesce(late.late_events, 0) as history_events
from arrived
left join late on arrived.arrival_day = late.arrival_day
left join old on arrived.arrival_day = old.arrival_day
