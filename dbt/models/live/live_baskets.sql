with

silver as {{ inlined() }} (

    select * from {{ ref('silver') }}

),

products as (

    select * from {{ ref('dim_products') }}

),

stores as (

    select * from {{ ref('dim_stores') }}

),

rates as {{ inlined() }} (

    select * from {{ ref('dim_fx_rates') }}

),

clock as (

    select * from {{ ref('live_clock') }}

),

-- The oldest of these baskets may lack its first lines. So there are more than the dashboard shows.
newest as (

    select ts
    from silver
    where dt >= (select cast({{ dbt.dateadd('day', -1, 'as_of') }} as date) from clock)
        and ts <= ingested_at
    order by ts desc
    limit 600

),

newest_lines as (

    select *
    from silver
    where ts >= (select min(ts) from newest) and ts <= ingested_at

),

lines as (

    {{ sales_lines('newest_lines') }}

)

select
    basket_id,
    event_type,
    store_id,
    max(ts) as sold_at,
    max(payment_method) as payment_method,
    max(channel) as channel,
    currency,
    cast(count(*) as bigint) as lines,
    cast(sum(quantity) as bigint) as units,
    cast(sum(net_sales) as decimal(38,4)) as net_sales,
    cast(sum(reporting_net_sales) as decimal(38,4)) as reporting_net_sales,
    {{ dbt.listagg('product_name', "', '", 'order by ts, event_id', 3) }} as products,
    {{ dbt.listagg('distinct category', "', '", 'order by category') }} as categories
from lines
group by basket_id, event_type, store_id, currency
