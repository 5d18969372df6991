{{ config(incremental_strategy='replace_keys', unique_key='sales_date', tmp_relation_type='table') }}
-- depends_on: {{ ref('bronze') }}
-- depends_on: {{ ref('silver') }}
-- depends_on: {{ ref('dim_products') }}
-- depends_on: {{ ref('dim_stores') }}
-- depends_on: {{ ref('dim_fx_rates') }}

{{ rebuilt_days(this) }},

totals as (

    select
        sales_date,
        product_id,
        department,
        category,
        currency,
        {{ sums_of_lines() }}
    from {{ ref('fct_sales_line') }}
    {{ only_rebuilt_days() }}
    group by sales_date, product_id, department, category, currency

)

select
    days.sales_date,
    totals.* exclude (sales_date)
from days
left join totals on days.sales_date = totals.sales_date
