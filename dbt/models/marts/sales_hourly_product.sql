-- live_sales is built first: people watch it, and the audit expects it to be as new as this.
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

sales_lines as {{ inlined() }} (

    select * from {{ ref('fct_sales_line') }}

),

days as (

    {{ rebuilt_days(this) }}

),

-- A basket counts in the row of its first line, so that transactions add up over hours, stores and
-- products. For each of its categories it counts in the row of the first line of that category.
lines as (

    select
        *,
        {{ dbt.date_trunc('month', 'sales_date') }} as month_start,
        row_number() over (
            partition by sales_date, store_id, currency, basket_id, is_return
            order by ts, event_id
        ) as line_of_basket,
        row_number() over (
            partition by sales_date, store_id, currency, basket_id, category, is_return
            order by ts, event_id
        ) as line_of_category
    from sales_lines
    {{ only_rebuilt_days() }}

),

totals as (

    select
        sales_date,
        cast(month_start as date) as sales_month,
        sales_hour,
        store_id,
        product_id,
        department,
        category,
        currency,
        cast(sum(case when not is_return and line_of_basket = 1 then 1 else 0 end) as bigint)
            as transactions,
        cast(sum(case when not is_return and line_of_category = 1 then 1 else 0 end) as bigint)
            as category_transactions,
        {{ sums_of_lines() }}
    from lines
    group by
        sales_date,
        month_start,
        sales_hour,
        store_id,
        product_id,
        department,
        category,
        currency

)

select
    days.sales_date,
    totals.* exclude (sales_date)
from days
left join totals on days.sales_date = totals.sales_date
