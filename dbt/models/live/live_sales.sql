{{ config(incremental_strategy='replace_keys', unique_key='minute_at', tmp_relation_type='table') }}
-- depends_on: {{ ref('bronze') }}

with

{% if is_incremental() %}
-- Where the lines stood, or may have stood, that another copy of their event has replaced.
moved as {{ materialized() }} (

    select ts, dt, basket_id
    from {{ ref('bronze') }}
    where event_id in (
        select event_id from {{ ref('silver') }}
        where load_seq > {{ watermark(this) }} and load_seq > first_load_seq
    )

),

-- The newest sale. Where a line was replaced (rare), it may have been that one: then all are asked.
newest as {{ materialized() }} (

    select max(sold_at) as sold_at
    from (
        select max(last_sale_at) as sold_at from {{ this }}
        where {{ is_past('last_sale_at') }} and not exists (select 1 from moved)
        union all
        select max(ts) from {{ ref('silver') }} where load_seq > {{ watermark(this) }} and ts <= ingested_at
            and {{ is_past('ts') }}
        union all
        select max(silver.ts)
        from {{ ref('silver') }} as silver
        cross join (select 1 as found from moved limit 1) as any_moved
        where silver.ts <= silver.ingested_at and {{ is_past('silver.ts') }}
    ) as candidates

),

-- From which day on lines are to be kept, and from which day on the table has them: the window moves
-- on with the newest sale, and back when that one was replaced. An empty table lacks nothing, because
-- all lines are newer than its watermark.
bounds as {{ materialized() }} (

    select
        {{ live_since('sold_at', 'newest') }} as since,
        (select coalesce(cast(min(minute_at) as date), cast('1970-01-01' as date)) from {{ this }})
            as present_since

),

touched as {{ materialized() }} (

    select ts, dt, basket_id
    from (
        {{ touched_lines(this) }}
    ) as lines
    where dt >= (select since from bounds)
    union all
    select ts, dt, basket_id from moved where dt >= (select since from bounds)
    union all
    select silver.ts, silver.dt, silver.basket_id
    from {{ ref('silver') }} as silver
    inner join (select * from bounds where since < present_since) as back
        on silver.dt >= back.since and silver.dt < back.present_since

),

-- A line may begin its basket anew, and then the basket leaves the minute in which it began before.
minutes as {{ materialized() }} (

    select {{ dbt.date_trunc('minute', 'ts') }} as minute_at from touched
    union
    select {{ dbt.date_trunc('minute', 'ts') }}
    from {{ ref('silver') }}
    where basket_id in (select basket_id from touched) and dt in (select dt from touched)

),

baskets as {{ materialized() }} (

    select distinct dt, basket_id
    from {{ ref('silver') }}
    where ts >= (select min(minute_at) from minutes)
        and ts < (select {{ dbt.dateadd('minute', 1, 'max(minute_at)') }} from minutes)
        and {{ dbt.date_trunc('minute', 'ts') }} in (select minute_at from minutes)

),

lines as (

    select *
    from {{ ref('silver') }}
    where dt in (select dt from baskets) and basket_id in (select basket_id from baskets)

),
{% else %}
lines as (

    select * from {{ ref('silver') }} where dt >= {{ live_since('case when ts <= ingested_at and ' ~ is_past('ts') ~ ' then ts end', ref('silver')) }}

),

minutes as (

    select distinct {{ dbt.date_trunc('minute', 'ts') }} as minute_at from lines

),
{% endif %}

known as (

    {{ sales_lines('lines') }}

),

-- A basket counts where it began, so that any minutes, stores and products add up to their baskets;
-- and once more for each of its categories, where that began.
counted as (

    select
        *,
        {{ dbt.date_trunc('minute', 'ts') }} as minute_at,
        row_number() over (
            partition by utc_date, store_id, currency, basket_id, is_return
            order by ts, event_id
        ) as line_of_basket,
        row_number() over (
            partition by utc_date, store_id, currency, basket_id, category, is_return
            order by ts, event_id
        ) as line_of_category
    from known

),

totals as (

    select
        minute_at,
        store_id,
        product_id,
        category,
        cast(sum(case when not is_return and line_of_basket = 1 then 1 else 0 end) as bigint)
            as transactions,
        cast(sum(case when not is_return and line_of_category = 1 then 1 else 0 end) as bigint)
            as category_transactions,
        cast(count(*) as bigint) as lines,
        cast(sum(units_sold) as bigint) as units_sold,
        cast(sum(units_returned) as bigint) as units_returned,
        {% for amount in live_amounts() -%}
        cast(sum({{ amount }}) as decimal(38,4)) as {{ amount }},
        {% endfor -%}
        cast(sum(case when fx_rate is null then 1 else 0 end) as bigint) as unconverted_lines,
        max(case when ts <= ingested_at then ts end) as last_sale_at,
        cast(max(load_seq) as bigint) as load_seq,
        cast(max(product_seq) as bigint) as product_seq,
        cast(max(rate_seq) as bigint) as rate_seq
    from counted
    {% if is_incremental() %}
    where minute_at in (select minute_at from minutes)
    {% endif %}
    group by minute_at, store_id, product_id, category

)

select
    minutes.minute_at,
    totals.* exclude (minute_at)
from minutes
left join totals on minutes.minute_at = totals.minute_at
{% if is_incremental() %}
union all
-- Minutes that the window has left behind: only their key, so that they are deleted.
select
    left_behind.minute_at,
    totals.* exclude (minute_at)
from (select distinct minute_at from {{ this }} where minute_at < (select since from bounds)) as left_behind
left join totals on false
{% endif %}
