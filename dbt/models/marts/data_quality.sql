with

bronze as {{ inlined() }} (

    select * from {{ ref('bronze') }}

),

silver as {{ inlined() }} (

    select * from {{ ref('silver') }}

),

gold as (

    select * from {{ ref('gold') }}

),

sales_lines as (

    select * from {{ ref('fct_sales_line') }}

),

hours as (

    select * from {{ ref('sales_hourly') }}

),

returned_lines as (

    select * from {{ ref('fct_returns') }}

),

products as (

    select * from {{ ref('dim_products') }}

),

stores as {{ inlined() }} (

    select * from {{ ref('dim_stores') }}

),

quarantine as (

    select * from {{ ref('quarantine') }}

),

duplicates as (

    select * from {{ ref('purchases_duplicates') }}

),

conflicts as (

    select * from {{ ref('purchases_conflicts') }}

),

superseded as (

    select * from {{ source('staging', 'superseded') }}

),

judged as (

    select
        sales_lines.*,
        sales_lines.ingested_at > {{ dbt.dateadd('day', 1, 'sales_lines.ts') }} as is_late,
        sales_lines.ts > {{ dbt.dateadd('hour', 1, 'sales_lines.ingested_at') }} as is_future,
        sales_lines.sales_date < stores.opened_on or sales_lines.sales_date >= stores.closed_on
            as is_closed_store
    from sales_lines
    left join stores on sales_lines.store_id = stores.store_id

),

lines as (

    select
        cast(count(*) as bigint) as lines,
        cast(sum(case when is_late then 1 else 0 end) as bigint) as late,
        cast(sum(case when is_future then 1 else 0 end) as bigint) as future,
        cast(sum(case when is_product_known then 0 else 1 end) as bigint) as unknown_product,
        cast(sum(case when is_store_known then 0 else 1 end) as bigint) as unknown_store,
        cast(sum(case when fx_rate is null then 1 else 0 end) as bigint) as unconverted,
        cast(sum(case when cost_of_sales is null then 1 else 0 end) as bigint) as unknown_cost,
        cast(sum(case when customer_id = {{ guest() }} then 1 else 0 end) as bigint) as guest,
        cast(sum(case when is_closed_store then 1 else 0 end) as bigint) as closed_store
    from judged

),

-- The ids of sales that other ids stand beside. Each id counts once.
ids as (

    select 'product' as kind, product_id as id from silver
    union
    select 'store', store_id from silver
    union
    select 'customer', customer_id from silver where customer_id is not null

),

-- 17850.0 beside 17850: one id that passed through a spreadsheet.
twins as (

    select ids.kind, cast(count(*) as bigint) as twins
    from ids
    inner join ids as others
        on ids.kind = others.kind and ids.id = others.id || '.0'
    group by ids.kind

),

-- An id that says that there is none: written by a program, not by a person.
absent as (

    select cast(count(*) as bigint) as lines
    from silver
    where lower(event_id) in {{ words_for_absence() }}
        or lower(store_id) in {{ words_for_absence() }}
        or lower(product_id) in {{ words_for_absence() }}
        or lower(coalesce(customer_id, '')) in {{ words_for_absence() }}
        or lower(basket_id) in {{ words_for_absence() }}

),

loads as (

    select
        (select coalesce(max(load_seq), 0) from bronze) as bronze,
        (select coalesce(max(load_seq), 0) from silver) as silver,
        (select coalesce(max(load_seq), 0) from gold) as gold,
        (select coalesce(max(load_seq), 0) from hours) as marts

)

select
    'quarantined lines' as measure,
    feed || ': ' || reason as detail,
    cast(count(*) as bigint) as value
from quarantine
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
from duplicates
union all
select 'copies', 'of events that silver holds with another payload', cast(count(*) as bigint)
from conflicts
union all
select 'lines', 'with an id that reads null, none, nan or undefined', lines from absent
union all
select 'likely twins', kind || ' ids that differ by .0', twins from twins
union all
select 'versions', 'of raw objects that a newer version replaced', cast(count(*) as bigint)
from superseded
union all
select 'returns', link, cast(count(*) as bigint)
from returned_lines
group by link
union all
select 'members', 'products known from sales only', cast(count(*) as bigint)
from products
where not is_described and product_id <> {{ unknown() }}
union all
select 'members', 'stores known from sales only', cast(count(*) as bigint)
from stores
where not is_described and store_id <> {{ unknown() }}
union all
select 'members', 'stores without a known time zone', cast(count(*) as bigint)
from stores
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
from bronze
where load_seq = (select max(load_seq) from bronze)
