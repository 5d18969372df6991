with

silver as {{ inlined() }} (

    select * from {{ ref('silver') }}

),

products as (

    select * from {{ ref('dim_products') }}

),

stores as (

    select * from {{ ref('dim_stores') }}

),

rates as {{ inlined() }} (

    select * from {{ ref('dim_fx_rates') }}

),

clock as (

    select * from {{ ref('live_clock') }}

),

-- The oldest of these baskets may lack its first lines. So there are more than the dashboard shows.
newest as (

    select ts
    from silver
    where dt >= (select cast({{ dbt.dateadd('day', -1, 'as_of') }} as date) from clock)
        and ts <= ingested_at
    order by ts desc
    limit 600

),

newest_lines as (

    select *
    from silver
    where ts >= (select min(ts) from newest) and ts <= ingested_at

),

lines as (

    {{ sales_lines('newest_lines') }}

)

{{ baskets_of_lines() }}
