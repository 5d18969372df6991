with lines as (

    select
        cast(count(*) as bigint) as lines,
        cast(sum(case when lines.ingested_at > {{ dbt.dateadd('day', 1, 'lines.ts') }} then 1 else 0 end) as bigint) as late,
        cast(sum(case when lines.ts > {{ dbt.dateadd('hour', 1, 'lines.ingested_at') }} then 1 else 0 end) as bigint) as future,
        cast(sum(case when lines.is_product_known then 0 else 1 end) as bigint) as unknown_product,
        cast(sum(case when lines.is_store_known then 0 else 1 end) as bigint) as unknown_store,
        cast(sum(case when lines.fx_rate is null then 1 else 0 end) as bigint) as unconverted,
        cast(sum(case when lines.cost_of_sales is null then 1 else 0 end) as bigint) as unknown_cost,
        cast(sum(case when lines.customer_id = '(guest)' then 1 else 0 end) as bigint) as guest,
        cast(sum(case when lines.sales_date < stores.opened_on or lines.sales_date >= stores.closed_on then 1 else 0 end) as bigint) as closed_store
    from {{ ref('fct_sales_line') }} as lines
    left join {{ ref('dim_stores') }} as stores on lines.store_id = stores.store_id

),

loads as (

    select
        (select coalesce(max(load_seq), 0) from {{ ref('bronze') }}) as bronze,
        (select coalesce(max(load_seq), 0) from {{ ref('silver') }}) as silver,
        (select coalesce(max(load_seq), 0) from {{ ref('gold') }}) as gold,
        (select coalesce(max(load_seq), 0) from {{ ref('sales_hourly') }}) as marts

)

select 'quarantined lines' as measure, feed || ': ' || reason as detail, cast(count(*) as bigint) as value
from {{ ref('quarantine') }}
group by feed, reason
union all
select 'lines', 'all', lines from lines
union all
select 'lines', 'arrived more than a day after the sale', late from lines
union all
select 'lines', 'dated more than an hour after their arrival', future from lines
union all
select 'lines', 'of an unknown product', unknown_product from lines
union all
select 'lines', 'of an unknown store', unknown_store from lines
union all
select 'lines', 'in a currency without a rate', unconverted from lines
union all
select 'lines', 'without a known cost', unknown_cost from lines
union all
select 'lines', 'of guests', guest from lines
union all
select 'lines', 'of a store that was closed', closed_store from lines
union all
select 'copies', 'of events that silver holds already', cast(count(*) as bigint)
from {{ ref('purchases_duplicates') }}
union all
select 'returns', link, cast(count(*) as bigint)
from {{ ref('fct_returns') }}
group by link
union all
select 'members', 'products known from sales only', cast(count(*) as bigint)
from {{ ref('dim_products') }}
where not is_described and product_id <> '(unknown)'
union all
select 'members', 'stores known from sales only', cast(count(*) as bigint)
from {{ ref('dim_stores') }}
where not is_described and store_id <> '(unknown)'
union all
select 'members', 'stores without a known time zone', cast(count(*) as bigint)
from {{ ref('dim_stores') }}
where is_described and not is_time_zone_known
union all
select 'loads behind bronze', 'silver', bronze - silver from loads
union all
select 'loads behind bronze', 'gold', bronze - gold from loads
union all
select 'loads behind bronze', 'marts', bronze - marts from loads
union all
select
    'seconds', 'from arrival to staging, newest load',
    cast(max({{ dbt.datediff('ingested_at', 'loaded_at', 'second') }}) as bigint)
from {{ ref('bronze') }}
where load_seq = (select max(load_seq) from {{ ref('bronze') }})
