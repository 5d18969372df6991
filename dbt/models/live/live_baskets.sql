-- The newest lines make the newest baskets; the oldest of them may lack its first lines, so there are
-- more than anybody shows.
with newest as (

    select ts
    from {{ ref('silver') }}
    where dt >= (select cast({{ dbt.dateadd('day', -1, 'as_of') }} as date) from {{ ref('live_clock') }})
        and ts <= ingested_at
    order by ts desc
    limit 600

),

newest_lines as (

    select *
    from {{ ref('silver') }}
    where ts >= (select min(ts) from newest) and ts <= ingested_at

),

lines as (

    {{ sales_lines('newest_lines') }}

)

{{ baskets_of_lines() }}
