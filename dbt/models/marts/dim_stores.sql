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
    from {{ ref('bronze') }}
    where store_id not in (select store_id from latest)
    {% if is_incremental() %}
        and load_seq > {{ watermark(this) }}
        and store_id in (select store_id from changed)
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

)

select
    store_id,
    coalesce(store_name, store_id) as store_name,
    coalesce(city, '(unknown)') as city,
    coalesce(country, '(unknown)') as country,
    case
        when time_zone in ('{{ time_zones() | join("', '") }}') then time_zone
        else 'UTC'
    end as time_zone,
    coalesce(
        time_zone in ('{{ time_zones() | join("', '") }}'), false
    ) as is_time_zone_known,
    currency,
    opened_on,
    closed_on,
    described_at,
    is_described,
    cast(load_seq as bigint) as load_seq
from stores
