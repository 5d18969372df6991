-- Versions of a product that do not start where the one before ends, or do not cover all time.
with

products as (

    select * from {{ ref('dim_products') }}

),

versions as (

    select
        *,
        lag(valid_to) over (partition by product_id order by valid_from) as previous_end,
        lead(valid_from) over (partition by product_id order by valid_from) as next_start
    from products

)

select product_id, version_number, valid_from, valid_to
from versions
where valid_from <> coalesce(previous_end, {{ beginning_of_time() }})
    or valid_to <> coalesce(next_start, {{ end_of_time() }})
    or valid_from >= valid_to
