with

feed as {{ inlined() }} (

    select * from {{ source('staging', 'products') }}

),

purchases as {{ inlined() }} (

    select * from {{ source('staging', 'purchases') }}

),

superseded as (

    select * from {{ source('staging', 'superseded') }}

),

bronze as {{ inlined() }} (

    select * from {{ ref('bronze') }}

),

{{ dimension_members(
    key='product_id',
    attributes=['product_name', 'brand', 'category', 'department', 'currency', 'price', 'cost'],
    keeps_history=true,
    named_by_sale='category'
) }},

-- The first version holds for all time before it.
versions as (

    select
        *,
        row_number() over (partition by product_id order by described_at) as version_number,
        lead(described_at) over (partition by product_id order by described_at) as next_change_at
    from members

)

select
    product_id,
    cast(version_number as bigint) as version_number,
    case when version_number = 1 then {{ beginning_of_time() }} else described_at end as valid_from,
    coalesce(next_change_at, {{ end_of_time() }}) as valid_to,
    next_change_at is null as is_current,
    described_at as changed_at,
    coalesce(product_name, product_id) as product_name,
    coalesce(brand, {{ unknown() }}) as brand,
    coalesce(category, {{ unknown() }}) as category,
    coalesce(department, {{ unknown() }}) as department,
    currency,
    price,
    cost,
    is_described,
    cast(load_seq as bigint) as load_seq
from versions
