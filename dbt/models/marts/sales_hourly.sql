-- live_sales is built first: people watch it, and the audit expects it to be as new as this.
-- depends_on: {{ ref('live_sales') }}
with

purchases as (

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

sales_lines as {{ inlined() }} (

    select * from {{ ref('fct_sales_line') }}

),

days as (

    {{ rebuilt_days(this) }}

),

lines as (

    select *
    from sales_lines
    {{ only_rebuilt_days() }}

),

-- A basket counts in the hour in which it began, so that the hours of a day add up to the day.
baskets as (

    select
        sales_date,
        store_id,
        currency,
        basket_id,
        min(sales_hour) as sales_hour
    from lines
    where not is_return
    group by sales_date, store_id, currency, basket_id

),

transactions as (

    select
        sales_date,
        sales_hour,
        store_id,
        currency,
        cast(count(*) as bigint) as transactions
    from baskets
    group by sales_date, sales_hour, store_id, currency

),

totals as (

    select
        sales_date,
        sales_hour,
        store_id,
        currency,
        {{ sums_of_lines() }}
    from lines
    group by sales_date, sales_hour, store_id, currency

)

select
    days.sales_date,
    totals.sales_hour,
    totals.store_id,
    totals.currency,
    coalesce(transactions.transactions, 0) as transactions,
    totals.* exclude (sales_date, sales_hour, store_id, currency)
from days
left join totals on days.sales_date = totals.sales_date
left join transactions
    on totals.sales_date = transactions.sales_date
    and totals.sales_hour = transactions.sales_hour
    and totals.store_id = transactions.store_id
    and totals.currency = transactions.currency
