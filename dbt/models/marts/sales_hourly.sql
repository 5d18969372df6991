{{ config(incremental_strategy='replace_keys', unique_key='sales_date', tmp_relation_type='table') }}
-- depends_on: {{ ref('bronze') }}
-- depends_on: {{ ref('silver') }}
-- depends_on: {{ ref('dim_products') }}
-- depends_on: {{ ref('dim_stores') }}
-- depends_on: {{ ref('dim_fx_rates') }}
-- What is looked at comes first; and so the audit knows that live_sales has seen what this has.
-- depends_on: {{ ref('live_sales') }}

{{ rebuilt_days(this) }},

lines as (

    select *
    from {{ ref('fct_sales_line') }}
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
