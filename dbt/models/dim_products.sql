{{ config(incremental_strategy='replace_keys', unique_key='product_id', tmp_relation_type='table') }}

with

{% if is_incremental() %}
changed as (

    select product_id
    from {{ source('staging', 'products') }}
    where load_seq > {{ watermark(this) }}
    union
    select product_id
    from {{ ref('bronze') }}
    where load_seq > {{ watermark(this) }}
        and product_id not in (select product_id from {{ this }})
    union
    select product_id
    from {{ ref('bronze') }}
    where load_seq > {{ watermark(this) }}
        and category is not null
        and product_id in (
            select product_id from {{ this }} where not is_described and category = '(unknown)'
        )

),
{% endif %}

-- A change that came again, or was corrected, counts once: the last arrival.
changes as (

    select *
    from {{ source('staging', 'products') }}
    {% if is_incremental() %}
    where product_id in (select product_id from changed)
    {% endif %}
    qualify row_number() over (
        partition by product_id, ts
        order by ingested_at desc, source_file desc, source_line desc, load_seq desc
    ) = 1

),

named as (

    select
        product_id,
        load_seq,
        min(category) as category
    from (
        select product_id, load_seq, category from {{ ref('bronze') }}
        {% if is_incremental() %}
        where load_seq > {{ watermark(this) }}
        union all
        select product_id, load_seq, nullif(category, '(unknown)') from {{ this }}
        where not is_described and product_id <> '(unknown)'
        {% endif %}
    ) as lines
    where product_id not in (select product_id from changes)
    {% if is_incremental() %}
        and product_id in (select product_id from changed)
    {% endif %}
    group by product_id, load_seq

),

-- What no event describes has the category that the till named first.
sold as (

    select
        product_id,
        min(load_seq) as load_seq,
        max(case when place = 1 then category end) as category
    from (
        select
            *,
            row_number() over (
                partition by product_id
                order by case when category is null then 1 else 0 end, load_seq
            ) as place
        from named
    ) as placed
    group by product_id

),

-- The row for no product says up to which load the dimension is complete.
seen as (

    select load_seq from {{ source('staging', 'products') }}
    union all
    select load_seq from {{ ref('bronze') }}
    {% if is_incremental() %}
    where load_seq > {{ watermark(this) }}
    union all
    select load_seq from {{ this }}
    {% endif %}

),

versions as (

    select
        product_id,
        row_number() over (partition by product_id order by ts) as version_number,
        ts as changed_at,
        case
            when row_number() over (partition by product_id order by ts) = 1
                then cast('1970-01-01' as timestamp)
            else ts
        end as valid_from,
        coalesce(
            lead(ts) over (partition by product_id order by ts), cast('2200-01-01' as timestamp)
        ) as valid_to,
        product_name,
        brand,
        category,
        department,
        currency,
        price,
        cost,
        true as is_described,
        load_seq
    from changes

    union all

    select
        product_id, 1, null, cast('1970-01-01' as timestamp), cast('2200-01-01' as timestamp),
        null, null, category, null, null, null, null, false, load_seq
    from sold

    union all

    select
        '(unknown)', 1, null, cast('1970-01-01' as timestamp), cast('2200-01-01' as timestamp),
        null, null, null, null, null, null, null, false, coalesce(max(load_seq), 0)
    from seen

)

select
    product_id,
    cast(version_number as bigint) as version_number,
    valid_from,
    valid_to,
    valid_to = cast('2200-01-01' as timestamp) as is_current,
    changed_at,
    coalesce(product_name, product_id) as product_name,
    coalesce(brand, '(unknown)') as brand,
    coalesce(category, '(unknown)') as category,
    coalesce(department, '(unknown)') as department,
    currency,
    price,
    cost,
    is_described,
    cast(load_seq as bigint) as load_seq
from versions
