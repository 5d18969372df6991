{#- A new time zone in the settings concerns every store whose own is not known. -#}
{%- set without_zone =
    'not is_time_zone_known and (select load_seq from settings) > ' ~ watermark(this)
-%}
with

feed as {{ inlined() }} (

    select * from {{ source('staging', 'stores') }}

),

purchases as {{ inlined() }} (

    select * from {{ source('staging', 'purchases') }}

),

superseded as (

    select * from {{ source('staging', 'superseded') }}

),

settings as (

    select * from {{ ref('reporting_settings') }}

),

bronze as {{ inlined() }} (

    select * from {{ ref('bronze') }}

),

{{ dimension_members(
    key='store_id',
    attributes=[
        'store_name', 'city', 'country', 'time_zone', 'currency', 'opened_on', 'closed_on'
    ],
    keeps_history=false,
    changed_too=without_zone
) }},

known as (

    select
        members.*,
        coalesce(
            members.time_zone in ('{{ time_zones() | join("', '") }}'), false
        ) as is_time_zone_known,
        settings.time_zone as default_time_zone,
        settings.load_seq as settings_seq
    from members
    cross join settings

)

select
    store_id,
    coalesce(store_name, store_id) as store_name,
    coalesce(city, {{ unknown() }}) as city,
    coalesce(country, {{ unknown() }}) as country,
    case when is_time_zone_known then time_zone else default_time_zone end as time_zone,
    is_time_zone_known,
    currency,
    opened_on,
    closed_on,
    described_at,
    is_described,
    cast(
        case
            when is_time_zone_known or load_seq > settings_seq or load_seq is null then load_seq
            else settings_seq
        end as bigint
    ) as load_seq
from known
