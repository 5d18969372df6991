{{ config(incremental_strategy='replace_keys', unique_key='store_id', tmp_relation_type='table') }}

with

{% if is_incremental() %}
changed as (

    select store_id
    from {{ source('staging', 'stores') }}
    where load_seq > {{ watermark(this) }}
    union
    select store_id
    from {{ ref('bronze') }}
    where load_seq > {{ watermark(this) }}
        and store_id not in (select store_id from {{ this }})
    union
    select store_id
    from {{ this }}
    where not is_time_zone_known
        and (select load_seq from {{ ref('reporting_settings') }}) > {{ watermark(this) }}

),
{% endif %}

latest as (

    select *
    from {{ source('staging', 'stores') }}
    {% if is_incremental() %}
    where store_id in (select store_id from changed)
    {% endif %}
    qualify row_number() over (
        partition by store_id
        order by ts desc, ingested_at desc, source_file desc, source_line desc, load_seq desc
    ) = 1

),

sold as (

    select
        store_id,
        min(load_seq) as load_seq
    from (
        select store_id, load_seq from {{ ref('bronze') }}
        {% if is_incremental() %}
        where load_seq > {{ watermark(this) }}
        union all
        select store_id, load_seq from {{ this }} where not is_described
        {% endif %}
    ) as named
    where store_id not in (select store_id from latest)
    {% if is_incremental() %}
        and store_id in (select store_id from changed)
        and store_id <> '(unknown)'
    {% endif %}
    group by store_id

),

-- The row for no store says up to which load the dimension is complete.
seen as (

    select load_seq from {{ source('staging', 'stores') }}
    union all
    select load_seq from {{ ref('bronze') }}
    {% if is_incremental() %}
    where load_seq > {{ watermark(this) }}
    union all
    select load_seq from {{ this }}
    {% endif %}

),

stores as (

    select
        store_id, store_name, city, country, time_zone, currency, opened_on, closed_on,
        ts as described_at, true as is_described, load_seq
    from latest
    union all
    select store_id, null, null, null, null, null, null, null, null, false, load_seq
    from sold
    union all
    select
        '(unknown)', null, null, null, null, null, null, null, null, false,
        coalesce(max(load_seq), 0)
    from seen

),

known as (

    select
        stores.*,
        coalesce(
            stores.time_zone in ('{{ time_zones() | join("', '") }}'), false
        ) as is_time_zone_known,
        settings.time_zone as default_time_zone,
        settings.load_seq as settings_seq
    from stores
    cross join {{ ref('reporting_settings') }} as settings

)

select
    store_id,
    coalesce(store_name, store_id) as store_name,
    coalesce(city, '(unknown)') as city,
    coalesce(country, '(unknown)') as country,
    case when is_time_zone_known then time_zone else default_time_zone end as time_zone,
    is_time_zone_known,
    currency,
    opened_on,
    closed_on,
    described_at,
    is_described,
    cast(
        case when is_time_zone_known or load_seq > settings_seq then load_seq else settings_seq end
        as bigint
    ) as load_seq
from known
