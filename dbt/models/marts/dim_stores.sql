with

descriptions as {{ inlined() }} (

    select * from {{ source('staging', 'stores') }}

),

bronze as {{ inlined() }} (

    select * from {{ ref('bronze') }}

),

{{ dimension_members(
    key='store_id',
    attributes=[
        'store_name', 'city', 'country', 'time_zone', 'currency', 'opened_on', 'closed_on'
    ],
    keeps_history=false
) }},

stores as (

    select
        *,
        coalesce(
            time_zone in ('{{ time_zones() | join("', '") }}'), false
        ) as is_time_zone_known
    from members

)

select
    store_id,
    coalesce(store_name, store_id) as store_name,
    coalesce(city, {{ unknown() }}) as city,
    coalesce(country, {{ unknown() }}) as country,
    case when is_time_zone_known then time_zone else 'UTC' end as time_zone,
    is_time_zone_known,
    currency,
    opened_on,
    closed_on,
    described_at,
    is_described,
    cast(load_seq as bigint) as load_seq
from stores
