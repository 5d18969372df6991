with

silver as (

    select * from {{ ref('silver') }}

),

clock as (

    select * from {{ ref('sales_clock') }}

),

contents as (

    select
        dt,
        {{ basket_of_store() }} as basket,
        product_id
    from silver
    where not is_return and dt <= (select cast(as_of as date) from clock)
    group by dt, basket, product_id

),

all_baskets as (

    select
        cast(count(*) as bigint) as baskets,
        max(dt) as as_of
    from (select distinct dt, basket from contents) as distinct_baskets

),

-- Pairs of rarely sold products are very many and mean little.
products as (

    select
        product_id,
        cast(count(*) as bigint) as baskets
    from contents
    group by product_id
    qualify row_number() over (order by count(*) desc, product_id) <= {{ var('affinity_products') }}

),

frequent as (

    select
        contents.dt,
        contents.basket,
        contents.product_id
    from contents
    inner join products on contents.product_id = products.product_id

),

pairs as (

    select
        one.product_id,
        other.product_id as other_product_id,
        cast(count(*) as bigint) as baskets_with_both
    from frequent as one
    inner join frequent as other
        on one.dt = other.dt
        and one.basket = other.basket
        and one.product_id <> other.product_id
    group by one.product_id, other.product_id

)

select
    all_baskets.as_of,
    pairs.product_id,
    pairs.other_product_id,
    pairs.baskets_with_both,
    products.baskets as baskets_with_product,
    others.baskets as baskets_with_other,
    all_baskets.baskets as all_baskets,
    {{ divide('pairs.baskets_with_both', 'all_baskets.baskets', 8) }} as support,
    {{ divide('pairs.baskets_with_both', 'products.baskets', 6) }} as confidence,
    {{ divide(
        'pairs.baskets_with_both * all_baskets.baskets', 'products.baskets * others.baskets', 6
    ) }} as lift
from pairs
inner join products on pairs.product_id = products.product_id
inner join products as others on pairs.other_product_id = others.product_id
cross join all_baskets
