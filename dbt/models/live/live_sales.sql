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

stores as (

    select * from {{ ref('dim_stores') }}

),

rates as {{ inlined() }} (

    select * from {{ ref('dim_fx_rates') }}

),

receipts as {{ inlined() }} (

    select * from {{ ref('receipts') }}

),

{% if is_incremental() %}
-- The other copies of the events of which silver now keeps another copy: each may have been in this
-- table before.
moved as {{ materialized() }} (

    select ts, dt, basket_id
    from purchases
    where event_id in ({{ replaced_events(this) }})

),

-- A row where this table cannot tell the newest sale: a line of it may have been replaced, or the
-- newest load is dated before a sale that counted until now (a clock was set back). Both are rare.
untold as {{ materialized() }} (

    select 1 as one
    from (
        select ts from moved
        union all
        select last_sale_at from {{ this }} where not {{ is_past('last_sale_at') }}
    ) as doubtful
    limit 1

),

-- The newest sale. Only where this table cannot tell it, all of silver is read.
newest as {{ materialized() }} (

    select max(sold_at) as sold_at
    from (
        select max(last_sale_at) as sold_at from {{ this }}
        where {{ is_past('last_sale_at') }} and not exists (select 1 from untold)
        union all
        select max(ts) from silver
        where load_seq > {{ watermark(this) }} and ts <= ingested_at and {{ is_past('ts') }}
        union all
        select max(silver.ts)
        from silver
        cross join untold
        where silver.ts <= silver.ingested_at and {{ is_past('silver.ts') }}
    ) as candidates

),

-- The first day that the table has to hold, and the first day that it holds now. The window moves
-- forward with the newest sale, and backward when that sale was replaced. An empty table needs no
-- backward move: every line is newer than its watermark.
bounds as {{ materialized() }} (

    select
        {{ live_since('sold_at', 'newest') }} as since,
        (
            select coalesce(cast(min(minute_at) as date), cast({{ beginning_of_time() }} as date))
            from {{ this }}
        )
            as present_since

),

-- The lines that count in another way now.
changed as {{ materialized() }} (

    select ts, dt, basket_id
    from (
        {{ touched_lines(this, added=is_additive()) }}
    ) as lines
    where dt >= (select since from bounds)
    union all
    select ts, dt, basket_id from moved where dt >= (select since from bounds)
    union all
    select silver.ts, silver.dt, silver.basket_id
    from silver
    where silver.dt >= (select since from bounds)
        and silver.dt < (select present_since from bounds)

),

-- The lines of their days. By itself, so that an engine reads nothing where nothing changed.
beside as {{ materialized() }} (

    select ts, basket_id
    from silver
    where dt in (select distinct dt from changed)

),

-- The minutes to build again. A line may become the first of its basket, and then the basket leaves
-- the minute in which it began before; so all minutes of the basket of a changed line are included.
rebuilt as {{ materialized() }} (

    select {{ dbt.date_trunc('minute', 'ts') }} as minute_at from changed
    union
    select {{ dbt.date_trunc('minute', 'ts') }}
    from beside
    where basket_id in (select basket_id from changed)

),

baskets as {{ materialized() }} (

    select dt, basket_id
    from silver
    where dt in (select distinct cast(minute_at as date) from rebuilt)
        and {{ dbt.date_trunc('minute', 'ts') }} in (select minute_at from rebuilt)
    group by dt, basket_id

),

-- The new lines, which are added to what stands in all other minutes.
gained as {{ materialized() }} (

    select dt, basket_id
    from silver
    where {{ 'load_seq > ' ~ watermark(this) if is_additive() else 'false' }}
        and dt >= (select since from bounds)

),

-- Apart, because an engine takes the minutes to build again for many where there are none.
lines as (

    select *
    from silver
    where dt in (select dt from gained) and basket_id in (select basket_id from gained)
    union all
    select *
    from silver
    where dt in (select dt from baskets)
        and basket_id in (select basket_id from baskets)
        and not (dt in (select dt from gained) and basket_id in (select basket_id from gained))

),
{% else %}
lines as (

    select *
    from silver
    where dt >= {{ live_since(
        'case when ts <= ingested_at and ' ~ is_past('ts') ~ ' then ts end', 'silver'
    ) }}

),

{% endif %}

known as {{ materialized() }} (

    select
        sales_lines.*,
        {{ dbt.date_trunc('minute', 'ts') }} as minute_at
        {%- if is_incremental() %},
        {{ 'load_seq <= ' ~ watermark(this) if is_additive() else 'true' }}
        and {{ dbt.date_trunc('minute', 'ts') }} not in (select minute_at from rebuilt) as stands
        {%- endif %}
    from (
        {{ sales_lines('lines') }}
    ) as sales_lines

),

counted as {{ materialized() }} (

    {{ counted_lines('known', 'utc_date, store_id, currency, basket_id') }}

),

totals as (

    select
        minute_at,
        store_id,
        product_id,
        category,
        cast(sum(case when is_first_of_basket then 1 else 0 end) as bigint)
            as transactions,
        cast(sum(case when is_first_of_category then 1 else 0 end) as bigint)
            as category_transactions,
        cast(count(*) as bigint) as lines,
        cast(sum(units_sold) as decimal(38,5)) as units_sold,
        cast(sum(units_returned) as decimal(38,5)) as units_returned,
        {% for amount in live_amounts() -%}
        cast(sum({{ amount }}) as decimal(38,4)) as {{ amount }},
        {% endfor -%}
        cast(sum(case when fx_rate is null then 1 else 0 end) as bigint) as unconverted_lines,
        max(case when ts <= ingested_at then ts end) as last_sale_at,
        cast(max(load_seq) as bigint) as load_seq,
        cast(max(product_seq) as bigint) as product_seq,
        cast(max(rate_seq) as bigint) as rate_seq
    from counted
    {% if is_incremental() -%}
    where not stands
    {% endif -%}
    group by minute_at, store_id, product_id, category

),

{% if is_additive() %}
{%- set columns = 'minute_at, store_id, product_id, category' %}
-- What the lines add to the rows, and the baskets that leave them.
contributions as {{ materialized() }} (

    select * from totals
    union all by name
    (
        {{ lost_baskets(this, columns, 'utc_date, store_id, currency, basket_id') }}
    )

),
{% endif %}

sums as (

    {% if is_additive() %}
    select
        {{ columns }},
        {{ live_sums() }},
        max(last_sale_at) as last_sale_at,
        max(load_seq) as load_seq,
        max(product_seq) as product_seq,
        max(rate_seq) as rate_seq
    from (
        select * from contributions
        union all by name
        select *
        from {{ this }}
        where (minute_at, store_id, product_id) in (
                select minute_at, store_id, product_id from contributions
            )
            and minute_at not in (select minute_at from rebuilt)
    ) as sales
    group by {{ columns }}
    {% else %}
    select * from totals
    {% endif %}

)

{% if is_incremental() %}
-- A key without sums deletes what stands there: minutes before the window, and what has left a
-- minute that is built again.
select
    keys.minute_at,
    keys.store_id,
    keys.product_id,
    sums.* exclude (minute_at, store_id, product_id)
from (
    select minute_at, store_id, product_id from sums
    union
    select minute_at, store_id, product_id from {{ this }}
    where minute_at in (select minute_at from rebuilt)
        or minute_at < (select since from bounds)
) as keys
left join sums
    on keys.minute_at = sums.minute_at
    and keys.store_id = sums.store_id
    and keys.product_id = sums.product_id
{% else %}
select * from sums
{% endif %}
