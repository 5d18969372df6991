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

by_hour as {{ inlined() }} (

    select * from {{ ref('sales_hourly_product') }}

),

days as (

    {{ rebuilt_days(this, 'by_hour') }}

),

totals as (

    select
        sales_date,
        product_id,
        department,
        category,
        currency,
        {{ sums_of_sums() }},
        {{ newest_of_sums() }}
    from by_hour
    {{ only_rebuilt_sums() }}
    group by sales_date, product_id, department, category, currency

)

select
    days.sales_date,
    totals.* exclude (sales_date)
from days
left join totals on days.sales_date = totals.sales_date
