-- The audit expects live_sales to be as new as this.
-- depends_on: {{ ref('live_sales') }}
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

products as (

    select * from {{ ref('dim_products') }}

),

stores as {{ inlined() }} (

    select * from {{ ref('dim_stores') }}

),

rates as {{ inlined() }} (

    select * from {{ ref('dim_fx_rates') }}

),

by_product as {{ inlined() }} (

    select * from {{ ref('sales_hourly_product') }}

),

days as (

    {{ rebuilt_days(this, 'by_product') }}

),

totals as (

    select
        sales_date,
        sales_hour,
        store_id,
        currency,
        cast(sum(transactions) as bigint) as transactions,
        {{ sums_of_sums() }},
        {{ newest_of_sums() }}
    from by_product
    {{ only_rebuilt_sums() }}
    group by sales_date, sales_hour, store_id, currency

)

select
    days.sales_date,
    totals.* exclude (sales_date)
from days
left join totals on days.sales_date = totals.sales_date
