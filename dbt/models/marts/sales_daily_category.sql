with

daily_products as (

    select * from {{ ref('sales_daily_product') }}

)

select
    sales_date,
    department,
    category,
    currency,
    {{ sums_of_sums() }},
    cast(sum(costed_net_sales) - sum(cost_of_sales) as decimal(38,4)) as gross_margin,
    {{ divide('sum(costed_net_sales) - sum(cost_of_sales)', 'sum(costed_net_sales)', 6) }}
        as gross_margin_rate
from daily_products
group by sales_date, department, category, currency
