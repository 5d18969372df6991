with

purchases as {{ inlined() }} (

    select * from {{ source('staging', 'purchases') }}

),

superseded as (

    select * from {{ source('staging', 'superseded') }}

),

feed as (

    select * from {{ source('staging', 'products') }}

),

silver as {{ inlined() }} (

    select * from {{ ref('silver') }}

),

products as {{ inlined() }} (

    select * from {{ ref('dim_products') }}

),

stores as {{ inlined() }} (

    select * from {{ ref('dim_stores') }}

),

rates as {{ inlined() }} (

    select * from {{ ref('dim_fx_rates') }}

),

sales_lines as (

    select * from {{ ref('fct_sales_line') }}

),

{% if is_incremental() %}
-- The lines that count in another way now.
touched as {{ materialized() }} (

    select *
    from (
        {{ touched_lines(this, added=is_additive()) }}
    ) as lines

),

moved as {{ materialized() }} (

    {{ moved_days(this) }}

),

-- The lines whose rows may change: a touched line may become the first of its basket, and then the
-- basket leaves the row in which it counted before.
affected as {{ materialized() }} (

    select ts, store_id, product_id from touched
    union
    select ts, store_id, product_id
    from silver
    where basket_id in (select basket_id from touched)
        and dt in (
            {{ days_around('select dt from touched', 'dt') }}
        )
    union
    select ts, store_id, product_id
    from silver
    where dt in (
        {{ days_around('select sales_date as dt from moved', 'dt') }}
    )

),

-- The rows to build again, and those of lines that have left.
rebuilt as {{ materialized() }} (

    select
        cast(local_ts as date) as sales_date,
        cast(extract(hour from local_ts) as integer) as sales_hour,
        store_id,
        product_id
    from (
        select affected.*, {{ local_time('affected.ts', 'stores.time_zone') }} as local_ts
        from affected
        left join stores on affected.store_id = stores.store_id
    ) as lines
    union
    select sales_date, sales_hour, store_id, product_id
    from {{ this }}
    where sales_date in (select sales_date from moved)

),

utc_days as {{ materialized() }} (

    {{ days_around('select sales_date as dt from rebuilt', 'dt') }}

),

-- The baskets of their lines. Only lines of the same stores and products get a local time, which is
-- slow.
baskets as {{ materialized() }} (

    select distinct lines.basket_id
    from (
        select silver.*, {{ local_time('silver.ts', 'stores.time_zone') }} as local_ts
        from silver
        left join stores on silver.store_id = stores.store_id
        where silver.dt in (select dt from utc_days)
            and (silver.store_id, silver.product_id) in (select store_id, product_id from rebuilt)
    ) as lines
    inner join rebuilt
        on cast(lines.local_ts as date) = rebuilt.sales_date
        and cast(extract(hour from lines.local_ts) as integer) = rebuilt.sales_hour
        and lines.store_id = rebuilt.store_id
        and lines.product_id = rebuilt.product_id

),

-- The new lines, which are added to what stands in all other rows.
gained as {{ materialized() }} (

    select dt, basket_id
    from silver
    where {{ 'load_seq > ' ~ watermark(this) if is_additive() else 'false' }}

),

gained_days as {{ materialized() }} (

    {{ days_around('select dt from gained', 'dt') }}

),

-- Apart, because an engine takes the rows to build again for many where there are none.
lines_of_baskets as (

    select *
    from silver
    where dt in (select dt from gained_days) and basket_id in (select basket_id from gained)
    union all
    select *
    from silver
    where dt in (select dt from utc_days)
        and basket_id in (select basket_id from baskets)
        and not (
            dt in (select dt from gained_days) and basket_id in (select basket_id from gained)
        )

),
{% endif %}

lines as {{ materialized() }} (

    {% if is_incremental() %}
    select
        sales_lines.*,
        {{ 'load_seq <= ' ~ watermark(this) if is_additive() else 'true' }}
        and (sales_date, sales_hour, store_id, product_id) not in (
            select sales_date, sales_hour, store_id, product_id from rebuilt
        ) as stands
    from (
        {{ sales_lines('lines_of_baskets') }}
    ) as sales_lines
    {% else %}
    select * from sales_lines
    {% endif %}

),

counted as {{ materialized() if is_incremental() }} (

    {{ counted_lines('lines', 'sales_date, store_id, currency, basket_id') }}

),

totals as (

    select
        sales_date,
        cast({{ dbt.date_trunc('month', 'sales_date') }} as date) as sales_month,
        sales_hour,
        store_id,
        product_id,
        department,
        category,
        currency,
        cast(sum(case when is_first_of_basket then 1 else 0 end) as bigint)
            as transactions,
        cast(sum(case when is_first_of_category then 1 else 0 end) as bigint)
            as category_transactions,
        {{ sums_of_lines() }}
    from counted
    {% if is_incremental() %}
    where not stands
    {% endif %}
    group by
        sales_date,
        sales_hour,
        store_id,
        product_id,
        department,
        category,
        currency

),

{% if is_additive() %}
{%- set columns = 'sales_date, sales_hour, store_id, product_id, department, category, currency' %}
-- What the lines add to the rows, and the baskets that leave them.
contributions as {{ materialized() }} (

    select * from totals
    union all by name
    (
        {{ lost_baskets(this, columns, 'sales_date, store_id, currency, basket_id') }}
    )

),
{% endif %}

sums as (

    {% if is_additive() %}
    select
        {{ columns }},
        cast({{ dbt.date_trunc('month', 'sales_date') }} as date) as sales_month,
        cast(sum(transactions) as bigint) as transactions,
        cast(sum(category_transactions) as bigint) as category_transactions,
        {{ sums_of_sums() }},
        {{ newest_of_sums() }}
    from (
        select * from contributions
        union all by name
        select *
        from {{ this }}
        where (sales_date, sales_hour, store_id, product_id) in (
                select sales_date, sales_hour, store_id, product_id from contributions
            )
            and (sales_date, sales_hour, store_id, product_id) not in (
                select sales_date, sales_hour, store_id, product_id from rebuilt
            )
    ) as sales
    group by {{ columns }}
    {% else %}
    select * from totals
    {% endif %}

)

{% if is_incremental() %}
-- A key without rows deletes what stood there.
select
    keys.sales_date,
    keys.sales_hour,
    keys.store_id,
    keys.product_id,
    sums.* exclude (sales_date, sales_hour, store_id, product_id)
from (
    select sales_date, sales_hour, store_id, product_id from sums
    union
    select sales_date, sales_hour, store_id, product_id from rebuilt
) as keys
left join sums
    on keys.sales_date = sums.sales_date
    and keys.sales_hour = sums.sales_hour
    and keys.store_id = sums.store_id
    and keys.product_id = sums.product_id
{% else %}
select * from sums
{% endif %}
