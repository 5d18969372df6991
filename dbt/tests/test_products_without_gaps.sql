-- Versions of a product that do not begin where the one before ends, or leave the ends of time open.
select product_id, version_number, valid_from, valid_to
from (
    select
        *,
        lag(valid_to) over (partition by product_id order by valid_from) as before,
        lead(valid_from) over (partition by product_id order by valid_from) as after
    from {{ ref('dim_products') }}
) as versions
where valid_from <> coalesce(before, cast('1970-01-01' as timestamp))
    or valid_to <> coalesce(after, cast('2200-01-01' as timestamp))
    or valid_from >= valid_to
