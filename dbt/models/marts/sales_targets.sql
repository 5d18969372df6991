with

feed as (

    select * from {{ source('staging', 'targets') }}

),

superseded as (

    select * from {{ source('staging', 'superseded') }}

),

rates as (

    select * from {{ ref('dim_fx_rates') }}

),

described as (

    {{ current_rows('feed') }}

),

-- Of several targets of a store and day the latest counts, and of the same time the last arrival.
targets as (

    select *
    from described
    qualify row_number() over (
        partition by store_id, sales_date
        order by ts desc, ingested_at desc, source_file desc, source_line desc, load_seq desc
    ) = 1

)

select
    targets.sales_date,
    targets.store_id,
    targets.currency,
    targets.net_sales_target,
    case
        when rates.rate > 0
            and {{ is_money(wide('rates.rate') ~ ' * targets.net_sales_target') }}
            then {{ times_rate(wide('rates.rate'), 'targets.net_sales_target') }}
    end as reporting_net_sales_target,
    targets.load_seq
from targets
left join rates
    on targets.currency = rates.currency
    and cast(targets.sales_date as timestamp) >= rates.valid_from
    and cast(targets.sales_date as timestamp) < rates.valid_to
